"""Work of each command: cycles alone and what it asks of shared memories.

First step of the time pass. Only descriptors, extents and coordinates are read, never data.
Commands whose work no register decides are computed once per instruction.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from npuc.emulator.decode import CoreCode, decode_columns
from npuc.emulator.stream import CommandStream
from npuc.emulator.timing.dma_work import put_indexed, put_moves, put_transfers, put_words
from npuc.emulator.timing.ordered_work import ORDERED_OPERANDS, put_ordered
from npuc.emulator.timing.source import Source, Work
from npuc.emulator.timing.tables import Mask, ViewTable, kernel_costs
from npuc.isa import cost
from npuc.isa.cost import Int64s
from npuc.isa.descriptors.view import MAX_RANK
from npuc.isa.dtypes import DType
from npuc.isa.instructions import NO_INDEX, Engine
from npuc.isa.instructions.dma import Copy, Fill, Gather, Scatter
from npuc.isa.instructions.maps import LoadMapped, StoreMapped
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.vector import Vexec, VexecPart
from npuc.isa.program import Program
from npuc.isa.target import Target

INPUTS = tuple(f"in{i}" for i in range(6))
OUTPUTS = ("out0", "out1")
PART_INPUTS = INPUTS[:4]
Streams = list[tuple[str, Int64s]]  # operand, and how often it passes the port (n)
VIEW_OPERANDS = {
    Mma.opcode: ("acc", "a", "w"),
    Vexec.opcode: INPUTS + OUTPUTS,
    VexecPart.opcode: (*PART_INPUTS, OUTPUTS[0], "state"),
    Gather.opcode: ("index",),
    Scatter.opcode: ("index",),
    Copy.opcode: ("to", "source"),
    Fill.opcode: ("to",),
    **ORDERED_OPERANDS,
}
__all__ = ["DistinctWork", "Work", "command_work", "distinct_work"]


@dataclass(frozen=True)
class DistinctWork:
    """Work of the n commands of a core, computed once for all that must have the same.

    ``work`` and ``chosen`` k: the work, and the first command that has it; ``of_command`` n: which
    of them each command has. Commands with the same one come from the same instruction.
    """

    work: Work
    chosen: Int64s
    of_command: Int64s

    def all(self) -> Work:
        """One row per command."""
        return self.work.take(self.of_command)

    def total(self, fact: Int64s) -> int:
        """Sum over all commands of a ``fact`` (k) of the distinct ones."""
        return int(fact @ np.bincount(self.of_command, minlength=len(fact)))


def command_work(program: Program, core: int, stream: CommandStream, target: Target) -> Work:
    """The work of every command of one core's stream under ``target``."""
    return distinct_work(program, core, stream, target).all()


def distinct_work(
    program: Program, core: int, stream: CommandStream, target: Target
) -> DistinctWork:
    """The same without repetition."""
    code, views = decode_columns(program, core), ViewTable.of(program.views)
    chosen, inverse = _representatives(stream.instruction, _static(code, views))
    source = Source(
        target,
        program,
        views,
        code,
        stream.instruction[chosen],
        stream.registers[chosen],
        stream.numbers_of_maps()[chosen],
        (*program.maps, *stream.maps),
    )
    work = Work.zeros(len(chosen))
    steps: tuple[Callable[[Source, Work], None], ...] = (
        put_transfers,
        put_indexed,
        put_moves,
        _put_mma,
        _put_vexec,
        _put_vexec_parts,
        put_ordered,
    )
    for step in steps:
        step(source, work)
    work.fixed[:] += work.isolated == 0  # an engine spends a cycle on any command
    on_ctl = code.engine[source.instruction] == Engine.ctl.value
    work.fixed[on_ctl] = target.ctl.dispatch_cycles
    put_words(source, work)
    return DistinctWork(work, chosen, inverse)


def _static(code: CoreCode, views: ViewTable) -> Mask:
    """Instructions (rows of code) whose work depends on no register."""
    dynamic = np.zeros(len(code), np.bool_)
    for name in ("rc0", "rc1", "rc2", "rc3", "rc4", "rk", "rstart", "rtotal"):
        dynamic |= code.columns.get(name, np.zeros(len(code), np.int64)) != 0
    for opcode, names in VIEW_OPERANDS.items():
        rows = np.flatnonzero(code.opcode == opcode)
        for name in names if rows.size else ():
            view = code.columns[name][rows]
            exists = view != NO_INDEX
            dynamic[rows] |= exists & views.is_dynamic[np.where(exists, view, 0)]
    dynamic |= np.isin(code.opcode, (LoadMapped.opcode, StoreMapped.opcode))
    return np.asarray(~dynamic)


