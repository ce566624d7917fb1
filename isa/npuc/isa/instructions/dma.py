"""DMA commands: boxes of tensors between DRAM and SPM."""

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
    view,
)

QUEUES = ("ld0", "ld1")


@dataclass(frozen=True)
class Transfer(Command):
    """Operands that load and store share.

    The box starts at coordinate ``c[d] = value of rc<d> + i<d>`` (may be negative), in the order
    of the map's dimensions; coordinates beyond the map's rank must be 0. Its SPM side starts at
    ``value of rs + spm``, in bytes.
    """

    map: int = operand(Field(Kind.map, 16))
    rs: int = reg(named=True)
    spm: int = imm(32, named=True)
    rc0: int = reg(named=True)
    i0: int = imm(16, named=True)
    rc1: int = reg(named=True)
    i1: int = imm(16, named=True)
    rc2: int = reg(named=True)
    i2: int = imm(16, named=True)
    rc3: int = reg(named=True)
    i3: int = imm(16, named=True)
    rc4: int = reg(named=True)
    i4: int = imm(16, named=True)


@dataclass(frozen=True)
class Load(Transfer):
    """Move a box from DRAM to SPM; elements outside the tensor become the map's fill value.

    ``cores`` is a mask: bit i sends the box to core i, at the same SPM address; 0 is the core's
    own. Only the queue of the core itself is busy and counts; others wait on its counter.
    """

    mnemonic: ClassVar[str] = "ld"
    opcode: ClassVar[int] = 0x40
    meaning: ClassVar[str] = (
        "for b in box: SPM[rs + spm + b.spm_strides] = DRAM[element c + b] if inside else fill"
    )

    queue: int = operand(Field(Kind.choice, 1, QUEUES))
    cores: int = operand(Field(Kind.count, 16, named=True))

    @property
    def engine(self) -> Engine:
        """ld0 or ld1: two independent queues."""
        return (Engine.ld0, Engine.ld1)[self.queue]


@dataclass(frozen=True)
class Store(Transfer):
    """Move a box from SPM to DRAM; elements outside the tensor are not written."""

    mnemonic: ClassVar[str] = "st"
    opcode: ClassVar[int] = 0x41
    meaning: ClassVar[str] = (
        "for b in box: if element c + b inside: DRAM[it] = SPM[rs + spm + b.spm_strides]"
    )

    @property
    def engine(self) -> Engine:
        """st: the one queue for stores."""
        return Engine.st


@dataclass(frozen=True)
class Indexed(Command):
    """Operands that gather and scatter share.

    ``index`` is a view of rank 1 in SPM, of i32: the list. Box number j starts at coordinates
    ``(index[j] + value of rc0 + i0, value of rc1, .. rc4)``, in the order of the map's dimensions
    (those beyond the rank must be 0); its SPM side starts at ``value of rs + spm + j * step``.
    The list is read before anything is moved; boxes move in its order. Cycles are those of one
    transfer of all boxes, whatever the indices are.
    """

    map: int = operand(Field(Kind.map, 16))
    index: int = view()
    rs: int = reg(named=True)
    spm: int = imm(32, named=True)
    step: int = operand(Field(Kind.imm, 32, named=True))
    rc0: int = reg(named=True)
    i0: int = imm(16, named=True)
    rc1: int = reg(named=True)
    rc2: int = reg(named=True)
    rc3: int = reg(named=True)
    rc4: int = reg(named=True)


@dataclass(frozen=True)
class Gather(Indexed):
    """Move one box per index from DRAM to SPM; what lies outside the tensor becomes fill."""

    mnemonic: ClassVar[str] = "gather"
    opcode: ClassVar[int] = 0x42
    meaning: ClassVar[str] = "for j: ld box (index[j] + rc0 + i0, rc1, ..) to rs + spm + j * step"

    queue: int = operand(Field(Kind.choice, 1, QUEUES))

    @property
    def engine(self) -> Engine:
        """ld0 or ld1."""
        return (Engine.ld0, Engine.ld1)[self.queue]


@dataclass(frozen=True)
class Scatter(Indexed):
    """Move one box per index from SPM to DRAM; what lies outside the tensor is not written.

    Where indices repeat, the last of the list stays.
    """

    mnemonic: ClassVar[str] = "scatter"
    opcode: ClassVar[int] = 0x43
    meaning: ClassVar[str] = "for j: st box (index[j] + rc0 + i0, rc1, ..) from rs + spm + j * step"

    @property
    def engine(self) -> Engine:
        """st."""
        return Engine.st


@dataclass(frozen=True)
class Copy(Command):
    """Copy elements inside SPM: two views of equal extents and element type, no bit changed.

    All elements are read before the first is written. Windows work as everywhere: the source
    reads as its fill outside, the target drops what lies outside.
    """

    mnemonic: ClassVar[str] = "copy"
    opcode: ClassVar[int] = 0x44
    meaning: ClassVar[str] = "for i: to[i] = from[i]"

    to: int = view()
    source: int = view()
    queue: int = operand(Field(Kind.choice, 1, QUEUES))

    @property
    def engine(self) -> Engine:
        """ld0 or ld1."""
        return (Engine.ld0, Engine.ld1)[self.queue]


@dataclass(frozen=True)
class Fill(Command):
    """Fill a view in SPM with the low bits of ``rv + value``."""

    mnemonic: ClassVar[str] = "fill"
    opcode: ClassVar[int] = 0x45
    meaning: ClassVar[str] = "for i: to[i] = low bits of (rv + value)"

    to: int = view()
    rv: int = reg()
    value: int = imm(33)
    queue: int = operand(Field(Kind.choice, 1, QUEUES))

    @property
    def engine(self) -> Engine:
        """ld0 or ld1."""
        return (Engine.ld0, Engine.ld1)[self.queue]


INSTRUCTIONS: tuple[type[Instruction], ...] = (Load, Store, Gather, Scatter, Copy, Fill)
