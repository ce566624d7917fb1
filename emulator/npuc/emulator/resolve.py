"""Registers to operands: what each dispatched command really works on, and whether it may.

All dispatches of one instruction are resolved together, as arrays. What is wrong (extents out of
range, bytes outside a memory, unequal extents) becomes a ``Problem`` of one command.
"""

from dataclasses import dataclass

import numpy as np

from npuc.emulator.decode import CoreCode, DecodedProgram
from npuc.emulator.footprint import Mask, touched_elements
from npuc.emulator.region import (
    DmaWork,
    IndexedWork,
    MmaWork,
    MoveWork,
    NoWork,
    Region,
    VexecWork,
    WordWork,
    Work,
)
from npuc.emulator.stream import CommandStream, Int64s
from npuc.emulator.validate import MMA_OPERANDS, VEXEC_INPUTS, VEXEC_OUTPUTS, space_bytes
from npuc.isa.descriptors import Kernel, Params, Segment, Space, View
from npuc.isa.descriptors.tensor_map import MAX_RANK
from npuc.isa.dtypes import DType
from npuc.isa.errors import ExecutionError
from npuc.isa.instructions import NO_INDEX
from npuc.isa.instructions.dma import Copy, Fill, Gather, Load, Scatter, Store
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.vector import Vexec
from npuc.isa.instructions.word import MEMORIES, SPM, WORD_TYPES, LoadWord, StoreWord

_PARALLEL = 4
_NO_PARAMS = Params(())
# Pairs of (operand, dimensions) whose extents are equal: m, n and k of a matrix command.
_MMA_EQUAL = (
    ("acc", slice(0, 3), "a", slice(0, 3)),
    ("acc", slice(3, 4), "w", slice(3, 4)),
    ("a", slice(3, 6), "w", slice(0, 3)),
)


@dataclass(frozen=True)
class Problem:
    """Why command ``command`` of a stream must not execute."""

    command: int
    what: str
    given: str
    allowed: str


@dataclass(frozen=True)
class Operand:
    """One view operand over n dispatches: addresses n, extents n x rank, origins n x windows."""

    view: View
    address: Int64s
    extents: Int64s
    origins: Int64s

    def region(self, row: int) -> Region:
        """The operand of one dispatch."""
        return Region(
            self.view,
            int(self.address[row]),
            tuple(self.extents[row].tolist()),
            tuple(self.origins[row].tolist()),
        )


class ResolvedStream:
    """The work of every command of one core, built when it is asked for."""

    def __init__(self, decoded: DecodedProgram, core: int, stream: CommandStream) -> None:
        self._decoded, self._code, self._stream = decoded, decoded.cores[core], stream
        self.core = core
        self.problems: list[Problem] = []
        self._row = np.zeros(len(stream), np.int64)
        self._groups: dict[int, _Group] = {}
        order = np.argsort(stream.instruction, kind="stable")
        numbers, starts = np.unique(stream.instruction[order], return_index=True)
        parts = np.split(order, starts[1:])[: len(numbers)]  # without a command: one empty part
        for at, commands in zip(numbers.tolist(), parts, strict=True):
            self._row[commands] = np.arange(len(commands))
            self._groups[at] = self._resolve(at, commands)
        self.problems.sort(key=lambda p: p.command)

    def work(self, command: int) -> Work:
        """What a command does, with all operands resolved."""
        group = self._groups[int(self._stream.instruction[command])]
        return group.work(int(self._row[command]))

    def raise_first(self) -> None:
        """Raises: ExecutionError for the first command with a problem, naming its site."""
        if self.problems:
            raise self.error(self.problems[0])

    def error(self, problem: Problem) -> ExecutionError:
        """The problem as an error with instruction and node."""
        at = int(self._stream.instruction[problem.command])
        return ExecutionError(
            problem.what,
            f"{self._decoded.site(self.core, at)}; command {problem.command}",
            problem.given,
            problem.allowed,
            "check the registers and views of the command",
        )

    def _resolve(self, at: int, commands: Int64s) -> "_Group":
        opcode = int(self._code.opcode[at])
        builders = {
            Load.opcode: _TransferGroup,
            Store.opcode: _TransferGroup,
            Gather.opcode: _IndexedGroup,
            Scatter.opcode: _IndexedGroup,
            Copy.opcode: _MoveGroup,
            Fill.opcode: _MoveGroup,
            Mma.opcode: _MmaGroup,
            Vexec.opcode: _VexecGroup,
            LoadWord.opcode: _WordGroup,
            StoreWord.opcode: _WordGroup,
        }
        builder = builders.get(opcode, _Group)
        group = builder(self._decoded, self._code, at, self._stream.registers[commands])
        for row, what, given, allowed in group.faults:
            self.problems.append(Problem(int(commands[row]), what, given, allowed))
        return group


