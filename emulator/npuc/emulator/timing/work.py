"""Work of each command: cycles alone and what it asks of shared memories.

First step of the time pass. Only descriptors, extents and coordinates are read, never data.
Commands whose work no register decides are computed once per instruction.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from npuc.emulator.decode import CoreCode, decode_columns
from npuc.emulator.stream import CommandStream
from npuc.emulator.timing.tables import MAP_RANK, MapTable, Mask, ViewTable, kernel_costs
from npuc.isa import cost
from npuc.isa.cost import Int64s
from npuc.isa.descriptors.view import MAX_RANK
from npuc.isa.dtypes import DType
from npuc.isa.instructions import NO_INDEX, Engine
from npuc.isa.instructions.dma import Load, Store
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.vector import Vexec
from npuc.isa.instructions.word import ARGUMENTS, MEMORIES, SPM, WORD_TYPES, LoadWord, StoreWord
from npuc.isa.program import Program
from npuc.isa.target import Target

INPUTS = tuple(f"in{i}" for i in range(6))
OUTPUTS = ("out0", "out1")


@dataclass(frozen=True)
class Work:
    """Work of n commands, one int64 array (n) per fact.

    ``fixed`` cycles pass at their own pace, ``moving`` cycles stretch where memories are shared.
    DRAM bytes are whole bursts; ``dram_useful`` counts elements. ``spm_words`` and ``acc_words``
    are accesses at the ports, ``*_bytes`` what energy counts. ``macs`` are of ``mac_dtype``
    (DType code). ``lane_ops`` are vpu operations weighted by cost.
    """

    fixed: Int64s
    moving: Int64s
    dram_read: Int64s
    dram_written: Int64s
    dram_useful: Int64s
    spm_words: Int64s
    acc_words: Int64s
    spm_bytes: Int64s
    acc_bytes: Int64s
    macs: Int64s
    mac_dtype: Int64s
    lane_ops: Int64s

    @staticmethod
    def zeros(n: int) -> "Work":
        """No work at all, to be filled with ``put``."""
        return Work(*(np.zeros(n, np.int64) for _ in fields(Work)))

    def put(self, rows: Int64s, **facts: Int64s) -> None:
        """Set some facts of ``rows``."""
        for name, values in facts.items():
            getattr(self, name)[rows] = values

    def take(self, rows: Int64s) -> "Work":
        """The work of ``rows``, in that order; rows may repeat."""
        return Work(*(getattr(self, f.name)[rows] for f in fields(Work)))

    @property
    def isolated(self) -> Int64s:
        """Cycles of each command alone on the machine."""
        return self.fixed + self.moving


@dataclass(frozen=True)
class _Source:
    """Everything that work is read from: tables, code columns and the chosen commands.

    ``instruction`` (n) and ``registers`` (n, 32) belong to the chosen commands.
    """

    target: Target
    program: Program
    views: ViewTable
    code: CoreCode
    instruction: Int64s
    registers: Int64s

    def of_opcode(self, *opcodes: int) -> Int64s:
        """Positions of the commands with one of these opcodes."""
        return np.flatnonzero(np.isin(self.code.opcode[self.instruction], opcodes))

    def column(self, name: str, rows: Int64s) -> Int64s:
        """Operand field ``name`` of the commands at ``rows``."""
        return self.code.columns[name][self.instruction[rows]]


def command_work(program: Program, core: int, stream: CommandStream, target: Target) -> Work:
    """The work of every command of one core's stream under ``target``."""
    code, views = decode_columns(program, core), ViewTable.of(program.views)
    chosen, inverse = _representatives(stream.instruction, _static(code, views))
    source = _Source(target, program, views, code, stream.instruction[chosen],
                     stream.registers[chosen])
    work = Work.zeros(len(chosen))
    steps: tuple[Callable[[_Source, Work], None], ...] = (_put_transfers, _put_mma, _put_vexec)
    for step in steps:
        step(source, work)
    work.fixed[:] += work.isolated == 0  # an engine spends a cycle on any command
    on_ctl = code.engine[source.instruction] == Engine.ctl.value
    work.fixed[on_ctl] = target.ctl.dispatch_cycles
    _put_words(source, work)
    return work.take(inverse)


