"""The closed form: cycles and DRAM traffic of many tilings at once.

Every engine's time is the number of its commands times the cost of one full tile. With two slots
per buffer engines overlap, so that a group takes what its busiest engine takes plus one tile's
way through all of them; with one slot everything follows on. Ragged edges count as full tiles.
In a program the first tile's way is mostly behind the work of the group before: that is what a
choice between tilings goes by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
import numpy.typing as npt

from npuc.compiler.schedule.problem import K_DIMS, PARALLEL, RANK, GroupProblem, Home, Operand
from npuc.compiler.schedule.queues import Queues, both_may_bring, half_transfers
from npuc.compiler.schedule.tiling import (
    Candidates,
    Ints,
    Tiling,
    boxes,
    counts_from_trips,
    distinct,
    take_tiles,
    trip_counts,
)
from npuc.isa.cost import (
    VEXEC_WALKS,
    Port,
    acc_port,
    contiguous_runs,
    kernel_cost,
    mma_cycles,
    mma_row_access,
    spm_port,
    stream_access,
    transfer_bursts,
    transfer_cycles,
    vexec_cycles,
)
from npuc.isa.target import Target

CTL_INSTRUCTIONS_PER_TILE = 24  # scalar work around the commands of one innermost iteration
ACC_WORD_BYTES = 4
Floats = npt.NDArray[np.float64]
EXPOSED_SHARE = 12  # one part in so many of a first tile's way, unless other cores are waited for


@dataclass(frozen=True)
class Estimate:
    """What the closed form expects: cycles of the group and of each engine, DRAM bytes.

    ``cycles`` are those of the group alone, ``overlapped_cycles`` what it adds to a program.
    """

    cycles: int
    overlapped_cycles: int
    mxu_cycles: int
    vpu_cycles: int
    dma_cycles: int
    dram_bytes: int


@dataclass(frozen=True)
class Estimates:
    """``Estimate`` for every candidate; arrays of length n.

    ``crowded_cycles`` are the overlapped ones where queues that move at once slow each other.
    """

    cycles: npt.NDArray[np.int64]
    overlapped_cycles: npt.NDArray[np.int64]
    mxu_cycles: npt.NDArray[np.int64]
    vpu_cycles: npt.NDArray[np.int64]
    dma_cycles: npt.NDArray[np.int64]
    dram_bytes: npt.NDArray[np.int64]
    crowded_cycles: npt.NDArray[np.int64]
    n_tiles: npt.NDArray[np.int64]

    def row(self, row: int) -> Estimate:
        """The estimate of one candidate."""
        return Estimate(
            int(self.cycles[row]),
            int(self.overlapped_cycles[row]),
            int(self.mxu_cycles[row]),
            int(self.vpu_cycles[row]),
            int(self.dma_cycles[row]),
            int(self.dram_bytes[row]),
        )


@dataclass(frozen=True)
class TileCosts:
    """What one full tile costs, whatever the loop order and depths; arrays of length n.

    ``bursts`` and ``transfers`` hold DRAM bursts and cycles of one transfer of each operand; none
    for operands that commands find in SPM. ``halves``: cycles of the larger half of a transfer,
    for operands that both load queues may bring.
    """

    trips: Ints
    mma: Ints
    vexec: Ints
    bursts: tuple[Ints, ...]
    transfers: tuple[Ints, ...]
    halves: Mapping[int, Ints] = field(default_factory=dict)

    def take(self, rows: Ints) -> "TileCosts":
        """The costs of some tiles, by number."""
        return TileCosts(
            take_tiles(self.trips, rows),
            self.mma[rows],
            self.vexec[rows],
            tuple(bursts[rows] for bursts in self.bursts),
            tuple(cycles[rows] for cycles in self.transfers),
            {number: cycles[rows] for number, cycles in self.halves.items()},
        )


@dataclass(frozen=True)
class Engines:
    """What keeps all engines but the array busy under every tile in one loop order.

    ``queued`` are cycles of all queues together, ``dma`` those of the busiest queue or of DRAM,
    ``crowded`` those of the queue that the others slow most; ``through`` is one tile's way through
    everything but the array. A group that ``waits`` for other cores is behind no other one with its
    first tile: engines have what comes after it, and all of its way counts.
    """

    n_tiles: Ints
    vpu: Ints
    queued: Ints
    dma: Ints
    crowded: Ints
    ctl: Ints
    moved: Ints
    through: Ints
    waits: bool = field(kw_only=True)

    @staticmethod
    def of(
        problem: GroupProblem, target: Target, order: tuple[int, ...], costs: TileCosts
    ) -> "Engines":
        """With parallel loops in ``order`` around tiles that cost ``costs``."""
        n_outputs = costs.trips[:, :PARALLEL].prod(axis=1)
        n_tiles = n_outputs * costs.trips[:, PARALLEL:].prod(axis=1)
        queues = queues_of(problem, target, order, costs)
        nothing, n_bytes = np.zeros_like(n_tiles), queues.n_bytes
        busy = {queue: queues.busy(queue) for queue in n_bytes}
        moved = np.add.reduce([nothing, *n_bytes.values()])
        rate = target.dram.bytes_per_cycle * target.dram.efficiency
        longest: Ints = np.maximum.reduce([nothing, *busy.values()])
        dma = np.maximum(longest, np.ceil(moved / rate).astype(np.int64))
        slowed = [_slowed(busy[q], (n_bytes[q] / rate, moved / rate), longest) for q in busy]
        crowded = np.maximum.reduce([dma, *slowed])
        ctl = n_tiles * CTL_INSTRUCTIONS_PER_TILE * target.ctl.dispatch_cycles
        queued: Ints = np.add.reduce([nothing, *busy.values()])
        vpu, through = costs.vexec * n_outputs, costs.vexec + queues.first
        if problem.waits:
            vpu, queued = vpu - costs.vexec, queued + through
        return Engines(n_tiles, vpu, queued, dma, crowded, ctl, moved, through, waits=problem.waits)

    @staticmethod
    def joined(parts: Sequence["Engines"]) -> "Engines":
        """The rows of all ``parts``, one after another."""
        rows = zip(*(part._arrays() for part in parts), strict=True)
        return Engines(*map(np.concatenate, rows), waits=parts[0].waits)

    def take(self, rows: Ints) -> "Engines":
        """Some rows, by number."""
        return Engines(*(values[rows] for values in self._arrays()), waits=self.waits)

    def shaped(self, *shape: int) -> "Engines":
        """The rows in ``shape``, and a dimension more for what it leaves."""
        arrays = [values.reshape(*shape, -1) for values in self._arrays()]
        return Engines(*arrays, waits=self.waits)

    def _arrays(self) -> list[Ints]:
        return [values for name, values in vars(self).items() if name != "waits"]

    def estimates(self, mma: Ints, depth: Ints | int, acc_depth: Ints | int) -> Estimates:
        """With ``mma`` cycles of a product, and so many slots per buffer and accumulator.

        With one accumulator the array waits while the vector unit drains it.
        """
        mxu, through = mma * self.n_tiles, self.through + mma
        array, exposed = (mxu - mma, through) if self.waits else (mxu, through // EXPOSED_SHARE)
        is_paired = np.asarray(acc_depth) > 1
        computing = np.where(is_paired, np.maximum(array, self.vpu), array + self.vpu)
        busiest = np.maximum(computing, np.maximum(self.dma, self.ctl))
        crowded = np.maximum(busiest, self.crowded)
        in_turns = mxu + self.vpu + self.queued + self.ctl
        is_double = np.asarray(depth) > 1
        cycles = np.where(is_double, busiest + through, in_turns)
        overlapped = np.where(is_double, busiest + exposed, in_turns)
        crowded = np.where(is_double, crowded + exposed, in_turns)
        engines = mxu, self.vpu, self.dma
        return Estimates(cycles, overlapped, *engines, self.moved, crowded, self.n_tiles)


def queues_of(
    problem: GroupProblem, target: Target, order: tuple[int, ...], costs: TileCosts
) -> Queues:
    """What the queues do under every tile."""
    nothing, burst_bytes = np.zeros_like(costs.vexec), target.dram.burst_bytes
    queues = Queues(problem, nothing)
    moved: dict[int, tuple[Ints, Ints]] = {}
    for number, operand in enumerate(problem.operands):
        if operand.home is Home.fetched:
            bursts = nothing + fetch_bursts(operand, target)
            queues.fetch(operand.queue, transfer_cycles(target, bursts), bursts * burst_bytes)
        elif operand.home is Home.dram:
            count = counts_from_trips(costs.trips, order, operand)
            moved[number] = costs.bursts[number] * burst_bytes * count, count
            queues.add(number, costs.transfers[number], *moved[number])
    for number, half in costs.halves.items():
        queues.halve(number, (costs.transfers[number], half), *moved[number])
    return queues


def cut_operands(problem: GroupProblem, tiling: Tiling, target: Target) -> frozenset[int]:
    """The operands that both load queues bring, a half of each transfer on either."""
    if not both_may_bring(problem, target):
        return frozenset()
    costs = tile_costs(problem, target, np.array([tiling.tile], np.int64), row_cycles=1)
    queues = queues_of(problem, target, tiling.order, costs)
    return frozenset(number for number, is_cut in queues.cut.items() if is_cut[0])


def _slowed(queue: Ints, moving: tuple[Floats, Floats], longest: Ints) -> Ints:
    """Cycles of a ``queue`` beside others; ``moving``: cycles of its own bytes, of those of all.

    While one queue waits for its first bytes another may have all of DRAM. A queue that moves is
    slowed in so much of its time as the others move: ``longest`` are the cycles of the busiest.
    """
    own, together = moving
    result: Ints = (queue + own * (together - own) / np.maximum(longest, 1)).astype(np.int64)
    return result


def estimate(
    problem: GroupProblem, target: Target, candidates: Candidates, row_cycles: int | None = None
) -> Estimates:
    """Cycles and DRAM bytes of every candidate tiling; ``row_cycles``: see ``tile_costs``."""
    costs = tile_costs(problem, target, candidates.tiles, row_cycles)
    engines = Engines.of(problem, target, candidates.order, costs)
    return engines.estimates(costs.mma, candidates.depth, candidates.acc_depth)


def tile_costs(
    problem: GroupProblem, target: Target, tiles: Ints, row_cycles: int | None = None
) -> TileCosts:
    """Costs of every tile. With ``row_cycles`` = 1 a lower bound: SPM banks never conflict in mma.

    Without ``row_cycles`` the fetch of A's rows is looked at tile by tile, which is slow.
    """
    bursts = tuple(dram_bursts(target, o, tiles) for o in problem.operands)
    return TileCosts(
        trip_counts(problem, tiles),
        mma_per_tile(problem, target, tiles, row_cycles),
        vexec_per_tile(problem, target, tiles),
        bursts,
        tuple(transfer_cycles(target, b) for b in bursts),
        half_transfers(problem, target, tiles, bursts),
    )


def fetch_bursts(operand: Operand, target: Target) -> int:
    """DRAM bursts that bring a whole tensor."""
    n_bytes = prod(operand.shape) * operand.dtype.bytes
    return -(-n_bytes // target.dram.burst_bytes)


def slot_strides(operand: Operand, box: Ints) -> Ints:
    """Byte strides (n, 7) of the space's dimensions: in a slot packed row-major, or in place."""
    if operand.is_resident:
        return np.broadcast_to(np.array(operand.steps, np.int64), (len(box), RANK))
    steps = np.ones_like(box)
    steps[:, :-1] = np.cumprod(box[:, :0:-1], axis=1)[:, ::-1]
    coefficients = np.array([f.coefficients for f in operand.forms], np.int64).reshape(-1, RANK)
    result: Ints = steps @ coefficients * operand.dtype.bytes
    return result


