"""Float32 micro-operations that IEEE 754 defines: one rounding, half to even, subnormals kept.

Every result is canonical: a NaN is the one quiet NaN. Operands broadcast. Minimum, maximum and
comparison are in ``compare``.
"""

import numpy as np

from npuc.isa.numerics.arrays import F32
from npuc.isa.numerics.convert import quiet_nan


@np.errstate(all="ignore")
def f32_add(a: F32, b: F32) -> F32:
    """Sum a + b."""
    return quiet_nan(np.add(a, b, dtype=np.float32))


@np.errstate(all="ignore")
def f32_sub(a: F32, b: F32) -> F32:
    """Difference a - b."""
    return quiet_nan(np.subtract(a, b, dtype=np.float32))


@np.errstate(all="ignore")
def f32_mul(a: F32, b: F32) -> F32:
    """Product a * b."""
    return quiet_nan(np.multiply(a, b, dtype=np.float32))


@np.errstate(all="ignore")
def f32_div(a: F32, b: F32) -> F32:
    """Quotient a / b; a number over zero is an infinity, 0 / 0 is NaN."""
    return quiet_nan(np.divide(a, b, dtype=np.float32))


def f32_neg(x: F32) -> F32:
    """The opposite sign, also of zero; NaN stays the one NaN."""
    return quiet_nan(np.negative(x, dtype=np.float32))


def f32_abs(x: F32) -> F32:
    """The sign dropped."""
    return quiet_nan(np.abs(x, dtype=np.float32))


@np.errstate(all="ignore")
def f32_sqrt(x: F32) -> F32:
    """The square root, correctly rounded; of -0 it is -0, of a negative number NaN."""
    return quiet_nan(np.sqrt(x, dtype=np.float32))


@np.errstate(all="ignore")
def f32_reciprocal(x: F32) -> F32:
    """Quotient 1 / x, correctly rounded."""
    return quiet_nan(np.divide(np.float32(1), x, dtype=np.float32))


@np.errstate(all="ignore")
def f32_rsqrt(x: F32) -> F32:
    """Quotient 1 / sqrt(x) in two roundings, within 1.5 ulp; of +-0 an infinity of that sign."""
    return quiet_nan(np.divide(np.float32(1), np.sqrt(x, dtype=np.float32), dtype=np.float32))


def f32_floor(x: F32) -> F32:
    """The largest integer not above x; the sign of zero is kept."""
    return quiet_nan(np.floor(x, dtype=np.float32))


def f32_ceil(x: F32) -> F32:
    """The smallest integer not below x; values above -1 and below 0 give -0."""
    return quiet_nan(np.ceil(x, dtype=np.float32))


def f32_round_even(x: F32) -> F32:
    """The nearest integer, ties to even; the sign of zero is kept."""
    return quiet_nan(np.rint(x, dtype=np.float32))
