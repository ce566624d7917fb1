"""What a group takes alone, in closed form: head, commands and tail of each engine.

Before an engine's first command lies a head, what must be loaded and computed for it; behind its
last one a tail. With two slots per buffer the group takes the longest such way. With one slot what
fills a buffer and what empties it take turns. Products and vector work of ragged edges are counted
as they are, transfers as of full tiles. The search goes by ``estimate``, coarser, for thousands of
tilings at once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from itertools import product
from math import ceil, prod

import numpy as np

from npuc.compiler.schedule.estimate import (
    CTL_INSTRUCTIONS_PER_TILE,
    TileCosts,
    cut_operands,
    fetch_bursts,
    tile_costs,
)
from npuc.compiler.schedule.problem import PARALLEL, GroupProblem, Home
from npuc.compiler.schedule.queues import LOAD_QUEUES
from npuc.compiler.schedule.tiling import Ints, Tiling, counts_from_trips
from npuc.isa.cost import transfer_cycles
from npuc.isa.target import Target

FIRST_DISPATCH = 3  # instructions of ctl before an engine has its first command


class _Role(Enum):
    product = auto()
    vector = auto()
    result = auto()


@dataclass(frozen=True)
class _Transfers:
    """Those of one operand: cycles and bytes of each, how many, and what they are for."""

    role: _Role
    queue: str
    cycles: int
    n_bytes: int
    count: int


@lru_cache(maxsize=4096)
def expected_cycles(problem: GroupProblem, tiling: Tiling, target: Target) -> int:
    """Cycles of the group from an idle machine to the end of its last command.

    ``problem`` is ``without_origin``, so that stripes of one size are computed once.
    """
    tiles, counts = _kinds_of_tiles(problem, tiling)
    costs = tile_costs(problem, target, tiles)
    mean_mma = float(costs.mma @ counts) / int(counts.sum())
    outputs = np.where((tiles[:, PARALLEL:] == tiling.tile[PARALLEL:]).all(axis=1), counts, 0)
    mean_vexec = float(costs.vexec @ outputs) / int(outputs.sum())
    transfers = _transfers(problem, tiling, target, costs)
    return ceil(_Pipeline(costs, (mean_mma, mean_vexec), transfers, target).of(tiling))


def _kinds_of_tiles(problem: GroupProblem, tiling: Tiling) -> tuple[Ints, Ints]:
    """Tiles (k, 7) as edges cut them, the full one first, and how many there are of each (k)."""
    sizes = []
    for extent, tile in zip(problem.extents, tiling.tile, strict=True):
        whole, rest = divmod(extent, tile)
        sizes.append([(size, n) for size, n in ((tile, whole), (rest, 1)) if size and n])
    kinds = list(product(*sizes))
    tiles = np.array([[size for size, _ in kind] for kind in kinds], np.int64)
    return tiles, np.array([prod(n for _, n in kind) for kind in kinds], np.int64)


def _transfers(
    problem: GroupProblem, tiling: Tiling, target: Target, costs: TileCosts
) -> list[_Transfers]:
    """In the order in which the group asks for them: tensors fetched whole come first."""
    fetched: list[_Transfers] = []
    moved: list[_Transfers] = []
    matrix = problem.contraction
    cut = cut_operands(problem, tiling, target)
    for number, operand in enumerate(problem.operands):
        role = _Role.result if number in problem.vector.outputs else _Role.vector
        if matrix is not None and number in (matrix.a, matrix.w):
            role = _Role.product
        if operand.home is Home.fetched:
            bursts, count = fetch_bursts(operand, target), 1
        else:
            bursts = int(costs.bursts[number][0])
            count = int(counts_from_trips(costs.trips, tiling.order, operand)[0])
        queues, cycles = [operand.queue], int(transfer_cycles(target, bursts))
        n_bytes = bursts * target.dram.burst_bytes
        if number in cut:
            queues, cycles = list(LOAD_QUEUES), int(costs.halves[number][0])
        found = [_Transfers(role, q, cycles, n_bytes // len(queues), count) for q in queues]
        if operand.home is not Home.spm:
            (fetched if operand.home is Home.fetched else moved).extend(found)
    return fetched + moved


@dataclass(frozen=True)
class _Pipeline:
    """One tiling's commands: loads, products, vector work, stores.

    ``costs`` are those of the full tile first, ``means`` those of a product and a vector command.
    """

    costs: TileCosts
    means: tuple[float, float]
    transfers: Sequence[_Transfers]
    target: Target

    def of(self, tiling: Tiling) -> float:
        """Cycles of all of it."""
        dispatch = FIRST_DISPATCH * self.target.ctl.dispatch_cycles
        takes_turns = tiling.depth == 1 and self.tiles > 1
        return dispatch + (self._in_turns() if takes_turns else self._overlapped())

    @property
    def outputs(self) -> int:
        """Number of output tiles."""
        return prod(self.costs.trips[0, :PARALLEL].tolist())

    @property
    def products(self) -> int:
        """Number of products for one output tile."""
        return prod(self.costs.trips[0, PARALLEL:].tolist())

    @property
    def tiles(self) -> int:
        """Number of innermost iterations."""
        return self.outputs * self.products

    @property
    def _mma(self) -> int:
        return int(self.costs.mma[0])

    @property
    def _vexec(self) -> int:
        return int(self.costs.vexec[0])

    @property
    def _store(self) -> int:
        return sum(t.cycles for t in self._for(_Role.result))

    def _overlapped(self) -> float:
        """The longest way: an engine's or queue's head, all its commands, its tail."""
        tail = self._vexec + self._store
        first_vexec = self._first_vexec()
        ways = [
            first_vexec + self.means[1] * self.outputs + self._store,
            self.tiles * CTL_INSTRUCTIONS_PER_TILE * self.target.ctl.dispatch_cycles,
        ]
        if self._mma:
            ways.append(self._loaded((_Role.product,)) + self.means[0] * self.tiles + tail)
        for queue in {t.queue for t in self.transfers}:
            mine = [t for t in self.transfers if t.queue == queue]
            total = sum(t.cycles * t.count for t in mine)
            if mine[-1].role is _Role.result:
                ways.append(first_vexec + self._vexec + total)
            else:
                refilled = any(t.role is _Role.product and t.count > 1 for t in mine)
                ways.append(total + self._mma * refilled + tail)
        moved = sum(t.n_bytes * t.count for t in self.transfers)
        if moved:
            ways.append(self._at_dram(moved) + self._vexec)
        return max(ways)

    def _in_turns(self) -> float:
        """The first output tile, then one period for each further one."""
        loads: dict[str, float] = {}
        for t in (t for t in self.transfers if t.role is not _Role.result and t.count > 1):
            loads[t.queue] = loads.get(t.queue, 0.0) + t.cycles * t.count / self.tiles
        load = max(loads.values(), default=0.0)
        mma, vexec = self.means
        if self._mma:
            inner = self.products * (mma + load) - load  # the next load, behind the vexec
            period = max(inner + max(vexec, load), vexec + self._store)
        else:
            period = vexec + max(load, self._store)
        first = self._first_vexec() + self._vexec + self._store
        return first + (self.outputs - 1) * period

    def _first_vexec(self) -> float:
        loaded = self._loaded((_Role.product, _Role.vector))
        if not self._mma:
            return loaded
        return max(loaded, self._loaded((_Role.product,)) + self._mma * self.products)

    def _loaded(self, roles: tuple[_Role, ...]) -> float:
        """When the first tile of all operands of ``roles`` is there: by queues, and by DRAM."""
        at: dict[str, int] = {}
        latest, n_bytes = 0, 0
        for t in self.transfers:
            if t.role is not _Role.result:
                at[t.queue] = at.get(t.queue, 0) + t.cycles
            if t.role in roles:
                latest = max(latest, at[t.queue])
                n_bytes += t.n_bytes
        return max(latest, self._at_dram(n_bytes)) if n_bytes else 0.0

    def _at_dram(self, n_bytes: int) -> float:
        dram = self.target.dram
        return dram.latency_cycles + n_bytes / (dram.bytes_per_cycle * dram.efficiency)

    def _for(self, role: _Role) -> Iterable[_Transfers]:
        return (t for t in self.transfers if t.role is role)
