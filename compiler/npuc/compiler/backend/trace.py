"""Abstract execution of a group: its commands in program order with what each one touches.

Order depends on rings and loops alone, never on data or addresses, so this is exact. ``waits``
derives the order between engines from it, and ``handover`` the order between groups.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

from npuc.compiler.dialects.tile import (
    AcquireOp,
    BufferOp,
    ForOp,
    GatherOp,
    GroupOp,
    HeldOp,
    LoadOp,
    MmaOp,
    ReleaseOp,
    StoreOp,
    VexecOp,
)
from npuc.compiler.xdsl_api import Block, Operation, SSAValue
from npuc.isa.errors import CompileError
from npuc.isa.instructions import Engine

TENSOR_SLOT = -1
Touched = tuple[int, int]  # number of the buffer or tensor argument, slot (TENSOR_SLOT: a tensor)
_ENGINES: dict[type[Operation], Engine] = {
    StoreOp: Engine.st,
    MmaOp: Engine.mxu,
    VexecOp: Engine.vpu,
}
COMMANDS = (LoadOp, GatherOp, StoreOp, MmaOp, VexecOp)


class Access(NamedTuple):
    """A command reads or writes something whole; distinct slots and tensors are disjoint.

    Where several loads fill a slot, each its own bytes, every part of it counts as a slot.
    """

    touched: Touched
    writes: bool


class Frame(NamedTuple):
    """One run of a loop: the loop and the commands issued per engine before its first iteration."""

    loop: ForOp
    entry: tuple[int, ...]


class Command(NamedTuple):
    """One dynamic command; ``engine`` is the value of ``Engine``.

    ``frames`` are the loops that it stands in, outermost first.
    """

    op: Operation
    engine: int
    accesses: tuple[Access, ...]
    frames: tuple[Frame, ...]


@dataclass
class Objects:
    """Numbers of what a group touches: buffers (its own, then arguments) and tensor arguments."""

    buffers: dict[SSAValue, int] = field(default_factory=dict)
    tensors: dict[SSAValue, int] = field(default_factory=dict)

    @staticmethod
    def of(group: GroupOp) -> "Objects":
        """Number the buffers and tensors of ``group`` in order of appearance."""
        objects = Objects()
        for op in group.body.block.ops:
            if type(op) is BufferOp:
                objects.buffers[op.buffer] = len(objects.buffers)
        for argument in group.body.block.args:
            is_buffer = argument.type.name == "tile.buffer"
            table = objects.buffers if is_buffer else objects.tensors
            table[argument] = len(table)
        return objects


def engine_of(op: Operation) -> Engine:
    """The engine that executes a command of ``tile``."""
    if isinstance(op, LoadOp | GatherOp):
        return Engine[op.queue.data.value]
    return _ENGINES[type(op)]


@dataclass
class _Ring:
    number: int
    depth: int
    outlives_group: bool
    parts: int = 1
    acquired: int = 0
    released: int = 0


@dataclass
class _Slot:
    """What a slot of the text stands for at present: the how-manieth slot of its ring."""

    ring: _Ring
    sequence: int = 0


class _Part(NamedTuple):
    """One part of a slot."""

    slot: _Slot
    number: int


@dataclass(frozen=True)
class _Turn:
    """A ring moves on; without a slot the oldest one held is released."""

    ring: _Ring
    slot: _Slot | None = None
    age: int | None = None  # None: the slot is acquired

    def take(self) -> None:
        if self.slot is None:
            self.ring.released += 1
        elif self.age is None:
            self.slot.sequence = self.ring.acquired
            self.ring.acquired += 1
        else:
            self.slot.sequence = self.ring.released + self.age


@dataclass(frozen=True)
class _Issue:
    """A command of the text; per access a tensor's number or part of a slot, and if it writes."""

    op: Operation
    engine: int
    accesses: tuple[tuple[int | _Part, bool], ...]


@dataclass(frozen=True)
class _Loop:
    op: ForOp
    trips: int
    body: "tuple[_Step, ...]"


_Step = _Turn | _Issue | _Loop


def parts_of(buffer: SSAValue) -> list[LoadOp]:
    """The loads that fill the slots of a ring between them, each bytes of its own; none elsewhere.

    A group acquires the ring in one place, so that all its slots are filled in the same way.
    """
    acquired = [use.operation for use in buffer.uses if isinstance(use.operation, AcquireOp)]
    if len(acquired) != 1:
        return []
    users = [use.operation for use in acquired[0].slot.uses]
    loads = [op for op in users if isinstance(op, LoadOp)]
    return loads if all(_are_apart(*pair) for pair in combinations(loads, 2)) else []


