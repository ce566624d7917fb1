"""Where the slots of rings are: static offsets where possible, else rotating registers."""

from dataclasses import dataclass

from npuc.compiler.backend.code import Code, Value
from npuc.compiler.dialects.tile import (
    AcquireOp,
    BufferSpec,
    BufferType,
    GroupOp,
    HeldOp,
    ReleaseOp,
    loop_nest,
)
from npuc.compiler.xdsl_api import Operation, SSAValue, walk


@dataclass
class _Ring:
    """State of one ring while its group is lowered.

    ``acquired`` and ``released`` count while they are static; ``head`` is the register with the
    offset of the slot acquired last, ``tail`` that of the oldest one held, 0 for none.
    """

    spec: BufferSpec
    acquired: int = 0
    released: int = 0
    head: int = 0
    tail: int = 0
    one_acquire: bool = True


class Rings:
    """The rings of one group and the offsets of their slots."""

    def __init__(self, code: Code, group: GroupOp) -> None:
        self._code = code
        self._rings: dict[SSAValue, _Ring] = {}
        self._slots: dict[SSAValue, tuple[SSAValue, Value]] = {}
        turns: dict[SSAValue, list[Operation]] = {}
        for op in walk(group):
            if type(op) is HeldOp or type(op) is AcquireOp or type(op) is ReleaseOp:
                turns.setdefault(op.buffer, []).append(op)
        for buffer, ops in turns.items():
            assert isinstance(buffer.type, BufferType)
            self._rings[buffer] = self._prepare(buffer.type.data, ops)

    def slot(self, slot: SSAValue) -> tuple[SSAValue, Value]:
        """The buffer of ``slot`` and the slot's byte offset inside it."""
        return self._slots[slot]

    def turn(self, op: AcquireOp | HeldOp | ReleaseOp) -> None:
        """Lower one acquire, held or release."""
        ring = self._rings[op.buffer]
        if type(op) is AcquireOp:
            self._slots[op.slot] = (op.buffer, self._acquire(ring))
        elif type(op) is HeldOp:
            self._slots[op.slot] = (op.buffer, self._held(ring, op.age.data))
        elif ring.tail:
            self._code.rotate(ring.tail, ring.spec.slot_bytes, ring.spec.depth)
        else:
            ring.released += 1

    def _prepare(self, spec: BufferSpec, ops: list[Operation]) -> _Ring:
        ring = _Ring(spec)
        looped = [op for op in ops if loop_nest(op)]
        if spec.depth == 1 or not looped:
            return ring
        acquires = [op for op in ops if isinstance(op, AcquireOp)]
        if any(loop_nest(op) for op in acquires):
            ring.one_acquire = len(acquires) == 1
            ring.head = self._start(spec, spec.depth - 1)
        if any(isinstance(op, HeldOp) for op in ops):
            ring.tail = self._start(spec, 0)
        return ring

    def _start(self, spec: BufferSpec, slot: int) -> int:
        register = self._code.registers.take()
        self._code.scalar("add", register, (0, 0), slot * spec.slot_bytes)
        return register

    def _acquire(self, ring: _Ring) -> Value:
        if not ring.head:
            ring.acquired += 1
            return _static(ring, ring.acquired - 1)
        self._code.rotate(ring.head, ring.spec.slot_bytes, ring.spec.depth)
        if ring.one_acquire:
            return Value(ring.head)
        copy = self._code.temporary()
        self._code.scalar("add", copy, (ring.head, 0))
        return Value(copy)

    def _held(self, ring: _Ring, age: int) -> Value:
        if not ring.tail:
            return _static(ring, ring.released + age)
        if age == 0:
            return Value(ring.tail)
        step, depth = ring.spec.slot_bytes, ring.spec.depth
        register = self._code.temporary()
        self._code.scalar("add", register, (ring.tail, 0), age * step)
        self._code.wrap(register, step * depth)
        return Value(register)


def _static(ring: _Ring, sequence: int) -> Value:
    return Value(0, sequence % ring.spec.depth * ring.spec.slot_bytes)