def _row_cycles(problem: GroupProblem, target: Target, tiles: Ints) -> Ints:
    """Cycles to fetch a row of A for one fold, under every tile."""
    if problem.contraction is None:
        return np.ones(len(tiles), np.int64)
    a = problem.operands[problem.contraction.a]
    k_dims = list(K_DIMS)
    strides = slot_strides(a, boxes(a, tiles))[:, k_dims]
    keys = [*zip(map(tuple, tiles[:, k_dims].tolist()), map(tuple, strides.tolist()), strict=True)]
    cycles = {
        key: mma_row_access(target, *key, a.dtype.bytes).cycles for key in dict.fromkeys(keys)
    }
    return np.array([cycles[key] for key in keys], np.int64)


def mma_per_tile(
    problem: GroupProblem, target: Target, tiles: Ints, row_cycles: int | None = None
) -> Ints:
    """Cycles of the product of every tile; ``row_cycles``: see ``tile_costs``."""
    if problem.contraction is None:
        return np.zeros(len(tiles), np.int64)
    a = problem.operands[problem.contraction.a]
    w = problem.operands[problem.contraction.w]
    return mma_cycles(
        target,
        tiles[:, : PARALLEL - 1].prod(axis=1),
        tiles[:, PARALLEL:].prod(axis=1),
        tiles[:, PARALLEL - 1],
        dtype=a.dtype,
        row_cycles=_row_cycles(problem, target, tiles) if row_cycles is None else row_cycles,
        transposed=_is_transposed(w, tiles),
    )


