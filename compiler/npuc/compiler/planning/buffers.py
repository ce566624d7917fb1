"""What a planner is told: buffers with lifetimes, and which of them share their bytes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from npuc.isa.errors import InputError


class Window(NamedTuple):
    """Half-open time: from ``lower`` up to but not including ``upper``."""

    lower: int
    upper: int


@dataclass(frozen=True)
class Buffer:
    """``size_bytes`` needed in the half-open time ``[lower, upper)``.

    gaps: parts of the life in which others may have the bytes.
    fixed_offset: where it must be. hint: where it would like to be, in the first attempt.
    group: buffers of one group are one block, this one ``group_offset_bytes`` into it (views).
    in_place_of: the buffer whose bytes it takes over where it is born as that one dies and is no
    larger; else both are placed apart.
    banks: the banks that may hold it, for ``assign_banks``; empty for all.
    uses: times at which it is touched, and spill_cycles: cycles to store and reload it; both are
    for ``suggest_spills``. Without uses it is touched when it is born and before it dies.
    """

    id: str
    lower: int
    upper: int
    size_bytes: int
    alignment: int = 1
    gaps: tuple[Window, ...] = ()
    fixed_offset: int | None = None
    hint: int | None = None
    group: str | None = None
    group_offset_bytes: int = 0
    in_place_of: str | None = None
    banks: tuple[int, ...] = ()
    uses: tuple[int, ...] = ()
    spill_cycles: int | None = None

    @property
    def windows(self) -> tuple[Window, ...]:
        """The parts of the life outside the gaps, in order."""
        if not self.gaps:
            return (Window(self.lower, self.upper),)
        edges = [self.lower, *(t for g in self.gaps for t in (g.lower, g.upper)), self.upper]
        parts = zip(edges[::2], edges[1::2], strict=True)
        return tuple(Window(lower, upper) for lower, upper in parts if lower < upper)


def check_buffers(buffers: Sequence[Buffer]) -> None:
    """Refuse buffers that contradict themselves or each other. Raises: InputError naming one."""
    seen: set[str] = set()
    for buffer in buffers:
        if buffer.id in seen:
            raise _refused(buffer, "two buffers have one id", buffer.id, "each id once")
        seen.add(buffer.id)
        _check_numbers(buffer)
        _check_gaps(buffer)
    for buffer in buffers:
        partner = buffer.in_place_of
        if partner is not None and partner not in seen:
            raise _refused(buffer, "its in-place partner is unknown", partner, "an id of the list")


def _check_numbers(buffer: Buffer) -> None:
    if buffer.lower >= buffer.upper:
        life = f"[{buffer.lower}, {buffer.upper})"
        raise _refused(buffer, "its life is empty", life, "lower < upper")
    if buffer.size_bytes < 1:
        raise _refused(buffer, "it has no size", str(buffer.size_bytes), "at least 1 byte")
    if buffer.alignment < 1:
        raise _refused(buffer, "bad alignment", str(buffer.alignment), "at least 1")
    offsets = (buffer.group_offset_bytes, buffer.fixed_offset or 0, buffer.hint or 0)
    if min(offsets) < 0:
        raise _refused(buffer, "an offset is negative", str(min(offsets)), "at least 0")
    if (buffer.fixed_offset or 0) % buffer.alignment:
        aligned = f"a multiple of its alignment {buffer.alignment}"
        raise _refused(buffer, "the fixed offset is not aligned", str(buffer.fixed_offset), aligned)


def _check_gaps(buffer: Buffer) -> None:
    if not buffer.gaps:
        return
    edges = [buffer.lower, *(t for g in buffer.gaps for t in (g.lower, g.upper)), buffer.upper]
    empty = any(gap.lower >= gap.upper for gap in buffer.gaps)
    if empty or any(a > b for a, b in pairwise(edges)) or not buffer.windows:
        given = " ".join(f"{gap.lower}-{gap.upper}" for gap in buffer.gaps)
        allowed = f"ascending windows within [{buffer.lower}, {buffer.upper}), not all of it"
        raise _refused(buffer, "its gaps are no gaps in its life", given, allowed)


def _refused(buffer: Buffer, what: str, given: str, allowed: str) -> InputError:
    return InputError(
        f"the buffers cannot be planned: {what}",
        where=f"buffer {buffer.id}",
        given=given,
        allowed=allowed,
        next_step="mend this buffer",
    )


def united(windows: Iterable[Window]) -> tuple[Window, ...]:
    """The same times as disjoint windows in order, touching ones joined."""
    ordered = sorted(windows)
    if len(ordered) == 1:
        return tuple(ordered)
    result: list[Window] = []
    for window in ordered:
        if result and window.lower <= result[-1].upper:
            joined = max(result[-1].upper, window.upper)
            result[-1] = Window(result[-1].lower, joined)
        else:
            result.append(window)
    return tuple(result)
