"""In which order the search prefers items that could lie at the same address."""

import numpy as np

from npuc.compiler.planning.problem import Int64s, Items


def ranks_of(items: Items) -> tuple[Int64s, ...]:
    """Several rankings of the items, 0 preferred: by busiest section, life and area in turn."""
    n, life = len(items.size), np.diff(items.section_starts)
    owners = np.repeat(np.arange(n), life)
    load = np.zeros(len(items.item_starts) - 1, np.int64)
    np.add.at(load, items.sections, items.size[owners])
    busiest = np.zeros(n, np.int64)
    np.maximum.at(busiest, owners, load[items.sections])
    area = life * items.size
    return (
        _rank(busiest, life, area),
        _rank(life, area, busiest),
        _rank(busiest, area, life),
        _rank(items.size, life, area),
    )


def _rank(*keys: Int64s) -> Int64s:
    """Positions when sorted by descending ``keys``, the first of them foremost."""
    order = np.lexsort([-key for key in reversed(keys)])
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank
