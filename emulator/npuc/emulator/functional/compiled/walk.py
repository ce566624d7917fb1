"""Runs of points of a view, row after row: the way of all loads and stores.

The kernel of a row is called by its address; so this is compiled once for all element types.
"""

from npuc.emulator.functional.compiled.geometry import (
    AT,
    COUNT,
    EXTENT,
    FILL,
    FIRST,
    GEOMETRY_ROWS,
    GEOMETRY_WORDS,
    LIMITS,
    OPERAND_WORDS,
    PLACE,
    SECOND,
    SIZE,
    STRIDE,
    UNIT,
    WINDOWS,
    Int64s,
    copy,
    fill,
    inside,
    join,
    next_row,
    start_at,
)
from npuc.emulator.functional.compiled.leaves import leaf
from npuc.emulator.functional.compiled.native import (
    as_values,
    carray,
    int32,
    int64,
    invoke,
)
from npuc.isa.jit import njit

_WORD = 4


@leaf("nLLnLnnn")
def walk(
    row: int,
    operand: Int64s,
    extents: Int64s,
    axes: int,
    geometry: Int64s,
    first: int,
    values: int,
    count: int,
) -> None:
    """Call ``row`` for the points from the row-major ``first`` on; windows leave fill.

    ``axes`` are 8 * start + stop; 0 where the geometry is ready. The place in ``geometry`` is that
    of the view's first point, its address one of the host; it is changed.
    """
    about = carray(operand, OPERAND_WORDS)
    joined = carray(geometry, (GEOMETRY_ROWS, GEOMETRY_WORDS))
    if axes != 0:
        join(carray(extents, 8), axes >> 3, axes & 7, about, joined)
    _rows(row, about, joined, first, values, count)


@njit(inner=True)
def _rows(row: int, operand: Int64s, geometry: Int64s, first: int, base: int, count: int) -> None:
    start_at(first, geometry)
    last, at = geometry[EXTENT, COUNT] - 1, int64(0)
    step, wanted = geometry[STRIDE, last], count
    if _is_periodic(geometry, last):
        count = min(count, geometry[EXTENT, last])
    while True:
        size = min(geometry[EXTENT, last] - geometry[AT, last], count - at)
        low, high = int64(0), size
        if operand[WINDOWS] > 0:
            low, high = _open(operand, geometry, last, size)
            word = int32(operand[FILL])
            fill(base + at * _WORD, low, word)
            fill(base + (at + high) * _WORD, size - high, word)
        start, part = geometry[PLACE, 0] + low * step, high - low
        to = base + (at + low) * _WORD
        calls, each = min(part, int64(1)), part
        if part > 1 and step <= 0:
            calls, each = (part if step < 0 else calls), int64(1)
        way = step if each > 1 else operand[SIZE]
        for i in range(calls):
            invoke(row, (to + i * _WORD, start + i * step, way, each))
        if part > 1 and step == 0:
            fill(to + _WORD, part - 1, carray(as_values(to), 1)[0])
        at += size
        if at >= count:
            break
        next_row(geometry)
    while at < wanted:
        size = min(at, wanted - at)
        copy(base + at * _WORD, base, size)
        at += size


@njit(inner=True)
def _is_periodic(geometry: Int64s, last: int) -> bool:
    """Whether every row is the same, as those of weights and biases of channels are."""
    moves = int64(0)
    for axis in range(last):
        for way in range(STRIDE, SECOND + 1):
            moves |= geometry[way, axis]
    return bool(moves == 0)


@njit(inner=True)
def _open(operand: Int64s, geometry: Int64s, last: int, count: int) -> tuple[int, int]:
    """The points low to high of those to come that both windows let through."""
    unit, at = geometry[STRIDE, UNIT], geometry[AT, last]
    pixels = geometry[EXTENT, last] // unit
    low, high = inside(geometry[PLACE, 1], geometry[FIRST, last], operand[LIMITS], pixels)
    if operand[WINDOWS] > 1:
        limit = operand[LIMITS + 1]
        least, most = inside(geometry[PLACE, 2], geometry[SECOND, last], limit, pixels)
        low, high = max(low, least), min(high, most)
    low = min(max(low * unit - at, 0), count)
    return low, min(max(high * unit - at, low), count)
