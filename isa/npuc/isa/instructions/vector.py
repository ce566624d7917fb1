"""The vector command."""

from dataclasses import dataclass
from typing import ClassVar

from npuc.isa.instructions.base import (
    NO_INDEX,
    Command,
    Engine,
    Field,
    Instruction,
    Kind,
    operand,
    view,
)


@dataclass(frozen=True)
class Vexec(Command):
    """Run a vector kernel over a space of 4 parallel and 3 reduction dimensions.

    Every view has rank 7: (p0, p1, p2, p3, r0, r1, r2). Input streams and body outputs have the
    extents of the space; epilogue outputs have extent 1 in the reduction dimensions. The space is
    that of the first input stream, or of the first output where there is none. The reduction
    space is flattened row-major, r2 fastest. A stream that the epilogue reads is read at r = 0.
    Parameter record NO_INDEX stands for no parameters.
    """

    mnemonic: ClassVar[str] = "vexec"
    opcode: ClassVar[int] = 0x58
    meaning: ClassVar[str] = (
        "for p: for r: body; epilogue once per p; outputs as the kernel tags them"
    )

    kernel: int = operand(Field(Kind.kernel, 16))
    params: int = operand(Field(Kind.params, 16, named=True), NO_INDEX)
    in0: int = view(named=True)
    in1: int = view(named=True)
    in2: int = view(named=True)
    in3: int = view(named=True)
    in4: int = view(named=True)
    in5: int = view(named=True)
    out0: int = view(named=True)
    out1: int = view(named=True)

    @property
    def engine(self) -> Engine:
        """vpu."""
        return Engine.vpu


INSTRUCTIONS: tuple[type[Instruction], ...] = (Vexec,)