def _put_words(source: _Source, work: Work) -> None:
    """Words of ctl: one burst of DRAM, or one word of SPM; the argument block is in ctl."""
    rows = source.of_opcode(LoadWord.opcode, StoreWord.opcode)
    if not rows.size:
        return
    target, memory = source.target, source.column("memory", rows)
    sizes = np.array([DType[name].bytes for name in WORD_TYPES], np.int64)
    n_bytes = sizes[source.column("dtype", rows)]
    in_spm = memory == MEMORIES.index(SPM)
    in_dram = ~in_spm & (memory != MEMORIES.index(ARGUMENTS))
    is_store = source.code.opcode[source.instruction[rows]] == StoreWord.opcode
    bursts = in_dram.astype(np.int64)
    bus_bytes = bursts * target.dram.burst_bytes
    words = in_spm.astype(np.int64)
    work.put(
        rows,
        fixed=cost.word_fixed_cycles(target, in_dram),
        moving=cost.transfer_moving_cycles(target, bursts, words),
        dram_read=np.where(is_store, 0, bus_bytes), dram_written=np.where(is_store, bus_bytes, 0),
        dram_useful=np.where(in_dram, n_bytes, 0),
        spm_words=words, spm_bytes=np.where(in_spm, n_bytes, 0),
    )


def _static(code: CoreCode, views: ViewTable) -> Mask:
    """Instructions (rows of code) whose work depends on no register."""
    dynamic = np.zeros(len(code), np.bool_)
    for name in ("rc0", "rc1", "rc2", "rc3", "rc4", "rk"):
        dynamic |= code.columns.get(name, np.zeros(len(code), np.int64)) != 0
    for opcode, names in ((Mma.opcode, ("acc", "a", "w")), (Vexec.opcode, INPUTS + OUTPUTS)):
        rows = np.flatnonzero(code.opcode == opcode)
        for name in names if rows.size else ():
            view = code.columns[name][rows]
            exists = view != NO_INDEX
            dynamic[rows] |= exists & views.is_dynamic[np.where(exists, view, 0)]
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


def _put_transfers(source: _Source, work: Work) -> None:
    """Boxes inside their tensor cost what their map says; clipped ones are computed each."""
    rows = source.of_opcode(Load.opcode, Store.opcode)
    if not rows.size:
        return
    maps = MapTable.of(source.program.maps)
    index, inside = source.column("map", rows), np.empty((len(rows), MAP_RANK), np.int64)
    for d in range(MAP_RANK):
        start = _coordinate(source, d, rows)
        stop = np.minimum(start + maps.box[index, d], maps.extents[index, d])
        inside[:, d] = np.maximum(stop - np.maximum(start, 0), 0)
    is_store = source.code.opcode[source.instruction[rows]] == Store.opcode
    clipped = np.flatnonzero((inside != maps.box[index]).any(axis=1))
    boxes = _Boxes(
        np.concatenate([np.arange(len(maps.box)), index[clipped]]),
        np.concatenate([maps.box, inside[clipped]]),
        np.concatenate([np.zeros(len(maps.box), np.bool_), is_store[clipped]]),
    )
    facts, which = _transfer_facts(source.target, maps, boxes), index.copy()
    which[clipped] = len(maps.box) + np.arange(len(clipped))
    bus_bytes = facts.pop("bus_bytes")[which]
    work.put(
        rows,
        dram_read=np.where(is_store, 0, bus_bytes), dram_written=np.where(is_store, bus_bytes, 0),
        **{name: values[which] for name, values in facts.items()},
    )


@dataclass(frozen=True)
class _Boxes:
    """Boxes to cost: map index (b), extents inside the tensor (b, 5), whether it is a store (b)."""

    index: Int64s
    inside: Int64s
    is_store: Mask


def _transfer_facts(target: Target, maps: MapTable, boxes: _Boxes) -> dict[str, Int64s]:
    """Facts of Work per box; ``bus_bytes`` are its DRAM bytes in whole bursts."""
    index, element = boxes.index, maps.element_bytes[boxes.index]
    runs, run_bytes = cost.contiguous_runs(boxes.inside, maps.dram_strides[index], element)
    bursts = cost.transfer_bursts(target, runs, run_bytes)
    # A load writes its fill, too.
    moved = np.where(boxes.is_store[:, np.newaxis], boxes.inside, maps.box[index])
    spm_runs, spm_run_bytes = cost.contiguous_runs(moved, maps.spm_strides[index], element)
    words = spm_runs * cost.ceil_div(spm_run_bytes, target.spm.bank_width_bytes)
    return {
        "bus_bytes": bursts * target.dram.burst_bytes,
        "fixed": cost.transfer_fixed_cycles(target, bursts),
        "moving": cost.transfer_moving_cycles(target, bursts, words),
        "dram_useful": runs * run_bytes,
        "spm_words": words,
        "spm_bytes": moved.prod(axis=1) * element,
    }


def _coordinate(source: _Source, dimension: int, rows: Int64s) -> Int64s:
    register, offset = (source.column(f"{name}{dimension}", rows) for name in ("rc", "i"))
    if not register.any():
        return offset
    return source.registers[rows, register] + offset


