"""Scalar instructions of ctl: 64-bit two's complement, wrapping. Register 0 reads as 0."""

from dataclasses import dataclass
from typing import ClassVar

from npuc.isa.instructions.base import Instruction, imm, reg

_WRAP = 1 << 64


def wrap64(value: int) -> int:
    """``value`` modulo 2^64 as a signed number."""
    value %= _WRAP
    return value - _WRAP if value >> 63 else value


@dataclass(frozen=True)
class Scalar(Instruction):
    """``rd = ra OP (rb + imm)``; writes to register 0 are dropped."""

    rd: int = reg()
    ra: int = reg()
    rb: int = reg()
    imm: int = imm(64)

    @staticmethod
    def compute(a: int, b: int) -> int:
        """The result of ``a OP b`` for 64-bit signed ``a`` and ``b = rb + imm`` (wrapped)."""
        raise NotImplementedError  # abstract: every scalar instruction defines it


class Add(Scalar):
    """Sum. ``add r1, r0, 5`` loads an immediate; ``add r1, r2, 0`` moves."""

    mnemonic: ClassVar[str] = "add"
    opcode: ClassVar[int] = 0x01
    meaning: ClassVar[str] = "rd = wrap64(ra + (rb + imm))"

    @staticmethod
    def compute(a: int, b: int) -> int:
        return wrap64(a + b)


class Sub(Scalar):
    """Difference."""

    mnemonic: ClassVar[str] = "sub"
    opcode: ClassVar[int] = 0x02
    meaning: ClassVar[str] = "rd = wrap64(ra - (rb + imm))"

    @staticmethod
    def compute(a: int, b: int) -> int:
        return wrap64(a - b)


class Mul(Scalar):
    """Low 64 bits of the product."""

    mnemonic: ClassVar[str] = "mul"
    opcode: ClassVar[int] = 0x03
    meaning: ClassVar[str] = "rd = wrap64(ra * (rb + imm))"

    @staticmethod
    def compute(a: int, b: int) -> int:
        return wrap64(a * b)


class Min(Scalar):
    """Smaller of two signed numbers."""

    mnemonic: ClassVar[str] = "min"
    opcode: ClassVar[int] = 0x04
    meaning: ClassVar[str] = "rd = min(ra, rb + imm)"

    @staticmethod
    def compute(a: int, b: int) -> int:
        return min(a, b)


class Max(Scalar):
    """Larger of two signed numbers."""

    mnemonic: ClassVar[str] = "max"
    opcode: ClassVar[int] = 0x05
    meaning: ClassVar[str] = "rd = max(ra, rb + imm)"

    @staticmethod
    def compute(a: int, b: int) -> int:
        return max(a, b)


class And(Scalar):
    """Bitwise and."""

    mnemonic: ClassVar[str] = "and"
    opcode: ClassVar[int] = 0x06
    meaning: ClassVar[str] = "rd = ra & (rb + imm)"

    @staticmethod
    def compute(a: int, b: int) -> int:
        return a & b


class Or(Scalar):
    """Bitwise or."""

    mnemonic: ClassVar[str] = "or"
    opcode: ClassVar[int] = 0x07
    meaning: ClassVar[str] = "rd = ra | (rb + imm)"

    @staticmethod
    def compute(a: int, b: int) -> int:
        return a | b


class Xor(Scalar):
    """Bitwise exclusive or."""

    mnemonic: ClassVar[str] = "xor"
    opcode: ClassVar[int] = 0x08
    meaning: ClassVar[str] = "rd = ra ^ (rb + imm)"

    @staticmethod
    def compute(a: int, b: int) -> int:
        return a ^ b


class Shl(Scalar):
    """Shift left by the low 6 bits of the second operand."""

    mnemonic: ClassVar[str] = "shl"
    opcode: ClassVar[int] = 0x09
    meaning: ClassVar[str] = "rd = wrap64(ra << ((rb + imm) & 63))"

    @staticmethod
    def compute(a: int, b: int) -> int:
        return wrap64(a << (b & 63))


class Shr(Scalar):
    """Arithmetic shift right by the low 6 bits of the second operand."""

    mnemonic: ClassVar[str] = "shr"
    opcode: ClassVar[int] = 0x0A
    meaning: ClassVar[str] = "rd = ra >> ((rb + imm) & 63)"

    @staticmethod
    def compute(a: int, b: int) -> int:
        return a >> (b & 63)


class Slt(Scalar):
    """Set if less than (signed)."""

    mnemonic: ClassVar[str] = "slt"
    opcode: ClassVar[int] = 0x0B
    meaning: ClassVar[str] = "rd = 1 if ra < rb + imm else 0"

    @staticmethod
    def compute(a: int, b: int) -> int:
        return int(a < b)


class Seq(Scalar):
    """Set if equal."""

    mnemonic: ClassVar[str] = "seq"
    opcode: ClassVar[int] = 0x0C
    meaning: ClassVar[str] = "rd = 1 if ra == rb + imm else 0"

    @staticmethod
    def compute(a: int, b: int) -> int:
        return int(a == b)


INSTRUCTIONS: tuple[type[Instruction], ...] = (
    Add,
    Sub,
    Mul,
    Min,
    Max,
    And,
    Or,
    Xor,
    Shl,
    Shr,
    Slt,
    Seq,
)
