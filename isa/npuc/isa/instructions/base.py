"""What every instruction has: fields with bit positions, and for commands waits and an increment.

Layout of the 256 bits, little-endian:

====== ==================================================================================
bits   meaning
====== ==================================================================================
0-7    opcode
8-13   increment of a command: counter index (5 bits), then 1 if the command increments
14-15  zero
16-47  first wait: threshold immediate (15, signed), threshold register (5), counter (12)
48-79  second wait
80-255 operand fields, packed from bit 80 upwards in the order of the class's dataclass fields
====== ==================================================================================

A counter is core (4 bits) x engine (3 bits) x index (5 bits), core in the highest bits. A wait
holds when counter >= register + immediate; thresholds <= 0 hold at once, so an all-zero wait is
no wait. Unused bits are zero and checked.
"""

from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cache, cached_property
from typing import Any, ClassVar

INSTRUCTION_BYTES = 32
OPERAND_START = 80
NO_INDEX = 0xFFFF
WAIT_IMM_MIN, WAIT_IMM_MAX = -(1 << 14), (1 << 14) - 1
MAX_LOOP_DEPTH = 8
REGISTERS = 32
COUNTERS_PER_ENGINE = 32


class Engine(Enum):
    """Who executes an instruction; the value is its code in counters."""

    ctl = 0
    ld0 = 1
    ld1 = 2
    st = 3
    mxu = 4
    vpu = 5
    __hash__ = object.__hash__  # as DType


class Kind(Enum):
    """What a field holds; it decides the assembly text and the range."""

    reg = "r"  # scalar register number
    imm = ""  # signed immediate
    count = "#"  # unsigned immediate
    flag = "flag"  # one bit, written as the field's name when set
    view = "v"  # index of a view, NO_INDEX for none
    map = "m"  # index of a tensor map
    kernel = "k"  # index of a kernel
    params = "p"  # index of a parameter record
    choice = "choice"  # one of the names in ``choices``
    offset = "@"  # signed distance in instructions, written as a label
    body = "{}"  # number of instructions that follow, written as braces around them


@dataclass(frozen=True)
class Field:
    """One operand field: its kind, width in bits and, for ``choice``, the names in code order.

    In assembly a ``named`` field is written ``name=value`` and left out where it has its default;
    a register followed by an immediate is written as their sum, under the immediate's name.
    """

    kind: Kind
    width: int
    choices: tuple[str, ...] = ()
    named: bool = False

    @property
    def is_signed(self) -> bool:
        """Whether the field is two's complement."""
        return self.kind in (Kind.imm, Kind.offset)

    @cached_property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest value."""
        if self.kind is Kind.choice:
            return 0, len(self.choices) - 1
        if self.is_signed:
            return -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        return 0, (1 << self.width) - 1


@dataclass(frozen=True)
class Counter:
    """A counter: increments of ``engine`` of ``core`` under ``index``."""

    core: int
    engine: Engine
    index: int = 0


@dataclass(frozen=True)
class Wait:
    """Hold back until ``counter`` >= value of register ``reg`` + ``imm``."""

    counter: Counter
    reg: int = 0
    imm: int = 0


def operand(spec: Field, default: int = 0) -> Any:
    """A dataclass field that is the operand ``spec``."""
    return field(default=default, metadata={"field": spec})


@dataclass(frozen=True)
class Instruction:
    """One instruction. Subclasses add operand fields; the docstring is the manual's text.

    ``meaning`` is pseudo-code for the manual. Scalar instructions also have ``compute``.
    """

    mnemonic: ClassVar[str]
    opcode: ClassVar[int]
    meaning: ClassVar[str]
    extension: ClassVar[str] = ""

    @property
    def engine(self) -> Engine:
        """The engine that executes the instruction."""
        return Engine.ctl

    @classmethod
    @cache
    def layout(cls) -> tuple[tuple[str, Field, int], ...]:
        """(name, field, first bit) of every operand, in order."""
        rows, bit = [], OPERAND_START
        for f in fields(cls):
            if "field" in f.metadata:
                spec: Field = f.metadata["field"]
                rows.append((f.name, spec, bit))
                bit += spec.width
        assert bit <= 8 * INSTRUCTION_BYTES, f"{cls.__name__} needs {bit} bits"
        return tuple(rows)


@dataclass(frozen=True)
class Command(Instruction):
    """An instruction that an engine executes: it may wait for counters and increment one.

    ``waits`` holds at most two; ``increment`` is the index of a counter of its own engine.
    """

    waits: tuple[Wait, ...] = field(default=(), kw_only=True)
    increment: int | None = field(default=None, kw_only=True)


def reg(*, named: bool = False) -> Any:
    """A scalar register operand; r0 unless given."""
    return operand(Field(Kind.reg, 5, named=named))


def imm(width: int, *, named: bool = False) -> Any:
    """A signed immediate operand; 0 unless given."""
    return operand(Field(Kind.imm, width, named=named))


def view(*, named: bool = False) -> Any:
    """A view index; NO_INDEX where the operand is absent."""
    return operand(Field(Kind.view, 16, named=named), NO_INDEX)
