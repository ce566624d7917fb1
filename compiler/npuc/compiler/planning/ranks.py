"""In which order the search prefers items that could lie at the same address."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from npuc.compiler.planning.problem import Int64s, Items, Problem

LEARNED = 12
KEPT_TENTHS = 7
FRESH = 1 << 20


class Ranks:
    """Rankings of the items, 0 preferred; each solves problems that the others do not.

    The fixed ones: foremost the load of an item's busiest section, then its life or the number of
    its neighbours. The learned ones prefer items in sections where searches have failed lately.
    """

    def __init__(self, problem: Problem) -> None:
        self.items = items = problem.items
        sections = np.diff(items.section_starts)
        self.owners = np.repeat(np.arange(len(items.size)), sections)
        load = np.zeros(len(items.item_starts) - 1, np.int64)
        np.add.at(load, items.sections, items.size[self.owners])
        self.trouble = np.zeros_like(load)
        self.busiest = self.most(load)
        self.area, self.sections = sections * items.size, sections
        self.fixed = (
            _rank(self.busiest, sections, self.area),
            _rank(self.busiest, problem.life, self.area),
            _rank(self.busiest, _neighbours(items), self.area),
            _rank(self.busiest, self.area, problem.life),
            _rank(problem.life, self.area, self.busiest),
        )

    def one_round(self) -> Iterator[Int64s]:
        """The fixed rankings, then learned ones, each from what was learned before it is asked."""
        yield from self.fixed
        for turn in range(LEARNED):
            key = self.troubled_area() if turn % 2 == 0 else self.most(self.trouble)
            yield _rank(key, self.busiest, self.sections, self.area)

    def learn(self, failures: Int64s) -> None:
        """Remember by section how often a search failed there, and forget a part of the past."""
        fresh = failures * FRESH // max(int(failures.sum()), 1)
        self.trouble = self.trouble * KEPT_TENTHS // 10 + fresh

    def most(self, by_section: Int64s) -> Int64s:
        """By item, the largest value among its sections."""
        found = np.zeros(len(self.items.size), np.int64)
        np.maximum.at(found, self.owners, by_section[self.items.sections])
        return found

    def troubled_area(self) -> Int64s:
        """By item, its size times the trouble of its sections."""
        found = np.zeros(len(self.items.size), np.int64)
        np.add.at(found, self.owners, self.trouble[self.items.sections])
        return found * self.items.size


def _neighbours(items: Items) -> Int64s:
    """By item, how many others it meets."""
    met: list[set[int]] = [set() for _ in items.size]
    holders, starts = items.items.tolist(), items.item_starts.tolist()
    for begin, end in pairwise(starts):
        row = holders[begin:end]
        for item in row:
            met[item].update(row)
    return np.array([len(others) for others in met], np.int64)


def _rank(*keys: Int64s) -> Int64s:
    """Positions when sorted by descending ``keys``, the first of them foremost."""
    order = np.lexsort([-key for key in reversed(keys)])
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank
