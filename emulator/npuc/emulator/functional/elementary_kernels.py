"""Compiled elementary functions over contiguous blocks: the bits of ``npuc.isa.numerics``.

The algorithms are those of ``elementary`` and ``trigonometric`` there, step by step; only the
loops differ. Loops that a compiler can run in vectors write their whole block before the next.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from npuc.isa.jit import njit
from npuc.isa.numerics import elementary, trigonometric

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]

_ZERO, _HALF, _ONE, _TWO = (np.float32(x) for x in (0, 0.5, 1, 2))
_NAN, _INFINITY = np.float32(np.nan), np.float32(np.inf)
_MAGNITUDE, _QUIET_NAN = 0x7FFFFFFF, 0x7FC00000
_INFINITY_BITS = 0x7F800000
_EXP2_LOW, _EXP2_HIGH = np.float32(-152), np.float32(129)
_SUBNORMAL_SHIFT = np.float32(2.0**23)
_SMALLEST_NORMAL = np.float32(2.0**-126)
_SQRT_HALF_BITS, _MANTISSA_BITS = 0x3F3504F3, 0x007FFFFF
_EXP2 = np.array(elementary.EXP2, np.float32)
_LOG = np.array(elementary.LOG, np.float32)
_TANH = np.array(elementary.TANH, np.float32)
_ERF = np.array(elementary.ERF, np.float32)
_ERF_TAIL = np.array(elementary.ERF_TAIL, np.float32)
_SIN = np.array(trigonometric.SIN, np.float32)
_COS = np.array(trigonometric.COS, np.float32)
_TWO_LOG2_E, _LOG2_E_LESS_ONE = elementary.TWO_LOG2_E, elementary.LOG2_E_LESS_ONE
_TANH_LIMIT, _ERF_LIMIT = elementary.TANH_LIMIT, elementary.ERF_LIMIT
_ERF_TAIL_LIMIT = elementary.ERF_TAIL_LIMIT
_WINDOWS_E3 = trigonometric.WINDOWS_E3
_FIRST_EXPONENT = trigonometric.FIRST_EXPONENT
_QUARTER_PI = trigonometric.QUARTER_PI
_PI_HALF, _PI_HALF_HIGH, _PI_HALF_LOW = (
    trigonometric.PI_HALF,
    trigonometric.PI_HALF_HIGH,
    trigonometric.PI_HALF_LOW,
)
_TURN_SCALE = np.float32(2.0**-trigonometric.FRACTION_BITS)
_WORD, _HALF_TURN = np.uint64(32), np.uint64(1 << (trigonometric.FRACTION_BITS - 1))
_FRACTION = np.uint64(trigonometric.FRACTION_BITS)


@njit(inner=True)
def _polynomial(x: np.float32, coefficients: F32) -> np.float32:
    value: np.float32 = coefficients[-1]
    for i in range(len(coefficients) - 2, -1, -1):
        value = value * x + coefficients[i]
    return value


@njit
def exp2(out: F32, a: F32) -> None:
    """2 ** a."""
    first, second = np.empty(len(out), np.int32), np.empty(len(out), np.int32)
    for i in range(len(out)):
        number = a[i] if a[i] == a[i] else _ZERO
        number = min(max(number, _EXP2_LOW), _EXP2_HIGH)
        whole = np.rint(number)
        fraction = number - whole
        half = fraction * _HALF
        leading = _ONE + half
        lost = half - (leading - _ONE)
        out[i] = leading + (lost + fraction * _polynomial(fraction, _EXP2))
        exponent = np.int32(whole)
        first[i] = ((exponent >> 1) + 127) << 23
        second[i] = (exponent - (exponent >> 1) + 127) << 23
    low, high = first.view(np.float32), second.view(np.float32)
    bits, given = out.view(np.int32), a.view(np.int32)
    for i in range(len(out)):
        out[i] = out[i] * low[i] * high[i]
        bits[i] = _QUIET_NAN if (given[i] & _MAGNITUDE) > _INFINITY_BITS else bits[i]


@njit
def log2(out: F32, a: F32) -> None:
    """The logarithm of a to base 2."""
    bits, exponent, given = out.view(np.int32), np.empty(len(out), np.int32), a.view(np.int32)
    for i in range(len(out)):
        out[i] = a[i] * _SUBNORMAL_SHIFT if a[i] < _SMALLEST_NORMAL else a[i]
    for i in range(len(out)):
        offset = bits[i] - _SQRT_HALF_BITS
        exponent[i] = (offset >> 23) - (23 if a[i] < _SMALLEST_NORMAL else 0)
        bits[i] = (offset & _MANTISSA_BITS) + _SQRT_HALF_BITS
    for i in range(len(out)):
        f = out[i] - _ONE
        square = f * f
        tail = square * f * _polynomial(f, _LOG) - square * _HALF
        mantissa = f + (tail + (tail * _LOG2_E_LESS_ONE + f * _LOG2_E_LESS_ONE))
        out[i] = np.float32(exponent[i]) + mantissa
    for i in range(len(out)):
        if given[i] == 0 or given[i] == -_MAGNITUDE - 1:
            out[i] = -_INFINITY
        elif given[i] < 0 or given[i] > _INFINITY_BITS:
            bits[i] = _QUIET_NAN
        elif given[i] == _INFINITY_BITS:
            out[i] = _INFINITY


@njit(inner=True)
def _signed(out: F32, a: F32) -> None:
    """The signs of ``a`` on magnitudes ``out``; NaN where ``a`` is NaN."""
    bits, given = out.view(np.int32), a.view(np.int32)
    for i in range(len(bits)):
        is_nan = (given[i] & _MAGNITUDE) > _INFINITY_BITS
        bits[i] = _QUIET_NAN if is_nan else bits[i] | (given[i] & (-_MAGNITUDE - 1))


@njit
def tanh(out: F32, a: F32) -> None:
    """The hyperbolic tangent of a."""
    scaled = np.empty(len(out), np.float32)
    for i in range(len(out)):
        scaled[i] = abs(a[i]) * _TWO_LOG2_E
    exp2(out, scaled)
    for i in range(len(out)):
        magnitude = abs(a[i])
        square = magnitude * magnitude
        near = magnitude + magnitude * (square * _polynomial(square, _TANH))
        far = _ONE - _TWO / (out[i] + _ONE)
        out[i] = near if magnitude < _TANH_LIMIT else far
    _signed(out, a)


@njit
def erf(out: F32, a: F32) -> None:
    """The error function of a."""
    scaled = np.empty(len(out), np.float32)
    for i in range(len(out)):
        clipped = abs(a[i])
        clipped = _ERF_TAIL_LIMIT if clipped > _ERF_TAIL_LIMIT else clipped
        scaled[i] = -_polynomial(clipped, _ERF_TAIL)
    exp2(out, scaled)
    for i in range(len(out)):
        magnitude = abs(a[i])
        near = magnitude + magnitude * _polynomial(magnitude * magnitude, _ERF)
        out[i] = near if magnitude < _ERF_LIMIT else _ONE - out[i]
    _signed(out, a)


@njit(inner=True)
def _reduced(angle: F32, quadrant: I32, a: F32) -> None:
    """Finite |a| = angle + quadrant * pi/2 modulo 2 pi, |angle| <= pi/4; 0 for the others."""
    bits = a.view(np.int32)
    pieces = np.empty(1, np.float32)
    words = pieces.view(np.int32)
    for i in range(len(angle)):
        magnitude = bits[i] & _MAGNITUDE
        quadrant[i] = 0
        angle[i] = abs(a[i]) if magnitude < _INFINITY_BITS else _ZERO
        if not angle[i] > _QUARTER_PI:
            continue
        row = (magnitude >> 23) - 150 - _FIRST_EXPONENT
        mantissa = np.uint64((magnitude & _MANTISSA_BITS) | (_MANTISSA_BITS + 1))
        turns = (_WINDOWS_E3[row, 0] * mantissa) << _WORD
        turns += _WINDOWS_E3[row, 1] * mantissa
        turns += (_WINDOWS_E3[row, 2] * mantissa) >> _WORD
        quarter = (turns + _HALF_TURN) >> _FRACTION
        rest = np.int64(turns - (quarter << _FRACTION))
        nearest = np.float32(rest)
        pieces[0] = nearest
        words[0] &= -4096  # the high twelve bits of the mantissa
        high = pieces[0]
        low = np.float32(rest - np.int64(high))
        scaled = high * _PI_HALF_HIGH + (high * _PI_HALF_LOW + low * _PI_HALF)
        angle[i] = scaled * _TURN_SCALE
        quadrant[i] = np.int32(quarter)


@njit(inner=True)
def _sine_of(out: F32, angle: F32, quadrant: I32) -> None:
    for i in range(len(out)):
        r = angle[i]
        square = r * r
        sine = r + r * (square * _polynomial(square, _SIN))
        loss = square * _HALF - (square * square) * _polynomial(square, _COS)
        value = _ONE - loss if quadrant[i] & 1 else sine
        out[i] = -value if quadrant[i] & 2 else value


@njit
def sin(out: F32, a: F32) -> None:
    """The sine of a."""
    angle, quadrant = np.empty(len(out), np.float32), np.empty(len(out), np.int32)
    _reduced(angle, quadrant, a)
    _sine_of(out, angle, quadrant)
    bits, given = out.view(np.int32), a.view(np.int32)
    for i in range(len(out)):
        is_finite = (given[i] & _MAGNITUDE) < _INFINITY_BITS
        bits[i] = bits[i] ^ (given[i] & (-_MAGNITUDE - 1)) if is_finite else _QUIET_NAN


@njit
def cos(out: F32, a: F32) -> None:
    """The cosine of a."""
    angle, quadrant = np.empty(len(out), np.float32), np.empty(len(out), np.int32)
    _reduced(angle, quadrant, a)
    for i in range(len(out)):
        quadrant[i] += 1
    _sine_of(out, angle, quadrant)
    bits, given = out.view(np.int32), a.view(np.int32)
    for i in range(len(out)):
        is_finite = (given[i] & _MAGNITUDE) < _INFINITY_BITS
        bits[i] = bits[i] if is_finite else _QUIET_NAN


ELEMENTARY: Mapping[str, Callable[..., None]] = {
    "exp2": exp2,
    "log2": log2,
    "tanh": tanh,
    "erf": erf,
    "sin": sin,
    "cos": cos,
}