def _representatives(instruction: Int64s, static: Mask) -> tuple[Int64s, Int64s]:
    """(commands to compute, for each command the position of its own among them)."""
    fixed = static[instruction]
    repeated, changing = np.flatnonzero(fixed), np.flatnonzero(~fixed)
    first = np.full(len(static), -1, np.int64)
    first[instruction[repeated][::-1]] = repeated[::-1]
    used = np.flatnonzero(first >= 0)
    position = np.zeros(len(static), np.int64)
    position[used] = np.arange(len(used))
    inverse = position[instruction]
    inverse[changing] = len(used) + np.arange(len(changing))
    return np.concatenate([first[used], changing]), inverse


def _put_mma(source: Source, work: Work) -> None:
    rows = source.of_opcode(Mma.opcode)
    a, w = (source.column(name, rows) for name in ("a", "w")) if rows.size else (rows, rows)
    codes = source.views.dtype[a] if rows.size else rows
    for code in np.unique(codes):
        same = codes == code
        _put_mma_of(source, work, rows[same], (a[same], w[same], DType(int(code))))


def _put_mma_of(
    source: Source, work: Work, rows: Int64s, operands: tuple[Int64s, Int64s, DType]
) -> None:
    a, w, dtype = operands
    target, views, size = source.target, source.views, dtype.bytes
    extents = views.resolved(a, source.registers[rows])
    m, k = extents[:, :3].prod(axis=1), extents[:, 3:6].prod(axis=1)
    n = views.resolved(w, source.registers[rows])[:, 3]
    row_cycles, row_words = _row_accesses(source, a, extents[:, 3:6])
    transposed = (views.strides[w, 3] != size) & (n > 1)
    register = source.column("rk", rows)
    adds = (source.column("accumulate", rows) != 0) | (
        (register > 0) & (source.registers[rows, register] != 0)
    )
    fetch_a, fetch_w = cost.mma_fetches(target, m, n)
    width = target.spm.bank_width_bytes
    w_words = np.where(
        transposed, n * cost.ceil_div(k * size, width), k * cost.ceil_div(n * size, width)
    )
    written = cost.mma_acc_rows(target, m, k, n)
    passes = written // np.maximum(m * cost.ceil_div(n, target.mxu.cols), 1)
    touches = 2 * passes - ~adds  # the first pass of an overwrite reads nothing
    cycles = cost.mma_cycles(
        target, m, k, n, dtype=dtype, row_cycles=row_cycles, transposed=transposed
    )
    spm_words = (m * fetch_a * row_words + fetch_w * w_words) * (m * k * n > 0)
    acc_words = m * cost.ceil_div(n, target.mxu.cols) * touches
    at_ports = np.maximum(
        cost.ceil_div(spm_words, target.spm.banks), cost.ceil_div(acc_words, target.acc.banks)
    )
    work.put(
        rows,
        moving=np.maximum(cycles, at_ports),
        spm_words=spm_words,
        acc_words=acc_words,
        spm_bytes=(m * fetch_a + n * fetch_w) * k * size * (m * n > 0),
        acc_bytes=m * n * touches * cost.ACC_BYTES,
        macs=m * k * n,
        mac_dtype=np.full(len(rows), dtype.value),
    )


def _row_accesses(source: Source, a: Int64s, k_extents: Int64s) -> tuple[Int64s, Int64s]:
    """(cycles, words) of one row of A per command; each distinct row is counted once."""
    keys, inverse = np.unique(np.column_stack([a, k_extents]), axis=0, return_inverse=True)
    views = source.views
    rows = [
        cost.mma_row_access(
            source.target,
            (int(k0), int(k1), int(k2)),
            tuple(views.strides[view, 3:6].tolist()),
            int(views.element_bytes[view]),
        )
        for view, k0, k1, k2 in keys
    ]
    table = np.array([(row.cycles, row.words) for row in rows], np.int64).reshape(-1, 2)
    return table[inverse.reshape(-1), 0], table[inverse.reshape(-1), 1]


