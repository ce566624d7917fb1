"""Elementary functions in float32: published algorithms, the same bits on every host.

Only +, -, *, /, rint and bit manipulation occur; each step is one float32 rounding, in the order
written, never fused. ``sin`` and ``cos`` are in ``trigonometric``.

Bounds are in units in the last place of the exact result. The largest errors, measured against
float64 over every float32 argument: exp2 0.70 (0.78 where the result is subnormal), log2 1.44,
tanh 1.63, erf 1.34, sin 1.50, cos 1.50. exp2, log2 and tanh are monotone; erf falls back by one ulp
at 2,060 pairs of neighbours.

Coefficients are minimax fits of relative error (Lawson's reweighted least squares on a Chebyshev
grid, in float64). They are rounded to float32 one by one from the lowest power on, the others being
fitted again each time.
"""

import numpy as np

from npuc.isa.numerics.arrays import F32, I32, Mask
from npuc.isa.numerics.convert import quiet_nan

ONE = np.float32(1)
SQRT_HALF_BITS = np.int32(0x3F3504F3)
MANTISSA_BITS = np.int32(0x007FFFFF)
SMALLEST_NORMAL = np.float32(2.0**-126)

# (2**f - 1) / f - 1/2 on [-1/2, 1/2]
EXP2 = (
    0.1931471973657608,
    0.24022647738456726,
    0.055503398180007935,
    0.009618466719985008,
    0.0013396725989878178,
    0.00015343846462201327,
)
# (log(1 + f) - f + f*f/2) / f**3 on [sqrt(1/2) - 1, sqrt(2) - 1]
LOG = (
    0.3333331346511841,
    -0.25000008940696716,
    0.2000207155942917,
    -0.16667988896369934,
    0.14220358431339264,
    -0.12406233698129654,
    0.11883549392223358,
    -0.11670101433992386,
    0.06749272346496582,
)
LOG2_E_LESS_ONE = np.float32(0.44269504088896340736)
TWO_LOG2_E = np.float32(2.8853900817779268147)
# (tanh(x) - x) / x**3 in x*x, on [0, 5/8]
TANH_LIMIT = np.float32(0.625)
TANH = (
    -0.3333333134651184,
    0.13333220779895782,
    -0.05394817888736725,
    0.021706894040107727,
    -0.008190013468265533,
    0.002152683911845088,
)
# erf(x) / x - 1 in x*x, on [0, 0.925]
ERF_LIMIT = np.float32(0.925)
ERF = (
    0.12837916612625122,
    -0.37612631916999817,
    0.11283677071332932,
    -0.026858605444431305,
    0.005199385806918144,
    -0.0008126382599584758,
    0.00008308139513246715,
)
# -log2(1 - erf(x)) on [0.925, 4]
ERF_TAIL_LIMIT = np.float32(4)
ERF_TAIL = (
    -0.00025393685791641474,
    1.6295548677444458,
    0.9137075543403625,
    0.15623612701892853,
    -0.036253396421670914,
    0.006022852845489979,
    -0.0006279026274569333,
    0.00003053071486647241,
)


def polynomial(x: F32, coefficients: tuple[float, ...]) -> F32:
    """The polynomial of ascending ``coefficients`` by Horner's rule: two roundings a step."""
    value = np.full(x.shape, coefficients[-1], np.float32)
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + np.float32(coefficient)
    return value


def power_of_two(exponent: I32) -> F32:
    """2**exponent for -126 <= exponent <= 127."""
    bits = np.asarray((exponent + 127) << 23, np.int32)
    return bits.view(np.float32)


@np.errstate(all="ignore")
def f32_exp2(x: F32) -> F32:
    """2 to the power x, within 1 ulp (subnormal results too); exact for integers.

    x = n + f with n = rint(x); 2**f = s + (e + f * polynomial), where s is 1 + f/2 rounded and e
    what the rounding lost. The scale enters as two factors 2**(n >> 1) and 2**(n - (n >> 1)), so
    that subnormal results round once more.
    """
    value = np.asarray(x, np.float32)
    number = np.clip(np.where(np.isnan(value), np.float32(0), value), -152, 129)
    whole = np.rint(number)
    fraction = number - whole
    half = fraction * np.float32(0.5)
    leading = ONE + half
    lost = half - (leading - ONE)
    mantissa = leading + (lost + fraction * polynomial(fraction, EXP2))
    exponent = whole.astype(np.int32)
    first = exponent >> 1
    result = mantissa * power_of_two(first) * power_of_two(exponent - first)
    return quiet_nan(np.where(np.isnan(value), value, result))


