"""Order: commands that only wait and increment, and the fence of ctl."""

from dataclasses import dataclass
from typing import ClassVar

from npuc.isa.instructions.base import Command, Engine, Field, Instruction, Kind, operand

ENGINES = ("ctl", "ld0", "ld1", "st", "mxu", "vpu")


@dataclass(frozen=True)
class Nop(Command):
    """Do nothing on ``queue`` but wait and increment, in its order."""

    mnemonic: ClassVar[str] = "nop"
    opcode: ClassVar[int] = 0x60
    meaning: ClassVar[str] = "wait; increment"

    queue: int = operand(Field(Kind.choice, 3, ENGINES), 1)

    @property
    def engine(self) -> Engine:
        """The engine whose queue takes it; on ``ctl`` it holds back the instruction stream."""
        return Engine(self.queue)


@dataclass(frozen=True)
class Fence(Instruction):
    """Hold back the instruction stream until every engine of the core is idle."""

    mnemonic: ClassVar[str] = "fence"
    opcode: ClassVar[int] = 0x61
    meaning: ClassVar[str] = "wait until every queue of this core is empty and every engine idle"


INSTRUCTIONS: tuple[type[Instruction], ...] = (Nop, Fence)
