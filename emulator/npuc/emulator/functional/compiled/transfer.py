"""Transfers in compiled code: clipped boxes as runs of bytes."""

import numpy as np

from npuc.emulator.functional.compiled.geometry import Int64s, wrote
from npuc.emulator.functional.compiled.leaves import Leaf
from npuc.emulator.functional.compiled.native import (
    as_bytes,
    as_words,
    carray,
    int64,
)
from npuc.emulator.memory import Bytes
from npuc.isa.jit import njit

AXES = 5
# Words of a record: which map, address, corner.
MAP, ADDRESS, CORNER = 0, 1, 2
RECORD_WORDS = CORNER + AXES
# Words of a map: element size, base, fill; box, extents, strides, all with axes right-aligned.
SIZE, BASE, FILL, BOX, EXTENT, SPM, DRAM = 0, 1, 2, 3, 3 + AXES, 3 + 2 * AXES, 3 + 3 * AXES
MAP_WORDS = 3 + 4 * AXES
# Rows of a table of axes, below the counts.
_SPM_ROW, _DRAM_ROW = int64(1), int64(2)
# Words of a context: each an address and a number.
MAPS, DRAM_AT, SPM_AT, PAGES, CONTEXT_WORDS = 0, 2, 4, 6, 8


def _loads(records: Int64s, count: int, context: Int64s) -> None:
    """Carry out loads, in order; elements outside the tensor are fill."""
    about = carray(context, CONTEXT_WORDS)
    maps = carray(as_words(about[MAPS]), (about[MAPS + 1], MAP_WORDS))
    dram = carray(as_bytes(about[DRAM_AT]), about[DRAM_AT + 1])
    spm = carray(as_bytes(about[SPM_AT]), about[SPM_AT + 1])
    pages = carray(as_words(about[PAGES]), about[PAGES + 1])
    _run_loads(carray(records, (count, RECORD_WORDS)), maps, dram, spm, pages)


def _stores(records: Int64s, count: int, context: Int64s) -> None:
    """Carry out stores, in order; elements outside the tensor are dropped."""
    about = carray(context, CONTEXT_WORDS)
    maps = carray(as_words(about[MAPS]), (about[MAPS + 1], MAP_WORDS))
    dram = carray(as_bytes(about[DRAM_AT]), about[DRAM_AT + 1])
    spm = carray(as_bytes(about[SPM_AT]), about[SPM_AT + 1])
    _run_stores(carray(records, (count, RECORD_WORDS)), maps, spm, dram)


LOADS_OF, STORES_OF = Leaf(_loads, "LnL"), Leaf(_stores, "LnL")


@njit(inner=True)
def _run_loads(records: Int64s, maps: Int64s, dram: Bytes, spm: Bytes, pages: Int64s) -> None:
    axes = np.zeros((3, AXES), np.int64)
    for number in range(len(records)):
        record = records[number]
        tensor = maps[record[MAP]]
        low, high = record[ADDRESS], record[ADDRESS] + tensor[SIZE]
        for axis in range(AXES):
            way = (tensor[BOX + axis] - 1) * tensor[SPM + axis]
            low += min(way, 0)
            high += max(way, 0)
        wrote(low, high, pages)
        start, address, is_clipped, is_empty = _clip(record, tensor, axes)
        if is_clipped:
            _fill(record, tensor, spm)
        if not is_empty:
            _copy(
                tensor[SIZE],
                _joined(axes),
                (dram, start, _DRAM_ROW),
                (spm, address, _SPM_ROW),
                axes,
            )


@njit(inner=True)
def _run_stores(records: Int64s, maps: Int64s, spm: Bytes, dram: Bytes) -> None:
    axes = np.zeros((3, AXES), np.int64)
    for number in range(len(records)):
        record = records[number]
        tensor = maps[record[MAP]]
        start, address, _, is_empty = _clip(record, tensor, axes)
        if not is_empty:
            _copy(
                tensor[SIZE],
                _joined(axes),
                (spm, address, _SPM_ROW),
                (dram, start, _DRAM_ROW),
                axes,
            )


