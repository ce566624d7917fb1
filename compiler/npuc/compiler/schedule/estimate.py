"""The closed form: cycles and DRAM traffic of many tilings at once.

Every engine's time is the number of its commands times the cost of one full tile. With two slots
per buffer engines overlap, so that a group takes what its busiest engine takes plus one tile's
way through all of them; with one slot everything follows on. Ragged edges count as full tiles.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npuc.compiler.schedule.problem import K_DIMS, PARALLEL, RANK, GroupProblem, Operand
from npuc.compiler.schedule.tiling import Candidates, Ints, boxes, transfer_counts, trip_counts
from npuc.isa.cost import (
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


@dataclass(frozen=True)
class Estimate:
    """What the closed form expects: cycles of the group and of each engine, DRAM bytes."""

    cycles: int
    mxu_cycles: int
    vpu_cycles: int
    dma_cycles: int
    dram_bytes: int


@dataclass(frozen=True)
class Estimates:
    """``Estimate`` for every candidate; arrays of length n."""

    cycles: npt.NDArray[np.int64]
    mxu_cycles: npt.NDArray[np.int64]
    vpu_cycles: npt.NDArray[np.int64]
    dma_cycles: npt.NDArray[np.int64]
    dram_bytes: npt.NDArray[np.int64]

    def row(self, row: int) -> Estimate:
        """The estimate of one candidate."""
        return Estimate(
            int(self.cycles[row]),
            int(self.mxu_cycles[row]),
            int(self.vpu_cycles[row]),
            int(self.dma_cycles[row]),
            int(self.dram_bytes[row]),
        )


@dataclass(frozen=True)
class _Traffic:
    first: Ints  # cycles of one transfer
    total: Ints  # cycles of all transfers, one after another
    moved: Ints  # DRAM bytes, burst-rounded


def estimate(problem: GroupProblem, target: Target, candidates: Candidates) -> Estimates:
    """Cycles and DRAM bytes of every candidate tiling."""
    trips = trip_counts(problem, candidates.tiles)
    mma = _mma_per_tile(problem, target, candidates.tiles)
    vexec = _vexec_per_tile(problem, target, candidates.tiles)
    mxu = mma * trips.prod(axis=1)
    vpu = vexec * trips[:, :PARALLEL].prod(axis=1)
    traffic = [_traffic(problem, target, candidates, o) for o in problem.operands]
    queues: dict[str, Ints] = {}
    for operand, t in zip(problem.operands, traffic, strict=True):
        queues[operand.queue] = queues.get(operand.queue, np.zeros_like(t.total)) + t.total
    moved = sum((t.moved for t in traffic), np.zeros(len(trips), np.int64))
    rate = target.dram.bytes_per_cycle * target.dram.efficiency
    dma = np.maximum.reduce([*queues.values(), np.ceil(moved / rate).astype(np.int64)])
    ctl = trips.prod(axis=1) * CTL_INSTRUCTIONS_PER_TILE * target.ctl.dispatch_cycles
    through = sum((t.first for t in traffic), mma + vexec)
    if candidates.depth > 1:
        cycles = np.maximum.reduce([mxu, vpu, dma, ctl]) + through
    else:
        cycles = mxu + vpu + sum(queues.values(), ctl)
    return Estimates(cycles, mxu, vpu, dma, moved)


def slot_strides(operand: Operand, box: Ints) -> Ints:
    """Byte strides (n, 7) of the space's dimensions in a slot packed row-major."""
    steps = np.ones_like(box)
    steps[:, :-1] = np.cumprod(box[:, :0:-1], axis=1)[:, ::-1]
    coefficients = np.array([f.coefficients for f in operand.forms], np.int64).reshape(-1, RANK)
    result: Ints = steps @ coefficients * operand.dtype.bytes
    return result


def _mma_per_tile(problem: GroupProblem, target: Target, tiles: Ints) -> Ints:
    if problem.contraction is None:
        return np.zeros(len(tiles), np.int64)
    a = problem.operands[problem.contraction.a]
    w = problem.operands[problem.contraction.w]
    k_dims = list(K_DIMS)
    strides = slot_strides(a, boxes(a, tiles))[:, k_dims]
    keys = np.concatenate([tiles[:, k_dims], strides], axis=1)
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    cycles = [
        mma_row_access(target, tuple(map(int, key[:3])), tuple(map(int, key[3:])), a.dtype.bytes)
        for key in unique
    ]
    row_cycles = np.array([c.cycles for c in cycles], np.int64)[inverse.reshape(-1)]
    transposed = slot_strides(w, boxes(w, tiles))[:, PARALLEL - 1] != w.dtype.bytes
    return mma_cycles(
        target,
        tiles[:, : PARALLEL - 1].prod(axis=1),
        tiles[:, k_dims].prod(axis=1),
        tiles[:, PARALLEL - 1],
        dtype=a.dtype,
        row_cycles=row_cycles,
        transposed=transposed,
    )


def _vexec_per_tile(problem: GroupProblem, target: Target, tiles: Ints) -> Ints:
    space = tiles.copy()
    if problem.contraction is not None:
        space[:, PARALLEL:] = 1
    spm = np.zeros(len(tiles), np.int64)
    acc = np.zeros(len(tiles), np.int64)
    for number in (*problem.vector.inputs, *problem.vector.outputs):
        if number < 0:
            strides = _acc_strides(tiles)
            acc += stream_access(acc_port(target), space, strides, ACC_WORD_BYTES).cycles
            continue
        operand = problem.operands[number]
        strides = slot_strides(operand, boxes(operand, tiles))
        extents = np.where(strides == 0, 1, space)
        spm += stream_access(spm_port(target), extents, strides, operand.dtype.bytes).cycles
    ports = VexecPorts(spm_cycles=spm, acc_cycles=acc)
    cost = kernel_cost(target, problem.vector.kernel)
    outputs = space[:, :PARALLEL].prod(axis=1)
    return vexec_cycles(target, space.prod(axis=1), outputs, cost, **ports)


def _acc_strides(tiles: Ints) -> Ints:
    strides = np.zeros_like(tiles)
    strides[:, PARALLEL - 1] = ACC_WORD_BYTES
    for dim in reversed(range(PARALLEL - 1)):
        strides[:, dim] = strides[:, dim + 1] * tiles[:, dim + 1]
    return strides


def _traffic(
    problem: GroupProblem, target: Target, candidates: Candidates, operand: Operand
) -> _Traffic:
    box = np.minimum(boxes(operand, candidates.tiles), np.asarray(operand.shape, np.int64))
    strides = np.broadcast_to(np.asarray(operand.strides, np.int64), box.shape)
    bursts = transfer_bursts(target, *contiguous_runs(box, strides, operand.dtype.bytes))
    one = transfer_cycles(target, bursts)
    count = transfer_counts(problem, candidates, operand)
    return _Traffic(one, one * count, bursts * count * target.dram.burst_bytes)
