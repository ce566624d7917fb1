"""The better parts of two timed schedules of one program, put together.

A *part* are groups between which and all others neither schedule has a run in stripes, so that
either schedule can decide it. What neighbours overlap is seen only where both are timed together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from npuc.compiler.schedule.data import GroupSchedule, RunSchedule, Schedule

Nodes = tuple[str, ...]
Name = tuple[str, Nodes]  # of a group, and of its ONNX nodes


@dataclass(frozen=True)
class Timed:
    """A schedule that leaves nothing open, and the wall cycles of each group under it."""

    schedule: Schedule
    cycles: Mapping[str, int]

    @cached_property
    def total(self) -> int:
        """Cycles of the program."""
        return sum(self.cycles.values())


@dataclass(frozen=True)
class Merged:
    """One schedule with the better parts of another, and the cycles to expect by those of each."""

    schedule: Schedule
    parts: int
    expected_cycles: int


def merge(names: Sequence[Name], one: Timed, other: Timed) -> Merged | None:
    """``one`` with the parts in which ``other`` takes fewer cycles.

    ``names`` are the groups in order. None where there are no such parts, or where nothing else
    differs. Which tensors stay is open in the result where the two disagree: it depends on what is
    striped.
    """
    differing = [p for p in _parts(names, (one, other)) if _differ(names[p[0] : p[1]], one, other)]
    better = [p for p in differing if _gained(names[p[0] : p[1]], one, other) > 0]
    if not better or len(better) == len(differing):
        return None
    taken = {nodes for begin, end in better for _, nodes in names[begin:end]}
    kept = [g for g in one.schedule.groups if g.nodes not in taken]
    new = [g for g in other.schedule.groups if g.nodes in taken]
    runs = [
        run
        for timed in (one, other)
        for run, (begin, _) in _spans(names, timed.schedule).items()
        if any(a <= begin < b for a, b in better) is (timed is other)
    ]
    resident = one.schedule.resident
    agreed = resident if other.schedule.resident == resident else None
    schedule = Schedule((*kept, *new), agreed, tuple(runs), one.schedule.division)
    gained = sum(_gained(names[begin:end], one, other) for begin, end in better)
    return Merged(schedule, len(better), one.total - gained)


def with_given(schedule: Schedule, given: Schedule) -> Schedule:
    """``schedule`` where ``given`` says nothing."""
    own = {(g.nodes, g.shape): g for g in schedule.groups}
    own.update({(g.nodes, g.shape): g for g in given.groups})
    resident = schedule.resident if given.resident is None else given.resident
    runs = schedule.stripes if given.stripes is None else given.stripes
    division = schedule.division if given.division is None else given.division
    return Schedule(tuple(own.values()), resident, runs, division)


def _parts(names: Sequence[Name], both: Iterable[Timed]) -> list[tuple[int, int]]:
    """Ranges [begin, end) of groups, as short as the runs of both allow."""
    inside = {
        cut
        for timed in both
        for first, last in _spans(names, timed.schedule).values()
        for cut in range(first + 1, last + 1)
    }
    cuts = [n for n in range(len(names) + 1) if n not in inside]
    return list(pairwise(cuts))


def _spans(names: Sequence[Name], schedule: Schedule) -> dict[RunSchedule, tuple[int, int]]:
    """First and last group of each run: the nearest ones that it may mean."""
    found = {}
    for run in schedule.stripes or ():
        least = len(run.turns) - 1 if run.turns is not None else 1
        firsts = run.beginnings([nodes for _, nodes in names])
        lasts = [n for n, (_, nodes) in enumerate(names) if nodes == run.last]
        ends = [(a, b) for a in firsts for b in lasts if b - a >= least]
        if ends:
            found[run] = min(ends, key=lambda end: (end[1] - end[0], end))
    return found


def _differ(names: Sequence[Name], one: Timed, other: Timed) -> bool:
    """Whether the two decide these groups differently."""
    nodes = {nodes for _, nodes in names}
    return _decided(one.schedule, nodes) != _decided(other.schedule, nodes)


def _decided(
    schedule: Schedule, nodes: set[Nodes]
) -> tuple[frozenset[GroupSchedule], frozenset[RunSchedule]]:
    groups = frozenset(g for g in schedule.groups if g.nodes in nodes)
    return groups, frozenset(r for r in schedule.stripes or () if r.first in nodes)


def _gained(names: Sequence[Name], one: Timed, other: Timed) -> int:
    """Cycles that ``other`` takes less for these groups."""
    return sum(one.cycles.get(name, 0) - other.cycles.get(name, 0) for name, _ in names)
