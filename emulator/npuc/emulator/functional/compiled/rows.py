"""Rows of stream elements to values of a domain, and values to stream elements.

Each kernel takes the addresses of ``count`` values and of the first element, and the bytes from one
element to the next. A value is a 32-bit word. A NaN is quieted on its bits, where no compiler can
fold it. Source: ``npuc.isa.numerics.convert``.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from npuc.emulator.functional.compiled.leaves import Kernel, Leaf, leaf
from npuc.emulator.functional.compiled.native import Number, carray, inlined, int32
from npuc.isa.dtypes import DType

Ints = npt.NDArray[np.integer]
F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]

MAGNITUDE = np.int32(0x7FFFFFFF)
INFINITY = np.int32(0x7F800000)
QUIET_NAN = np.int32(0x7FC00000)
_QUIET_BF16 = 0x7FC0
_I32_LOW, _I32_HIGH = -2147483648, 2147483647
_I32_MOST = 2147483520  # the largest float32 below 2**31


@inlined
def to_i32(x: Number) -> Number:
    """The nearest word of a float32, ties to even, saturated; NaN gives 0."""
    nearest = np.float32(np.rint(x))
    most = np.float32(_I32_MOST)
    word = np.int32(min(max(nearest, np.float32(_I32_LOW)), most))
    word = np.int32(_I32_HIGH) if nearest > most else word
    return word if nearest == nearest else np.int32(0)  # noqa: PLR0124  # NaN is unlike


@inlined
def quiet(bits: Number) -> Number:
    """The bits of a float32, a NaN quieted."""
    return QUIET_NAN if (bits & MAGNITUDE) > INFINITY else np.int32(bits)


# -- loads ----------------------------------------------------------------------------------------


def _load(values: Ints, memory: Ints, step: int, count: int) -> None:
    """Integers, converted as NumPy does."""
    out, row = carray(values, count), carray(memory, count)
    if step == row.itemsize:
        for i in range(count):
            out[i] = row[i]
        return
    jump = step // row.itemsize
    for i in range(count):
        out[i] = row[i * jump]


def _load_float(values: I32, memory: I32, step: int, count: int) -> None:
    out, row = carray(values, count), carray(memory, count)
    if step == row.itemsize:
        for i in range(count):
            out[i] = quiet(row[i])
        return
    jump = step // row.itemsize
    for i in range(count):
        out[i] = quiet(row[i * jump])


def _load_rounded(values: I32, memory: F32, step: int, count: int) -> None:
    """float32 to words."""
    out, row, jump = carray(values, count), carray(memory, count), step // 4
    for i in range(count):
        out[i] = to_i32(row[i * jump])


def _load_brief(values: I32, memory: Ints, step: int, count: int) -> None:
    """bf16 to float32."""
    out, row, jump = carray(values, count), carray(memory, count), step // 2
    for i in range(count):
        out[i] = quiet(int32(int32(row[i * jump]) << 16))


# -- stores ---------------------------------------------------------------------------------------


def _store(values: Ints, memory: Ints, step: int, count: int) -> None:
    """Words, converted as NumPy does."""
    row, out = carray(values, count), carray(memory, count)
    if step == out.itemsize:
        for i in range(count):
            out[i] = row[i]
        return
    jump = step // out.itemsize
    for i in range(count):
        out[i * jump] = row[i]


def _store_whole(values: F32, memory: Ints, step: int, count: int) -> None:
    """float32 to integers of at least 32 bits."""
    row, out = carray(values, count), carray(memory, count)
    jump = step // out.itemsize
    for i in range(count):
        out[i * jump] = to_i32(row[i])


def _store_brief(values: I32, memory: Ints, step: int, count: int) -> None:
    """float32 to bf16, half to even."""
    row, out, jump = carray(values, count), carray(memory, count), step // 2
    for i in range(count):
        bits = np.int64(row[i]) & 0xFFFFFFFF
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        out[i * jump] = _QUIET_BF16 if (row[i] & MAGNITUDE) > INFINITY else rounded


def _saturating(low: int, high: int) -> Kernel:
    """Words to integers of at most 16 bits."""

    def store_saturated(values: I32, memory: Ints, step: int, count: int) -> None:
        row, out = carray(values, count), carray(memory, count)
        least, most = np.int32(low), np.int32(high)
        if step == out.itemsize:
            for i in range(count):
                out[i] = min(max(row[i], least), most)
            return
        jump = step // out.itemsize
        for i in range(count):
            out[i * jump] = min(max(row[i], least), most)

    return store_saturated


def _rounding(low: int, high: int) -> Kernel:
    """float32 to integers of at most 16 bits, half to even, saturated; NaN gives 0."""

    def store_rounded(values: F32, memory: Ints, step: int, count: int) -> None:
        row, out = carray(values, count), carray(memory, count)
        least, most = np.float32(low), np.float32(high)
        if step == out.itemsize:
            for i in range(count):
                nearest = np.int32(min(max(np.rint(row[i]), least), most))
                out[i] = np.int32(0) if np.isnan(row[i]) else nearest
            return
        jump = step // out.itemsize
        for i in range(count):
            nearest = np.int32(min(max(np.rint(row[i]), least), most))
            out[i * jump] = np.int32(0) if np.isnan(row[i]) else nearest

    return store_rounded


# -- by element type and domain: 'f' float32, 'i' words -------------------------------------------

_LETTERS = {DType.i8: "b", DType.u8: "B", DType.i16: "h", DType.u16: "H", DType.i32: "I"}


def _leaf(kernel: Kernel, values: str, memory: str) -> Leaf:
    return Leaf(kernel, f"{values}{memory}nn")


LOADS: Mapping[tuple[DType, str], Leaf] = {
    **{(dtype, "i"): _leaf(_load, "I", letter) for dtype, letter in _LETTERS.items()},
    **{(dtype, "f"): _leaf(_load, "F", letter) for dtype, letter in _LETTERS.items()},
    (DType.f32, "f"): _leaf(_load_float, "I", "I"),
    (DType.f32, "i"): _leaf(_load_rounded, "I", "F"),
    (DType.bf16, "f"): _leaf(_load_brief, "I", "H"),
}
_LIMITS = {
    dtype: (-(1 << bits - 1) * signed, (1 << bits - signed) - 1)
    for dtype, bits, signed in (
        (DType.i8, 8, 1), (DType.u8, 8, 0), (DType.i16, 16, 1), (DType.u16, 16, 0)
    )
}  # fmt: skip
STORES: Mapping[tuple[DType, str], Leaf] = {
    **{(t, "i"): _leaf(_saturating(*_LIMITS[t]), "I", _LETTERS[t]) for t in _LIMITS},
    **{(t, "f"): _leaf(_rounding(*_LIMITS[t]), "F", _LETTERS[t]) for t in _LIMITS},
    (DType.i32, "i"): _leaf(_store, "I", "I"),
    (DType.i32, "f"): _leaf(_store_whole, "F", "I"),
    (DType.i64, "i"): _leaf(_store, "I", "L"),
    (DType.i64, "f"): _leaf(_store_whole, "F", "L"),
    (DType.f32, "i"): _leaf(_store, "I", "F"),
    (DType.f32, "f"): _leaf(_store, "I", "I"),
    (DType.bf16, "f"): _leaf(_store_brief, "I", "H"),
}


# -- matrix: exact sums to accumulators -----------------------------------------------------------


def _add(values: Ints, memory: I32, step: int, count: int) -> None:
    """Words become larger by values that are integers, wrapping."""
    row, out = carray(values, count), carray(memory, count)
    if step == out.itemsize:
        for i in range(count):
            out[i] = out[i] + np.int32(row[i])
        return
    jump = step // out.itemsize
    for i in range(count):
        out[i * jump] = out[i * jump] + np.int32(row[i])


# The same for sums that are floats and that are words; the first replace what is there.
SET_SUMS, ADD_SUMS = _leaf(_store, "F", "I"), _leaf(_add, "F", "I")
SET_WORDS, ADD_WORDS = _leaf(_store, "I", "I"), _leaf(_add, "I", "I")


@leaf("IFbnnn")
def products(sums: I32, a: F32, w: Ints, step: int, depth: int, columns: int) -> None:
    """sums[n] += a[k] * w[k, n], rows of w ``step`` bytes apart; a holds integers."""
    total, factors = carray(sums, columns), carray(a, depth)
    for k in range(depth):
        row, factor = carray(w, (k + 1) * step + columns)[k * step :], np.int32(factors[k])
        for n in range(columns):
            total[n] = total[n] + factor * np.int32(row[n])
