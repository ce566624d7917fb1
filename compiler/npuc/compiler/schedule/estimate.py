"""The closed form: cycles and DRAM traffic of many tilings at once.

Every engine's time is the number of its commands times the cost of one full tile. With two slots
per buffer engines overlap, so that a group takes what its busiest engine takes plus one tile's
way through all of them; with one slot everything follows on. Ragged edges count as full tiles.
In a program the first tile's way is mostly behind the work of the group before: that is what a
choice between tilings goes by.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from npuc.compiler.schedule.problem import K_DIMS, PARALLEL, RANK, GroupProblem, Home, Operand
from npuc.compiler.schedule.tiling import Candidates, Ints, boxes, counts_from_trips, trip_counts
from npuc.isa.cost import (
    VEXEC_WALKS,
    Port,
    VexecPorts,
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
EXPOSED_SHARE = 12  # one part in so many of a first tile's way is not behind other groups


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
    """``Estimate`` for every candidate; arrays of length n."""

    cycles: npt.NDArray[np.int64]
    overlapped_cycles: npt.NDArray[np.int64]
    mxu_cycles: npt.NDArray[np.int64]
    vpu_cycles: npt.NDArray[np.int64]
    dma_cycles: npt.NDArray[np.int64]
    dram_bytes: npt.NDArray[np.int64]

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

    ``bursts`` and ``transfers`` hold DRAM bursts and cycles of one transfer of each operand.
    """

    trips: Ints
    mma: Ints
    vexec: Ints
    bursts: tuple[Ints, ...]
    transfers: tuple[Ints, ...]

    def joined(self, other: "TileCosts") -> "TileCosts":
        """These rows, then those of ``other``."""
        return TileCosts(
            np.concatenate([self.trips, other.trips]),
            np.concatenate([self.mma, other.mma]),
            np.concatenate([self.vexec, other.vexec]),
            tuple(map(_joined, self.bursts, other.bursts)),
            tuple(map(_joined, self.transfers, other.transfers)),
        )

    def take(self, rows: Ints | npt.NDArray[np.bool_]) -> "TileCosts":
        """The costs of some rows: numbers or a mask."""
        return TileCosts(
            self.trips[rows],
            self.mma[rows],
            self.vexec[rows],
            tuple(b[rows] for b in self.bursts),
            tuple(t[rows] for t in self.transfers),
        )


def _joined(one: Ints, other: Ints) -> Ints:
    return np.concatenate([one, other])


def estimate(problem: GroupProblem, target: Target, candidates: Candidates) -> Estimates:
    """Cycles and DRAM bytes of every candidate tiling."""
    costs = tile_costs(problem, target, candidates.tiles)
    return estimate_from(problem, target, candidates, costs)


def tile_costs(
    problem: GroupProblem, target: Target, tiles: Ints, row_cycles: int | None = None
) -> TileCosts:
    """Costs of every tile. With ``row_cycles`` = 1 a lower bound: SPM banks never conflict in mma.

    Without ``row_cycles`` the fetch of A's rows is looked at tile by tile, which is slow.
    """
    box_of = [boxes(o, tiles) for o in problem.operands]
    bursts = tuple(_bursts(target, o, b) for o, b in zip(problem.operands, box_of, strict=True))
    rows = _row_cycles(problem, target, tiles) if row_cycles is None else row_cycles
    return TileCosts(
        trip_counts(problem, tiles),
        _mma_per_tile(problem, target, tiles, rows),
        _vexec_per_tile(problem, target, tiles),
        bursts,
        tuple(transfer_cycles(target, b) for b in bursts),
    )


def estimate_from(
    problem: GroupProblem, target: Target, candidates: Candidates, costs: TileCosts
) -> Estimates:
    """Cycles and DRAM bytes of the candidates whose tiles cost ``costs``."""
    n_outputs = costs.trips[:, :PARALLEL].prod(axis=1)
    n_tiles = n_outputs * costs.trips[:, PARALLEL:].prod(axis=1)
    mxu, vpu = costs.mma * n_tiles, costs.vexec * n_outputs
    queues: dict[str, Ints] = {}
    nothing: Ints = np.zeros_like(n_tiles)
    moved = nothing.copy()
    through = costs.mma + costs.vexec
    for operand, bursts, cycles in zip(
        problem.operands, costs.bursts, costs.transfers, strict=True
    ):
        if operand.home is Home.spm:
            continue
        if operand.home is Home.fetched:
            whole = fetch_bursts(operand, target)
            queues[operand.queue] = queues.get(operand.queue, nothing) + transfer_cycles(
                target, whole
            )
            moved += whole * target.dram.burst_bytes
            continue
        count = counts_from_trips(costs.trips, candidates.order, operand)
        queues[operand.queue] = queues.get(operand.queue, nothing) + count * cycles
        moved += bursts * count * target.dram.burst_bytes
        through += cycles
    rate = target.dram.bytes_per_cycle * target.dram.efficiency
    dma = np.maximum.reduce([*queues.values(), np.ceil(moved / rate).astype(np.int64)])
    ctl = n_tiles * CTL_INSTRUCTIONS_PER_TILE * target.ctl.dispatch_cycles
    if candidates.depth > 1:
        busiest = np.maximum.reduce([mxu, vpu, dma, ctl])
        cycles, overlapped = busiest + through, busiest + through // EXPOSED_SHARE
    else:
        cycles = overlapped = mxu + vpu + sum(queues.values(), ctl)
    return Estimates(cycles, overlapped, mxu, vpu, dma, moved)


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
    keys = np.concatenate([tiles[:, k_dims], strides], axis=1)
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    cycles = [
        mma_row_access(target, tuple(map(int, key[:3])), tuple(map(int, key[3:])), a.dtype.bytes)
        for key in unique
    ]
    return np.array([c.cycles for c in cycles], np.int64)[inverse.reshape(-1)]


