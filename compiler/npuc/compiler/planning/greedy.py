"""First fit: a plan in milliseconds that any search starts from."""

from collections.abc import Sequence

import numpy as np

from npuc.compiler.planning.problem import FREE, Int64s, Items


def first_fit(items: Items, order: Sequence[int]) -> Int64s:
    """Addresses by item: in ``order``, each at the lowest aligned one that is free all its life.

    Fixed items come first, whatever ``order`` says.
    """
    n_sections = len(items.item_starts) - 1
    offsets = np.zeros(len(items.size), np.int64)
    taken: list[list[int]] = [[] for _ in range(n_sections)]  # items placed, by section
    sections, starts = items.sections.tolist(), items.section_starts.tolist()
    fixed = [i for i in order if items.fixed[i] != FREE]
    for i in [*fixed, *(i for i in order if items.fixed[i] == FREE)]:
        mine = sections[starts[i] : starts[i + 1]]
        if items.fixed[i] == FREE:
            others = np.array(sorted({j for s in mine for j in taken[s]}), np.int64)
            offsets[i] = _first_gap(items, i, others, offsets[others])
        else:
            offsets[i] = items.fixed[i]
        for section in mine:
            taken[section].append(i)
    return offsets


def _first_gap(items: Items, item: int, others: Int64s, lows: Int64s) -> int:
    """The lowest aligned address of ``item`` between ``others``, which lie at ``lows``."""
    if not len(others):
        return 0
    by_low = np.argsort(lows, kind="stable")
    tops = np.maximum.accumulate((lows + items.size[others])[by_low])
    step = int(items.alignment[item])
    begins = np.concatenate([np.zeros(1, np.int64), -(-tops // step) * step])
    ends = lows[by_low]
    fits = np.flatnonzero(begins[:-1] + items.size[item] <= ends)
    return int(begins[fits[0]] if len(fits) else begins[-1])


def by_size(items: Items) -> list[int]:
    """Items, the largest first."""
    return [int(i) for i in np.argsort(-items.size, kind="stable")]
