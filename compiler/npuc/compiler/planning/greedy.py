"""First fit: a plan in milliseconds that any search starts from."""

from collections.abc import Sequence
from functools import reduce
from itertools import chain, pairwise
from operator import or_
from typing import TypeAlias

import numpy as np

from npuc.compiler.planning.problem import FREE, Int64s, Items

_Range: TypeAlias = tuple[int, int]  # addresses from, to; or sections first, last
MANY_SECTIONS = 8  # of an item: from here on it pays to keep what is taken as bits
FEW_ADDRESSES = 1 << 12  # so many bits are quick to work with


def first_fit(items: Items, order: Sequence[int]) -> Int64s:
    """Addresses by item: in ``order``, each at the lowest aligned one that is free all its life.

    Fixed items come first, whatever ``order`` says.
    """
    offsets = [0] * len(items.size)
    sizes, steps, fixed = items.size.tolist(), items.alignment.tolist(), items.fixed.tolist()
    stretches = _stretches(items)
    is_dense = len(items.sections) >= MANY_SECTIONS * len(sizes) and _has_few_addresses(items)
    taken = (_Bits if is_dense else _Ranges)(len(items.item_starts) - 1)
    free = [i for i in order if fixed[i] == FREE]
    for i in [i for i in order if fixed[i] != FREE] + free:
        low = fixed[i]
        if low == FREE:
            low = taken.first_gap(stretches[i], sizes[i], steps[i])
        offsets[i] = low
        taken.take(stretches[i], low, sizes[i])
    return np.array(offsets, np.int64)


def _has_few_addresses(items: Items) -> bool:
    """Whether the addresses in use at any time and the fixed ones are few."""
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(items.size[items.items])])
    live = np.diff(before[items.item_starts])
    ends = np.where(items.fixed == FREE, 0, items.fixed + items.size)
    return max(int(live.max(initial=0)), int(ends.max(initial=0))) <= FEW_ADDRESSES


class _Ranges:
    """What is taken in each section, as ranges of addresses."""

    def __init__(self, n_sections: int) -> None:
        self._alive: list[list[_Range]] = [[] for _ in range(n_sections)]
        self._begun: list[list[_Range]] = [[] for _ in range(n_sections)]  # alive, not before

    def first_gap(self, stretches: Sequence[_Range], size: int, step: int) -> int:
        """The lowest multiple of ``step`` from which on ``size`` addresses are free."""
        alive, begun = self._alive, self._begun
        taken = [n for a, b in stretches for n in chain(alive[a], *begun[a + 1 : b + 1])]
        taken.sort()
        low, high = 0, size
        for begin, end in taken:
            if end > low:
                if high <= begin:
                    break
                low = -(-end // step) * step
                high = low + size
        return low

    def take(self, stretches: Sequence[_Range], low: int, size: int) -> None:
        """Take ``size`` addresses from ``low`` on."""
        addresses = low, low + size
        for first, last in stretches:
            self._begun[first].append(addresses)
            for section in self._alive[first : last + 1]:
                section.append(addresses)


class _Bits:
    """Likewise, as the bits of a number: as quick however many have taken them."""

    def __init__(self, n_sections: int) -> None:
        self._taken = [0] * n_sections

    def first_gap(self, stretches: Sequence[_Range], size: int, step: int) -> int:
        """The lowest multiple of ``step`` from which on ``size`` addresses are free."""
        taken = 0
        for first, last in stretches:
            taken = reduce(or_, self._taken[first : last + 1], taken)
        free, length = ~taken, 1  # where so many addresses are free from there on
        while length < size:
            more = min(length, size - length)
            free &= free >> more
            length += more
        low = _lowest(free)
        while low % step:
            low += -low % step
            low += _lowest(free >> low)
        return low

    def take(self, stretches: Sequence[_Range], low: int, size: int) -> None:
        """Take ``size`` addresses from ``low`` on."""
        mine = ((1 << size) - 1) << low
        for first, last in stretches:
            self._taken[first : last + 1] = [n | mine for n in self._taken[first : last + 1]]


def _lowest(bits: int) -> int:
    """The number of the lowest bit that is set."""
    return (bits & -bits).bit_length() - 1


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
    order: list[int] = np.argsort(-items.size, kind="stable").tolist()
    return order
