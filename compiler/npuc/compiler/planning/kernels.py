"""The leaves of the search, compiled: placing one item, what follows from it, and taking it back.

Everything that a step changes lies in one array and is noted on a trail, so that going back is one
loop. Times have become sections; addresses are in granules.
"""

from typing import NamedTuple

import numpy as np

from npuc.compiler.planning.problem import Int64s, Items
from npuc.isa.jit import njit

UNPLACED = -1


class State(NamedTuple):
    """``values`` holds ``low`` (the lowest address an item may still get) and ``offset``, which are
    views of it; changes are noted on the trail. ``ceiling`` is by item the highest end.

    ``sorted_items`` is the table section to items, each row kept nearly sorted by ``low``.
    ``dirty`` lists sections to check, ``is_dirty`` tells which; ``counts`` is the length of the
    trail and the number of dirty sections; ``failures`` counts by section.
    """

    values: Int64s
    low: Int64s
    offset: Int64s
    ceiling: Int64s
    trail_index: Int64s
    trail_value: Int64s
    sorted_items: Int64s
    dirty: Int64s
    is_dirty: Int64s
    counts: Int64s
    failures: Int64s


def start_state(items: Items, ceiling: Int64s, trail_length: int) -> State:
    """Nothing is placed."""
    n, m = len(items.size), len(items.item_starts) - 1
    values = np.concatenate([np.maximum(items.fixed, 0), np.full(n, UNPLACED, np.int64)])
    return State(
        values,
        values[:n],
        values[n:],
        ceiling,
        np.empty(trail_length, np.int64),
        np.empty(trail_length, np.int64),
        items.items.copy(),
        np.empty(m, np.int64),
        np.zeros(m, np.int64),
        np.zeros(2, np.int64),
        np.zeros(m, np.int64),
    )


@njit(inner=True)
def _note(state: State, index: int, value: int) -> None:
    top = state.counts[0]
    state.trail_index[top] = index
    state.trail_value[top] = state.values[index]
    state.counts[0] = top + 1
    state.values[index] = value


@njit(inner=True)
def undo(state: State, mark: int) -> None:
    """Take back all changes since the trail had the length ``mark``."""
    for i in range(state.counts[0] - 1, mark - 1, -1):
        state.values[state.trail_index[i]] = state.trail_value[i]
    state.counts[0] = mark
    for i in range(state.counts[1]):
        state.is_dirty[state.dirty[i]] = 0
    state.counts[1] = 0


@njit(inner=True)
def _raise_low(items: Items, state: State, item: int, address: int) -> bool:
    """``item`` cannot lie below ``address``; false where it must."""
    step = items.alignment[item]
    address = (address + step - 1) // step * step
    if address <= state.low[item]:
        return True
    if items.fixed[item] >= 0 or address + items.size[item] > state.ceiling[item]:
        return False
    _note(state, item, address)
    for k in range(items.section_starts[item], items.section_starts[item + 1]):
        section = items.sections[k]
        if state.is_dirty[section] == 0:
            state.is_dirty[section] = 1
            state.dirty[state.counts[1]] = section
            state.counts[1] += 1
    return True


@njit(inner=True)
def place(items: Items, state: State, item: int) -> bool:
    """Put ``item`` at its lowest address; false where a fixed one is hit."""
    n = len(items.size)
    address = state.low[item]
    top = address + items.size[item]
    _note(state, n + item, address)
    for k in range(items.section_starts[item], items.section_starts[item + 1]):
        section = items.sections[k]
        for j in range(items.item_starts[section], items.item_starts[section + 1]):
            other = items.items[j]
            if state.offset[other] < 0 and not _raise_low(items, state, other, top):
                return False
    return True


@njit(inner=True)
def lift(items: Items, state: State, item: int, placed: int) -> bool:
    """``item`` was passed over for ``placed``: it must rest on something not below that.

    False where nothing is left to rest on, or it is fixed. Source: in a plan in which nothing can
    sink, each item lies at 0 or on another one.
    """
    if items.fixed[item] >= 0:
        return False
    floor = state.offset[placed]
    lowest = np.iinfo(np.int64).max
    for k in range(items.section_starts[item], items.section_starts[item + 1]):
        section = items.sections[k]
        for j in range(items.item_starts[section], items.item_starts[section + 1]):
            other = items.items[j]
            if other == placed:
                lowest = min(lowest, floor + items.size[other])
            elif other != item and state.offset[other] < 0:
                lowest = min(lowest, max(floor, state.low[other]) + items.size[other])
    if lowest == np.iinfo(np.int64).max:
        return False
    return _raise_low(items, state, item, lowest)


@njit(inner=True)
def _section_fits(items: Items, state: State, section: int) -> bool:
    """Whether the unplaced items of ``section`` can be stacked from their lowest addresses."""
    begin, end = items.item_starts[section], items.item_starts[section + 1]
    row = state.sorted_items
    for i in range(begin + 1, end):
        item = row[i]
        k = i
        while k > begin and state.low[row[k - 1]] > state.low[item]:
            row[k] = row[k - 1]
            k -= 1
        row[k] = item
    top = highest = np.int64(0)
    for i in range(begin, end):
        if state.offset[row[i]] < 0:
            top = max(top, state.low[row[i]]) + items.size[row[i]]
            highest = max(highest, state.ceiling[row[i]])
    return bool(top <= highest)


@njit(inner=True)
def dirty_sections_fit(items: Items, state: State) -> bool:
    """Whether all sections whose items have been raised still fit below the ceilings."""
    for i in range(state.counts[1]):
        if not _section_fits(items, state, state.dirty[i]):
            state.failures[state.dirty[i]] += 1
            return False
    for i in range(state.counts[1]):
        state.is_dirty[state.dirty[i]] = 0
    state.counts[1] = 0
    return True
