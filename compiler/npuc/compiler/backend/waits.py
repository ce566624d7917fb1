"""Waits inside a group, derived from what its commands touch.

Two commands of different engines conflict when they touch one slot or tensor and at least one
writes; the later one must wait for the earlier. The exact dynamic dependences, reduced by vector
clocks, become static waits:

* where the waiting command stands directly in the innermost loop that surrounds both, it carries
  the wait with a constant distance (the smallest over all iterations);
* otherwise a ``nop`` of its engine waits before the loop (below that innermost common one) in
  which it stands.

A distance d on engine e means: all but the last d commands that e was given so far are complete.
It names earlier commands only, so no wait can deadlock a core. In the first iterations of a loop
it may name commands of the groups before, which nothing needs: such a wait is made conditional.
Why the reduction is sound: a dependence is dropped only when exact earlier waits imply it, and
every static wait is at least as strong as the exact waits that it stands for.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from npuc.compiler.backend.trace import Access, Command, Objects, Touched, Tracer
from npuc.compiler.dialects.tile import ForOp, GroupOp
from npuc.compiler.xdsl_api import Operation
from npuc.isa.instructions import Engine

Distances = dict[Engine, int]
Clock = tuple[int, ...]
NO_CLOCK: Clock = (0,) * len(Engine)


@dataclass
class WaitPlan:
    """Where a group waits: ``at`` commands, and engines ``before`` loops.

    ``last`` tells, for each thing touched, engine and kind (writes or not), how many commands of
    that engine were issued in the group up to its last such access; ``totals`` all commands.
    ``clocks`` has, for each engine, how many commands of each are complete when it ends the group.
    ``first`` tells, for each command and loop, how many commands of each engine the group issued
    before its first run.
    """

    at: dict[Operation, Distances] = field(default_factory=dict)
    before: dict[ForOp, dict[Engine, Distances]] = field(default_factory=dict)
    last: dict[tuple[Touched, Engine, bool], int] = field(default_factory=dict)
    totals: tuple[int, ...] = NO_CLOCK
    clocks: dict[Engine, Clock] = field(default_factory=dict)
    first: dict[Operation, tuple[int, ...]] = field(default_factory=dict)

    def early(self, op: Operation, distances: Distances) -> frozenset[Engine]:
        """Engines of ``distances`` whose wait at ``op`` names no command of the group at first."""
        first = self.first[op]
        return frozenset(e for e, distance in distances.items() if first[e.value] <= distance)


@dataclass
class _State:
    """Last writer and, since it, last readers of one slot or tensor."""

    writer: tuple[Engine, int, Operation] | None = None
    readers: dict[Engine, tuple[int, Operation]] = field(default_factory=dict)


Need = tuple[Engine, int, Operation]  # engine, its command count that must be complete, command


def plan_waits(group: GroupOp, objects: Objects) -> WaitPlan:
    """The waits of ``group``. Raises: CompileError for a use of a slot that is not held."""
    planner = _Planner()
    tracer = Tracer(group, objects)
    for command in tracer.run():
        planner.step(command, tracer.counts)
    planner.plan.totals = tuple(tracer.counts)
    planner.plan.clocks = planner.last_clocks()
    return planner.plan


class _Planner:
    def __init__(self) -> None:
        self.plan = WaitPlan()
        self._states: dict[Touched, _State] = {}
        self._clocks: dict[Engine, list[Clock]] = {engine: [] for engine in Engine}
        self._shared: dict[tuple[Operation, Operation], int] = {}

    def step(self, command: Command, counts: list[int]) -> None:
        """Account for one command; ``counts`` are commands issued before it."""
        engine = command.engine
        self.plan.first.setdefault(command.op, tuple(counts))
        for frame in command.frames:
            self.plan.first.setdefault(frame.loop, frame.entry)
        needs = self._needs(command)
        clock = self._clocks[engine][-1] if self._clocks[engine] else NO_CLOCK
        for need in needs:
            if clock[need[0].value] < need[1]:
                clock = _join(clock, self._clocks[need[0]][need[1] - 1])
        for need in self._essential(engine, needs):
            self._record(command, need, counts)
        done = counts[engine.value] + 1
        self._clocks[engine].append(
            tuple(done if i == engine.value else c for i, c in enumerate(clock))
        )
        for access in command.accesses:
            self._touch(command, access, done)

    def last_clocks(self) -> dict[Engine, Clock]:
        """The clock of each engine's last command."""
        return {engine: clocks[-1] for engine, clocks in self._clocks.items() if clocks}

    def _needs(self, command: Command) -> list[Need]:
        needs: dict[Engine, Need] = {}
        for access in command.accesses:
            state = self._states.get(access.touched)
            for engine, count, op in _conflicts(state, access.writes):
                if engine is not command.engine and needs.get(engine, (engine, 0, op))[1] < count:
                    needs[engine] = (engine, count, op)
        return list(needs.values())

    def _essential(self, engine: Engine, needs: list[Need]) -> Iterable[Need]:
        """Needs that neither earlier waits of ``engine`` nor the other needs imply."""
        known = self._clocks[engine][-1] if self._clocks[engine] else NO_CLOCK
        for need in needs:
            implied = known
            for other in needs:
                if other is not need:
                    implied = _join(implied, self._clocks[other[0]][other[1] - 1])
            if implied[need[0].value] < need[1]:
                yield need

    def _record(self, command: Command, need: Need, counts: list[int]) -> None:
        source, count, producer = need
        pair = (command.op, producer)
        shared = self._shared.get(pair)
        if shared is None:
            shared = self._shared[pair] = _common_loops(*pair)
        if shared == len(command.frames):
            distances = self.plan.at.setdefault(command.op, {})
            _tighten(distances, source, counts[source.value] - count)
            return
        frame = command.frames[shared]
        engines = self.plan.before.setdefault(frame.loop, {})
        distance = frame.entry[source.value] - count
        _tighten(engines.setdefault(command.engine, {}), source, distance)

    def _touch(self, command: Command, access: Access, done: int) -> None:
        self.plan.last[access.touched, command.engine, access.writes] = done
        state = self._states.setdefault(access.touched, _State())
        if access.writes:
            state.writer = (command.engine, done, command.op)
            state.readers = {}
        else:
            state.readers[command.engine] = (done, command.op)


def _conflicts(state: _State | None, writes: bool) -> Iterable[Need]:
    if state is None:
        return
    if state.writer is not None:
        yield state.writer
    if writes:
        for engine, (count, op) in state.readers.items():
            yield engine, count, op


def _tighten(distances: Distances, source: Engine, distance: int) -> None:
    assert distance >= 0, "a wait names a command that was not issued yet"
    distances[source] = min(distance, distances.get(source, distance))


def _join(a: Clock, b: Clock) -> Clock:
    return tuple(map(max, a, b))


def _loops_around(op: Operation) -> list[ForOp]:
    loops: list[ForOp] = []
    parent = op.parent_op()
    while parent is not None:
        if isinstance(parent, ForOp):
            loops.append(parent)
        parent = parent.parent_op()
    return loops[::-1]


def _common_loops(a: Operation, b: Operation) -> int:
    count = 0
    for x, y in zip(_loops_around(a), _loops_around(b), strict=False):
        if x is not y:
            break
        count += 1
    return count
