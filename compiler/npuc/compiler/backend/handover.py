"""Order between the groups of one core, once addresses are known.

When a group starts, every engine that will touch bytes which earlier groups touched on another
engine (and one of the two writes) waits in a ``nop`` until those accesses are complete. Waits that
are implied by what the engine knows already, through earlier waits of any engine, are left out.
"""

from dataclasses import dataclass, field, replace

from npuc.compiler.backend.registers import COUNT_REGISTERS
from npuc.compiler.dialects.npu import NopOp, Order, Usage
from npuc.isa.descriptors import Segment
from npuc.isa.instructions import Counter, Engine, Wait
from npuc.isa.instructions.base import WAIT_IMM_MIN

MAX_WAITS = 2
NEVER_WRITTEN = (Segment.constant.name, Segment.input.name)


@dataclass(frozen=True)
class Extent:
    """Bytes [low, high) of a memory: ``spm``, ``acc`` or a DRAM segment by name."""

    memory: str
    low: int
    high: int

    def overlaps(self, other: "Extent") -> bool:
        """Whether the two share a byte."""
        return self.memory == other.memory and self.low < other.high and other.low < self.high


@dataclass(frozen=True)
class PlacedTouch:
    """A group's last access of one kind by one engine to some bytes (see ``npu.Touch``)."""

    extent: Extent
    engine: Engine
    writes: bool
    count: int


Clock = dict[Engine, int]  # commands known to be complete, per engine


@dataclass
class Handover:
    """Accesses of earlier groups of a core that some engine may still have to wait for.

    ``_known`` is what each engine knows to be complete; ``_history`` what it knew when it had
    done so many commands (at the ends of groups).
    """

    core: int
    issued: Clock = field(default_factory=lambda: dict.fromkeys(COUNT_REGISTERS, 0))
    _past: list[PlacedTouch] = field(default_factory=list)
    _known: dict[Engine, Clock] = field(
        default_factory=lambda: {e: dict.fromkeys(COUNT_REGISTERS, 0) for e in COUNT_REGISTERS}
    )
    _history: dict[Engine, list[tuple[int, Clock]]] = field(
        default_factory=lambda: {e: [] for e in COUNT_REGISTERS}
    )

    def enter(self, touches: list[PlacedTouch]) -> list[NopOp]:
        """The nops that a group with ``touches`` starts with."""
        nops: list[NopOp] = []
        for engine in COUNT_REGISTERS:
            own = [touch for touch in touches if touch.engine is engine]
            needed = self._needed(engine, own)
            essential = self._essential(engine, needed)
            waits = [
                self._wait(source, needed[source])
                for source in COUNT_REGISTERS
                if source in essential
            ]
            nops += [
                NopOp(engine.name, Order(tuple(waits[start : start + MAX_WAITS])))
                for start in range(0, len(waits), MAX_WAITS)
            ]
            for source, count in needed.items():
                _join(self._known[engine], self._knowledge(source, count))
        return nops

    def leave(self, touches: list[PlacedTouch], usage: Usage) -> None:
        """Account for the group that ``enter`` was called for."""
        new = [
            replace(touch, count=self.issued[touch.engine] + touch.count)
            for touch in touches
            if touch.extent.memory not in NEVER_WRITTEN
        ]
        at_entry = {engine: dict(clock) for engine, clock in self._known.items()}
        for known in usage.known:
            clock = self._known[known.engine]
            _join(clock, at_entry[known.source])
            _join(clock, {known.source: self.issued[known.source] + known.count})
        for engine in self.issued:
            self.issued[engine] += usage.issued[engine.value]
            self._history[engine].append((self.issued[engine], dict(self._known[engine])))
        older = [past for past in self._past if not any(_covers(touch, past) for touch in new)]
        self._past = [touch for touch in (*older, *new) if not self._known_to_all(touch)]

    def _needed(self, engine: Engine, own: list[PlacedTouch]) -> Clock:
        needed: Clock = {}
        known = self._known[engine]
        for past in self._past:
            if past.engine is engine or past.count <= known[past.engine]:
                continue
            if any(_conflict(touch, past) for touch in own):
                needed[past.engine] = max(past.count, needed.get(past.engine, 0))
        return needed

    def _essential(self, engine: Engine, needed: Clock) -> set[Engine]:
        """Sources whose wait the other waits do not imply."""
        essential = set()
        for source, count in needed.items():
            implied = dict(self._known[engine])
            for other, other_count in needed.items():
                if other is not source:
                    _join(implied, self._knowledge(other, other_count))
            if implied[source] < count:
                essential.add(source)
        return essential

    def _knowledge(self, source: Engine, count: int) -> Clock:
        """What a wait for ``count`` commands of ``source`` makes known."""
        clock = {source: count}
        for reached, known in reversed(self._history[source]):
            if reached <= count:
                _join(clock, known)
                break
        return clock

    def _wait(self, source: Engine, count: int) -> Wait:
        distance = self.issued[source] - count
        imm = max(-distance, WAIT_IMM_MIN)
        return Wait(Counter(self.core, source), COUNT_REGISTERS[source], imm)

    def _known_to_all(self, touch: PlacedTouch) -> bool:
        others = [engine for engine in COUNT_REGISTERS if engine is not touch.engine]
        return all(self._known[engine][touch.engine] >= touch.count for engine in others)


def _join(clock: Clock, other: Clock) -> None:
    for engine, count in other.items():
        clock[engine] = max(count, clock.get(engine, 0))


def _covers(later: PlacedTouch, past: PlacedTouch) -> bool:
    """Whether whoever must wait for ``past`` must wait for ``later``, which comes after it."""
    return (
        later.engine is past.engine
        and (later.writes or not past.writes)
        and later.extent.memory == past.extent.memory
        and later.extent.low <= past.extent.low
        and past.extent.high <= later.extent.high
    )


def _conflict(a: PlacedTouch, b: PlacedTouch) -> bool:
    return (a.writes or b.writes) and a.extent.overlaps(b.extent)
