"""Abstract execution of a group: its commands in program order with what each one touches.

Order depends on rings and loops alone, never on data or addresses, so this is exact. ``waits``
derives the order between engines from it, and ``handover`` the order between groups.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from npuc.compiler.dialects.tile import (
    AcquireOp,
    BufferOp,
    ForOp,
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
COMMANDS = (LoadOp, StoreOp, MmaOp, VexecOp)


@dataclass(frozen=True)
class Access:
    """A command reads or writes something whole; distinct slots and tensors are disjoint."""

    touched: Touched
    writes: bool


@dataclass(frozen=True)
class Frame:
    """One run of a loop: the loop and the commands issued per engine before its first iteration."""

    loop: ForOp
    entry: tuple[int, ...]


@dataclass(frozen=True)
class Command:
    """One dynamic command; ``frames`` are the loops that it stands in, outermost first."""

    op: Operation
    engine: Engine
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
            if isinstance(op, BufferOp):
                objects.buffers[op.buffer] = len(objects.buffers)
        for argument in group.body.block.args:
            is_buffer = argument.type.name == "tile.buffer"
            table = objects.buffers if is_buffer else objects.tensors
            table[argument] = len(table)
        return objects


def engine_of(op: Operation) -> Engine:
    """The engine that executes a command of ``tile``."""
    if isinstance(op, LoadOp):
        return Engine[op.queue.data.value]
    return {StoreOp: Engine.st, MmaOp: Engine.mxu, VexecOp: Engine.vpu}[type(op)]


@dataclass
class _Ring:
    depth: int
    outlives_group: bool
    acquired: int = 0
    released: int = 0


class Tracer:
    """Runs a group once and yields its commands. ``counts`` are commands issued per engine."""

    def __init__(self, group: GroupOp, objects: Objects) -> None:
        self._group = group
        self._objects = objects
        self._rings = {
            ring: _Ring(ring.type.data.depth, not isinstance(ring.owner, BufferOp))  # type: ignore[attr-defined]  # a BufferType
            for ring in objects.buffers
        }
        self._slots: dict[SSAValue, tuple[SSAValue, int]] = {}
        self.counts = [0] * len(Engine)

    def run(self) -> Iterator[Command]:
        """The commands in program order. Raises: CompileError for a slot that is not held."""
        return self._block(self._group.body.block, ())

    def _block(self, block: Block, frames: tuple[Frame, ...]) -> Iterator[Command]:
        for op in block.ops:
            if isinstance(op, ForOp):
                inner = (*frames, Frame(op, tuple(self.counts)))
                for _ in range(op.trips):
                    yield from self._block(op.body.block, inner)
            elif isinstance(op, AcquireOp | HeldOp | ReleaseOp):
                self._turn(op)
            elif isinstance(op, COMMANDS):
                engine = engine_of(op)
                yield Command(op, engine, self._accesses(op), frames)
                self.counts[engine.value] += 1

    def _turn(self, op: AcquireOp | HeldOp | ReleaseOp) -> None:
        ring = self._rings[op.buffer]
        if isinstance(op, AcquireOp):
            self._slots[op.slot] = (op.buffer, ring.acquired)
            ring.acquired += 1
        elif isinstance(op, HeldOp):
            self._slots[op.slot] = (op.buffer, ring.released + op.age.data)
        else:
            ring.released += 1

    def _accesses(self, op: Operation) -> tuple[Access, ...]:
        if isinstance(op, LoadOp):
            tensor = Access((self._objects.tensors[op.tensor], TENSOR_SLOT), False)
            return tensor, self._slot(op.slot, True)
        if isinstance(op, StoreOp):
            tensor = Access((self._objects.tensors[op.tensor], TENSOR_SLOT), True)
            return self._slot(op.slot, False), tensor
        if isinstance(op, MmaOp):
            return self._slot(op.a, False), self._slot(op.w, False), self._slot(op.acc, True)
        assert isinstance(op, VexecOp)
        ins = [self._slot(slot, False) for slot in op.ins]
        return *ins, *(self._slot(slot, True) for slot in op.outs)

    def _slot(self, slot: SSAValue, writes: bool) -> Access:
        buffer, sequence = self._slots[slot]
        ring = self._rings[buffer]
        if sequence < ring.released and not ring.outlives_group:
            raise CompileError(
                "a command uses a slot of a ring that was released before",
                where=f"group {self._group.group_name.data}",
                given=f"buffer {self._objects.buffers[buffer]}, slot {sequence}",
                next_step="release the slot after its last use",
            )
        return Access((self._objects.buffers[buffer], sequence % ring.depth), writes)