def _mma_per_tile(
    problem: GroupProblem, target: Target, tiles: Ints, row_cycles: Ints | int
) -> Ints:
    if problem.contraction is None:
        return np.zeros(len(tiles), np.int64)
    a = problem.operands[problem.contraction.a]
    w = problem.operands[problem.contraction.w]
    transposed = slot_strides(w, boxes(w, tiles))[:, PARALLEL - 1] != w.dtype.bytes
    return mma_cycles(
        target,
        tiles[:, : PARALLEL - 1].prod(axis=1),
        tiles[:, PARALLEL:].prod(axis=1),
        tiles[:, PARALLEL - 1],
        dtype=a.dtype,
        row_cycles=row_cycles,
        transposed=transposed,
    )


def _vexec_per_tile(problem: GroupProblem, target: Target, tiles: Ints) -> Ints:
    space = tiles.copy()
    if problem.contraction is not None:
        space[:, PARALLEL:] = 1
    streams = _streams(problem, target, tiles)
    along_r, along_p = (_port_cycles(streams, space, walk) for walk in VEXEC_WALKS)
    better = along_p.max(axis=0) < along_r.max(axis=0)
    spm, acc = np.where(better, along_p, along_r)
    ports = VexecPorts(spm_cycles=spm, acc_cycles=acc)
    cost = kernel_cost(target, problem.vector.kernel)
    outputs = space[:, :PARALLEL].prod(axis=1)
    return vexec_cycles(target, space.prod(axis=1), outputs, cost, **ports)


@dataclass(frozen=True)
class _Stream:
    """A stream of the vector kernel under every tile: memory (0 SPM, 1 ACC), strides, size."""

    memory: int
    port: Port
    strides: Ints
    element_bytes: int
    is_output: bool


def _streams(problem: GroupProblem, target: Target, tiles: Ints) -> list[_Stream]:
    streams = []
    for number in (*problem.vector.inputs, *problem.vector.outputs):
        if number < 0:
            strides = _acc_strides(tiles)
            streams.append(_Stream(1, acc_port(target), strides, ACC_WORD_BYTES, False))
            continue
        operand = problem.operands[number]
        strides = slot_strides(operand, boxes(operand, tiles))
        is_output = number in problem.vector.outputs
        port = spm_port(target)
        streams.append(_Stream(0, port, strides, operand.dtype.bytes, is_output))
    return streams


def _port_cycles(streams: list[_Stream], space: Ints, walk: tuple[int, ...]) -> Ints:
    """Cycles (2, n) that all streams need at SPM and ACC when walked in this order."""
    cycles = np.zeros((2, len(space)), np.int64)
    for stream in streams:
        extents = space.copy()
        if stream.is_output:
            extents[:, PARALLEL:] = 1
        access = stream_access(
            stream.port, extents[:, walk], stream.strides[:, walk], stream.element_bytes
        )
        cycles[stream.memory] += access.cycles
    return cycles


def _acc_strides(tiles: Ints) -> Ints:
    strides = np.zeros_like(tiles)
    strides[:, PARALLEL - 1] = ACC_WORD_BYTES
    for dim in reversed(range(PARALLEL - 1)):
        strides[:, dim] = strides[:, dim + 1] * tiles[:, dim + 1]
    return strides


def _bursts(target: Target, operand: Operand, box: Ints) -> Ints:
    """DRAM bursts of one transfer of every box, clipped to the tensor's shape."""
    clipped = np.minimum(box, np.asarray(operand.shape, np.int64))
    strides = np.broadcast_to(np.asarray(operand.strides, np.int64), clipped.shape)
    return transfer_bursts(target, *contiguous_runs(clipped, strides, operand.dtype.bytes))
