"""Tilings of a group problem: what a tiling is, which loops it makes, what it needs and moves."""

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from npuc.compiler.schedule.problem import K_DIMS, PARALLEL, GroupProblem, Operand
from npuc.isa.target import Target

Ints = npt.NDArray[np.int64]
OUTER_M = (0, 1, 2, 3)
OUTER_N = (3, 0, 1, 2)
ACC_WORD_BYTES = 4


@dataclass(frozen=True)
class Tiling:
    """Extents of the tile per dimension, order of the parallel loops (outermost first), depths.

    ``depth`` is the number of slots of every SPM buffer that is refilled in a loop, ``acc_depth``
    that of the accumulator.
    """

    tile: tuple[int, ...]
    order: tuple[int, ...]
    depth: int
    acc_depth: int

    @property
    def loops(self) -> tuple[int, ...]:
        """Dimensions in loop order: parallel ones as chosen, then the reduction ones."""
        return self.order + K_DIMS

    def trips(self, problem: GroupProblem) -> tuple[int, ...]:
        """Trip count per dimension."""
        return tuple(-(-e // t) for e, t in zip(problem.extents, self.tile, strict=True))


def placement(problem: GroupProblem, tiling: Tiling, operand: Operand) -> int:
    """How many of ``tiling.loops`` enclose the operand's transfer.

    A transfer stands inside the innermost loop (of more than one trip) that moves its box.
    """
    trips = tiling.trips(problem)
    inside = [i + 1 for i, d in enumerate(tiling.loops) if trips[d] > 1 and d in operand.dims]
    return max(inside, default=0)


def ring_depth(problem: GroupProblem, tiling: Tiling, operand: Operand) -> int:
    """Slots of the operand's buffer: one when it is filled only once."""
    return tiling.depth if placement(problem, tiling, operand) else 1


def slot_bytes(operand: Operand, tile: tuple[int, ...], target: Target) -> int:
    """Bytes of one SPM slot, rounded up to whole bank words."""
    word = target.spm.bank_width_bytes
    return -(-prod(operand.box(tile)) * operand.dtype.bytes // word) * word


def acc_slot_bytes(tile: tuple[int, ...]) -> int:
    """Bytes of one accumulator slot."""
    return prod(tile[:PARALLEL]) * ACC_WORD_BYTES


def acc_ring_depth(problem: GroupProblem, tiling: Tiling) -> int:
    """Slots of the accumulator: one when there is a single output tile, none without one."""
    if problem.contraction is None:
        return 0
    return tiling.acc_depth if max(tiling.trips(problem)[:PARALLEL]) > 1 else 1


def acc_bytes(problem: GroupProblem, tiling: Tiling) -> int:
    """ACC bytes that the accumulator of the tiling takes."""
    return acc_slot_bytes(tiling.tile) * acc_ring_depth(problem, tiling)


def single_step_dims(problem: GroupProblem) -> frozenset[int]:
    """Row dimensions that W also depends on (batched products): one mma sees one W."""
    if problem.contraction is None:
        return frozenset()
    return problem.operands[problem.contraction.w].dims & {0, 1, 2}


def fits(problem: GroupProblem, tiling: Tiling, target: Target) -> bool:
    """Whether all buffers of the tiling fit SPM and ACC."""
    return (
        spm_bytes(problem, tiling, target) <= target.spm.capacity_bytes
        and acc_bytes(problem, tiling) <= target.acc.capacity_bytes
    )


def spm_bytes(problem: GroupProblem, tiling: Tiling, target: Target) -> int:
    """SPM bytes that all rings of the tiling take together; resident operands are not counted."""
    return sum(
        ring_depth(problem, tiling, o) * slot_bytes(o, tiling.tile, target)
        for o in problem.operands
        if not o.is_resident
    )


@dataclass(frozen=True)
class Candidates:
    """Many tilings at once: ``tiles`` is (n, 7); all share loop order and depths."""

    tiles: Ints
    order: tuple[int, ...]
    depth: int
    acc_depth: int

    def tiling(self, row: int) -> Tiling:
        """The tiling of one row."""
        return Tiling(
            tuple(int(t) for t in self.tiles[row]), self.order, self.depth, self.acc_depth
        )

    def take(self, rows: Ints | npt.NDArray[np.bool_]) -> "Candidates":
        """The candidates of some rows: numbers or a mask."""
        return Candidates(self.tiles[rows], self.order, self.depth, self.acc_depth)


def trip_counts(problem: GroupProblem, tiles: Ints) -> Ints:
    """Trip counts (n, 7) of every tile."""
    return -(-np.asarray(problem.extents, np.int64) // tiles)


def boxes(operand: Operand, tiles: Ints) -> Ints:
    """Box extents (n, axes) of an operand under every tile."""
    result = np.ones((len(tiles), len(operand.forms)), np.int64)
    for axis, form in enumerate(operand.forms):
        for dim in sorted(form.dims):
            result[:, axis] += form.coefficients[dim] * (tiles[:, dim] - 1)
    return result


def transfer_counts(problem: GroupProblem, candidates: Candidates, operand: Operand) -> Ints:
    """How often the operand's box moves under every tile: the trips of the enclosing loops."""
    return counts_from_trips(trip_counts(problem, candidates.tiles), candidates.order, operand)


def counts_from_trips(trips: Ints, order: tuple[int, ...], operand: Operand) -> Ints:
    """``transfer_counts`` where the trip counts (n, 7) are known."""
    count = np.ones(len(trips), np.int64)
    running = np.ones(len(trips), np.int64)
    for dim in order + K_DIMS:
        running = running * trips[:, dim]
        if dim in operand.dims:
            count = np.where(trips[:, dim] > 1, running, count)
    return count


def total_spm_bytes(problem: GroupProblem, candidates: Candidates, target: Target) -> Ints:
    """SPM bytes of every tile, whatever the loop order; the vectorised form of ``spm_bytes``."""
    word = target.spm.bank_width_bytes
    tiles = candidates.tiles
    total = np.zeros(len(tiles), np.int64)
    for operand in problem.operands:
        if operand.is_resident:
            continue
        n_bytes = np.full(len(tiles), operand.dtype.bytes, np.int64)
        for axis in boxes(operand, tiles).T:
            n_bytes *= axis
        is_refilled = np.zeros(len(tiles), bool)
        for dim in sorted(operand.dims):
            is_refilled |= tiles[:, dim] < problem.extents[dim]
        slots = np.where(is_refilled, candidates.depth, 1)
        total += slots * (-(-n_bytes // word) * word)
    return total


def total_acc_bytes(problem: GroupProblem, candidates: Candidates) -> Ints:
    """ACC bytes of every tile; the vectorised form of ``acc_bytes``."""
    if problem.contraction is None:
        return np.zeros(len(candidates.tiles), np.int64)
    parallel = candidates.tiles[:, :PARALLEL]
    is_only = (parallel == problem.extents[:PARALLEL]).all(axis=1)
    slots = np.where(is_only, 1, candidates.acc_depth)
    result: Ints = parallel.prod(axis=1) * ACC_WORD_BYTES * slots
    return result
