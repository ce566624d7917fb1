"""First fit: a plan in milliseconds that any search starts from."""

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import TypeAlias

import numpy as np

from npuc.compiler.planning.problem import FREE, Int64s, Items

_Range: TypeAlias = tuple[int, int]  # addresses from, to; or sections first, last


def first_fit(items: Items, order: Sequence[int]) -> Int64s:
    """Addresses by item: in ``order``, each at the lowest aligned one that is free all its life.

    Fixed items come first, whatever ``order`` says.
    """
    offsets = [0] * len(items.size)
    sizes, steps, fixed = items.size.tolist(), items.alignment.tolist(), items.fixed.tolist()
    stretches = _stretches(items)
    n_sections = len(items.item_starts) - 1
    alive: list[list[_Range]] = [[] for _ in range(n_sections)]  # addresses taken in a section
    begun: list[list[_Range]] = [[] for _ in range(n_sections)]  # those not taken the one before
    for i in sorted(order, key=lambda item: fixed[item] == FREE):
        low = fixed[i]
        if low == FREE:
            taken = [n for a, b in stretches[i] for n in chain(alive[a], *begun[a + 1 : b + 1])]
            low = _first_gap(sorted(taken), sizes[i], steps[i])
        offsets[i] = low
        addresses = low, low + sizes[i]
        for first, last in stretches[i]:
            begun[first].append(addresses)
            for section in alive[first : last + 1]:
                section.append(addresses)
    return np.array(offsets, np.int64)


def _first_gap(taken: Sequence[_Range], size: int, step: int) -> int:
    """The lowest multiple of ``step`` with ``size`` addresses between ``taken``, ascending."""
    low = 0
    for begin, end in taken:
        if end > low:
            if low + size <= begin:
                break
            low = -(-end // step) * step
    return low


def _stretches(items: Items) -> list[list[_Range]]:
    """By item, its sections as ranges without gaps: the first and the last of each."""
    sections, starts = items.sections, items.section_starts
    is_first = np.append(True, np.diff(sections) != 1)
    is_first[starts[:-1]] = True
    firsts = np.flatnonzero(is_first)
    lasts = sections[np.append(firsts[1:], len(sections)) - 1].tolist()
    ranges = list(zip(sections[firsts].tolist(), lasts, strict=True))
    ends = np.searchsorted(firsts, starts).tolist()
    return [ranges[a:b] for a, b in pairwise(ends)]


def by_size(items: Items) -> list[int]:
    """Items, the largest first."""
    return [int(i) for i in np.argsort(-items.size, kind="stable")]