def _is_transposed(w: Operand, tiles: Ints) -> npt.NDArray[np.bool_]:
    """Under which tiles W's n dimension does not lie side by side in SPM."""
    rows, inverse = distinct(tiles, sorted(w.dims))
    strides = slot_strides(w, boxes(w, take_tiles(tiles, rows)))[:, PARALLEL - 1]
    result: npt.NDArray[np.bool_] = (strides != w.dtype.bytes)[inverse]
    return result


def vexec_per_tile(problem: GroupProblem, target: Target, tiles: Ints) -> Ints:
    """Cycles of the vector work of every tile: of the parallel dimensions behind a product."""
    dims = [d for d in range(RANK) if problem.extents[d] > 1]
    if problem.contraction is not None:
        dims = [d for d in dims if d < PARALLEL]
    numbers = (*problem.vector.inputs, *problem.vector.outputs)
    walked = (problem.operands[n].dims for n in numbers if n >= 0)
    rows, inverse = distinct(tiles, sorted(frozenset(dims).union(*walked)))
    tiles = take_tiles(tiles, rows)
    streams = _streams(problem, target, tiles)
    busier = _busier_port(streams, tiles, dims)
    if any(d >= PARALLEL for d in dims):
        along_p = _busier_port(streams, tiles, [d for d in VEXEC_WALKS[1] if d in dims])
        busier = np.minimum(busier, along_p)
    cost = kernel_cost(target, problem.vector.kernel)
    outputs = tiles[:, :PARALLEL].prod(axis=1)
    points = tiles[:, dims].prod(axis=1)
    cycles = vexec_cycles(target, points, outputs, cost, spm_cycles=busier)
    return cycles[inverse]


