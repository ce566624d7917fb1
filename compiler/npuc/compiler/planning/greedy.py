"""First fit: a plan in milliseconds that any search starts from."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from npuc.compiler.planning.problem import FREE, Int64s, Items

_Stretch: TypeAlias = tuple[int, int]  # begin, end


def first_fit(items: Items, order: Sequence[int]) -> Int64s:
    """Addresses by item: in ``order``, each at the lowest aligned one that is free all its life.

    Fixed items come first, whatever ``order`` says.
    """
    offsets = [0] * len(items.size)
    sizes, steps, fixed = items.size.tolist(), items.alignment.tolist(), items.fixed.tolist()
    lives = _lives(items)
    begins = items.sections[items.section_starts[:-1]]
    ends = items.sections[items.section_starts[1:] - 1]
    is_placed = np.zeros(len(sizes), bool)
    for i in sorted(order, key=lambda item: fixed[item] == FREE):
        low = fixed[i]
        if low == FREE:
            near = np.flatnonzero(is_placed & (begins <= ends[i]) & (ends >= begins[i])).tolist()
            taken = [(offsets[n], offsets[n] + sizes[n]) for n in near if lives[n] & lives[i]]
            low = _first_gap(sorted(taken), sizes[i], steps[i])
        offsets[i] = low
        is_placed[i] = True
    return np.array(offsets, np.int64)


def _first_gap(taken: Sequence[_Stretch], size: int, step: int) -> int:
    """The lowest multiple of ``step`` with ``size`` addresses between ``taken``, ascending."""
    low = 0
    for begin, end in taken:
        if end > low:
            if low + size <= begin:
                break
            low = -(-end // step) * step
    return low


def _lives(items: Items) -> list[int]:
    """By item, its sections as the bits of a number."""
    bits = [1 << section for section in range(len(items.item_starts) - 1)]
    sections, starts = items.sections.tolist(), items.section_starts.tolist()
    return [sum(bits[s] for s in sections[a:b]) for a, b in pairwise(starts)]


def by_size(items: Items) -> list[int]:
    """Items, the largest first."""
    return [int(i) for i in np.argsort(-items.size, kind="stable")]
