"""Tilings of a group problem: what a tiling is, which loops it makes, what it needs and moves."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from npuc.compiler.schedule.problem import K_DIMS, PARALLEL, RANK, GroupProblem, Operand
from npuc.isa.target import Target

Ints = npt.NDArray[np.int64]
OUTER_M = (0, 1, 2, 3)
OUTER_N = (3, 0, 1, 2)
ACC_WORD_BYTES = 4
MANY_TILES = 64  # from here on it pays to look for tiles that are alike
MOST_PER_TILE = 16  # combinations of sizes that are looked through, per tile


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
    trips = np.ones_like(tiles)
    for dim, extent in enumerate(problem.extents):
        if extent > 1:
            trips[:, dim] = -(-extent // tiles[:, dim])
    return trips


def distinct(tiles: Ints, dims: Iterable[int]) -> tuple[Ints, Ints]:
    """Rows that stand for all tiles as far as ``dims`` go, and for each tile which of them does.

    Tiles come from grids, so that few sizes of some dimensions stand for very many tiles. Where
    telling them apart is no gain, every tile stands for itself.
    """
    everyone = np.arange(len(tiles))
    if len(tiles) < MANY_TILES:
        return everyone, everyone
    key, span = np.zeros(len(tiles), np.int64), 1
    for dim in dims:
        rank, count = _ranks(tiles[:, dim])
        span *= count
        if span > MOST_PER_TILE * len(tiles):
            return everyone, everyone
        key = key * count + rank
    first = np.full(span, -1)
    first[key[::-1]] = everyone[::-1]  # of several the last one stays: the first tile
    is_there = first >= 0
    return first[is_there], (np.cumsum(is_there) - 1)[key]


def _ranks(sizes: Ints) -> tuple[Ints, int]:
    """For each size how many smaller ones there are, and how many sizes there are at all."""
    is_there = np.zeros(int(sizes.max()) + 1, bool)
    is_there[sizes] = True
    ranks = np.cumsum(is_there)
    return (ranks - 1)[sizes], int(ranks[-1])


def take_tiles(tiles: Ints, rows: Ints | npt.NDArray[np.bool_]) -> Ints:
    """Some of ``tiles``, by number or mask; sizes of one dimension lie side by side, as before."""
    return tiles.T[:, rows].T


def boxes(operand: Operand, tiles: Ints) -> Ints:
    """Box extents (n, axes) of an operand under every tile."""
    coefficients = np.array([f.coefficients for f in operand.forms], np.int64).reshape(-1, RANK)
    result: Ints = (tiles - 1) @ coefficients.T + 1
    return result


def transfer_counts(problem: GroupProblem, candidates: Candidates, operand: Operand) -> Ints:
    """How often the operand's box moves under every tile: the trips of the enclosing loops."""
    return counts_from_trips(trip_counts(problem, candidates.tiles), candidates.order, operand)


def counts_from_trips(trips: Ints, order: tuple[int, ...], operand: Operand) -> Ints:
    """``transfer_counts`` where the trip counts (n, 7) are known."""
    count = np.ones(len(trips), np.int64)
    running = count
    for dim in order + K_DIMS:
        along = trips[:, dim]
        repeats = along > 1
        if not repeats.any():
            continue
        running = running * along
        if dim in operand.dims:
            count = np.where(repeats, running, count)
    return count


def total_spm_bytes(problem: GroupProblem, candidates: Candidates, target: Target) -> Ints:
    """SPM bytes of every tile, whatever the loop order; the vectorised form of ``spm_bytes``."""
    once, refilled = ring_bytes(problem, candidates.tiles, target)
    return once + refilled * candidates.depth


def ring_bytes(problem: GroupProblem, tiles: Ints, target: Target) -> tuple[Ints, Ints]:
    """SPM bytes of one slot of all rings under every tile: those filled once, those refilled."""
    once, refilled = np.zeros((2, len(tiles)), np.int64)
    for operand in problem.operands:
        if not operand.is_resident:
            of_one = operand_ring(problem, operand, tiles, target)
            once += of_one[0]
            refilled += of_one[1]
    return once, refilled


def operand_ring(
    problem: GroupProblem, operand: Operand, tiles: Ints, target: Target
) -> tuple[Ints, Ints]:
    """``ring_bytes`` of one operand."""
    word = target.spm.bank_width_bytes
    dims = sorted(operand.dims)
    rows, inverse = distinct(tiles, dims)
    some = take_tiles(tiles, rows)
    n_bytes = boxes(operand, some).prod(axis=1) * operand.dtype.bytes
    slots = -(-n_bytes // word) * word
    whole = np.asarray(problem.extents)[dims]
    is_refilled = (some[:, dims] < whole).any(axis=1)
    return np.where(is_refilled, 0, slots)[inverse], np.where(is_refilled, slots, 0)[inverse]


def total_acc_bytes(problem: GroupProblem, candidates: Candidates) -> Ints:
    """ACC bytes of every tile; the vectorised form of ``acc_bytes``."""
    if problem.contraction is None:
        return np.zeros(len(candidates.tiles), np.int64)
    parallel = candidates.tiles[:, :PARALLEL]
    is_only = (parallel == problem.extents[:PARALLEL]).all(axis=1)
    slots = np.where(is_only, 1, candidates.acc_depth)
    result: Ints = parallel.prod(axis=1) * ACC_WORD_BYTES * slots
    return result