class _Group:
    """All dispatches of one instruction; this base is one that moves no data."""

    def __init__(self, decoded: DecodedProgram, code: CoreCode, at: int, registers: Int64s) -> None:
        self.decoded, self.code, self.at, self.registers = decoded, code, at, registers
        self.faults: list[tuple[int, str, str, str]] = []
        self.build()

    def build(self) -> None:
        """Resolve and check; nothing to do here."""

    def work(self, row: int) -> Work:
        """The work of one dispatch."""
        return NoWork()

    def column(self, name: str) -> int:
        """An operand field of the instruction."""
        return int(self.code.columns[name][self.at])

    def fault(self, bad: Mask, what: str, given: Int64s, allowed: object) -> None:
        """Note each row that is bad."""
        for row in np.flatnonzero(bad).tolist():
            self.faults.append((row, what, str(given[row].tolist()), str(allowed)))

    def operand(self, name: str) -> Operand:
        """Resolve one view operand and check its extents and bounds."""
        view = self.decoded.program.views[self.column(name)]
        operand = resolve_view(view, self.registers)
        limits = np.array(view.extents, np.int64)
        over = np.any((operand.extents < 0) | (operand.extents > limits), axis=1)
        self.fault(
            over,
            f"an extent of operand {name} is out of range",
            operand.extents,
            f"0 to {view.extents}",
        )
        operand = Operand(
            view, operand.address, np.clip(operand.extents, 0, limits), operand.origins
        )
        self._check_bounds(name, operand)
        return operand

    def _check_bounds(self, name: str, operand: Operand) -> None:
        view = operand.view
        size = space_bytes(self.decoded.target, view.space)
        if view.space is Space.acc:
            self.fault(
                operand.address % 4 != 0,
                f"operand {name} is not aligned to ACC words",
                operand.address,
                "multiples of 4",
            )
        low, high = byte_range(operand)
        outside = (low < 0) | (high > size)
        for row in np.flatnonzero(outside).tolist() if view.windows else ():
            touched = touched_elements(operand.region(row))
            outside[row] = touched.size > 0 and not (
                touched[0] >= 0 and touched[-1] + view.dtype.bytes <= size
            )
        self.fault(
            outside,
            f"operand {name} leaves {view.space.name}",
            np.stack([low, high], axis=1),
            f"bytes 0 to {size}",
        )


class _MmaGroup(_Group):
    def build(self) -> None:
        self.views = {name: self.operand(name) for name in MMA_OPERANDS}
        for first, some, second, others in _MMA_EQUAL:
            left, right = self.views[first].extents[:, some], self.views[second].extents[:, others]
            self.fault(
                (left != right).any(axis=1),
                f"extents of {first} and {second} differ",
                np.concatenate([left, right], axis=1),
                "equal",
            )
        register = self.registers[:, self.column("rk")]
        self.accumulate = (self.column("accumulate") != 0) | (register != 0)

    def work(self, row: int) -> Work:
        acc, a, w = (self.views[name].region(row) for name in MMA_OPERANDS)
        return MmaWork(acc, a, w, bool(self.accumulate[row]))


