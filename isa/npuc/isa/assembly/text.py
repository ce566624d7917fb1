"""Instructions and descriptors as text, each on its own; the words of the grammar."""

import json
import struct
from dataclasses import dataclass
from typing import Any

from npuc.isa.assembly.operands import NONE, PREFIXES, TABLES, Slot, form
from npuc.isa.descriptors import Kernel, Params, TensorMap, View
from npuc.isa.descriptors.kernel import FIRST_PARAM, FIRST_RESULT
from npuc.isa.instructions import NO_INDEX, Command, Instruction, Kind, Wait
from npuc.isa.program import Argument, Program


@dataclass(frozen=True)
class Surroundings:
    """What an instruction's text may lean on: table lengths, its core, the label it goes to."""

    lengths: tuple[tuple[str, int], ...] = ()
    core: int | None = None
    label: str = ""

    @staticmethod
    def of(program: Program, core: int | None = None) -> "Surroundings":
        """Those of a program: descriptors that exist are named, others stay numbers."""
        return Surroundings(tuple((t, len(getattr(program, t))) for t in PREFIXES), core)

    def name(self, table: str, index: int) -> str:
        """The name of a descriptor, e.g. ``v3``; its bare number where there is none."""
        if not self.lengths or index < dict(self.lengths)[table]:
            return f"{PREFIXES[table]}{index}"
        return str(index)


ALONE = Surroundings()
TABLE_LINE = 32  # bytes of a table on one line
MAX_BRACES = 64  # deeper bodies are written as numbers


def instruction_text(instruction: Instruction, around: Surroundings = ALONE) -> str:
    """One instruction: mnemonic, operands, waits, increment; a loop's body is not shown."""
    operands = [
        text for s in form(type(instruction)).slots if (text := _operand(instruction, s, around))
    ]
    words = [instruction.mnemonic]
    if operands:
        words.append(", ".join(operands))
    if isinstance(instruction, Command):
        words += [wait_text(wait, around.core) for wait in instruction.waits]
        if instruction.increment is not None:
            words.append(f"inc {instruction.increment}")
    return " ".join(words)


def wait_text(wait: Wait, core: int | None = None) -> str:
    """``wait core0.st[0] >= r3 - 2``; the core is left out where it is ``core``."""
    counter = wait.counter
    prefix = "" if counter.core == core else f"core{counter.core}."
    return f"wait {prefix}{counter.engine.name}[{counter.index}] >= {sum_text(wait.reg, wait.imm)}"


def sum_text(register: int, immediate: int) -> str:
    """A register plus an immediate, without the part that is zero."""
    if register == 0:
        return str(immediate)
    if immediate == 0:
        return f"r{register}"
    return f"r{register} {'-' if immediate < 0 else '+'} {abs(immediate)}"


def _operand(instruction: Instruction, slot: Slot, around: Surroundings) -> str:
    defaults = form(type(instruction)).defaults
    if slot.spec.kind is Kind.flag:
        return slot.name if getattr(instruction, slot.name) else ""
    if slot.spec.named and all(getattr(instruction, f) == defaults[f] for f in slot.fields):
        return ""
    text = _value(instruction, slot, around)
    return f"{slot.name}={text}" if slot.spec.named else text


def _value(instruction: Instruction, slot: Slot, around: Surroundings) -> str:
    value: int = getattr(instruction, slot.name)
    if slot.register:
        return sum_text(getattr(instruction, slot.register), value)
    if slot.spec.kind in TABLES:
        return NONE if value == NO_INDEX else around.name(TABLES[slot.spec.kind], value)
    if slot.spec.kind is Kind.choice:
        return slot.spec.choices[value]
    if slot.spec.kind is Kind.offset:
        return around.label or str(value)
    return f"r{value}" if slot.spec.kind is Kind.reg else str(value)


def body_length(instruction: Instruction) -> int | None:
    """Instructions of the body that follows; None for all but loops."""
    name = form(type(instruction)).body
    return int(getattr(instruction, name)) if name else None


def label_offset(instruction: Instruction) -> int | None:
    """Distance to the instruction that a branch goes to; None for all but branches."""
    name = form(type(instruction)).offset
    return int(getattr(instruction, name)) if name else None


