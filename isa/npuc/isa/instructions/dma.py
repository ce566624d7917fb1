"""DMA commands: boxes of tensors between DRAM and SPM."""

from dataclasses import dataclass
from typing import ClassVar

from npuc.isa.instructions.base import Command, Engine, Field, Instruction, Kind, imm, operand, reg

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
    """Move a box from DRAM to SPM; elements outside the tensor become the map's fill value."""

    mnemonic: ClassVar[str] = "ld"
    opcode: ClassVar[int] = 0x40
    meaning: ClassVar[str] = (
        "for b in box: SPM[rs + spm + b.spm_strides] = DRAM[element c + b] if inside else fill"
    )

    queue: int = operand(Field(Kind.choice, 1, QUEUES))

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


INSTRUCTIONS: tuple[type[Instruction], ...] = (Load, Store)