@dataclass(frozen=True)
class _Streams:
    """The streams of the vector kernel at one memory under every tile.

    ``strides`` (s, n, 7) and ``element_bytes`` (s, 1); ``moves`` (s, 7) is 0 where a result stands
    still: along reductions.
    """

    port: Port
    strides: Ints
    element_bytes: Ints
    moves: Ints

    def cycles(self, tiles: Ints, dims: Sequence[int]) -> Ints:
        """Cycles (n) that they need together when ``dims`` are walked in this order."""
        extents = np.where(self.moves[:, None, dims], tiles[:, dims], 1)
        access = stream_access(self.port, extents, self.strides[..., dims], self.element_bytes)
        cycles: Ints = access.cycles.sum(axis=0)
        return cycles


def _streams(problem: GroupProblem, target: Target, tiles: Ints) -> list[_Streams]:
    """The streams at SPM, then those at ACC, where there are any."""
    numbers = (*problem.vector.inputs, *problem.vector.outputs)
    used = [problem.operands[n] for n in numbers if n >= 0]
    found = []
    if used:
        strides = np.stack([slot_strides(o, boxes(o, tiles)) for o in used])
        sizes = np.array([[o.dtype.bytes] for o in used])
        moves = np.ones((len(used), RANK), np.int64)
        moves[[n in problem.vector.outputs for n in numbers if n >= 0], PARALLEL:] = 0
        found.append(_Streams(spm_port(target), strides, sizes, moves))
    if len(used) < len(numbers):
        size = np.full((1, 1), ACC_WORD_BYTES)
        ones = np.ones((1, RANK), np.int64)
        found.append(_Streams(acc_port(target), _acc_strides(tiles)[None], size, ones))
    return found


def _busier_port(streams: list[_Streams], tiles: Ints, walk: Sequence[int]) -> Ints:
    """Cycles (n) of the memory whose port is busier when all walk in this order.

    ``walk`` leaves out dimensions of one step.
    """
    cycles: Ints = np.maximum.reduce([memory.cycles(tiles, list(walk)) for memory in streams])
    return cycles


def _acc_strides(tiles: Ints) -> Ints:
    strides = np.zeros_like(tiles)
    strides[:, PARALLEL - 1] = ACC_WORD_BYTES
    for dim in reversed(range(PARALLEL - 1)):
        strides[:, dim] = strides[:, dim + 1] * tiles[:, dim + 1]
    return strides


def dram_bursts(target: Target, operand: Operand, tiles: Ints) -> Ints:
    """DRAM bursts of one transfer of every tile's box, clipped to the tensor's shape."""
    if operand.is_resident:
        return np.zeros(len(tiles), np.int64)
    rows, inverse = distinct(tiles, sorted(operand.dims))
    box = boxes(operand, take_tiles(tiles, rows))
    count = box[:, 0] if operand.rows_from is not None else 1  # gathered: one transfer per row
    if operand.rows_from is not None:
        box = np.concatenate([np.ones_like(box[:, :1]), box[:, 1:]], axis=1)
    clipped = np.minimum(box, np.asarray(operand.shape, np.int64))
    strides = np.broadcast_to(np.asarray(operand.strides, np.int64), clipped.shape)
    if operand.is_paneled:  # rows are as long as the tile's
        strides = strides // operand.shape[-1] * box[:, -1:]
        strides[:, -1] = operand.dtype.bytes
    runs = contiguous_runs(clipped, strides, operand.dtype.bytes)
    return (count * transfer_bursts(target, *runs))[inverse]
