"""What to move out when no plan can fit: data for a caller who knows what a move costs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from npuc.compiler.planning.buffers import Buffer, Window, united


@dataclass(frozen=True)
class Spill:
    """``buffer`` stored before ``idle`` and loaded after it; ``worth`` is what it was chosen by:
    bytes x idle time / cycles of both transfers.
    """

    buffer: str
    idle: Window
    size_bytes: int
    worth: float


@dataclass(frozen=True)
class SpillAdvice:
    """The spills in the order of choice, the lower bound after them, and the buffers with gaps."""

    spills: tuple[Spill, ...]
    lower_bound_bytes: int
    buffers: tuple[Buffer, ...]


def fullest(buffers: Sequence[Buffer]) -> tuple[int, int, tuple[Buffer, ...]]:
    """The lower bound of the sizes, the first time that makes it, and the buffers live then.

    Buffers that share bytes count apart.
    """
    changes: dict[int, int] = {}
    for buffer in buffers:
        for window in buffer.windows:
            changes[window.lower] = changes.get(window.lower, 0) + buffer.size_bytes
            changes[window.upper] = changes.get(window.upper, 0) - buffer.size_bytes
    live = highest = peak_time = 0
    for time in sorted(changes):
        live += changes[time]
        if live > highest:
            highest, peak_time = live, time
    return highest, peak_time, tuple(b for b in buffers if _lives(b, peak_time))


def suggest_spills(buffers: Sequence[Buffer], capacity: int) -> SpillAdvice:
    """Which buffers to move out, one at a time, until the fullest time fits or none is idle there.

    Of the buffers idle at the fullest time the one with the most bytes x idle time for its cycles.
    """
    current = {buffer.id: buffer for buffer in buffers}
    spills: list[Spill] = []
    while True:
        bound, time, live = fullest(tuple(current.values()))
        options = [spill for b in live if (spill := _spill(b, time)) is not None]
        if bound <= capacity or not options:
            return SpillAdvice(tuple(spills), bound, tuple(current.values()))
        best = max(options, key=lambda s: (s.worth, s.buffer))
        spills.append(best)
        old = current[best.buffer]
        current[best.buffer] = replace(old, gaps=united((*old.gaps, best.idle)))


def _spill(buffer: Buffer, time: int) -> Spill | None:
    """The spill of ``buffer`` around ``time``; None where it is touched then."""
    touched = sorted({*(buffer.uses or ()), buffer.lower, buffer.upper - 1})
    for last, following in pairwise(touched):
        if last < time < following:
            idle = Window(last + 1, following)
            cycles = buffer.spill_cycles or 2 * buffer.size_bytes
            worth = buffer.size_bytes * (idle.upper - idle.lower) / cycles
            return Spill(buffer.id, idle, buffer.size_bytes, worth)
    return None


def _lives(buffer: Buffer, time: int) -> bool:
    return any(window.lower <= time < window.upper for window in buffer.windows)
