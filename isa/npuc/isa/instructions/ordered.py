"""The vector unit's modes with an order of their own: scan, top k and sort.

Every view has rank 5: four dimensions of rows (p0, p1, p2, p3), then the axis that is worked along.
Rows do not see each other. Streams convert on load and store as those of ``vexec``.
"""

from dataclasses import dataclass
from typing import ClassVar

from npuc.isa.instructions.base import Command, Engine, Field, Instruction, Kind, operand, view

SCAN_OPERATIONS = ("sumf", "prodf", "minf", "maxf", "sumi", "prodi", "mini", "maxi")
DOMAINS = ("float", "int")


@dataclass(frozen=True)
class Ordered(Command):
    """The source and the engine; all elements are read before the first is written."""

    source: int = view()

    @property
    def engine(self) -> Engine:
        """vpu."""
        return Engine.vpu


@dataclass(frozen=True)
class Scan(Ordered):
    """Each prefix of a row, reduced by ``operation``, element after element in ascending order.

    ``out`` has the extents of the source. ``first``, with extent 1 along the axis, is taken before
    element 0: a long row may be cut anywhere, and no bit changes. ``exclusive`` leaves the own
    element out and starts with ``first`` or the neutral element. One rounding a step.
    Cycles: start-up + ceil(rows / lanes) x length x cost of the operation.
    """

    mnemonic: ClassVar[str] = "scan"
    opcode: ClassVar[int] = 0x59
    meaning: ClassVar[str] = "for p: for n: out[n] = first op source[0] op .. op source[n]"

    out: int = view()
    first: int = view(named=True)
    operation: int = operand(Field(Kind.choice, 3, SCAN_OPERATIONS))
    exclusive: int = operand(Field(Kind.flag, 1))


@dataclass(frozen=True)
class Selection(Ordered):
    """Operands that top k and sort share: where values and indices go, at least one of them.

    Elements compare as numbers of the domain, -0 equal to +0; NaN is larger than every number;
    among equals the lowest index comes first. Indices count from 0 along the axis, as int32.
    """

    values: int = view(named=True)
    indices: int = view(named=True)
    domain: int = operand(Field(Kind.choice, 1, DOMAINS))


@dataclass(frozen=True)
class TopK(Selection):
    """The k largest elements of each row, largest first; with ``smallest`` the smallest ones.

    k is the extent of the outputs along the axis, at most the source's.
    Cycles: start-up + rows x (length x ceil(k / lanes) + k).
    """

    mnemonic: ClassVar[str] = "topk"
    opcode: ClassVar[int] = 0x5A
    meaning: ClassVar[str] = "for p: values, indices = first k of the row sorted"

    smallest: int = operand(Field(Kind.flag, 1))


@dataclass(frozen=True)
class Sort(Selection):
    """Each row in ascending order, with ``descending`` the other way round.

    Cycles, with 2^e the length rounded up to a power of two:
    start-up + rows x ceil(2^e / lanes) x e (e + 1) / 2, but at least one for each row.
    """

    mnemonic: ClassVar[str] = "sort"
    opcode: ClassVar[int] = 0x5B
    meaning: ClassVar[str] = "for p: values, indices = the row sorted"

    descending: int = operand(Field(Kind.flag, 1))


INSTRUCTIONS: tuple[type[Instruction], ...] = (Scan, TopK, Sort)
