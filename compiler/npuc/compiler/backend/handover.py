"""Order between the groups of one core, once addresses are known.

When a group starts, every engine that will touch bytes which earlier groups touched on another
engine (and one of the two writes) waits in a ``nop`` until those accesses are complete. Waits that
are implied by what the engine knows already, through earlier waits of any engine, are left out.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from npuc.compiler.backend.registers import COUNT_REGISTERS
from npuc.compiler.dialects.npu import NopOp, Order, Usage
from npuc.isa.descriptors import Segment
from npuc.isa.instructions import Counter, Engine, Wait
from npuc.isa.instructions.base import WAIT_IMM_MIN

MAX_WAITS = 2
NEVER_WRITTEN = (Segment.constant.name, Segment.input.name)


class Extent(NamedTuple):
    """Bytes [low, high) of a memory: ``spm``, ``acc`` or a DRAM segment by name."""

    memory: str
    low: int
    high: int


@dataclass(frozen=True)
class PlacedTouch:
    """A group's last access of one kind by one engine to some bytes (see ``npu.Touch``)."""

    extent: Extent
    engine: Engine
    writes: bool
    count: int


Clock = list[int]  # commands known to be complete, by the engine's code
Int64s = npt.NDArray[np.int64]
ENGINES = len(Engine)
SOURCES = [engine.value for engine in COUNT_REGISTERS]
MEMORY, LOW, HIGH, ENGINE, WRITES, COUNT = range(6)  # columns of a table of touches


@dataclass
class Handover:
    """Accesses of earlier groups of a core that some engine may still have to wait for.

    ``_past`` is a table with one of them per row; ``_known`` is what each engine knows to be
    complete; ``_history`` what it knew when it had done so many commands (at the ends of groups).
    """

    core: int
    issued: Clock = field(default_factory=lambda: [0] * ENGINES)
    _memories: dict[str, int] = field(default_factory=dict)
    _past: Int64s = field(default_factory=lambda: np.zeros((0, 6), np.int64))
    _known: list[Clock] = field(default_factory=lambda: [[0] * ENGINES for _ in range(ENGINES)])
    _history: list[list[tuple[int, Clock]]] = field(
        default_factory=lambda: [[] for _ in range(ENGINES)]
    )

    def enter(self, touches: list[PlacedTouch]) -> list[NopOp]:
        """The nops that a group with ``touches`` starts with."""
        nops: list[NopOp] = []
        latest = self._latest_conflicts(self._table(touches))
        for engine in COUNT_REGISTERS:
            known = self._known[engine.value]
            counts = latest[engine.value]
            needed = {s: counts[s] for s in SOURCES if counts[s] > known[s]}
            waits = [
                self._wait(Engine(s), needed[s]) for s in self._essential(engine.value, needed)
            ]
            nops += [
                NopOp(engine.name, Order(tuple(waits[start : start + MAX_WAITS])))
                for start in range(0, len(waits), MAX_WAITS)
            ]
            for source, count in needed.items():
                _join(known, self._knowledge(source, count))
        return nops

    def leave(self, touches: list[PlacedTouch], usage: Usage) -> None:
        """Account for the group that ``enter`` was called for."""
        new = self._table([t for t in touches if t.extent.memory not in NEVER_WRITTEN])
        new[:, COUNT] += np.array(self.issued)[new[:, ENGINE]]
        at_entry = [list(clock) for clock in self._known]
        for known in usage.known:
            clock, source = self._known[known.engine.value], known.source.value
            _join(clock, at_entry[source])
            clock[source] = max(clock[source], self.issued[source] + known.count)
        for engine in SOURCES:
            self.issued[engine] += usage.issued[engine]
            self._history[engine].append((self.issued[engine], list(self._known[engine])))
        older = self._past[~_covered(self._past, new)]
        table = np.concatenate([older, new])
        known_to_all = np.array(
            [
                min(self._known[e][source] for e in SOURCES if e != source)
                for source in range(ENGINES)
            ]
        )
        self._past = table[table[:, COUNT] > known_to_all[table[:, ENGINE]]]

    def _table(self, touches: list[PlacedTouch]) -> Int64s:
        rows = [
            (
                self._memories.setdefault(t.extent.memory, len(self._memories)),
                t.extent.low,
                t.extent.high,
                t.engine.value,
                t.writes,
                t.count,
            )
            for t in touches
        ]
        return np.array(rows, np.int64).reshape(-1, 6)

    def _latest_conflicts(self, table: Int64s) -> list[list[int]]:
        """By engine and source: the count of the last past touch in conflict, 0 without one."""
        latest = np.zeros((ENGINES, ENGINES), np.int64)
        mine, theirs = np.nonzero(_conflicts(table, self._past))
        past = self._past[theirs]
        np.maximum.at(latest, (table[mine, ENGINE], past[:, ENGINE]), past[:, COUNT])
        found: list[list[int]] = latest.tolist()
        return found

    def _essential(self, engine: int, needed: dict[int, int]) -> list[int]:
        """Sources whose wait the other waits do not imply."""
        essential = []
        for source, count in needed.items():
            implied = list(self._known[engine])
            for other, other_count in needed.items():
                if other != source:
                    _join(implied, self._knowledge(other, other_count))
            if implied[source] < count:
                essential.append(source)
        return essential

    def _knowledge(self, source: int, count: int) -> Clock:
        """What a wait for ``count`` commands of ``source`` makes known."""
        clock = [0] * ENGINES
        for reached, known in reversed(self._history[source]):
            if reached <= count:
                clock = list(known)
                break
        clock[source] = max(clock[source], count)
        return clock

    def _wait(self, source: Engine, count: int) -> Wait:
        distance = self.issued[source.value] - count
        imm = max(-distance, WAIT_IMM_MIN)
        return Wait(Counter(self.core, source), COUNT_REGISTERS[source], imm)


def _join(clock: Clock, other: Clock) -> None:
    clock[:] = map(max, clock, other)


def _conflicts(touches: Int64s, past: Int64s) -> npt.NDArray[np.bool_]:
    """(touches, past): whether they share a byte, their engines differ and one of them writes."""
    a, b = touches[:, None], past[None]
    found: npt.NDArray[np.bool_] = (
        (a[..., MEMORY] == b[..., MEMORY])
        & (a[..., LOW] < b[..., HIGH])
        & (b[..., LOW] < a[..., HIGH])
        & (a[..., ENGINE] != b[..., ENGINE])
        & ((a[..., WRITES] | b[..., WRITES]) != 0)
    )
    return found


def _covered(past: Int64s, later: Int64s) -> npt.NDArray[np.bool_]:
    """By past touch: whether who must wait for it must wait for one of ``later`` of its engine."""
    a, b = past[:, None], later[None]
    covers = (
        (a[..., MEMORY] == b[..., MEMORY])
        & (a[..., ENGINE] == b[..., ENGINE])
        & (b[..., WRITES] >= a[..., WRITES])
        & (b[..., LOW] <= a[..., LOW])
        & (a[..., HIGH] <= b[..., HIGH])
    )
    found: npt.NDArray[np.bool_] = covers.any(axis=1)
    return found
