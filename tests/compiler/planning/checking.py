"""An independent check of plans: byte by byte and step by step, from the buffers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from npuc.compiler.planning.buffers import Buffer


def live(buffer: Buffer, time: int) -> bool:
    """Whether ``buffer`` needs its bytes at ``time``."""
    in_gap = any(gap.lower <= time < gap.upper for gap in buffer.gaps)
    return buffer.lower <= time < buffer.upper and not in_gap


def faults(
    buffers: Sequence[Buffer], offsets: Mapping[str, int], capacity: int | None = None
) -> list[str]:
    """What is wrong with ``offsets``, overlap only between buffers that share no bytes by wish."""
    found = []
    for b in buffers:
        offset = offsets[b.id]
        if offset < 0 or offset % b.alignment:
            found.append(f"{b.id}: offset {offset} is not aligned to {b.alignment}")
        if capacity is not None and offset + b.size_bytes > capacity:
            found.append(f"{b.id}: ends at {offset + b.size_bytes}, capacity {capacity}")
        if b.fixed_offset is not None and offset != b.fixed_offset:
            found.append(f"{b.id}: at {offset}, fixed at {b.fixed_offset}")
    edges = {t for b in buffers for t in (b.lower, *(g.upper for g in b.gaps))}
    for time in sorted(edges):  # whatever overlaps does so when a life or its next part begins
        now = sorted((offsets[b.id], b.size_bytes, b.id) for b in buffers if live(b, time))
        for i, (low, size, name) in enumerate(now):
            for other_low, _, other in now[i + 1 :]:
                if other_low >= low + size:
                    break
                found.append(f"{name} and {other} overlap at time {time}")
    return found


def fullest(buffers: Sequence[Buffer]) -> int:
    """The largest sum of live bytes."""
    edges = {t for b in buffers for t in (b.lower, *(g.upper for g in b.gaps))}
    return max((sum(b.size_bytes for b in buffers if live(b, t)) for t in edges), default=0)
