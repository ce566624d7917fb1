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
from typing import NamedTuple

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


class _Source(NamedTuple):
    """A command that another one may have to wait for: its engine and number there, from 1."""

    engine: int
    number: int
    op: Operation


@dataclass
class _State:
    """Last writer and, since it, by engine the last readers of one slot or tensor."""

    writer: _Source | None = None
    readers: dict[int, _Source] = field(default_factory=dict)


def plan_waits(group: GroupOp, objects: Objects) -> WaitPlan:
    """The waits of ``group``. Raises: CompileError for a use of a slot that is not held."""
    tracer = Tracer(group, objects)
    planner = _Planner(tracer.counts)
    tracer.run(planner.step)
    return planner.finished()


class _Planner:
    """``counts`` are the commands that each engine was given before the present one."""

    def __init__(self, counts: list[int]) -> None:
        self.plan = WaitPlan()
        self._counts = counts
        self._states: dict[Touched, _State] = {}
        self._clocks: list[list[Clock]] = [[] for _ in Engine]
        self._last: dict[tuple[Touched, int, bool], int] = {}
        self._shared: dict[tuple[Operation, Operation], int] = {}

    def step(self, command: Command) -> None:
        """Account for one command."""
        engine, first = command.engine, self.plan.first
        if command.op not in first:
            first[command.op] = tuple(self._counts)
            for frame in command.frames:
                first.setdefault(frame.loop, frame.entry)
        clocks = self._clocks[engine]
        known = clocks[-1] if clocks else NO_CLOCK
        needs = [n for n in self._needs(command) if known[n.engine] < n.number]
        clock = known
        for need in needs:
            if self._is_essential(need, known, needs):
                self._record(command, need)
            if clock[need.engine] < need.number:
                clock = _join(clock, self._clock_of(need))
        done = self._counts[engine] + 1
        clocks.append((*clock[:engine], done, *clock[engine + 1 :]))
        source = _Source(engine, done, command.op)
        for access in command.accesses:
            self._touch(access, source)

    def finished(self) -> WaitPlan:
        """The plan, all commands being known."""
        plan, engines = self.plan, tuple(Engine)
        plan.last = {(what, engines[e], w): count for (what, e, w), count in self._last.items()}
        plan.totals = tuple(self._counts)
        plan.clocks = {e: clocks[-1] for e in engines if (clocks := self._clocks[e.value])}
        return plan

    def _needs(self, command: Command) -> Iterable[_Source]:
        """The latest command of each other engine that touched the same and must be complete."""
        needs: dict[int, _Source] = {}
        for access in command.accesses:
            state = self._states.get(access.touched)
            if state is None:
                continue
            found = [] if state.writer is None else [state.writer]
            if access.writes:
                found += state.readers.values()
            for source in found:
                before = needs.get(source.engine)
                if source.engine != command.engine and (
                    before is None or before.number < source.number
                ):
                    needs[source.engine] = source
        return needs.values()

    def _is_essential(self, need: _Source, known: Clock, needs: list[_Source]) -> bool:
        """Whether what is ``known`` and the other ``needs`` do not imply it."""
        implied = known
        for other in needs:
            if other is not need:
                implied = _join(implied, self._clock_of(other))
        return implied[need.engine] < need.number

    def _clock_of(self, source: _Source) -> Clock:
        return self._clocks[source.engine][source.number - 1]

    def _record(self, command: Command, need: _Source) -> None:
        source = Engine(need.engine)
        pair = (command.op, need.op)
        shared = self._shared.get(pair)
        if shared is None:
            shared = self._shared[pair] = _common_loops(*pair)
        if shared == len(command.frames):
            distances = self.plan.at.setdefault(command.op, {})
            _tighten(distances, source, self._counts[need.engine] - need.number)
            return
        frame = command.frames[shared]
        engines = self.plan.before.setdefault(frame.loop, {})
        distance = frame.entry[need.engine] - need.number
        _tighten(engines.setdefault(Engine(command.engine), {}), source, distance)

    def _touch(self, access: Access, source: _Source) -> None:
        self._last[access.touched, source.engine, access.writes] = source.number
        state = self._states.get(access.touched)
        if state is None:
            state = self._states[access.touched] = _State()
        if access.writes:
            state.writer = source
            state.readers = {}
        else:
            state.readers[source.engine] = source


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