def _are_apart(one: LoadOp, other: LoadOp) -> bool:
    """Whether two loads write other bytes of one slot, where both see it as one row-major array.

    Along some axis the one then ends before the other begins. False where that is not easily seen.
    """
    first, second = sorted((one, other), key=_start)
    maps, strides = (first.map.data, second.map.data), first.map.data.spm_strides
    is_static = not (first.place.data.offset[0] or second.place.data.offset[0])
    if not is_static or strides != maps[1].spm_strides or min(strides) <= 0:
        return False
    distance, shifts = _start(second) - _start(first), []
    for stride in strides:
        shifts.append(distance // stride)
        distance %= stride
    span, is_apart = distance + maps[0].dtype.bytes, False
    axes = zip(strides, shifts, maps[0].box, maps[1].box, strict=True)
    for stride, shift, rows, other_rows in reversed(list(axes)):
        last = max(rows, shift + other_rows) - 1
        if last and stride < span:
            return False
        span += last * stride
        is_apart |= shift >= rows
    return is_apart


def _start(load: LoadOp) -> int:
    return load.place.data.offset[1]


class Tracer:
    """Runs a group once and tells its commands. ``counts`` are commands issued per engine.

    The text is read once, so that loops do not ask the IR again in each iteration.
    """

    def __init__(self, group: GroupOp, objects: Objects) -> None:
        self._group = group
        self._objects = objects
        self._parts: dict[Operation, int] = {}
        self._rings = {ring: self._ring(ring, number) for ring, number in objects.buffers.items()}
        self._slots: dict[SSAValue, _Slot] = {}
        self._accesses: dict[tuple[int, int, bool], Access] = {}
        self.counts = [0] * len(Engine)

    def _ring(self, buffer: SSAValue, number: int) -> _Ring:
        parts = parts_of(buffer)
        self._parts.update({load: part for part, load in enumerate(parts)})
        depth = buffer.type.data.depth  # type: ignore[attr-defined]  # a BufferType
        return _Ring(number, depth, not isinstance(buffer.owner, BufferOp), max(len(parts), 1))

    def run(self, receive: Callable[[Command], None]) -> None:
        """Tell the commands in program order. Raises: CompileError for a slot that is not held."""
        self._run(self._read(self._group.body.block), (), receive)

    def _run(
        self, steps: Iterable[_Step], frames: tuple[Frame, ...], receive: Callable[[Command], None]
    ) -> None:
        for step in steps:
            if isinstance(step, _Turn):
                step.take()
            elif isinstance(step, _Issue):
                accesses = tuple([self._access(what, writes) for what, writes in step.accesses])
                receive(Command(step.op, step.engine, accesses, frames))
                self.counts[step.engine] += 1
            else:
                inner = (*frames, Frame(step.op, tuple(self.counts)))
                for _ in range(step.trips):
                    self._run(step.body, inner, receive)

    def _access(self, what: int | _Part, writes: bool) -> Access:
        if isinstance(what, int):
            number, slot = what, TENSOR_SLOT
        else:
            ring, sequence = what.slot.ring, what.slot.sequence
            if sequence < ring.released and not ring.outlives_group:
                raise self._released(what.slot)
            number, slot = ring.number, sequence % ring.depth * ring.parts + what.number
        key = number, slot, writes
        access = self._accesses.get(key)
        if access is None:
            access = self._accesses[key] = Access((number, slot), writes)
        return access

    def _read(self, block: Block) -> tuple[_Step, ...]:
        steps: list[_Step] = []
        for op in block.ops:
            if type(op) is HeldOp or type(op) is AcquireOp:
                ring = self._rings[op.buffer]
                slot = self._slots[op.slot] = _Slot(ring)
                steps.append(_Turn(ring, slot, op.age.data if type(op) is HeldOp else None))
            elif type(op) is ReleaseOp:
                steps.append(_Turn(self._rings[op.buffer]))
            elif type(op) is ForOp:
                steps.append(_Loop(op, op.trips, self._read(op.body.block)))
            elif type(op) in COMMANDS:
                steps.append(_Issue(op, engine_of(op).value, tuple(self._touched(op))))
        return tuple(steps)

    def _touched(self, op: Operation) -> Iterator[tuple[int | _Part, bool]]:
        if type(op) is VexecOp:
            for slot in op.ins:
                yield from self._whole(slot, False)
            for slot in op.outs:
                yield from self._whole(slot, True)
        elif type(op) is MmaOp:
            for slot, writes in ((op.a, False), (op.w, False), (op.acc, True)):
                yield from self._whole(slot, writes)
        elif type(op) is StoreOp:
            yield from self._whole(op.slot, False)
            yield self._objects.tensors[op.tensor], True
        else:
            assert isinstance(op, LoadOp | GatherOp)
            if isinstance(op, GatherOp):
                yield from self._whole(op.indices, False)
            yield self._objects.tensors[op.tensor], False
            yield from self._whole(op.slot, True, self._parts.get(op))

    def _whole(
        self, value: SSAValue, writes: bool, part: int | None = None
    ) -> Iterator[tuple[_Part, bool]]:
        """All parts of a slot, or the one that is given."""
        slot = self._slots[value]
        parts = range(slot.ring.parts) if part is None else (part,)
        return ((_Part(slot, number), writes) for number in parts)

    def _released(self, slot: _Slot) -> CompileError:
        return CompileError(
            "a command uses a slot of a ring that was released before",
            where=f"group {self._group.group_name.data}",
            given=f"buffer {slot.ring.number}, slot {slot.sequence}",
            next_step="release the slot after its last use",
        )
