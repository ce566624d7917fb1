"""The work of single commands from the manual's words, element by element and fold by fold.

Nothing of ``npuc.isa.cost`` and nothing of the emulator's time pass is used: addresses are
enumerated, folds are walked on a clock, and plain integers are counted. Only descriptors and
targets are read. Slow; equal cases are remembered. Held against the emulator's ``command_work``,
and fed to the cycle-stepped oracle. Source: docs/isa/time.md, "Work of a command".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from math import ceil, gcd, prod

import numpy as np

from npuc.emulator.stream import CommandStream
from npuc.emulator.timing import Work
from npuc.isa.descriptors import Kernel, Space, TensorMap, View
from npuc.isa.dtypes import DType
from npuc.isa.encoding import decode
from npuc.isa.instructions import NO_INDEX, Engine, Instruction
from npuc.isa.instructions.dma import Copy, Fill, Load, Store
from npuc.isa.instructions.maps import LoadMapped, StoreMapped
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.order import Fence, Nop
from npuc.isa.instructions.vector import Vexec
from npuc.isa.program import Program
from npuc.isa.target import Target

Extents = tuple[int, ...]
UNKNOWN = "the manual's twin has no rule for {}"


@dataclass(frozen=True)
class Counted:
    """What one command asks for."""

    fixed: int
    moving: int
    bursts: int = 0
    is_store: bool = False
    spm_words: int = 0
    acc_words: int = 0


def works_by_the_manual(
    program: Program, streams: Sequence[CommandStream], target: Target
) -> tuple[Work, ...]:
    """The work of each core's commands: only what time depends on; the rest stays 0."""
    return tuple(
        _work_of(program, decode(program.code[core]), stream, target)
        for core, stream in enumerate(streams)
    )


def _work_of(
    program: Program, code: list[Instruction], stream: CommandStream, target: Target
) -> Work:
    captured = stream.numbers_of_maps()
    work = Work(*(np.zeros(len(stream), np.int64) for _ in fields(Work)))
    for row, (at, registers) in enumerate(
        zip(stream.instruction.tolist(), stream.registers.tolist(), strict=True)
    ):
        tensor_map = stream.maps[captured[row]] if captured[row] >= 0 else None
        counted = _Command(program, target, code[at], registers, tensor_map).count()
        n_bytes = counted.bursts * target.dram.burst_bytes
        work.fixed[row], work.moving[row] = counted.fixed, counted.moving
        work.dram_read[row] = 0 if counted.is_store else n_bytes
        work.dram_written[row] = n_bytes if counted.is_store else 0
        work.spm_words[row], work.acc_words[row] = counted.spm_words, counted.acc_words
    return work


