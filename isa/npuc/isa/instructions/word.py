"""Words of memory in scalar registers: ctl's own loads and stores."""

from dataclasses import dataclass
from typing import ClassVar

from npuc.isa.instructions.base import (
    Command,
    Engine,
    Field,
    Instruction,
    Kind,
    imm,
    operand,
    reg,
)

SPM = "spm"
ARGUMENTS = "arguments"
# Names of SPM and of the segments, in code order.
MEMORIES = (SPM, "constant", "input", "output", "scratch", "state", ARGUMENTS)
WORD_TYPES = ("i64", "i32", "i16", "i8", "u16", "u8")


@dataclass(frozen=True)
class Word(Command):
    """Operands that both share: register ``rt`` and byte address ``ra + address`` in ``memory``.

    The address has any alignment. ``memory`` is the core's own SPM, a segment of DRAM, or the
    argument block, which only word loads can read. Integers of ``dtype`` stand for themselves;
    signed ones are extended by their sign, unsigned ones by zeros.
    """

    rt: int = reg()
    ra: int = reg()
    address: int = imm(40)
    memory: int = operand(Field(Kind.choice, 3, MEMORIES))
    dtype: int = operand(Field(Kind.choice, 3, WORD_TYPES))

    @property
    def engine(self) -> Engine:
        """ctl: it holds back the instruction stream until it is done."""
        return Engine.ctl


@dataclass(frozen=True)
class LoadWord(Word):
    """Put a word of memory into a register: from there on control depends on values.

    A load of SPM or DRAM must be ordered after the writer of its bytes, by its own waits, or by a
    fence before it. Register 0 stays 0.
    """

    mnemonic: ClassVar[str] = "ldw"
    opcode: ClassVar[int] = 0x30
    meaning: ClassVar[str] = "rt = extend(memory[ra + address])"


@dataclass(frozen=True)
class StoreWord(Word):
    """Put the low bits of a register into SPM or DRAM."""

    mnemonic: ClassVar[str] = "stw"
    opcode: ClassVar[int] = 0x31
    meaning: ClassVar[str] = "memory[ra + address] = low bits of rt"


INSTRUCTIONS: tuple[type[Instruction], ...] = (LoadWord, StoreWord)