def view_text(view: View) -> str:
    """``i8 spm r4 + 64 [4:8, r5<=8:1] window -1 < 4 (1, 0) fill 0x3``."""
    dims = [
        (f"r{reg}<=" if reg else "") + f"{extent}:{stride}"
        for extent, stride, reg in zip(view.extents, view.strides, view.extent_regs, strict=True)
    ]
    words = [view.dtype.name, view.space.name, sum_text(view.base_reg, view.base)]
    words.append(f"[{', '.join(dims)}]")
    for w in view.windows:
        coefficients = ", ".join(map(str, w.coefficients))
        words.append(f"window {sum_text(w.origin_reg, w.origin)} < {w.limit} ({coefficients})")
    return " ".join(words + _fill(view.fill))


def map_text(tensor_map: TensorMap) -> str:
    """``input i8 0 [4:8, 8:1] box [4:8, 8:1] fill 0xff``."""
    m = tensor_map
    dram, box = _pairs(m.extents, m.dram_strides), _pairs(m.box, m.spm_strides)
    words = [m.segment.name, m.dtype.name, str(m.base), dram, "box", box]
    return " ".join(words + _fill(m.fill))


def _pairs(extents: tuple[int, ...], strides: tuple[int, ...]) -> str:
    return "[" + ", ".join(f"{e}:{s}" for e, s in zip(extents, strides, strict=True)) + "]"


def _fill(fill: int) -> list[str]:
    return [f"fill {fill:#x}"] if fill else []


def kernel_lines(kernel: Kernel) -> list[str]:
    """The lines of a kernel after its name: domains of the streams, micro-ops, stores, brace."""
    lines = [f"({', '.join(s.domain for s in kernel.inputs)}) {{"]
    for position, op in enumerate(kernel.ops):
        if position == kernel.body_count:
            lines.append("epilogue:")
        operands = " ".join(["", ", ".join(map(value_name, op.operands))]).rstrip()
        immediate = f" # {op.immediate}" if op.immediate else ""
        lines.append(f"  %{position} = {op.name}{operands}{immediate}")
    for output in kernel.outputs:
        section = "epilogue" if output.epilogue else "body"
        lines.append(f"  store {section} {value_name(output.value)}")
    return [*lines, "}"]


def value_name(value: int) -> str:
    """The name of a kernel's value: ``in0``, ``p0`` or ``%0``."""
    if value >= FIRST_RESULT:
        return f"%{value - FIRST_RESULT}"
    return f"p{value - FIRST_PARAM}" if value >= FIRST_PARAM else f"in{value}"


def params_text(params: Params) -> str:
    """``0x3f000000, 0x7 r6``: raw words, each with the register that replaces it."""
    words = [
        f"{word:#x}" + (f" r{reg}" if reg else "")
        for word, reg in zip(params.words, params.registers, strict=True)
    ]
    return ", ".join(words[: _written(params)])


def params_reading(params: Params) -> str:
    """The words of a record as the numbers that they most likely are, for a comment."""
    return ", ".join(_reading(word) for word in params.words[: _written(params)])


def _written(params: Params) -> int:
    """Words up to the last that is not zero or that a register replaces."""
    pairs = zip(params.words, params.registers, strict=True)
    return max((i + 1 for i, pair in enumerate(pairs) if any(pair)), default=0)


def _reading(word: int) -> str:
    raw = word.to_bytes(4, "little")
    real: float = struct.unpack("<f", raw)[0]
    return f"{real:.9g}" if 1e-20 < abs(real) < 1e20 else str(struct.unpack("<i", raw)[0])


def argument_text(argument: Argument) -> str:
    """``"x" i8 [4, 8] at 0 scale 0.5 zero -3``."""
    shape, q = ", ".join(map(str, argument.shape)), argument.quantisation
    quantised = f" scale {q.scale!r} zero {q.zero_point}" if q else ""
    return (
        f"{quoted(argument.name)} {argument.dtype.name} [{shape}] at {argument.offset}{quantised}"
    )


def quoted(text: str) -> str:
    """A string literal on one line."""
    return json.dumps(text)


def descriptor_lines(program: Program, table: str, index: int) -> list[str]:
    """The definition of one descriptor as it stands in assembly, without the directive."""
    row: Any = getattr(program, table)[index]
    name = f"{PREFIXES[table]}{index}"
    if table == "kernels":
        first, *rest = kernel_lines(row)
        return [f"{name} {first}", *rest]
    if table == "tables":
        raw = row.pack()
        starts = range(0, len(raw), TABLE_LINE)
        return [f"{name} {{", *(f"  {raw[i : i + TABLE_LINE].hex()}" for i in starts), "}"]
    if table == "params":
        reading = params_reading(row)
        return [f"{name} = {params_text(row)} ; {reading}" if reading else f"{name} ="]
    return [f"{name} = {view_text(row) if table == 'views' else map_text(row)}"]
