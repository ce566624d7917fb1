"""Regions as NumPy arrays: a strided view where that is enough, a gathered copy with windows."""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from npuc.emulator.functional.plain import read_region
from npuc.emulator.memory import Bytes
from npuc.emulator.region import Region
from npuc.isa.descriptors import View
from npuc.isa.descriptors.view import MAX_RANK, MAX_WINDOWS
from npuc.isa.jit import HAS_NUMBA, njit

Values = npt.NDArray[Any]
Int64s = npt.NDArray[np.int64]


def strided(memory: Bytes, region: Region) -> Values:
    """The region's elements where they lie (windows ignored): writes go to memory."""
    if 0 in region.extents:
        return np.empty(region.extents, region.view.dtype.numpy)
    return np.ndarray(
        region.extents, region.view.dtype.numpy, memory, region.address, region.view.strides
    )


def elements(memory: Bytes, region: Region) -> Values:
    """The region's elements, with fill where a window shuts a point out; do not write to them."""
    if not region.view.windows:
        return strided(memory, region)
    if not HAS_NUMBA or 0 in region.extents:
        return read_region(memory, region)
    table = _window_table(region.view)
    size = region.view.dtype.bytes
    pad = MAX_RANK - len(region.extents)
    extents = np.array((1,) * pad + region.extents, np.int64)
    origins = np.array(region.origins + (0,) * (MAX_WINDOWS - len(region.origins)), np.int64)
    out = np.empty(int(extents.prod()) * size, np.uint8)
    _gather(memory, region.address, extents, table, origins, _fill(region.view), out)
    return out.view(region.view.dtype.numpy).reshape(region.extents)


def is_plain_store(region: Region) -> bool:
    """Whether a store needs neither windows nor an order: no two points share a byte."""
    view = region.view
    return not view.windows and steps_apart(region.extents, view.strides, view.dtype.bytes)


@lru_cache(maxsize=4096)
def steps_apart(extents: tuple[int, ...], strides: tuple[int, ...], size: int) -> bool:
    """True when no two elements of ``size`` bytes overlap; the test may say no too often."""
    reach = size
    for stride, extent in sorted(
        (abs(s), e) for s, e in zip(strides, extents, strict=True) if e > 1
    ):
        if stride < reach:
            return False
        reach += stride * (extent - 1)
    return True


@lru_cache(maxsize=4096)
def _window_table(view: View) -> Int64s:
    """Rows of 7, dimensions right-aligned: strides, then limit and coefficients of two windows.

    Row 1 holds the limits; an absent window has coefficients 0 and a limit that all pass.
    """
    pad = (0,) * (MAX_RANK - len(view.extents))
    absent = MAX_WINDOWS - len(view.windows)
    limits = tuple(w.limit for w in view.windows) + (1,) * absent
    rows = [pad + view.strides, limits + (0,) * (MAX_RANK - MAX_WINDOWS)]
    rows += [pad + w.coefficients for w in view.windows] + [(0,) * MAX_RANK] * absent
    return np.array(rows, np.int64)


@lru_cache(maxsize=4096)
def _fill(view: View) -> Bytes:
    bits = view.fill & ((1 << 8 * view.dtype.bytes) - 1)
    return np.frombuffer(bits.to_bytes(view.dtype.bytes, "little"), np.uint8)


@njit(inner=True)
def _row(  # noqa: PLR0913, PLR0917  # compiled code takes arrays, not records
    memory: Bytes, inner: int, table: Int64s, place: Int64s, fill: Bytes, out: Bytes
) -> None:
    """One row along the last dimension; ``place`` is its address and its two coordinates.

    A row that no window cuts and that lies without gaps is copied as a whole.
    """
    size = len(fill)
    start, first, second = place[0], place[1], place[2]
    is_inside = 0 <= first < table[1, 0] and 0 <= second < table[1, 1]
    is_whole = table[2, 6] == 0 and table[3, 6] == 0 and table[0, 6] == size
    if is_whole and is_inside:
        for byte in range(inner * size):
            out[byte] = memory[start + byte]
        return
    if is_whole and size == 1:
        out[:] = fill[0]
        return
    for point in range(inner):
        is_inside = 0 <= first < table[1, 0] and 0 <= second < table[1, 1]
        for byte in range(size):
            out[point * size + byte] = memory[start + byte] if is_inside else fill[byte]
        start += table[0, 6]
        first += table[2, 6]
        second += table[3, 6]


@njit
def _gather(  # noqa: PLR0913, PLR0917  # compiled code takes arrays, not records
    memory: Bytes,
    address: int,
    extents: Int64s,
    table: Int64s,
    origins: Int64s,
    fill: Bytes,
    out: Bytes,
) -> None:
    """Row after row; the six outer dimensions are counted like an odometer."""
    index, place = np.zeros(6, np.int64), np.zeros(3, np.int64)
    place[0], place[1], place[2] = address, origins[0], origins[1]
    rows = extents[0] * extents[1] * extents[2] * extents[3] * extents[4] * extents[5]
    row_bytes = extents[6] * len(fill)
    for row in range(rows):
        _row(memory, extents[6], table, place, fill, out[row * row_bytes : (row + 1) * row_bytes])
        for d in range(5, -1, -1):
            index[d] += 1
            back = 0 if index[d] < extents[d] else extents[d]  # steps to undo on a carry
            place[0] += (1 - back) * table[0, d]
            place[1] += (1 - back) * table[2, d]
            place[2] += (1 - back) * table[3, d]
            if back == 0:
                break
            index[d] = 0
