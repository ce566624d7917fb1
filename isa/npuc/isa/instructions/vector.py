"""The vector command, whole and in parts."""

from dataclasses import dataclass
from typing import ClassVar

from npuc.isa.instructions.base import (
    NO_INDEX,
    Command,
    Engine,
    Field,
    Instruction,
    Kind,
    imm,
    operand,
    reg,
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


@dataclass(frozen=True)
class VexecPart(Command):
    """Run a vector kernel over one part of a reduction that several commands share.

    As ``vexec``, with at most 4 input streams and one output. The parts follow one another in the
    flattened reduction space: start = ``rstart + start`` elements came before, this command takes
    those of its own reduction space, total = ``rtotal + total`` is the length of the whole; a
    command with start < 0, or start + own > total, or total >= 2^31 traps. ``state`` is a view of
    rank 6 (p0, p1, p2, p3, reduction, word) of f32 or i32: 16 raw words for each reduction of the
    kernel, in the order of its micro-ops. A part with start > 0 reads them. A part with
    start + own < total writes them, and then neither the epilogue runs nor its output is written;
    the part that reaches total is the last. The bits of the result are those of one ``vexec`` over
    the whole, however it is cut. ``index`` along a reduction dimension counts within the part; a
    stream that the epilogue reads is read at r = 0 of the last part. Reductions to an index
    (``argminf`` ..) cannot be cut.
    """

    mnemonic: ClassVar[str] = "vpart"
    opcode: ClassVar[int] = 0x5C
    meaning: ClassVar[str] = (
        "for p: state = fold(state if start > 0, body over r); "
        "if start + own == total: epilogue once per p"
    )

    kernel: int = operand(Field(Kind.kernel, 16))
    params: int = operand(Field(Kind.params, 16, named=True), NO_INDEX)
    in0: int = view(named=True)
    in1: int = view(named=True)
    in2: int = view(named=True)
    in3: int = view(named=True)
    out0: int = view(named=True)
    state: int = view(named=True)
    rstart: int = reg(named=True)
    start: int = imm(19, named=True)
    rtotal: int = reg(named=True)
    total: int = imm(19, named=True)

    @property
    def engine(self) -> Engine:
        """vpu."""
        return Engine.vpu


INSTRUCTIONS: tuple[type[Instruction], ...] = (Vexec, VexecPart)
