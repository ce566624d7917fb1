"""Walking a strided view in row-major order: joined axes, windows, an odometer.

A *geometry* is a table of six rows of eight words. Rows 0 to 3 hold extents, byte strides and the
coefficients of both windows of the joined axes, row 4 the odometer, row 5 the place: address and
coordinates of both windows. Word 7 of row 0 is the number of axes, of row 1 how many points of the
innermost lie at one coordinate of the windows: channels of one pixel, as a rule, so that a row of
pixels is one row. An *operand* is a row of words as ``OPERAND_WORDS`` counts them.
"""

import numpy as np
import numpy.typing as npt

from npuc.emulator.functional.compiled.native import as_values, carray
from npuc.isa.jit import njit

Int64s = npt.NDArray[np.int64]

EXTENT, STRIDE, FIRST, SECOND, AT, PLACE = range(6)
COUNT = UNIT = 7
GEOMETRY_ROWS, GEOMETRY_WORDS = 6, 8
# Words of an operand: strides, then of both windows limits and coefficients.
LIMITS, COEFFICIENTS = 7, 9
CODE, SPACE, WINDOWS, FILL, SIZE = range(23, 28)
OPERAND_WORDS = 28
PLACE_WORDS = 3


@njit(inner=True)
def join(extents: Int64s, start: int, stop: int, operand: Int64s, geometry: Int64s) -> None:
    """Axes start to stop of a view, without those of one element and joined where they can be."""
    count = 0
    for axis in range(start, stop):
        extent = extents[axis]
        if extent == 1:
            continue
        stride = operand[axis]
        first, second = operand[COEFFICIENTS + axis], operand[COEFFICIENTS + 7 + axis]
        last = count - 1
        if (
            count > 0
            and geometry[STRIDE, last] == extent * stride
            and geometry[FIRST, last] == extent * first
            and geometry[SECOND, last] == extent * second
        ):
            geometry[EXTENT, last] *= extent
        else:
            last = count
            geometry[EXTENT, last] = extent
            count += 1
        geometry[STRIDE, last] = stride
        geometry[FIRST, last] = first
        geometry[SECOND, last] = second
    if count == 0:
        geometry[STRIDE, 0] = geometry[FIRST, 0] = geometry[SECOND, 0] = 0
        geometry[EXTENT, 0] = count = 1
    geometry[STRIDE, UNIT] = 1
    if count > 1 and _is_one_row(geometry, count - 2):
        count -= 1
        inner, pixels = geometry[EXTENT, count], geometry[EXTENT, count - 1]
        geometry[STRIDE, UNIT], geometry[EXTENT, count - 1] = inner, inner * pixels
        geometry[STRIDE, count - 1] = geometry[STRIDE, count]
    geometry[EXTENT, COUNT] = count


@njit(inner=True)
def _is_one_row(geometry: Int64s, axis: int) -> bool:
    """Whether an axis and the next one, along which no coordinate changes, lie without a gap."""
    moves = geometry[FIRST, axis + 1] | geometry[SECOND, axis + 1]
    way = geometry[EXTENT, axis + 1] * geometry[STRIDE, axis + 1]
    return bool(moves == 0 and geometry[STRIDE, axis] == way)


@njit(inner=True)
def start_at(point: int, geometry: Int64s) -> None:
    """Set the odometer to a row-major point and move the place there from the first point.

    Coordinates are those of the row's first point.
    """
    last = geometry[EXTENT, COUNT] - 1
    for axis in range(last, -1, -1):
        extent = geometry[EXTENT, axis]
        index = point % extent
        point //= extent
        geometry[AT, axis] = 0
        _move(geometry, axis, index, axis == last)


@njit(inner=True)
def next_row(geometry: Int64s) -> None:
    """From anywhere in a row of the innermost axis to the first point of the next row."""
    axis = geometry[EXTENT, COUNT] - 1
    _move(geometry, axis, -geometry[AT, axis], True)
    while axis > 0:
        axis -= 1
        if geometry[AT, axis] + 1 < geometry[EXTENT, axis]:
            _move(geometry, axis, 1, False)
            return
        _move(geometry, axis, -geometry[AT, axis], False)


@njit(inner=True)
def _move(geometry: Int64s, axis: int, steps: int, is_last: bool) -> None:
    geometry[AT, axis] += steps
    geometry[PLACE, 0] += steps * geometry[STRIDE, axis]
    if not is_last:
        geometry[PLACE, 1] += steps * geometry[FIRST, axis]
        geometry[PLACE, 2] += steps * geometry[SECOND, axis]


@njit(inner=True)
def inside(coordinate: int, step: int, limit: int, count: int) -> tuple[int, int]:
    """The points low to high of a row, 0 <= low <= high <= count, whose coordinate is legal."""
    if step == 0:
        return 0, (count if 0 <= coordinate < limit else 0)
    if step > 0:
        low, high = -(coordinate // step), -((coordinate - limit) // step)
    else:
        low, high = (coordinate - limit) // -step + 1, coordinate // -step + 1
    low = min(max(low, 0), count)
    return low, min(max(high, low), count)


@njit(inner=True)
def fill(address: int, count: int, word: int) -> None:
    """``count`` words of 32 bits become ``word``."""
    words = carray(as_values(address), count)
    for i in range(count):
        words[i] = word


@njit(inner=True)
def copy(address: int, source: int, count: int) -> None:
    """``count`` words of 32 bits, from and to places apart."""
    words, others = carray(as_values(address), count), carray(as_values(source), count)
    for i in range(count):
        words[i] = others[i]


# -- what kernels remember of writes to SPM -------------------------------------------------------

PAGE_BITS = 10


@njit(inner=True)
def wrote(low: int, high: int, pages: Int64s) -> None:
    """Bytes [low, high) of SPM change now: each page holds the time of its last write.

    The last word of ``pages`` is the clock.
    """
    if low >= high:
        return
    pages[-1] += 1
    for page in range(low >> PAGE_BITS, ((high - 1) >> PAGE_BITS) + 1):
        pages[page] = pages[-1]
