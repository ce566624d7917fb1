"""First fit: a plan in milliseconds that any search starts from."""

from collections.abc import Sequence

import numpy as np

from npuc.compiler.planning.problem import FREE, Int64s, Items


def first_fit(items: Items, order: Sequence[int]) -> Int64s:
    """Addresses by item: in ``order``, each at the lowest aligned one that is free all its life.

    Fixed items come first, whatever ``order`` says.
    """
    offsets = [0] * len(items.size)
    n_sections = len(items.item_starts) - 1
    # Stretches of addresses taken in a section, and those taken in it but not in the one before.
    taken: list[set[tuple[int, int]]] = [set() for _ in range(n_sections)]
    entering: list[set[tuple[int, int]]] = [set() for _ in range(n_sections)]
    sections, starts = items.sections.tolist(), items.section_starts.tolist()
    sizes, steps, fixed = items.size.tolist(), items.alignment.tolist(), items.fixed.tolist()
    for i in sorted(order, key=lambda item: fixed[item] == FREE):
        mine = sections[starts[i] : starts[i + 1]]
        entries = [s for s, before in zip(mine, [-2, *mine], strict=False) if s != before + 1]
        low = fixed[i]
        if low == FREE:
            met = set().union(*(taken[s] for s in entries), *(entering[s] for s in mine))
            low = _first_gap(sorted(met), sizes[i], steps[i])
        offsets[i] = low
        stretch = (low, low + sizes[i])
        for section in mine:
            taken[section].add(stretch)
        for section in entries:
            entering[section].add(stretch)
    return np.array(offsets, np.int64)


def _first_gap(stretches: Sequence[tuple[int, int]], size: int, step: int) -> int:
    """The lowest multiple of ``step`` with ``size`` free addresses between ``stretches``."""
    low = 0
    for begin, end in stretches:
        if low + size <= begin:
            return low
        if end > low:
            low = -(-end // step) * step
    return low


def by_size(items: Items) -> list[int]:
    """Items, the largest first."""
    return [int(i) for i in np.argsort(-items.size, kind="stable")]
