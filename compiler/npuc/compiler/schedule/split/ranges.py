"""Ranges that cores or queues share a whole by."""

from itertools import pairwise

from npuc.compiler.schedule.striping.rows import Range


def even_ranges(extent: int, granule: int, count: int) -> tuple[Range, ...]:
    """Ranges that differ by at most one granule; the last may be cut, some may be empty.

    Those of an extent lie about where those of its half do: larger ones are spread, not in front.
    """
    blocks = -(-extent // granule)
    ends = [min(-(-blocks * n // count) * granule, extent) for n in range(count + 1)]
    return tuple(pairwise(ends))