@dataclass(frozen=True)
class _Command:
    program: Program
    target: Target
    instruction: Instruction
    registers: list[int]
    captured: TensorMap | None

    def count(self) -> Counted:
        """What the command asks for."""
        command = self.instruction
        if isinstance(command, Nop | Fence):
            on_ctl = command.engine is Engine.ctl
            return Counted(self.target.ctl.dispatch_cycles if on_ctl else 1, 0)
        if isinstance(command, Load | Store | LoadMapped | StoreMapped):
            return self._transfer()
        if isinstance(command, Mma):
            return self._mma(command)
        if isinstance(command, Vexec):
            return self._vexec(command)
        if isinstance(command, Copy | Fill):
            return self._move(command)
        raise NotImplementedError(UNKNOWN.format(command.mnemonic))

    def _view(self, index: int) -> tuple[View, Extents]:
        """A view and its true extents: a register's value, never above the view's own extent."""
        view = self.program.views[index]
        registers = view.extent_regs or (0,) * len(view.extents)
        extents = tuple(
            min(max(self.registers[r], 0), e) if r else e
            for e, r in zip(view.extents, registers, strict=True)
        )
        return view, extents

    def _transfer(self) -> Counted:
        command = self.instruction
        tensor_map = self.captured or self.program.maps[getattr(command, "map")]  # noqa: B009
        start = tuple(
            self.registers[getattr(command, f"rc{d}")] + getattr(command, f"i{d}")
            for d in range(len(tensor_map.box))
        )
        inside = tuple(
            sum(0 <= c + step < extent for step in range(box))
            for c, box, extent in zip(start, tensor_map.box, tensor_map.extents, strict=True)
        )
        return transfer(self.target, tensor_map, inside, isinstance(command, Store | StoreMapped))

    def _move(self, command: Copy | Fill) -> Counted:
        words = 0
        for name in ("to", "source") if isinstance(command, Copy) else ("to",):
            view, extents = self._view(getattr(command, name))
            runs = runs_of(extents, view.strides, view.dtype.bytes)
            words += sum(-(-run // self.target.spm.bank_width_bytes) for run in runs)
        fixed = self.target.dma.setup_cycles
        return Counted(fixed or int(not words), words, spm_words=words)

    def _mma(self, command: Mma) -> Counted:
        a, a_extents = self._view(command.a)
        w, w_extents = self._view(command.w)
        adds = bool(command.accumulate) or (command.rk > 0 and self.registers[command.rk] != 0)
        return product(self.target, MatrixCase(a, a_extents, w, w_extents[3], adds))

    def _vexec(self, command: Vexec) -> Counted:
        names = [f"in{i}" for i in range(6)] + ["out0", "out1"]
        used = [getattr(command, n) for n in names if getattr(command, n) != NO_INDEX]
        first = command.in0 if command.in0 != NO_INDEX else command.out0
        streams = tuple(self._view(index) for index in used)
        space = self._view(first)[1]
        return vector(self.target, self.program.kernels[command.kernel], space, streams)


@cache
def runs_of(extents: Extents, strides: Extents, size: int) -> tuple[int, ...]:
    """Bytes of each contiguous run of a box, by walking its elements, the last dimension fastest.

    A run goes over the end of a dimension only where all of that dimension was one run.
    """
    if prod(extents) == 0:
        return ()
    axis = len(extents) - 1
    while axis >= 0 and (extents[axis] == 1 or _is_adjacent(extents, strides, axis, size)):
        axis -= 1
    inner = prod(extents[axis + 1 :]) * size
    return (inner,) * prod(extents[: axis + 1])


def _is_adjacent(extents: Extents, strides: Extents, axis: int, size: int) -> bool:
    """Whether the elements of ``axis`` and all behind it stand one right after the other."""
    offsets = np.zeros(1, np.int64)
    for extent, stride in zip(extents[axis:], strides[axis:], strict=True):
        offsets = (offsets[:, None] + np.arange(extent) * stride).reshape(-1)
    return bool((np.diff(offsets) == size).all())


@cache
def transfer(target: Target, tensor_map: TensorMap, inside: Extents, is_store: bool) -> Counted:
    """A box of which ``inside`` elements lie in the tensor."""
    size, dram, spm = tensor_map.dtype.bytes, target.dram, target.spm
    runs = runs_of(inside, tensor_map.dram_strides, size)
    bursts = sum(-(-run // dram.burst_bytes) for run in runs)
    moved = inside if is_store else tensor_map.box
    words = sum(
        -(-run // spm.bank_width_bytes) for run in runs_of(moved, tensor_map.spm_strides, size)
    )
    rate = dram.bytes_per_cycle * dram.efficiency
    if dram.latency_cycles:
        in_flight = target.dma.outstanding_bursts * dram.burst_bytes
        rate = min(rate, in_flight / dram.latency_cycles)
    fixed = target.dma.setup_cycles + (dram.latency_cycles if bursts else 0)
    moving = max(ceil(bursts * dram.burst_bytes / rate), words)
    return Counted(fixed + int(fixed + moving == 0), moving, bursts, is_store, words)


def fold_clock(target: Target, loads: list[int], stream: int) -> int:
    """End of the last fold: each loads, streams and drains; the clock is walked fold by fold.

    ``loads`` cycles per fold, ``stream`` cycles of each. With a double buffer a fold loads from
    the moment at which the one before began to stream; without one once that has drained.
    """
    mxu = target.mxu
    fill = mxu.rows + mxu.cols - 2
    loaded, began, ended = loads[0], 0, 0
    for number, load in enumerate(loads):
        if number and mxu.weight_double_buffer:
            loaded = began + load
            began = max(ended if mxu.fold_overlap else ended + fill, loaded)
        elif number:
            began = ended + fill + load
        else:
            began = loaded
        ended = began + stream
    return ended + fill


def sum_clock(target: Target, leaving: list[int], stream: int) -> int:
    """The same where sums stay: each fold streams, then its rows leave, one a cycle."""
    mxu = target.mxu
    fill = mxu.rows + mxu.cols - 2
    overlaps = mxu.fold_overlap and mxu.weight_double_buffer
    began = left = 0
    for number, rows in enumerate(leaving):
        if overlaps and number:  # the next sums want to leave when these have left
            began = max(began + stream, left - stream - fill)
        elif number:
            began = left
        left = began + stream + fill + rows
    return left


def _pieces(whole: int, piece: int) -> list[int]:
    return [min(piece, whole - at) for at in range(0, whole, piece)]


@dataclass(frozen=True)
class MatrixCase:
    """One matrix command: the views of A and W, true extents, whether it adds to ACC."""

    a: View
    extents: Extents
    w: View
    n: int
    adds: bool

    @property
    def is_turned(self) -> bool:
        """Whether W's n dimension is not contiguous."""
        return self.w.strides[3] != self.w.dtype.bytes and self.n > 1


@dataclass(frozen=True)
class _Folded:
    """Cycles of all folds; how often A and W are fetched; how often a row of ACC is visited."""

    cycles: int
    a_times: int
    w_times: int
    passes: int


@cache
def product(target: Target, case: MatrixCase) -> Counted:
    """A matrix command."""
    spm, size = target.spm, case.a.dtype.bytes
    m, k, n = prod(case.extents[:3]), prod(case.extents[3:6]), case.n
    if not m * k * n:
        return Counted(0, 1)
    row_cycles, row_words = _row(target, case.extents[3:6], case.a.strides[3:6], size)
    folded = _folded(target, case, row_cycles)
    rows_of_w, row_bytes = (n, k * size) if case.is_turned else (k, n * size)
    w_words = rows_of_w * -(-row_bytes // spm.bank_width_bytes)
    spm_words = m * folded.a_times * row_words + folded.w_times * w_words
    visits = 2 * folded.passes - (not case.adds)
    acc_words = m * len(_pieces(n, target.mxu.cols)) * visits
    at_ports = max(-(-spm_words // spm.banks), -(-acc_words // target.acc.banks))
    return Counted(0, max(folded.cycles, at_ports), spm_words=spm_words, acc_words=acc_words)


def _folded(target: Target, case: MatrixCase, row_cycles: int) -> _Folded:
    mxu, size = target.mxu, case.a.dtype.bytes
    m, k = prod(case.extents[:3]), prod(case.extents[3:6])
    rate = 1.0
    if case.a.dtype is DType.f32:
        rate = mxu.mac_rate_fp32
    elif case.a.dtype.is_float:
        rate = mxu.mac_rate_bf16
    interval = max(row_cycles, ceil(1 / rate), ceil(2 / target.acc.banks))
    turned_rate = mxu.transposed_rows_per_cycle
    row_time = size / (turned_rate if case.is_turned else mxu.weight_rows_per_cycle)
    k_folds, n_folds = _pieces(k, mxu.rows), _pieces(case.n, mxu.cols)
    if mxu.dataflow == "ws":
        loads = [ceil(rows * row_time) for _ in n_folds for rows in k_folds]
        cycles = fold_clock(target, loads, m * interval)
        return _Folded(cycles, len(n_folds), 1, len(k_folds))
    interval = max(interval, ceil(row_time))
    if mxu.dataflow == "is":
        m_folds = _pieces(m, mxu.cols)
        loads = [ceil(rows * size / mxu.weight_rows_per_cycle) for _ in m_folds for rows in k_folds]
        cycles = fold_clock(target, loads, case.n * interval)
        return _Folded(cycles, 1, len(m_folds), len(k_folds))
    m_folds = _pieces(m, mxu.rows)
    cycles = sum_clock(target, [rows for _ in n_folds for rows in m_folds], k * interval)
    return _Folded(cycles, len(n_folds), len(m_folds), 1)


@cache
def _row(target: Target, extents: Extents, strides: Extents, size: int) -> tuple[int, int]:
    """(cycles, words) of a row of A: fold by fold, its words counted by the bank they lie in."""
    width, banks = target.spm.bank_width_bytes, target.spm.banks
    offsets = [
        i * strides[0] + j * strides[1] + c * strides[2]
        for i in range(extents[0]) for j in range(extents[1]) for c in range(extents[2])
    ]  # fmt: skip
    low = min(offsets)
    cycles, words = 1, 0
    for at in range(0, len(offsets), target.mxu.rows):
        touched = {
            (offset - low + byte) // width
            for offset in offsets[at : at + target.mxu.rows]
            for byte in (0, size - 1)
        }
        busiest = max(sum(word % banks == bank for word in touched) for bank in range(banks))
        cycles, words = max(cycles, busiest), words + len(touched)
    return cycles, words


@cache
def vector(
    target: Target,
    kernel: Kernel,
    space: Extents,
    streams: tuple[tuple[View, Extents], ...],
) -> Counted:
    """A vector command: the lanes' passes or the ports, by the better of two walks."""
    vpu = target.vpu
    names = [op.name for op in kernel.ops]
    body, epilogue = names[: kernel.body_count], names[kernel.body_count :]
    has_body = bool(body) or any(not out.epilogue for out in kernel.outputs)
    packs = bool(body) and set(body) == {"mac8"}
    costs = dict(vpu.op_cost)
    body_cost, last_cost = (sum(costs.get(n, 1) for n in part) for part in (body, epilogue))
    body_passes = max(int(has_body), ceil(body_cost / vpu.chain_depth))
    last_passes = max(int(not has_body), ceil(last_cost / vpu.chain_depth))
    lanes = vpu.lanes * (vpu.mac8_lane_factor if packs else 1)
    groups, outputs = -(-prod(space) // lanes), -(-prod(space[:4]) // vpu.lanes)
    chain = groups * body_passes + outputs * last_passes
    walks = [
        _ports(target, streams, order) for order in ((0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 4, 5, 6, 3))
    ]
    first, second = walks
    ports = second if max(second[1], second[3]) < max(first[1], first[3]) else first
    spm_words, spm_cycles, acc_words, acc_cycles = ports
    moving = max(chain, spm_cycles, acc_cycles)
    fixed = vpu.startup_cycles + int(vpu.startup_cycles + moving == 0)
    return Counted(fixed, moving, spm_words=spm_words, acc_words=acc_words)


def _ports(
    target: Target, streams: tuple[tuple[View, Extents], ...], order: Extents
) -> tuple[int, int, int, int]:
    """SPM words and cycles, ACC words and cycles of all streams along one walk."""
    sums = [0, 0, 0, 0]
    for view, extents in streams:
        pad = len(order) - len(extents)
        sizes, strides = extents + (1,) * pad, view.strides + (0,) * pad
        in_acc = view.space is Space.acc
        width = 4 * target.mxu.cols if in_acc else target.spm.bank_width_bytes
        banks = target.acc.banks if in_acc else target.spm.banks
        words, cycles = _stream(
            tuple(sizes[d] for d in order),
            tuple(strides[d] for d in order),
            (view.dtype.bytes, width, banks),
        )
        sums[2 * in_acc] += words
        sums[2 * in_acc + 1] += cycles
    return sums[0], sums[1], sums[2], sums[3]


@cache
def _stream(extents: Extents, strides: Extents, sizes: tuple[int, int, int]) -> tuple[int, int]:
    """(words, cycles) of one walk: runs that grow from the innermost dimension outwards."""
    run, width, banks = sizes
    if 0 in extents:
        return 0, 0
    steps = [(e, abs(s)) for e, s in zip(extents, strides, strict=True) if e > 1 and s]
    while steps and (steps[-1][1] == run or run < steps[-1][1] < width):
        extent, stride = steps.pop()
        run += (extent - 1) * stride
    words = prod(extent for extent, _ in steps) * -(-run // width)
    stride = steps[-1][1] // width if steps and run <= width else 1
    reachable = banks // gcd(banks, max(stride, 1))
    return words, -(-words // reachable)
