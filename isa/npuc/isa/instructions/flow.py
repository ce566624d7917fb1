"""Flow of control: hardware loops, branches inside a body, the end of a program."""

from dataclasses import dataclass
from typing import ClassVar

from npuc.isa.instructions.base import Field, Instruction, Kind, imm, operand, reg


@dataclass(frozen=True)
class Loop(Instruction):
    """Run the next ``body`` instructions ``rc + count`` times; zero or fewer skip them.

    Loops nest 8 deep. Branches never enter or leave a body.
    """

    mnemonic: ClassVar[str] = "loop"
    opcode: ClassVar[int] = 0x20
    meaning: ClassVar[str] = "repeat max(0, rc + count) times: next `body` instructions"

    rc: int = reg()
    count: int = imm(32)
    body: int = operand(Field(Kind.body, 24))


@dataclass(frozen=True)
class Break(Instruction):
    """Leave the innermost loop if ``ra`` is not 0; the rest of the body is skipped.

    It stands in a loop body.
    """

    mnemonic: ClassVar[str] = "break"
    opcode: ClassVar[int] = 0x21
    meaning: ClassVar[str] = "if ra != 0: continue after the innermost loop"

    ra: int = reg()


@dataclass(frozen=True)
class Branch(Instruction):
    """Go to this instruction + ``offset`` if ``ra`` is not 0, within the same loop body."""

    mnemonic: ClassVar[str] = "bnz"
    opcode: ClassVar[int] = 0x22
    meaning: ClassVar[str] = "if ra != 0: pc += offset"

    ra: int = reg()
    offset: int = operand(Field(Kind.offset, 24))


@dataclass(frozen=True)
class Jump(Instruction):
    """Go to this instruction + ``offset``, within the same loop body."""

    mnemonic: ClassVar[str] = "jump"
    opcode: ClassVar[int] = 0x23
    meaning: ClassVar[str] = "pc += offset"

    offset: int = operand(Field(Kind.offset, 24))


@dataclass(frozen=True)
class Halt(Instruction):
    """End of the core's program; it is over when every engine is idle."""

    mnemonic: ClassVar[str] = "halt"
    opcode: ClassVar[int] = 0x24
    meaning: ClassVar[str] = "stop"


@dataclass(frozen=True)
class Trap(Instruction):
    """Stop the whole run with an error ``code``."""

    mnemonic: ClassVar[str] = "trap"
    opcode: ClassVar[int] = 0x25
    meaning: ClassVar[str] = "stop with error `code`"

    code: int = operand(Field(Kind.count, 32))


INSTRUCTIONS: tuple[type[Instruction], ...] = (Loop, Break, Branch, Jump, Halt, Trap)
