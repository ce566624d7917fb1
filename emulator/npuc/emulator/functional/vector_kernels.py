"""One compiled function per micro-op, conversion and reduction, over contiguous blocks.

Each gives the bits of its meaning in ``npuc.isa.numerics``; the tests compare them. Micro-ops that
are not here run their meaning itself. A NaN is quieted on the bits, where no compiler can fold it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from npuc.emulator.functional.elementary_kernels import ELEMENTARY
from npuc.isa.jit import njit

Values = npt.NDArray[Any]
F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
Compiled = Callable[..., None]

_MAGNITUDE = 0x7FFFFFFF
_INFINITY = 0x7F800000
_QUIET_NAN = 0x7FC00000
_SEQUENTIAL = 32
_LANES = 16
_I32_LOW, _I32_HIGH = -2147483648.0, 2147483647.0


@njit
def quiet_in_place(x: F32) -> None:
    """Every NaN of a one-dimensional array becomes the quiet pattern."""
    bits = x.view(np.int32)
    for i in range(len(bits)):
        bits[i] = _QUIET_NAN if (bits[i] & _MAGNITUDE) > _INFINITY else bits[i]


@njit
def _add(out: F32, a: F32, b: F32) -> None:
    for i in range(len(out)):
        out[i] = a[i] + b[i]
    quiet_in_place(out)


@njit
def _sub(out: F32, a: F32, b: F32) -> None:
    for i in range(len(out)):
        out[i] = a[i] - b[i]
    quiet_in_place(out)


@njit
def _mul(out: F32, a: F32, b: F32) -> None:
    for i in range(len(out)):
        out[i] = a[i] * b[i]
    quiet_in_place(out)


@njit
def _div(out: F32, a: F32, b: F32) -> None:
    for i in range(len(out)):
        out[i] = a[i] / b[i]
    quiet_in_place(out)


@njit(inner=True)
def _key(bits: int) -> int:
    """An integer ordered as the float is; it undoes itself."""
    return bits ^ _MAGNITUDE if bits < 0 else bits


@njit(inner=True)
def _is_nan(bits: int) -> bool:
    return (bits & _MAGNITUDE) > _INFINITY


@njit
def _min(out: F32, a: F32, b: F32) -> None:
    o, x, y = out.view(np.int32), a.view(np.int32), b.view(np.int32)
    for i in range(len(o)):
        smaller = _key(min(_key(x[i]), _key(y[i])))
        o[i] = _QUIET_NAN if _is_nan(x[i]) | _is_nan(y[i]) else smaller


@njit
def _max(out: F32, a: F32, b: F32) -> None:
    o, x, y = out.view(np.int32), a.view(np.int32), b.view(np.int32)
    for i in range(len(o)):
        larger = _key(max(_key(x[i]), _key(y[i])))
        o[i] = _QUIET_NAN if _is_nan(x[i]) | _is_nan(y[i]) else larger


@njit
def _abs(out: F32, a: F32) -> None:
    o, x = out.view(np.int32), a.view(np.int32)
    for i in range(len(o)):
        o[i] = x[i] & _MAGNITUDE
    quiet_in_place(out)


@njit
def _neg(out: F32, a: F32) -> None:
    for i in range(len(out)):
        out[i] = -a[i]
    quiet_in_place(out)


@njit
def _floor(out: F32, a: F32) -> None:
    for i in range(len(out)):
        out[i] = np.floor(a[i])
    quiet_in_place(out)


@njit
def _ceil(out: F32, a: F32) -> None:
    for i in range(len(out)):
        out[i] = np.ceil(a[i])
    quiet_in_place(out)


@njit
def _round(out: F32, a: F32) -> None:
    for i in range(len(out)):
        out[i] = np.rint(a[i])
    quiet_in_place(out)


@njit
def _less(out: I32, a: Values, b: Values) -> None:
    for i in range(len(out)):
        out[i] = 1 if a[i] < b[i] else 0


@njit
def _less_equal(out: I32, a: Values, b: Values) -> None:
    for i in range(len(out)):
        out[i] = 1 if a[i] <= b[i] else 0


@njit
def _equal(out: I32, a: Values, b: Values) -> None:
    for i in range(len(out)):
        out[i] = 1 if a[i] == b[i] else 0


@njit
def _select(out: Values, c: I32, a: Values, b: Values) -> None:
    for i in range(len(out)):
        out[i] = a[i] if c[i] != 0 else b[i]


@njit
def _i32_add(out: I32, a: I32, b: I32) -> None:
    for i in range(len(out)):
        out[i] = a[i] + b[i]


@njit
def _i32_sub(out: I32, a: I32, b: I32) -> None:
    for i in range(len(out)):
        out[i] = a[i] - b[i]


@njit
def _i32_mul(out: I32, a: I32, b: I32) -> None:
    for i in range(len(out)):
        out[i] = a[i] * b[i]


@njit
def _i32_min(out: I32, a: I32, b: I32) -> None:
    for i in range(len(out)):
        out[i] = min(a[i], b[i])


@njit
def _i32_max(out: I32, a: I32, b: I32) -> None:
    for i in range(len(out)):
        out[i] = max(a[i], b[i])


@njit
def _to_float(out: F32, a: I32) -> None:
    for i in range(len(out)):
        out[i] = np.float32(a[i])


@njit
def _to_int(out: I32, a: F32) -> None:
    for i in range(len(out)):
        nearest = np.rint(np.float64(a[i]))
        clipped = min(max(nearest, _I32_LOW), _I32_HIGH)
        out[i] = 0 if np.isnan(nearest) else np.int32(clipped)


ELEMENTWISE: Mapping[str, Compiled] = {
    "addf": _add,
    "subf": _sub,
    "mulf": _mul,
    "divf": _div,
    "minf": _min,
    "maxf": _max,
    "absf": _abs,
    "negf": _neg,
    "floorf": _floor,
    "ceilf": _ceil,
    "roundf": _round,
    "ltf": _less,
    "lef": _less_equal,
    "eqf": _equal,
    "addi": _i32_add,
    "subi": _i32_sub,
    "muli": _i32_mul,
    "mini": _i32_min,
    "maxi": _i32_max,
    "lti": _less,
    "lei": _less_equal,
    "eqi": _equal,
    "i2f": _to_float,
    "f2i": _to_int,
    "selectf": _select,
    "selecti": _select,
    **ELEMENTARY,
}


# -- stores of narrow integers -------------------------------------------------------------------


@njit
def saturate_float(out: Values, a: F32, low: float, high: float) -> None:
    """Round half to even and saturate to low..high (at most 16 bits); NaN gives 0."""
    for i in range(len(out)):
        nearest = np.rint(a[i])
        clipped = min(max(nearest, np.float32(low)), np.float32(high))
        out[i] = 0 if np.isnan(nearest) else np.int32(clipped)


@njit
def saturate_int(out: Values, a: I32, low: int, high: int) -> None:
    """Saturate to low..high."""
    for i in range(len(out)):
        out[i] = min(max(a[i], low), high)


# -- reductions: P x R to P, R at least 1 ---------------------------------------------------------


@njit
def _sum(out: F32, a_PR: F32) -> None:
    """Up to 32 elements in turn; more in 16 interleaved partials and a tree of neighbours."""
    count = a_PR.shape[1]
    partial = np.zeros(_LANES, np.float32)
    for p in range(a_PR.shape[0]):
        if count <= _SEQUENTIAL:
            total = a_PR[p, 0]
            for r in range(1, count):
                total = total + a_PR[p, r]
            out[p] = total
            continue
        for lane in range(_LANES):
            partial[lane] = a_PR[p, lane]
        whole = count - count % _LANES
        for row in range(_LANES, whole, _LANES):
            for lane in range(_LANES):
                partial[lane] = partial[lane] + a_PR[p, row + lane]
        for lane in range(count - whole):
            partial[lane] = partial[lane] + a_PR[p, whole + lane]
        width = _LANES // 2
        while width > 0:
            for lane in range(width):
                partial[lane] = partial[2 * lane] + partial[2 * lane + 1]
            width //= 2
        out[p] = partial[0]
    quiet_in_place(out)


@njit
def resume_sum(state_PL: F32, a_PR: F32, start: int, width: int) -> None:
    """Fold elements ``start`` and on into the partials, of which ``width`` are in use."""
    for p in range(a_PR.shape[0]):
        for r in range(a_PR.shape[1]):
            lane = (start + r) % width
            is_first = start + r < width
            state_PL[p, lane] = a_PR[p, r] if is_first else state_PL[p, lane] + a_PR[p, r]
        quiet_in_place(state_PL[p])


@njit
def _reduce_min(out: F32, a_PR: F32) -> None:
    o, x = out.view(np.int32), a_PR.view(np.int32)
    for p in range(x.shape[0]):
        best, has_nan = _INFINITY, False
        for r in range(x.shape[1]):
            best = min(best, _key(x[p, r]))
            has_nan |= _is_nan(x[p, r])
        o[p] = _QUIET_NAN if has_nan else _key(best)


@njit
def _reduce_max(out: F32, a_PR: F32) -> None:
    o, x = out.view(np.int32), a_PR.view(np.int32)
    for p in range(x.shape[0]):
        best, has_nan = -_INFINITY - 1, False
        for r in range(x.shape[1]):
            best = max(best, _key(x[p, r]))
            has_nan |= _is_nan(x[p, r])
        o[p] = _QUIET_NAN if has_nan else _key(best)


@njit
def _i32_sum(out: I32, a_PR: I32) -> None:
    for p in range(a_PR.shape[0]):
        total = 0
        for r in range(a_PR.shape[1]):
            total += a_PR[p, r]
        out[p] = total


@njit
def _i32_reduce_min(out: I32, a_PR: I32) -> None:
    for p in range(a_PR.shape[0]):
        best = a_PR[p, 0]
        for r in range(1, a_PR.shape[1]):
            best = min(best, a_PR[p, r])
        out[p] = best


@njit
def _i32_reduce_max(out: I32, a_PR: I32) -> None:
    for p in range(a_PR.shape[0]):
        best = a_PR[p, 0]
        for r in range(1, a_PR.shape[1]):
            best = max(best, a_PR[p, r])
        out[p] = best


@njit
def _mac(out: I32, a_PR: I32, b_PR: I32) -> None:
    for p in range(a_PR.shape[0]):
        total = 0
        for r in range(a_PR.shape[1]):
            total += a_PR[p, r] * b_PR[p, r]
        out[p] = total


REDUCTIONS: Mapping[str, Compiled] = {
    "sumf": _sum,
    "rminf": _reduce_min,
    "rmaxf": _reduce_max,
    "sumi": _i32_sum,
    "rmini": _i32_reduce_min,
    "rmaxi": _i32_reduce_max,
    "mac8": _mac,
}
