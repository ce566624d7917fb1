"""One ``tile.group`` to the instructions of ``npu``, with its waits."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from npuc.compiler.backend.code import Code, Value, lower_index
from npuc.compiler.backend.commands import Commands
from npuc.compiler.backend.counting import Counting
from npuc.compiler.backend.rings import Rings
from npuc.compiler.backend.signals import Signals
from npuc.compiler.backend.trace import COMMANDS, Objects, engine_of
from npuc.compiler.backend.waits import Distances, WaitPlan, plan_waits
from npuc.compiler.dialects.npu import NopOp, Order
from npuc.compiler.dialects.tile import (
    AcquireOp,
    AffineOp,
    AwaitOp,
    ForOp,
    GroupOp,
    HeldOp,
    MaxOp,
    MinOp,
    ReleaseOp,
    SignalOp,
    SlotType,
    loop_nest,
)
from npuc.compiler.xdsl_api import Block, IndexType, Operation, SSAValue, UnknownLoc, walk
from npuc.isa.instructions import Engine, Wait
from npuc.isa.instructions.base import WAIT_IMM_MAX

MAX_WAITS = 2


@dataclass(frozen=True)
class CoreState:
    """What a group needs to know of its core: number, signals, awaits of each name so far."""

    core: int
    signals: Signals
    awaited: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LoweredGroup:
    """Instructions of a group and what the groups after it must know (see ``WaitPlan``)."""

    block: Block
    plan: WaitPlan
    objects: Objects


def last_uses(block: Block) -> dict[Operation, list[SSAValue]]:
    """For each operation of ``block``, the values of the block that are used there last."""
    position = {op: number for number, op in enumerate(block.ops)}
    ops = list(position)
    dying: dict[Operation, list[SSAValue]] = {}
    for op in ops:
        for result in op.results:
            users = [position[_in_block(use.operation, block)] for use in result.uses]
            dying.setdefault(ops[max(users, default=position[op])], []).append(result)
    return dying


def _in_block(op: Operation, block: Block) -> Operation:
    """The operation of ``block`` that is or contains ``op``."""
    while op.parent_block() is not block:
        parent = op.parent_op()
        assert parent is not None, "a value is used outside the block that defines it"
        op = parent
    return op


def lower_group(group: GroupOp, state: CoreState) -> LoweredGroup:
    """Lower ``group``. Raises: CompileError naming it when it does not fit the machine."""
    objects = Objects.of(group)
    plan = plan_waits(group, objects)
    lowering = _Lowering(group, state, plan, objects)
    lowering.counting.begin(_early_engines(plan))
    lowering.block(group.body.block)
    lowering.counting.flush_all()
    return LoweredGroup(lowering.code.entry, plan, objects)


def _early_engines(plan: WaitPlan) -> set[Engine]:
    """Engines that some wait of the group names before the group has issued enough of them."""
    waits = [*plan.at.items()]
    waits += [(loop, d) for loop, engines in plan.before.items() for d in engines.values()]
    return set().union(*(plan.early(op, distances) for op, distances in waits))


class _Lowering:
    def __init__(self, group: GroupOp, state: CoreState, plan: WaitPlan, objects: Objects) -> None:
        self.code = Code(f"group {group.group_name.data}", group.location)
        self.counting = Counting(self.code, state.core)
        self._state = state
        self._plan = plan
        self._rings = Rings(self.code, group)
        self._commands = Commands(self.code, self._rings, objects)
        self._awaited = dict(state.awaited)
        self._await_registers = self._start_awaits(group)

    def block(self, block: Block) -> None:
        """Lower the operations of ``block``; a register is free after its value's last use."""
        dying = last_uses(block)
        for op in block.ops:
            self._operation(op)
            for result in op.results:
                self.code.hold(self._value(result))
            for value in dying.get(op, ()):
                self.code.drop(self._value(value))

    def _operation(self, op: Operation) -> None:
        if type(op) is HeldOp or type(op) is ReleaseOp or type(op) is AcquireOp:  # most are
            self._rings.turn(op)
        elif type(op) in COMMANDS:
            self._command(op)
        elif isinstance(op, ForOp):
            self._loop(op)
        elif isinstance(op, AffineOp | MinOp | MaxOp):
            lower_index(self.code, op)
        elif isinstance(op, SignalOp | AwaitOp):
            self._between_cores(op)

    def _value(self, value: SSAValue) -> Value:
        if isinstance(value.type, SlotType):
            return self._rings.slot(value)[1]
        return self.code.get(value) if isinstance(value.type, IndexType) else Value()

    def _loop(self, loop: ForOp) -> None:
        if loop.trips == 0:
            return
        for engine, distances in sorted(self._plan.before.get(loop, {}).items(), key=_by_engine):
            with self.code.registers.scope():
                early = self._plan.early(loop, distances)
                self._nops(engine, self.counting.waits(distances, early))
        hot = self._counted_in(loop)
        for engine in hot:
            self.counting.flush(engine)
        outside = dict(self.counting.pending)
        with self.code.registers.scope():
            step = self._start_index(loop)
            with self.code.loop(loop.trips):
                self.block(loop.body.block)
                for engine in hot:
                    self.counting.flush(engine)
                if step:
                    self.code.scalar("add", step, (step, 0), loop.step.data)
        for engine, before in outside.items():
            inside = self.counting.pending[engine] - before
            self.counting.pending[engine] = before + inside * loop.trips

    def _start_index(self, loop: ForOp) -> int:
        if loop.trips == 1 or not any(loop.induction.uses):
            self.code.set(loop.induction, Value(0, loop.lower.data))
            return 0
        register = self.code.registers.take()
        self.code.scalar("add", register, (0, 0), loop.lower.data)
        self.code.set(loop.induction, Value(register))
        return register

    def _counted_in(self, loop: ForOp) -> list[Engine]:
        """Engines whose counts some wait inside ``loop`` reads, in engine order."""
        counted: set[Engine] = set()
        for op in walk(loop):
            counted |= self._plan.at.get(op, {}).keys()
            if isinstance(op, ForOp) and op is not loop:
                for distances in self._plan.before.get(op, {}).values():
                    counted |= distances.keys()
        return sorted(counted, key=lambda engine: engine.value)

    def _command(self, op: Operation) -> None:
        if not isinstance(op.location, UnknownLoc):
            self.code.location = op.location
        engine = engine_of(op)
        with self.code.operands():
            prepared = self._commands.prepare(op)
            distances = self._plan.at.get(op, {})
            waits = self.counting.waits(distances, self._plan.early(op, distances))
            self._nops(engine, waits[:-MAX_WAITS])
            self.code.emit(prepared.instruction(Order(waits[-MAX_WAITS:], 0)))
        self.counting.issued(engine)

    def _nops(self, engine: Engine, waits: tuple[Wait, ...]) -> None:
        for start in range(0, len(waits), MAX_WAITS):
            self.code.emit(NopOp(engine.name, Order(waits[start : start + MAX_WAITS])))

    def _start_awaits(self, group: GroupOp) -> dict[str, int]:
        """Registers that count awaits of the names that are awaited in loops."""
        registers = {}
        for op in walk(group) if self._state.signals.counters else ():
            if isinstance(op, AwaitOp) and loop_nest(op) and op.signal.data not in registers:
                register = self.code.registers.take()
                self.code.scalar("add", register, (0, 0), self._awaited.get(op.signal.data, 0))
                registers[op.signal.data] = register
        return registers

    def _between_cores(self, op: SignalOp | AwaitOp) -> None:
        counter = self._state.signals.counters[op.signal.data]
        queue = op.queue.data.value
        if isinstance(op, SignalOp):
            self.code.emit(NopOp(queue, Order((), counter.index)))
            return
        name = op.signal.data
        self._awaited[name] = self._awaited.get(name, 0) + 1
        register = self._await_registers.get(name, 0)
        with self.code.operands():
            if register:
                self.code.scalar("add", register, (register, 0), 1)
                wait = Wait(counter, register)
            elif self._awaited[name] <= WAIT_IMM_MAX:
                wait = Wait(counter, 0, self._awaited[name])
            else:
                wait = Wait(counter, self.code.in_register(Value(0, self._awaited[name])))
            self.code.emit(NopOp(queue, Order((wait,))))


def _by_engine(item: tuple[Engine, Distances]) -> int:
    return item[0].value
