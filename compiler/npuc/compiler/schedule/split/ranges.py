"""Ranges that cores or queues share a whole by."""

from itertools import pairwise

from npuc.compiler.schedule.striping.rows import Range


def even_ranges(extent: int, granule: int, count: int) -> tuple[Range, ...]:
    """Ranges that differ by at most one granule, the larger ones first; the last may be cut."""
    blocks = -(-extent // granule)
    ends = [min(-(-blocks * n // count) * granule, extent) for n in range(count + 1)]
    return tuple(pairwise(ends))
