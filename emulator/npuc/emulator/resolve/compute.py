"""Operands of the compute commands: matrix, vector, scan, top k and sort."""

import numpy as np

from npuc.emulator.region import (
    MmaWork,
    Part,
    ScanWork,
    SelectWork,
    VexecWork,
    Work,
)
from npuc.emulator.resolve.operands import Group, Operand, undefined
from npuc.emulator.stream import Int64s
from npuc.emulator.validate import (
    MMA_OPERANDS,
    SELECTION_OUTPUTS,
    VEXEC_INPUTS,
    VEXEC_OUTPUTS,
)
from npuc.isa.descriptors import Params
from npuc.isa.instructions import NO_INDEX
from npuc.isa.instructions.ordered import DOMAINS, SCAN_OPERATIONS, Sort
from npuc.isa.numerics.reduction import PARTIAL_COUNT

_PARALLEL = 4
MAX_TOTAL = 2**31 - 1
_NO_PARAMS = Params(())
# Pairs of (operand, dimensions) whose extents are equal: m, n and k of a matrix command.
_MMA_EQUAL = (
    ("acc", slice(0, 3), "a", slice(0, 3)),
    ("acc", slice(3, 4), "w", slice(3, 4)),
    ("a", slice(3, 6), "w", slice(0, 3)),
)


class MmaGroup(Group):
    """Dispatches of one ``mma``."""

    def build(self) -> None:
        self.views = {name: self.operand(name) for name in MMA_OPERANDS}
        for first, some, second, others in _MMA_EQUAL:
            left, right = self.views[first].extents[:, some], self.views[second].extents[:, others]
            self.fault(
                (left != right).any(axis=1),
                undefined(f"extents of {first} and {second} differ"),
                np.concatenate([left, right], axis=1),
                "equal",
            )
        a_points = self.views["a"].extents.astype(np.float64).prod(axis=1)
        self.points = a_points * self.views["w"].extents[:, 3]
        register = self.registers[:, self.column("rk")]
        self.accumulate = (self.column("accumulate") != 0) | (register != 0)

    def work(self, row: int) -> Work:
        acc, a, w = (self.views[name].region(row) for name in MMA_OPERANDS)
        return MmaWork(acc, a, w, bool(self.accumulate[row]))


class VexecGroup(Group):
    """Dispatches of one ``vexec``."""

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
        in_body = self.kernel.body_streams
        for position, operand in enumerate(self.inputs):
            section = "body" if position in in_body else "epilogue"
            self._check_space(VEXEC_INPUTS[position], operand, section)
            if position in self.kernel.epilogue_streams:
                empty = (operand.extents[:, _PARALLEL:] == 0).any(axis=1)
                self.fault(
                    empty,
                    undefined(f"{VEXEC_INPUTS[position]} has no first point of the reduction"),
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
            undefined(f"extents of {name} differ from the space"),
            operand.extents,
            "those of the first stream; 1 in reduction dimensions of the epilogue",
        )

    def work(self, row: int) -> VexecWork:
        return VexecWork(
            self.kernel,
            tuple(self.words[row].tolist()),
            tuple(o.region(row) for o in self.inputs),
            tuple(o.region(row) for o in self.outputs),
            tuple(self.space[row].tolist()),
            self.decoded.program.tables,
        )


class VexecPartGroup(VexecGroup):
    """Dispatches of one ``vpart``."""

    def build(self) -> None:
        super().build()
        self.state = self.operand("state")
        own = self.space[:, _PARALLEL:].prod(axis=1)
        start = self.registers[:, self.column("rstart")] + self.column("start")
        total = self.registers[:, self.column("rtotal")] + self.column("total")
        self.span = np.stack([start, start + own, total], axis=1)
        bad = (start < 0) | (start > MAX_TOTAL) | (start + own > total) | (total > MAX_TOTAL)
        self.fault(
            bad, undefined("a part lies outside its reduction (start, stop, total)"), self.span,
            f"0 <= start, stop <= total <= {MAX_TOTAL}",
        )  # fmt: skip
        words = np.full((len(own), 2), (len(self.kernel.reductions), PARTIAL_COUNT))
        wanted = np.concatenate([self.space[:, :_PARALLEL], words], axis=1)
        self.fault(
            (self.state.extents != wanted).any(axis=1),
            undefined("extents of state do not suit the kernel"),
            self.state.extents,
            "those of the parallel space, the number of reductions, 16",
        )

    def work(self, row: int) -> VexecWork:
        start, stop, total = self.span[row].tolist()
        return super().work(row)._replace(part=Part(self.state.region(row), start, stop, total))


class ScanGroup(Group):
    """Dispatches of one ``scan``."""

    def build(self) -> None:
        self.source, self.out = self.operand("source"), self.operand("out")
        self.first = None if self.column("first") == NO_INDEX else self.operand("first")
        self._check_axis("out", self.out, self.source.extents[:, _PARALLEL])
        if self.first is not None:
            self._check_axis("first", self.first, np.ones_like(self.source.extents[:, 0]))

    def _check_axis(self, name: str, operand: Operand, length: Int64s) -> None:
        rows = (operand.extents != self.source.extents)[:, :_PARALLEL].any(axis=1)
        self.fault(
            rows | (operand.extents[:, _PARALLEL] != length),
            undefined(f"extents of {name} do not suit the source"),
            operand.extents,
            "the source's rows; along the axis its length, 1 for first, up to it for top k",
        )

    def work(self, row: int) -> Work:
        first = None if self.first is None else self.first.region(row)
        operation = SCAN_OPERATIONS[self.column("operation")]
        exclusive = bool(self.column("exclusive"))
        return ScanWork(self.source.region(row), self.out.region(row), first, operation, exclusive)


class SelectGroup(ScanGroup):
    """Dispatches of one ``topk`` or ``sort``."""

    def build(self) -> None:
        self.source = self.operand("source")
        names = [name for name in SELECTION_OUTPUTS if self.column(name) != NO_INDEX]
        self.outputs = {name: self.operand(name) for name in names}
        is_sort = self.code.opcode[self.at] == Sort.opcode
        available = self.source.extents[:, _PARALLEL]
        wanted = self.outputs[names[0]].extents[:, _PARALLEL]
        length = available if is_sort else np.minimum(wanted, available)
        for name, operand in self.outputs.items():
            self._check_axis(name, operand, length)
        flag = bool(self.column("descending" if is_sort else "smallest"))
        self.descending = flag == is_sort

    def work(self, row: int) -> Work:
        values, indices = (
            self.outputs[name].region(row) if name in self.outputs else None
            for name in SELECTION_OUTPUTS
        )
        domain = DOMAINS[self.column("domain")][0]
        return SelectWork(self.source.region(row), values, indices, domain, self.descending)


def _param_words(record: Params, registers: Int64s) -> Int64s:
    """n x 8 raw words: the record's, or the low 32 bits of the register that replaces one."""
    words = np.zeros((len(registers), 8), np.int64)
    for position, (word, register) in enumerate(zip(record.words, record.registers, strict=True)):
        words[:, position] = registers[:, register] & 0xFFFFFFFF if register else word
    return words