@dataclass
class _PortSums:
    """Sums over the streams of commands (n): words, cycles and bytes at SPM [0] and ACC [1]."""

    words: Int64s
    cycles: Int64s
    n_bytes: Int64s


def _put_vexec(source: Source, work: Work) -> None:
    rows = source.of_opcode(Vexec.opcode)
    streams = [(name, np.ones(len(rows), np.int64)) for name in INPUTS + OUTPUTS]
    _put_vector(source, work, rows, (np.ones(len(rows), np.bool_), streams))


def _put_vexec_parts(source: Source, work: Work) -> None:
    """A part has the state as a stream, read, written or both; only the last has an epilogue."""
    rows = source.of_opcode(VexecPart.opcode)
    if not rows.size:
        return
    start, total = (
        source.registers[rows, source.column(register, rows)] + source.column(name, rows)
        for register, name in (("rstart", "start"), ("rtotal", "total"))
    )
    own = _space_extents(source, rows)[:, 4:].prod(axis=1)
    is_last = start + own == total
    tags = [kernel.outputs[0].epilogue for kernel in source.program.kernels]
    in_body = ~np.array(tags, np.bool_)[source.column("kernel", rows)]
    streams = [(name, np.ones(len(rows), np.int64)) for name in PART_INPUTS]
    streams += [(OUTPUTS[0], (is_last | in_body).astype(np.int64))]
    streams += [("state", (start > 0).astype(np.int64) + ~is_last)]
    _put_vector(source, work, rows, (is_last, streams))


def _space_extents(source: Source, rows: Int64s) -> Int64s:
    """The iteration space (n, 7) of vector commands."""
    space = source.column(INPUTS[0], rows)
    space = np.where(space == NO_INDEX, source.column(OUTPUTS[0], rows), space)
    return source.views.resolved(space, source.registers[rows])


def _put_vector(source: Source, work: Work, rows: Int64s, what: tuple[Mask, Streams]) -> None:
    """Vector commands: whether their epilogue runs (n), and how often each stream passes."""
    if not rows.size:
        return
    target, (has_epilogue, streams) = source.target, what
    extents = _space_extents(source, rows)
    points = extents.prod(axis=1)
    outputs = np.where(has_epilogue, extents[:, :4].prod(axis=1), 0)
    costs = kernel_costs(target, source.program.kernels, source.column("kernel", rows))
    along_r, along_p = (_port_sums(source, rows, streams, walk) for walk in cost.VEXEC_WALKS)
    better = along_p.cycles.max(axis=0) < along_r.cycles.max(axis=0)
    words = np.where(better, along_p.words, along_r.words)
    cycles = np.where(better, along_p.cycles, along_r.cycles)
    total = cost.vexec_cycles(
        target, points, outputs, costs, spm_cycles=cycles[0], acc_cycles=cycles[1]
    )
    startup = target.vpu.startup_cycles
    work.put(
        rows,
        fixed=np.full(len(rows), startup),
        moving=total - startup,
        spm_words=words[0],
        acc_words=words[1],
        spm_bytes=along_r.n_bytes[0],
        acc_bytes=along_r.n_bytes[1],
        lane_ops=cost.vexec_lane_ops(costs, points, outputs),
    )


def _port_sums(source: Source, rows: Int64s, streams: Streams, walk: tuple[int, ...]) -> _PortSums:
    views = source.views
    sums = _PortSums(*(np.zeros((2, len(rows)), np.int64) for _ in range(3)))
    assert len(walk) == MAX_RANK
    for name, passes in streams:
        view = source.column(name, rows)
        used = np.flatnonzero(view != NO_INDEX)
        if not used.size:
            continue
        chosen = view[used]
        extents = views.resolved(chosen, source.registers[rows[used]])
        strides, size = views.strides[chosen], views.element_bytes[chosen]
        touched = np.where(strides == 0, np.minimum(extents, 1), extents).prod(axis=1)
        for space, port in enumerate((cost.spm_port(source.target), cost.acc_port(source.target))):
            here = np.flatnonzero(views.in_acc[chosen] == bool(space))
            if not here.size:
                continue
            at = used[here]
            access = cost.stream_access(
                port, extents[here][:, walk], strides[here][:, walk], size[here]
            )
            sums.words[space, at] += access.words * passes[at]
            sums.cycles[space, at] += access.cycles * passes[at]
            sums.n_bytes[space, at] += touched[here] * size[here] * passes[at]
    return sums