def split_exponent(x: F32) -> tuple[F32, I32]:
    """Positive normal x as (m, e) with x = m * 2**e and sqrt(1/2) <= m < sqrt(2), exactly."""
    offset = x.view(np.int32) - SQRT_HALF_BITS
    exponent = np.asarray(offset >> 23, np.int32)
    bits = np.asarray((offset & MANTISSA_BITS) + SQRT_HALF_BITS, np.int32)
    return bits.view(np.float32), exponent


@np.errstate(all="ignore")
def f32_log2(x: F32) -> F32:
    """The base-2 logarithm, within 2 ulp; exact for powers of two. Of +-0 -inf, below 0 NaN.

    With x = (1 + f) * 2**e, log(1 + f) = f + t, t = f**3 * polynomial - f*f/2. The result is
    e + (f + (t + (t * c + f * c))), c = log2(e) - 1, summed from the inside. A subnormal is first
    multiplied by 2**23.
    """
    value = np.asarray(x, np.float32)
    is_subnormal = value < SMALLEST_NORMAL
    is_regular = (value > 0) & (value < np.inf)
    scaled = np.where(is_subnormal, value * np.float32(2.0**23), value)
    mantissa, exponent = split_exponent(np.where(is_regular, scaled, ONE))
    f = mantissa - ONE
    square = f * f
    tail = square * f * polynomial(f, LOG) - square * np.float32(0.5)
    log2_mantissa = f + (tail + (tail * LOG2_E_LESS_ONE + f * LOG2_E_LESS_ONE))
    whole = exponent - np.where(is_subnormal, np.int32(23), np.int32(0))
    result = whole.astype(np.float32) + log2_mantissa
    return quiet_nan(np.where(is_regular, result, log2_of_irregular(value)))


def log2_of_irregular(x: F32) -> F32:
    """-inf for zeros, infinity for infinity, NaN for negative numbers and NaN."""
    finite = np.where(x == 0, np.float32(-np.inf), np.float32(np.nan))
    return np.where(x == np.inf, x, finite)


def below(limit: np.float32, magnitude: F32) -> Mask:
    """Where a magnitude is less than ``limit``; false for NaN."""
    return np.asarray(magnitude < limit, np.bool_)


@np.errstate(all="ignore")
def f32_tanh(x: F32) -> F32:
    """The hyperbolic tangent, within 2 ulp; odd, and +-1 at the infinities.

    Below 5/8 in magnitude a polynomial: a + a * (z * polynomial(z)), z = a * a. Above,
    1 - 2 / (2**(a * 2 log2(e)) + 1).
    """
    value = np.asarray(x, np.float32)
    magnitude = np.abs(value)
    square = magnitude * magnitude
    near = magnitude + magnitude * (square * polynomial(square, TANH))
    far = ONE - np.float32(2) / (f32_exp2(magnitude * TWO_LOG2_E) + ONE)
    result = np.where(below(TANH_LIMIT, magnitude), near, far)
    return quiet_nan(np.copysign(result, value))


@np.errstate(all="ignore")
def f32_erf(x: F32) -> F32:
    """The error function, within 2 ulp; odd, and +-1 from 4 in magnitude on.

    Below 0.925 in magnitude a polynomial: a + a * polynomial(a * a). Above, 1 - 2**-polynomial(a).
    """
    value = np.asarray(x, np.float32)
    magnitude = np.abs(value)
    near = magnitude + magnitude * polynomial(magnitude * magnitude, ERF)
    clipped = np.minimum(magnitude, ERF_TAIL_LIMIT)
    far = ONE - f32_exp2(-polynomial(clipped, ERF_TAIL))
    result = np.where(below(ERF_LIMIT, magnitude), near, far)
    return quiet_nan(np.copysign(result, value))
