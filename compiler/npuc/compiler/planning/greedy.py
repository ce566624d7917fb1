"""First fit: a plan in milliseconds that any search starts from."""

from bisect import insort
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from npuc.compiler.planning.problem import FREE, Int64s, Items

_Stretch: TypeAlias = tuple[int, int, int]  # begin, end, the sections of its life as bits


def first_fit(items: Items, order: Sequence[int]) -> Int64s:
    """Addresses by item: in ``order``, each at the lowest aligned one that is free all its life.

    Fixed items come first, whatever ``order`` says.
    """
    offsets = [0] * len(items.size)
    sizes, steps, fixed = items.size.tolist(), items.alignment.tolist(), items.fixed.tolist()
    lives = _lives(items)
    placed: list[_Stretch] = []  # ascending
    for i in sorted(order, key=lambda item: fixed[item] == FREE):
        low = fixed[i]
        if low == FREE:
            low = _first_gap(placed, lives[i], sizes[i], steps[i])
        offsets[i] = low
        insort(placed, (low, low + sizes[i], lives[i]))
    return np.array(offsets, np.int64)


def _first_gap(placed: Sequence[_Stretch], life: int, size: int, step: int) -> int:
    """The lowest multiple of ``step`` with ``size`` addresses that are free during ``life``."""
    low = 0
    for begin, end, other in placed:
        if end > low and other & life:
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
