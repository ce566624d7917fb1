"""In which order the search prefers items that could lie at the same address."""

from itertools import pairwise

import numpy as np

from npuc.compiler.planning.problem import Int64s, Items, Problem


def ranks_of(problem: Problem) -> tuple[Int64s, ...]:
    """Several rankings of the items, 0 preferred; each solves problems that the others do not.

    Foremost the load of an item's busiest section, then its life or the number of its neighbours.
    """
    items = problem.items
    sections = np.diff(items.section_starts)
    owners = np.repeat(np.arange(len(items.size)), sections)
    load = np.zeros(len(items.item_starts) - 1, np.int64)
    np.add.at(load, items.sections, items.size[owners])
    busiest = np.zeros(len(items.size), np.int64)
    np.maximum.at(busiest, owners, load[items.sections])
    area, life = sections * items.size, problem.life
    return (
        _rank(busiest, sections, area),
        _rank(busiest, life, area),
        _rank(busiest, _neighbours(items), area),
        _rank(busiest, area, life),
        _rank(life, area, busiest),
    )


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
