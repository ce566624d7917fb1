"""Grids: tiles of a problem with parts of their costs, shared by all homes of its operands.

A problem is searched again and again with other operands in SPM, which changes little of it.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from npuc.compiler.schedule.estimate import (
    TileCosts,
    dram_bursts,
    mma_per_tile,
    vexec_per_tile,
)
from npuc.compiler.schedule.problem import GroupProblem, Home
from npuc.compiler.schedule.queues import half_transfers
from npuc.compiler.schedule.tiling import Ints, operand_ring, take_tiles, trip_counts
from npuc.isa.cost import transfer_cycles
from npuc.isa.target import Target


class Products:
    """Cycles of the product of every tile: a lower bound at first, the truth once it was asked."""

    def __init__(self, problem: GroupProblem, target: Target, tiles: Ints) -> None:
        self.problem, self.target, self.tiles = problem, target, tiles
        self.bound = mma_per_tile(problem, target, tiles, row_cycles=1)
        self._true = self.bound.copy()
        self._is_true = np.full(len(tiles), problem.contraction is None)

    def true(self, rows: Ints) -> Ints:
        """The true cycles of some tiles, which are slow to tell, and kept."""
        is_new = np.zeros(len(self.tiles), bool)
        is_new[rows] = True
        is_new &= ~self._is_true
        if is_new.any():
            new = np.flatnonzero(is_new)
            self._true[new] = mma_per_tile(self.problem, self.target, take_tiles(self.tiles, new))
            self._is_true[new] = True
        return self._true[rows]


@dataclass
class Grid:
    """``tiles`` of a problem, and what is known of them, by home where it depends on that."""

    target: Target
    tiles: Ints
    _trips: Ints | None = None
    _bursts: dict[int, tuple[Ints, Ints]] = field(default_factory=dict)
    _rings: dict[int, tuple[Ints, Ints]] = field(default_factory=dict)
    _vexec: dict[tuple[bool, ...], Ints] = field(default_factory=dict)
    _products: dict[tuple[bool, ...], Products] = field(default_factory=dict)

    def rings(self, problem: GroupProblem) -> tuple[Ints, Ints]:
        """SPM bytes of one slot of all rings: those filled once, those refilled."""
        once, refilled = np.zeros((2, len(self.tiles)), np.int64)
        for number, operand in enumerate(problem.operands):
            if operand.is_resident:
                continue
            if number not in self._rings:
                self._rings[number] = operand_ring(problem, operand, self.tiles, self.target)
            once += self._rings[number][0]
            refilled += self._rings[number][1]
        return once, refilled

    def products(self, problem: GroupProblem) -> Products:
        """The products where the matrices are where ``problem`` has them."""
        parts = problem.contraction
        key = () if parts is None else _resident(problem, (parts.a, parts.w))
        if key not in self._products:
            self._products[key] = Products(problem, self.target, self.tiles)
        return self._products[key]

    def costs(self, problem: GroupProblem) -> TileCosts:
        """What every tile costs, at least: see ``Products``."""
        if self._trips is None:
            self._trips = trip_counts(problem, self.tiles)
        key = _resident(problem, (*problem.vector.inputs, *problem.vector.outputs))
        if key not in self._vexec:
            self._vexec[key] = vexec_per_tile(problem, self.target, self.tiles)
        moved = [self._moved(problem, number) for number in range(len(problem.operands))]
        bursts, cycles = zip(*moved, strict=True)
        halves = half_transfers(problem, self.target, self.tiles, bursts)
        bound = self.products(problem).bound
        return TileCosts(self._trips, bound, self._vexec[key], bursts, cycles, halves)

    def _moved(self, problem: GroupProblem, number: int) -> tuple[Ints, Ints]:
        """Bursts and cycles of one transfer of an operand; none of one that is in SPM."""
        operand = problem.operands[number]
        key = -1 if operand.is_resident else number
        if key not in self._bursts:
            bursts = dram_bursts(self.target, operand, self.tiles)
            self._bursts[key] = bursts, transfer_cycles(self.target, bursts)
        return self._bursts[key]


def without_homes(problem: GroupProblem) -> GroupProblem:
    """``problem`` with all operands in DRAM: equal for problems that share a grid."""
    operands = tuple(
        replace(o, home=Home.dram) if o.home is not Home.dram else o for o in problem.operands
    )
    return replace(problem, operands=operands)


def _resident(problem: GroupProblem, numbers: tuple[int, ...]) -> tuple[bool, ...]:
    """Which of the operands are in SPM; -1 is the accumulator, which never is."""
    return tuple(n >= 0 and problem.operands[n].is_resident for n in numbers)