class _VexecGroup(_Group):
    def build(self) -> None:
        program = self.decoded.program
        self.kernel = program.kernels[self.column("kernel")]
        index = self.column("params")
        record = _NO_PARAMS if index == NO_INDEX else program.params[index]
        self.words = _param_words(record, self.registers)
        n_in, n_out = len(self.kernel.inputs), len(self.kernel.outputs)
        self.inputs = [self.operand(name) for name in VEXEC_INPUTS[:n_in]]
        self.outputs = [self.operand(name) for name in VEXEC_OUTPUTS[:n_out]]
        self.space = (self.inputs or self.outputs)[0].extents
        in_body = body_streams(self.kernel)
        for position, operand in enumerate(self.inputs):
            section = "body" if position in in_body else "epilogue"
            self._check_space(VEXEC_INPUTS[position], operand, section)
            if position in epilogue_streams(self.kernel):
                empty = (operand.extents[:, _PARALLEL:] == 0).any(axis=1)
                self.fault(
                    empty,
                    f"{VEXEC_INPUTS[position]} has no first point of the reduction",
                    operand.extents,
                    "reduction extents of at least 1",
                )
        for name, operand, output in zip(
            VEXEC_OUTPUTS, self.outputs, self.kernel.outputs, strict=False
        ):
            self._check_space(name, operand, "once" if output.epilogue else "body")

    def _check_space(self, name: str, operand: Operand, section: str) -> None:
        parallel = (operand.extents != self.space)[:, :_PARALLEL].any(axis=1)
        reduction = operand.extents[:, _PARALLEL:]
        whole = (reduction == self.space[:, _PARALLEL:]).all(axis=1)
        once = (reduction == 1).all(axis=1)
        fits = {"body": whole, "once": once, "epilogue": whole | once}[section]
        self.fault(
            parallel | ~fits,
            f"extents of {name} differ from the space",
            operand.extents,
            "those of the first stream; 1 in reduction dimensions of the epilogue",
        )

    def work(self, row: int) -> Work:
        return VexecWork(
            self.kernel,
            tuple(self.words[row].tolist()),
            tuple(o.region(row) for o in self.inputs),
            tuple(o.region(row) for o in self.outputs),
            tuple(self.space[row].tolist()),
            self.decoded.program.tables,
        )


class _TransferGroup(_Group):
    def build(self) -> None:
        self.map = self.decoded.program.maps[self.column("map")]
        rank = len(self.map.extents)
        corner = np.stack([self._coordinate(d) for d in range(MAX_RANK)], axis=1)
        self.fault(
            (corner[:, rank:] != 0).any(axis=1),
            "coordinates beyond the map's rank are not 0",
            corner,
            f"rank {rank}",
        )
        self.corner = corner[:, :rank]
        self.address = self.registers[:, self.column("rs")] + self.column("spm")
        self.is_load = self.code.opcode[self.at] in (Load.opcode, Gather.opcode)
        low, high = self._range()
        size = space_bytes(self.decoded.target, Space.spm)
        self.fault(
            (low < 0) | (high > size),
            "a transfer leaves SPM",
            np.stack([low, high], axis=1),
            f"bytes 0 to {size}",
        )

    def _coordinate(self, dimension: int) -> Int64s:
        return self.registers[:, self.column(f"rc{dimension}")] + self.column(f"i{dimension}")

    def _range(self) -> tuple[Int64s, Int64s]:
        """SPM bytes that the box touches; a load touches all of it, a store the inside."""
        box = np.array(self.map.box, np.int64)
        first = np.zeros_like(self.corner)
        last = first + box - 1
        if not self.is_load:
            first = np.maximum(first, -self.corner)
            last = np.minimum(last, np.array(self.map.extents) - 1 - self.corner)
        ends = np.stack([first, last]) * np.array(self.map.spm_strides, np.int64)
        low = self.address + ends.min(axis=0).sum(axis=1)
        high = self.address + ends.max(axis=0).sum(axis=1) + self.map.dtype.bytes
        empty = (last < first).any(axis=1)
        return np.where(empty, 0, low), np.where(empty, 0, high)

    def work(self, row: int) -> Work:
        return self.transfer(row)

    def transfer(self, row: int) -> DmaWork:
        """The transfer of one dispatch."""
        mask = self.column("cores") if self.code.opcode[self.at] == Load.opcode else 0
        return DmaWork(
            self.map,
            tuple(self.corner[row].tolist()),
            int(self.address[row]),
            bool(self.is_load),
            tuple(core for core in range(len(self.decoded.cores)) if mask >> core & 1),
        )


class _IndexedGroup(_TransferGroup):
    def build(self) -> None:
        self.index = self.operand("index")
        super().build()

    def _coordinate(self, dimension: int) -> Int64s:
        return self.registers[:, self.column(f"rc{dimension}")] + (
            self.column("i0") if dimension == 0 else 0
        )

    def _range(self) -> tuple[Int64s, Int64s]:
        """SPM bytes of all boxes, each taken whole: only their indices say what is inside."""
        spans = [(b - 1) * s for b, s in zip(self.map.box, self.map.spm_strides, strict=True)]
        count = self.index.extents[:, 0]
        way = (count - 1) * self.column("step")
        low = self.address + sum(s for s in spans if s < 0) + np.minimum(way, 0)
        high = self.address + sum(s for s in spans if s > 0) + np.maximum(way, 0)
        empty = (count == 0) | (0 in self.map.box)
        return np.where(empty, 0, low), np.where(empty, 0, high + self.map.dtype.bytes)

    def work(self, row: int) -> Work:
        return IndexedWork(self.transfer(row), self.index.region(row), self.column("step"))


