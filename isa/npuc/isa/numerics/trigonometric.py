"""Sine and cosine in float32 for every finite argument: the same bits on every host.

The argument is reduced in 64-bit fixed point (Payne and Hanek, "Radian reduction for trigonometric
functions", SIGNUM 1983), so that no argument is too large. Then float32 polynomials run, each step
one rounding. Coefficients are fitted as described in ``elementary``.
"""

import numpy as np
import numpy.typing as npt

from npuc.isa.numerics.arrays import F32
from npuc.isa.numerics.convert import quiet_nan
from npuc.isa.numerics.elementary import polynomial

U64 = npt.NDArray[np.uint64]

ONE = np.float32(1)
HALF = np.float32(0.5)
QUARTER_PI = np.float32(0.7853981633974483)
# (sin(r) - r) / r**3 and (cos(r) - 1 + r*r/2) / r**4, both in r*r, for |r| <= pi/4
SIN = (
    -0.1666666716337204,
    0.008333380334079266,
    -0.00019853511184919626,
    2.8375143301673234e-06,
)
COS = (
    0.0416666679084301,
    -0.001388898235745728,
    2.4822984414640814e-05,
    -2.897731121720426e-07,
)

# The first 200 fraction bits of 2/pi.
TWO_OVER_PI = 0xA2F9836E4E441529FC2757D1F534DDC0DB6295993C439041FE
TWO_OVER_PI_BITS = 200
FRACTION_BITS = 62  # of a reduced argument, in quarter turns; two whole bits stand above them
GUARD_BITS = 32
# Exponent e of an argument m * 2**e with a 24-bit integer m: from just under pi/4 to the largest.
FIRST_EXPONENT = -24
LAST_EXPONENT = 104

PI_HALF = np.float32(1.5707963267948966)
PI_HALF_HIGH = np.float32(1.5703125)  # eight bits: its product with twelve bits is exact
PI_HALF_LOW = np.float32(0.0004838267923332751)
HIGH_TWELVE_BITS = np.uint32(0xFFFFF000)


def window(exponent: int) -> list[int]:
    """Three 32-bit words, high first: 2/pi * 2**(exponent + 94), its whole part modulo 2**96."""
    dropped = TWO_OVER_PI_BITS - (exponent + FRACTION_BITS + GUARD_BITS)
    whole = TWO_OVER_PI >> dropped
    return [(whole >> shift) & 0xFFFFFFFF for shift in (64, 32, 0)]


WINDOWS_E3 = np.array(
    [window(exponent) for exponent in range(FIRST_EXPONENT, LAST_EXPONENT + 1)], np.uint64
)


def quarter_turns(magnitude: F32) -> U64:
    """Argument / (pi/2) modulo 4, with 62 fraction bits; the argument is at least pi/4."""
    bits = magnitude.view(np.uint32).astype(np.int64)
    mantissa = ((bits & 0x7FFFFF) | 0x800000).astype(np.uint64)
    high, middle, low = np.moveaxis(WINDOWS_E3[(bits >> 23) - 150 - FIRST_EXPONENT], -1, 0)
    word = np.uint64(32)
    turns: U64 = ((high * mantissa) << word) + middle * mantissa + ((low * mantissa) >> word)
    return turns


def to_radians(turns: npt.NDArray[np.int64]) -> F32:
    """A signed fixed-point count of quarter turns as an angle, within 0.51 ulp.

    The count is split into a float of twelve bits, whose product with the high part of pi/2 is
    exact, and the float32 rest.
    """
    nearest = turns.astype(np.float32)
    high = (nearest.view(np.uint32) & HIGH_TWELVE_BITS).view(np.float32)
    rest = (turns - high.astype(np.int64)).astype(np.float32)
    low_product: F32 = high * PI_HALF_LOW
    rest_product: F32 = rest * PI_HALF
    correction: F32 = low_product + rest_product
    scaled: F32 = high * PI_HALF_HIGH + correction
    return scaled * np.float32(2.0**-FRACTION_BITS)


def reduce_argument(magnitude: F32) -> tuple[F32, npt.NDArray[np.int64]]:
    """Finite |x| as (r, q): |x| = r + q * pi/2 (modulo 2 pi), |r| <= pi/4, q in 0..3."""
    is_small = magnitude <= QUARTER_PI
    turns = quarter_turns(np.where(is_small, ONE, magnitude))
    quadrant = (turns + np.uint64(1 << (FRACTION_BITS - 1))) >> np.uint64(FRACTION_BITS)
    rest = (turns - (quadrant << np.uint64(FRACTION_BITS))).astype(np.int64)
    angle = np.where(is_small, magnitude, to_radians(rest))
    return angle, np.where(is_small, 0, quadrant.astype(np.int64))


def sin_near_zero(r: F32, square: F32) -> F32:
    """The sine of |r| <= pi/4."""
    relative: F32 = square * polynomial(square, SIN)
    correction: F32 = r * relative
    return r + correction


def cos_near_zero(square: F32) -> F32:
    """The cosine of an angle of at most pi/4, from its square."""
    fourth: F32 = square * square
    correction: F32 = fourth * polynomial(square, COS)
    loss: F32 = square * HALF - correction
    return ONE - loss


def sin_of_quadrant(r: F32, quadrant: npt.NDArray[np.int64]) -> F32:
    """The sine of r + quadrant * pi/2."""
    square = r * r
    is_odd = (quadrant & 1) == 1
    value = np.where(is_odd, cos_near_zero(square), sin_near_zero(r, square))
    return np.where((quadrant & 2) == 2, -value, value)


@np.errstate(all="ignore")
def f32_sin(x: F32) -> F32:
    """The sine of x radians, within 2 ulp for every finite x; odd; NaN of infinities."""
    value = np.asarray(x, np.float32)
    is_finite = np.isfinite(value)
    angle, quadrant = reduce_argument(np.where(is_finite, np.abs(value), np.float32(0)))
    result = sin_of_quadrant(angle, quadrant)
    signed = np.where(np.signbit(value), -result, result)
    return quiet_nan(np.where(is_finite, signed, np.float32(np.nan)))


@np.errstate(all="ignore")
def f32_cos(x: F32) -> F32:
    """The cosine of x radians, within 2 ulp for every finite x; even; NaN of infinities."""
    value = np.asarray(x, np.float32)
    is_finite = np.isfinite(value)
    angle, quadrant = reduce_argument(np.where(is_finite, np.abs(value), np.float32(0)))
    result = sin_of_quadrant(angle, quadrant + 1)
    return quiet_nan(np.where(is_finite, result, np.float32(np.nan)))
