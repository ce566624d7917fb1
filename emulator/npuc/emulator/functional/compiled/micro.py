"""Micro-ops over rows of values: the bits of their meanings in ``npuc.isa``.

Each micro-op is a scalar function of up to three operands and an extra number; ``MICRO`` makes a
kernel over rows of it. Those that are not there run their meaning itself, outside compiled code.
Results of the float32 domain are bits.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from npuc.emulator.functional.compiled.elementary import ELEMENTARY
from npuc.emulator.functional.compiled.leaves import Leaf, leaf
from npuc.emulator.functional.compiled.native import Number, carray, inlined
from npuc.emulator.functional.compiled.rows import INFINITY, MAGNITUDE, QUIET_NAN, quiet, to_i32

Words = npt.NDArray[Any]
Scalar = Callable[..., Any]
_TABLE_MASK = 255


@inlined
def _bits(x: Number) -> Number:
    """The bits of a float32 result, a NaN quieted."""
    return quiet(np.float32(x).view(np.int32))


@inlined
def _addf(a: Number, b: Number, c: Number) -> Number:
    return _bits(a + b)


@inlined
def _subf(a: Number, b: Number, c: Number) -> Number:
    return _bits(a - b)


@inlined
def _mulf(a: Number, b: Number, c: Number) -> Number:
    return _bits(a * b)


@inlined
def _divf(a: Number, b: Number, c: Number) -> Number:
    return _bits(a / b)


@inlined
def key(bits: Number) -> Number:
    """An integer ordered as the float is; it undoes itself."""
    return np.int32(bits ^ ((bits >> 31) & MAGNITUDE))


@inlined
def _either_nan(a: Number, b: Number) -> Number:
    return ((a & MAGNITUDE) > INFINITY) | ((b & MAGNITUDE) > INFINITY)


@inlined
def _minf(a: Number, b: Number, c: Number) -> Number:
    return QUIET_NAN if _either_nan(a, b) else np.int32(key(min(key(a), key(b))))


@inlined
def _maxf(a: Number, b: Number, c: Number) -> Number:
    return QUIET_NAN if _either_nan(a, b) else np.int32(key(max(key(a), key(b))))


@inlined
def _absf(a: Number, b: Number, c: Number) -> Number:
    return quiet(a & MAGNITUDE)


@inlined
def _negf(a: Number, b: Number, c: Number) -> Number:
    return _bits(-a)


@inlined
def _floorf(a: Number, b: Number, c: Number) -> Number:
    return _bits(np.floor(a))


@inlined
def _ceilf(a: Number, b: Number, c: Number) -> Number:
    return _bits(np.ceil(a))


@inlined
def _roundf(a: Number, b: Number, c: Number) -> Number:
    return _bits(np.rint(a))


@inlined
def _recip(a: Number, b: Number, c: Number) -> Number:
    return _bits(np.float32(1) / a)


@inlined
def _sqrt(a: Number, b: Number, c: Number) -> Number:
    return _bits(np.sqrt(a))


@inlined
def _rsqrt(a: Number, b: Number, c: Number) -> Number:
    return _bits(np.float32(1) / np.float32(np.sqrt(a)))


@inlined
def _less(a: Number, b: Number, c: Number) -> Number:
    return np.int32(a < b)


@inlined
def _less_equal(a: Number, b: Number, c: Number) -> Number:
    return np.int32(a <= b)


@inlined
def _equal(a: Number, b: Number, c: Number) -> Number:
    return np.int32(a == b)


@inlined
def _not_equal(a: Number, b: Number, c: Number) -> Number:
    return np.int32(a != b)


@inlined
def _addi(a: Number, b: Number, c: Number) -> Number:
    return a + b


@inlined
def _subi(a: Number, b: Number, c: Number) -> Number:
    return a - b


@inlined
def _muli(a: Number, b: Number, c: Number) -> Number:
    return a * b


@inlined
def _mini(a: Number, b: Number, c: Number) -> Number:
    return min(a, b)


@inlined
def _maxi(a: Number, b: Number, c: Number) -> Number:
    return max(a, b)


@inlined
def _absi(a: Number, b: Number, c: Number) -> Number:
    return -a if a < 0 else a


@inlined
def _negi(a: Number, b: Number, c: Number) -> Number:
    return -a


@inlined
def _andi(a: Number, b: Number, c: Number) -> Number:
    return a & b


@inlined
def _ori(a: Number, b: Number, c: Number) -> Number:
    return a | b


@inlined
def _xori(a: Number, b: Number, c: Number) -> Number:
    return a ^ b


@inlined
def _shli(a: Number, b: Number, c: Number) -> Number:
    return np.int64(a) << np.int64(b & 31)


@inlined
def _shri(a: Number, b: Number, c: Number) -> Number:
    return np.int64(a) >> np.int64(b & 31)


@inlined
def _shrui(a: Number, b: Number, c: Number) -> Number:
    return (np.int64(a) & 0xFFFFFFFF) >> np.int64(b & 31)


@inlined
def _i2f(a: Number, b: Number, c: Number) -> Number:
    return np.float32(a)


@inlined
def _f2i(a: Number, b: Number, c: Number) -> Number:
    return to_i32(a)


@inlined
def _select(a: Number, b: Number, c: Number) -> Number:
    return b if a != 0 else c


@inlined
def _first(a: Number, b: Number, c: Number) -> Number:
    return a


def over_rows(scalar: Scalar, parameters: str) -> Leaf:
    """The kernel that applies ``scalar`` to each triple of ``count`` values."""

    @leaf(parameters)
    def micro(out: Words, a: Words, b: Words, c: Words, count: int, extra: int) -> None:
        result, x, y, z = carray(out, count), carray(a, count), carray(b, count), carray(c, count)
        for i in range(count):
            result[i] = scalar(x[i], y[i], z[i])

    return micro


@leaf("IIIInI")
def _tablei(out: Words, a: Words, b: Words, c: Words, count: int, extra: Words) -> None:
    result, x, table = carray(out, count), carray(a, count), carray(extra, _TABLE_MASK + 1)
    for i in range(count):
        result[i] = table[x[i] & _TABLE_MASK]


@leaf("IIIInI")
def _tablef(out: Words, a: Words, b: Words, c: Words, count: int, extra: Words) -> None:
    result, x, table = carray(out, count), carray(a, count), carray(extra, _TABLE_MASK + 1)
    for i in range(count):
        result[i] = quiet(table[x[i] & _TABLE_MASK])


_ON_FLOATS: Mapping[str, Scalar] = {
    "addf": _addf, "subf": _subf, "mulf": _mulf, "divf": _divf, "negf": _negf,
    "floorf": _floorf, "ceilf": _ceilf, "roundf": _roundf, "recip": _recip, "sqrt": _sqrt,
    "rsqrt": _rsqrt, "ltf": _less, "lef": _less_equal, "eqf": _equal, "nef": _not_equal,
    "f2i": _f2i,
}  # fmt: skip
_ON_WORDS: Mapping[str, Scalar] = {
    "minf": _minf, "maxf": _maxf, "absf": _absf, "addi": _addi, "subi": _subi, "muli": _muli,
    "mini": _mini, "maxi": _maxi, "absi": _absi, "negi": _negi, "andi": _andi, "ori": _ori,
    "xori": _xori, "shli": _shli, "shri": _shri, "shrui": _shrui, "lti": _less,
    "lei": _less_equal, "eqi": _equal, "nei": _not_equal, "selectf": _select, "selecti": _select,
}  # fmt: skip
# Values of both domains are words; a kernel sees its operands as what its scalar takes.
FIRST = over_rows(_first, "IIIInn")
MICRO: Mapping[str, Leaf] = {
    **{name: over_rows(scalar, "IFFFnn") for name, scalar in _ON_FLOATS.items()},
    **{name: over_rows(scalar, "IIIInn") for name, scalar in _ON_WORDS.items()},
    "i2f": over_rows(_i2f, "FIIInn"),
    "tablei": _tablei,
    "tablef": _tablef,
    **ELEMENTARY,
}
