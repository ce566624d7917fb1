"""The instructions of one group while they are made: open blocks, registers, index values.

Index values are kept as register + constant, so that constants fold into immediates, coordinates
and bases and cost no instruction.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from npuc.compiler.backend.registers import SCRATCH_REGISTER, RegisterFile
from npuc.compiler.dialects.npu import LoopOp, ScalarOp
from npuc.compiler.dialects.tile import AffineOp, MaxOp, MinOp
from npuc.compiler.xdsl_api import Block, LocationAttr, Operation, SSAValue


@dataclass(frozen=True)
class Value:
    """The value of register ``register`` plus ``constant``; register 0 reads as 0."""

    register: int = 0
    constant: int = 0


class Code:
    """Appends instructions to the innermost open block and remembers index values."""

    def __init__(self, where: str, location: LocationAttr) -> None:
        self.registers = RegisterFile(where)
        self.entry = Block()
        self.location = location
        self._blocks = [self.entry]
        self._values: dict[SSAValue, Value] = {}
        self._holders: dict[int, int] = {}
        self._made: dict[tuple[Value, int], int] = {}

    def emit(self, op: Operation) -> None:
        """Append ``op``."""
        op.location = self.location
        self._blocks[-1].add_op(op)

    def scalar(self, mnemonic: str, rd: int, sources: tuple[int, int], imm: int = 0) -> None:
        """Append ``rd = ra OP (rb + imm)``."""
        self.emit(ScalarOp(mnemonic, rd, sources, imm))

    @contextmanager
    def loop(self, trips: int) -> Iterator[None]:
        """Instructions appended inside become the body of a hardware loop."""
        loop = LoopOp(trips)
        self.emit(loop)
        self._blocks.append(loop.body.block)
        with self.registers.scope():
            yield
        self._blocks.pop()

    @contextmanager
    def operands(self) -> Iterator[None]:
        """Registers taken inside are the operands of one command; equal ones are made once."""
        self._made = {}
        with self.registers.scope():
            yield
        self._made = {}

    def set(self, name: SSAValue, value: Value) -> None:
        """Remember the value of an index."""
        self._values[name] = value

    def get(self, name: SSAValue) -> Value:
        """The value of an index."""
        return self._values[name]

    def temporary(self) -> int:
        """A register that is free again when all values that ``hold`` it are dropped."""
        register = self.registers.take()
        self._holders[register] = 0
        return register

    def hold(self, value: Value) -> None:
        """One more name has this value."""
        if value.register in self._holders:
            self._holders[value.register] += 1

    def drop(self, value: Value) -> None:
        """One name that had this value was used for the last time."""
        register = value.register
        if register not in self._holders:
            return
        self._holders[register] -= 1
        if self._holders[register] == 0:
            del self._holders[register]
            self.registers.give_back(register)

    def in_register(self, value: Value) -> int:
        """A register that holds ``value``; register 0 for the constant 0."""
        if value.constant == 0:
            return value.register
        return self._operand(value, 0)

    def sum(self, a: Value, b: Value) -> Value:
        """The sum, with an instruction only where both have a register."""
        constant = a.constant + b.constant
        if not a.register or not b.register:
            return Value(a.register or b.register, constant)
        return Value(self._operand(Value(a.register), b.register), constant)

    def _operand(self, value: Value, other: int) -> int:
        """A register that holds ``value`` plus register ``other``, for the present command."""
        key = value, other
        if key not in self._made:
            register = self.registers.take()
            self.scalar("add", register, (value.register, other), value.constant)
            self._made[key] = register
        return self._made[key]

    def rotate(self, register: int, step: int, depth: int) -> None:
        """Advance a ring's offset by ``step`` modulo ``step * depth``."""
        if depth == 2:  # 0 and step take turns
            self.scalar("xor", register, (register, 0), step)
            return
        modulus = step * depth
        self.scalar("add", register, (register, 0), step)
        if modulus & (modulus - 1) == 0:
            self.scalar("and", register, (register, 0), modulus - 1)
            return
        self.scalar("slt", SCRATCH_REGISTER, (register, 0), modulus)
        self.scalar("mul", register, (register, SCRATCH_REGISTER))

    def wrap(self, register: int, modulus: int) -> None:
        """Bring an offset below ``2 * modulus`` below ``modulus``."""
        if modulus & (modulus - 1) == 0:
            self.scalar("and", register, (register, 0), modulus - 1)
            return
        scratch = SCRATCH_REGISTER
        self.scalar("slt", scratch, (register, 0), modulus)
        self.scalar("xor", scratch, (scratch, 0), 1)
        self.scalar("mul", scratch, (scratch, 0), modulus)
        self.scalar("sub", register, (register, scratch))


def lower_index(code: Code, op: AffineOp | MinOp | MaxOp) -> None:
    """Compute an index expression."""
    if isinstance(op, AffineOp):
        code.set(op.result, _affine(code, op))
        return
    value = code.get(op.value)
    limit = op.limit.data
    pick = min if isinstance(op, MinOp) else max
    if not value.register:
        code.set(op.result, Value(0, pick(value.constant, limit)))
        return
    register = code.temporary()
    code.scalar(pick.__name__, register, (value.register, 0), limit - value.constant)
    if value.constant:  # here once: each view that has it as an extent would need it in a register
        code.scalar("add", register, (register, 0), value.constant)
    code.set(op.result, Value(register))


def _affine(code: Code, op: AffineOp) -> Value:
    """The sum of products; it takes one register, or none for at most one term of factor 1."""
    pairs = [
        (code.get(term), factor.data)
        for factor, term in zip(op.coefficients.data, op.terms, strict=True)
    ]
    constant = op.constant.data + sum(value.constant * factor for value, factor in pairs)
    varying = [(value.register, factor) for value, factor in pairs if value.register and factor]
    if not varying:
        return Value(0, constant)
    if len(varying) == 1 and varying[0][1] == 1:
        return Value(varying[0][0], constant)
    result = code.temporary()
    for position, (register, factor) in enumerate(varying):
        target = SCRATCH_REGISTER if position else result
        code.scalar("mul", target, (register, 0), factor)
        if position:
            code.scalar("add", result, (result, SCRATCH_REGISTER))
    return Value(result, constant)
