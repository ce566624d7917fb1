"""Order between the groups of one core, once addresses are known.

When a group starts, every engine that will touch bytes which earlier groups touched on another
engine (and one of the two writes) waits in a ``nop`` until those accesses are complete.
"""

from dataclasses import dataclass, field

from npuc.compiler.backend.registers import COUNT_REGISTERS
from npuc.compiler.dialects.npu import NopOp, Order
from npuc.isa.instructions import Counter, Engine, Wait
from npuc.isa.instructions.base import WAIT_IMM_MIN

MAX_WAITS = 2


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


@dataclass
class Handover:
    """Accesses of earlier groups of a core that some engine may still have to wait for."""

    core: int
    issued: dict[Engine, int] = field(default_factory=lambda: dict.fromkeys(COUNT_REGISTERS, 0))
    _past: list[PlacedTouch] = field(default_factory=list)
    _known: dict[tuple[Engine, Engine], int] = field(default_factory=dict)

    def enter(self, touches: list[PlacedTouch]) -> list[NopOp]:
        """The nops that a group with ``touches`` starts with."""
        nops = []
        for engine in COUNT_REGISTERS:
            own = [touch for touch in touches if touch.engine is engine]
            waits = [
                self._wait(source, count) for source, count in sorted(
                    self._needed(engine, own).items(), key=lambda item: item[0].value)
            ]
            nops += [NopOp(engine.name, Order(tuple(waits[start : start + MAX_WAITS])))
                     for start in range(0, len(waits), MAX_WAITS)]
        return nops

    def leave(self, touches: list[PlacedTouch], issued: tuple[int, ...]) -> None:
        """Account for the group that ``enter`` was called for."""
        for touch in touches:
            count = self.issued[touch.engine] + touch.count
            self._past.append(PlacedTouch(touch.extent, touch.engine, touch.writes, count))
        for engine in self.issued:
            self.issued[engine] += issued[engine.value]
        self._past = [touch for touch in self._past if not self._known_to_all(touch)]

    def _needed(self, engine: Engine, own: list[PlacedTouch]) -> dict[Engine, int]:
        needed: dict[Engine, int] = {}
        for past in self._past:
            if past.engine is engine or past.count <= self._known.get((engine, past.engine), 0):
                continue
            if any(_conflict(touch, past) for touch in own):
                needed[past.engine] = max(past.count, needed.get(past.engine, 0))
        for source, count in needed.items():
            self._known[engine, source] = count
        return needed

    def _wait(self, source: Engine, count: int) -> Wait:
        distance = self.issued[source] - count
        imm = max(-distance, WAIT_IMM_MIN)
        return Wait(Counter(self.core, source), COUNT_REGISTERS[source], imm)

    def _known_to_all(self, touch: PlacedTouch) -> bool:
        others = [engine for engine in COUNT_REGISTERS if engine is not touch.engine]
        return all(self._known.get((e, touch.engine), 0) >= touch.count for e in others)


def _conflict(a: PlacedTouch, b: PlacedTouch) -> bool:
    return (a.writes or b.writes) and a.extent.overlaps(b.extent)