@njit(inner=True)
def _clip(record: Int64s, tensor: Int64s, axes: Int64s) -> tuple[int, int, bool, bool]:
    """The inside of the box into ``axes``: counts, SPM strides, DRAM strides; and its places."""
    start, address, is_clipped = tensor[BASE], record[ADDRESS], False
    is_empty = False
    for axis in range(AXES):
        corner, box = record[CORNER + axis], tensor[BOX + axis]
        first = max(-corner, 0)
        count = min(box, tensor[EXTENT + axis] - corner) - first
        is_clipped |= count != box
        is_empty |= count <= 0
        axes[0, axis] = count
        axes[1, axis], axes[2, axis] = tensor[SPM + axis], tensor[DRAM + axis]
        address += first * tensor[SPM + axis]
        start += (corner + first) * tensor[DRAM + axis]
    return start, address, is_clipped, is_empty


@njit(inner=True)
def _joined(axes: Int64s) -> int:
    """Drop axes of one element, join those that lie as one on both sides; how many are left."""
    count = int64(0)
    for axis in range(AXES):
        size, spm, dram = axes[0, axis], axes[1, axis], axes[2, axis]
        if size == 1:
            continue
        last = count - 1
        if count > 0 and axes[1, last] == size * spm and axes[2, last] == size * dram:
            size *= axes[0, last]
        else:
            last = count
            count += 1
        axes[0, last], axes[1, last], axes[2, last] = size, spm, dram
    if count == 0:
        axes[0, 0] = count = int64(1)
    return count


@njit(inner=True)
def _copy(
    size: int,
    count: int,
    source: tuple[Bytes, int, int],
    target: tuple[Bytes, int, int],
    axes: Int64s,
) -> None:
    """Row after row: memory, first byte and row of strides on both sides."""
    at = np.zeros(AXES, np.int64)
    last = count - 1
    first, place = source[1], target[1]
    steps, ways = axes[source[2]], axes[target[2]]
    is_run = steps[last] == size and ways[last] == size
    while True:
        if is_run or axes[0, last] == 1:
            _bytes(source[0], first, target[0], place, axes[0, last] * size)
        elif size == 1:
            for i in range(axes[0, last]):
                target[0][place + i * ways[last]] = source[0][first + i * steps[last]]
        else:
            for i in range(axes[0, last]):
                _bytes(source[0], first + i * steps[last], target[0], place + i * ways[last], size)
        axis = last - 1
        while axis >= 0 and at[axis] + 1 == axes[0, axis]:
            first -= at[axis] * steps[axis]
            place -= at[axis] * ways[axis]
            at[axis] = 0
            axis -= 1
        if axis < 0:
            return
        at[axis] += 1
        first += steps[axis]
        place += ways[axis]


@njit(inner=True)
def _bytes(source: Bytes, first: int, target: Bytes, place: int, count: int) -> None:
    left, right = target[place : place + count], source[first : first + count]
    for i in range(count):
        left[i] = right[i]


@njit(inner=True)
def _fill(record: Int64s, tensor: Int64s, spm: Bytes) -> None:
    """The whole box in SPM becomes fill."""
    size, inner, step = tensor[SIZE], tensor[BOX + AXES - 1], tensor[SPM + AXES - 1]
    rows = 1
    for axis in range(AXES - 1):
        rows *= tensor[BOX + axis]
    for row in range(rows):
        rest, place = row, record[ADDRESS]
        for axis in range(AXES - 2, -1, -1):
            place += rest % tensor[BOX + axis] * tensor[SPM + axis]
            rest //= tensor[BOX + axis]
        for byte in range(size):
            _fill_row(spm, place + byte, (inner, step), (tensor[FILL] >> 8 * byte) & 255)


@njit(inner=True)
def _fill_row(spm: Bytes, first: int, run: tuple[int, int], fill: int) -> None:
    """Bytes from ``first`` on: ``run`` is how many, and the way from one to the next."""
    count, step = run
    if step == 1:
        row = spm[first : first + count]
        for i in range(count):
            row[i] = fill
        return
    for i in range(count):
        spm[first + i * step] = fill