class _MoveGroup(_Group):
    def build(self) -> None:
        self.target = self.operand("to")
        self.source: Operand | None = None
        self.bits = np.zeros(len(self.registers), np.int64)
        if self.code.opcode[self.at] == Fill.opcode:
            self.bits = self.registers[:, self.column("rv")] + self.column("value")
            return
        self.source = self.operand("source")
        self.fault(
            (self.target.extents != self.source.extents).any(axis=1),
            "extents of the two views differ",
            np.concatenate([self.target.extents, self.source.extents], axis=1),
            "equal",
        )

    def work(self, row: int) -> Work:
        source = None if self.source is None else self.source.region(row)
        return MoveWork(self.target.region(row), source, int(self.bits[row]))


class _WordGroup(_Group):
    def build(self) -> None:
        name = MEMORIES[self.column("memory")]
        self.memory: Space | Segment = Space.spm if name == SPM else Segment[name]
        self.dtype = DType[WORD_TYPES[self.column("dtype")]]
        self.is_store = self.code.opcode[self.at] == StoreWord.opcode
        self.address = self.registers[:, self.column("ra")] + self.column("address")
        self.value = self.registers[:, self.column("rt")]
        size = (
            space_bytes(self.decoded.target, self.memory)
            if isinstance(self.memory, Space)
            else self.decoded.program.segment_bytes(self.memory)
        )
        self.fault(
            (self.address < 0) | (self.address + self.dtype.bytes > size),
            f"a word leaves {name}",
            self.address,
            f"{self.dtype.bytes} bytes within 0 to {size}",
        )

    def work(self, row: int) -> Work:
        return WordWork(
            self.memory,
            int(self.address[row]),
            self.dtype,
            bool(self.is_store),
            int(self.value[row]),
        )


def resolve_view(view: View, registers: Int64s) -> Operand:
    """A view over the register snapshots (n x 32) of n dispatches."""
    dynamic = np.array(view.extent_regs, np.int64)
    extents = np.where(dynamic > 0, registers[:, dynamic], np.array(view.extents, np.int64))
    origins = (
        np.array([w.origin for w in view.windows], np.int64)
        + registers[:, np.array([w.origin_reg for w in view.windows], np.int64)]
    )
    return Operand(view, view.base + registers[:, view.base_reg], extents, origins)


def byte_range(operand: Operand) -> tuple[Int64s, Int64s]:
    """First byte and byte after the last, windows ignored; 0, 0 where there is no point."""
    spans = (operand.extents - 1) * np.array(operand.view.strides, np.int64)
    low = operand.address + np.minimum(spans, 0).sum(axis=1)
    high = operand.address + np.maximum(spans, 0).sum(axis=1) + operand.view.dtype.bytes
    empty = (operand.extents <= 0).any(axis=1)
    return np.where(empty, 0, low), np.where(empty, 0, high)


def _param_words(record: Params, registers: Int64s) -> Int64s:
    """n x 8 raw words: the record's, or the low 32 bits of the register that replaces one."""
    words = np.zeros((len(registers), 8), np.int64)
    for position, (word, register) in enumerate(zip(record.words, record.registers, strict=True)):
        words[:, position] = registers[:, register] & 0xFFFFFFFF if register else word
    return words


def body_streams(kernel: Kernel) -> frozenset[int]:
    """Input streams that are read once per point."""
    values = {v for op in kernel.ops[: kernel.body_count] for v in op.operands}
    values |= {o.value for o in kernel.outputs if not o.epilogue}
    return frozenset(v for v in values if v < len(kernel.inputs))


def epilogue_streams(kernel: Kernel) -> frozenset[int]:
    """Input streams that are read once per output, at the first point of the reduction."""
    values = {v for op in kernel.ops[kernel.body_count :] for v in op.operands}
    values |= {o.value for o in kernel.outputs if o.epilogue}
    return frozenset(v for v in values if v < len(kernel.inputs))
