"""The matrix command."""

from dataclasses import dataclass
from typing import ClassVar

from npuc.isa.instructions.base import Command, Engine, Field, Instruction, Kind, operand, reg, view


@dataclass(frozen=True)
class Mma(Command):
    """ACC[m, n] (+)= sum over k of A[m, k] * W[k, n].

    Views: ``acc`` of rank 4 (m0, m1, m2, n) in ACC, i32 or f32; ``a`` of rank 6
    (m0, m1, m2, k0, k1, k2) and ``w`` of rank 4 (k0, k1, k2, n) in SPM, of one element type.
    Extents of equal name are equal. k runs over (k0, k1, k2), last fastest, ascending. int8
    accumulates in wrapping int32; floats as acc = rne(acc + rne(a * w)) (extension F). The result
    replaces ACC, starting from +0, unless ``accumulate`` is set or register ``rk`` is not 0.
    """

    mnemonic: ClassVar[str] = "mma"
    opcode: ClassVar[int] = 0x50
    meaning: ClassVar[str] = (
        "old = acc[m, n] if accumulate or rk != 0 else 0; acc[m, n] = old (+) a[m, k] * w[k, n]"
    )

    acc: int = view()
    a: int = view()
    w: int = view()
    accumulate: int = operand(Field(Kind.flag, 1))
    rk: int = reg(named=True)

    @property
    def engine(self) -> Engine:
        """mxu."""
        return Engine.mxu


INSTRUCTIONS: tuple[type[Instruction], ...] = (Mma,)
