"""Sums of products of bytes, pixel by pixel: depthwise convolutions.

A point's neighbours are the channels of its pixel, in activations and weights alike. So each tap of
the reduction is a row of activations times a row of weights, where they lie.
"""

import numpy as np
import numpy.typing as npt

from npuc.emulator.functional.compiled.geometry import COEFFICIENTS, LIMITS, WINDOWS, Int64s
from npuc.emulator.functional.compiled.leaves import leaf
from npuc.emulator.functional.compiled.native import as_signed, carray, int64, invoke
from npuc.isa.jit import njit

_WORD = 4
_ANYWHERE = 1 << 62
_PARALLEL, _AXES = 3, 7  # axes of pixels; the fourth are channels, the others of the reduction
TOGETHER = 3  # taps that pass over the sums at once


@leaf("ILnn")
def products_of_taps(sums: npt.NDArray[np.int32], pairs: Int64s, count: int, channels: int) -> None:
    """Sums become those of ``count`` rows times rows; ``pairs`` are addresses of both."""
    total, where = carray(sums, channels), carray(pairs, 2 * count)
    for n in range(channels):
        total[n] = 0
    whole = count - count % TOGETHER
    for tap in range(0, whole, TOGETHER):
        a = carray(as_signed(where[2 * tap]), channels)
        b = carray(as_signed(where[2 * tap + 2]), channels)
        c = carray(as_signed(where[2 * tap + 4]), channels)
        u = carray(as_signed(where[2 * tap + 1]), channels)
        v = carray(as_signed(where[2 * tap + 3]), channels)
        w = carray(as_signed(where[2 * tap + 5]), channels)
        for n in range(channels):
            total[n] = (
                total[n]
                + np.int32(a[n]) * np.int32(u[n])
                + np.int32(b[n]) * np.int32(v[n])
                + np.int32(c[n]) * np.int32(w[n])
            )
    for tap in range(whole, count):
        a = carray(as_signed(where[2 * tap]), channels)
        u = carray(as_signed(where[2 * tap + 1]), channels)
        for n in range(channels):
            total[n] = total[n] + np.int32(a[n]) * np.int32(u[n])


@njit(inner=True)
def sum_taps(
    extents: Int64s,
    operands: tuple[Int64s, Int64s],
    starts: tuple[int, int, int, int],
    places: tuple[int, int, int],
    run: tuple[int, int],
) -> None:
    """Sums of whole pixels.

    ``starts`` are the address of the first activation, its coordinates in both windows, and the
    address of the first weight; ``places`` the machine code, where the sums go and a row of the
    activations' fill; ``run`` the first point and the number of points.
    """
    a, _ = operands
    channels, taps = extents[_PARALLEL], extents[4] * extents[5] * extents[6]
    steps, pairs = np.zeros(4 * taps, np.int64), np.empty(2 * taps, np.int64)
    for tap in range(taps):
        _add_steps(tap, (_AXES, _PARALLEL + 1), extents, operands, steps[4 * tap :])
    limit = a[LIMITS] if a[WINDOWS] > 0 else _ANYWHERE
    limit_y = a[LIMITS + 1] if a[WINDOWS] > 1 else _ANYWHERE
    here = np.empty(4, np.int64)
    for pixel in range(run[0] // channels, (run[0] + run[1]) // channels):
        for word in range(4):
            here[word] = starts[word]
        _add_steps(pixel, (_PARALLEL, 0), extents, operands, here)
        for tap in range(taps):
            x, y = here[1] + steps[4 * tap + 1], here[2] + steps[4 * tap + 2]
            is_inside = 0 <= x < limit and 0 <= y < limit_y
            pairs[2 * tap] = here[0] + steps[4 * tap] if is_inside else places[2]
            pairs[2 * tap + 1] = here[3] + steps[4 * tap + 3]
        sums = places[1] + (pixel * channels - run[0]) * _WORD
        invoke(places[0], (sums, int64(pairs.ctypes.data), taps, channels))


@njit(inner=True)
def _add_steps(
    number: int,
    axes: tuple[int, int],
    extents: Int64s,
    operands: tuple[Int64s, Int64s],
    words: Int64s,
) -> None:
    """Address, coordinates and address become those of a row-major number over some axes."""
    a, w = operands
    for axis in range(axes[0] - 1, axes[1] - 1, -1):
        index = number % extents[axis]
        number //= extents[axis]
        words[0] += index * a[axis]
        words[1] += index * a[COEFFICIENTS + axis]
        words[2] += index * a[COEFFICIENTS + _AXES + axis]
        words[3] += index * w[axis]