def _put_mma(source: _Source, work: Work) -> None:
    rows = source.of_opcode(Mma.opcode)
    a, w = (source.column(name, rows) for name in ("a", "w")) if rows.size else (rows, rows)
    codes = source.views.dtype[a] if rows.size else rows
    for code in np.unique(codes):
        same = codes == code
        _put_mma_of(source, work, rows[same], (a[same], w[same], DType(int(code))))


def _put_mma_of(
    source: _Source, work: Work, rows: Int64s, operands: tuple[Int64s, Int64s, DType]
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
    w_words = np.where(transposed, n * cost.ceil_div(k * size, width),
                       k * cost.ceil_div(n * size, width))
    written = cost.mma_acc_rows(target, m, k, n)
    passes = written // np.maximum(m * cost.ceil_div(n, target.mxu.cols), 1)
    touches = 2 * passes - ~adds  # the first pass of an overwrite reads nothing
    cycles = cost.mma_cycles(target, m, k, n, dtype=dtype, row_cycles=row_cycles,
                             transposed=transposed)
    spm_words = (m * fetch_a * row_words + fetch_w * w_words) * (m * k * n > 0)
    acc_words = m * cost.ceil_div(n, target.mxu.cols) * touches
    at_ports = np.maximum(cost.ceil_div(spm_words, target.spm.banks),
                          cost.ceil_div(acc_words, target.acc.banks))
    work.put(
        rows,
        moving=np.maximum(cycles, at_ports),
        spm_words=spm_words, acc_words=acc_words,
        spm_bytes=(m * fetch_a + n * fetch_w) * k * size * (m * n > 0),
        acc_bytes=m * n * touches * cost.ACC_BYTES,
        macs=m * k * n, mac_dtype=np.full(len(rows), dtype.value),
    )


def _row_accesses(source: _Source, a: Int64s, k_extents: Int64s) -> tuple[Int64s, Int64s]:
    """(cycles, words) of one row of A per command; each distinct row is counted once."""
    keys, inverse = np.unique(np.column_stack([a, k_extents]), axis=0, return_inverse=True)
    views = source.views
    rows = [
        cost.mma_row_access(
            source.target, (int(k0), int(k1), int(k2)),
            tuple(views.strides[view, 3:6].tolist()), int(views.element_bytes[view]),
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


def _put_vexec(source: _Source, work: Work) -> None:
    rows = source.of_opcode(Vexec.opcode)
    if not rows.size:
        return
    target = source.target
    space = source.column(INPUTS[0], rows)
    space = np.where(space == NO_INDEX, source.column(OUTPUTS[0], rows), space)
    extents = source.views.resolved(space, source.registers[rows])
    points, outputs = extents.prod(axis=1), extents[:, :4].prod(axis=1)
    costs = kernel_costs(target, source.program.kernels, source.column("kernel", rows))
    along_r, along_p = (_port_sums(source, rows, walk) for walk in cost.VEXEC_WALKS)
    better = along_p.cycles.max(axis=0) < along_r.cycles.max(axis=0)
    words = np.where(better, along_p.words, along_r.words)
    cycles = np.where(better, along_p.cycles, along_r.cycles)
    total = cost.vexec_cycles(
        target, points, outputs, costs, spm_cycles=cycles[0], acc_cycles=cycles[1]
    )
    startup = target.vpu.startup_cycles
    work.put(
        rows,
        fixed=np.full(len(rows), startup), moving=total - startup,
        spm_words=words[0], acc_words=words[1],
        spm_bytes=along_r.n_bytes[0], acc_bytes=along_r.n_bytes[1],
        lane_ops=cost.vexec_lane_ops(costs, points, outputs),
    )


def _port_sums(source: _Source, rows: Int64s, walk: tuple[int, ...]) -> _PortSums:
    views = source.views
    sums = _PortSums(*(np.zeros((2, len(rows)), np.int64) for _ in range(3)))
    assert len(walk) == MAX_RANK
    for name in INPUTS + OUTPUTS:
        view = source.column(name, rows)
        used = np.flatnonzero(view != NO_INDEX)
        chosen = view[used]
        extents = views.resolved(chosen, source.registers[rows[used]])
        strides, size = views.strides[chosen], views.element_bytes[chosen]
        touched = np.where(strides == 0, np.minimum(extents, 1), extents).prod(axis=1)
        for space, port in enumerate((cost.spm_port(source.target), cost.acc_port(source.target))):
            here = np.flatnonzero(views.in_acc[chosen] == bool(space))
            at = used[here]
            access = cost.stream_access(
                port, extents[here][:, walk], strides[here][:, walk], size[here]
            )
            sums.words[space, at] += access.words
            sums.cycles[space, at] += access.cycles
            sums.n_bytes[space, at] += touched[here] * size[here]
    return sums
