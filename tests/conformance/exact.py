"""Arithmetic of float32 in exact fractions, one rounding at a time; nothing of npuc or NumPy.

A float32 is its 32 bits, as an int. Rounding is to nearest, ties to even; every NaN is 0x7fc00000.
"""

import math
import struct
from collections.abc import Callable
from fractions import Fraction

NAN, INF, SIGN = 0x7FC00000, 0x7F800000, 0x80000000
Real = Fraction | float  # a float only for what no fraction is: infinities and NaN


def value(bits: int) -> Real:
    """The number that the bits mean."""
    (number,) = struct.unpack("<f", struct.pack("<I", bits))
    return Fraction(number) if math.isfinite(number) else number


def bits_of(number: float) -> int:
    """The bits of a float that is exactly a float32."""
    return struct.unpack("<I", struct.pack("<f", number))[0]


def is_nan(bits: int) -> bool:
    return bits & 0x7FFFFFFF > INF


def quiet(bits: int) -> int:
    return NAN if is_nan(bits) else bits


def rounded(number: Fraction, precision: int = 24, least: int = -126, most: int = 127) -> Real:
    """The nearest number of ``precision`` bits, exponents from ``least`` to ``most``."""
    if number == 0:
        return number
    magnitude = abs(number)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if Fraction(2) ** exponent > magnitude:
        exponent -= 1
    unit = Fraction(2) ** (max(exponent, least) - precision + 1)
    steps = round(magnitude / unit) * unit  # Python rounds fractions half to even
    if steps >= Fraction(2) ** (most + 1):
        return math.inf if number > 0 else -math.inf
    return steps if number > 0 else -steps


def to_bits(number: Real, negative_zero: bool = False) -> int:
    """The bits of a number that is a float32, or of the nearest one."""
    if isinstance(number, float):
        return NAN if math.isnan(number) else bits_of(number)
    nearest = rounded(number)
    if nearest == 0:
        return SIGN if negative_zero or number < 0 else 0
    return bits_of(float(nearest))


def _binary(operation: Callable[[Fraction, Fraction], Fraction], special: Callable[..., float]):
    def run(a: int, b: int) -> int:
        x, y = value(a), value(b)
        if isinstance(x, float) or isinstance(y, float):
            return to_bits(special(_float(a), _float(b)))
        result = operation(x, y)
        if result == 0:  # of which sign, double arithmetic tells as float32 would
            return to_bits(Fraction(0), math.copysign(1, special(_float(a), _float(b))) < 0)
        return to_bits(result)

    return run


def _float(bits: int) -> float:
    return struct.unpack("<f", struct.pack("<I", bits))[0]


add = _binary(lambda x, y: x + y, lambda x, y: x + y)
sub = _binary(lambda x, y: x - y, lambda x, y: x - y)
_mul = _binary(lambda x, y: x * y, lambda x, y: x * y)


def mul(a: int, b: int) -> int:
    if (a ^ b) & SIGN and not is_nan(a) and not is_nan(b):  # a tiny product keeps its sign
        return negated(_mul(a & ~SIGN, b & ~SIGN))
    return _mul(a, b)


def negated(a: int) -> int:
    return NAN if is_nan(a) else a ^ SIGN


def div(a: int, b: int) -> int:
    x, y, sign = value(a), value(b), (a ^ b) & SIGN
    if is_nan(a) or is_nan(b) or (x == 0 and y == 0):
        return NAN
    if isinstance(x, float):
        return NAN if isinstance(y, float) else sign | INF
    if isinstance(y, float):
        return sign
    if y == 0:
        return sign | INF
    return sign | to_bits(abs(x / y))


def sqrt(a: int) -> int:
    x = value(a)
    if a in (0, SIGN, INF):
        return a
    if isinstance(x, float) or x < 0:
        return NAN
    scale = 400
    root = math.isqrt((x.numerator << 2 * scale) // x.denominator)
    exact = Fraction(root, 1 << scale)
    sticky = Fraction(0) if exact * exact == x else Fraction(1, 1 << (scale + 1))
    return to_bits(exact + sticky)


def integral(a: int, how: Callable[[Fraction], int]) -> int:
    """An integer near a, by ``how``; the sign of zero is kept."""
    x = value(a)
    if isinstance(x, float):
        return quiet(a)
    return to_bits(Fraction(how(x)), bool(a & SIGN))


def key(a: int) -> int:
    """Integers ordered as the floats are, -0 below +0."""
    return -(a & 0x7FFFFFFF) - 1 if a & SIGN else a


def smaller(a: int, b: int) -> int:
    return NAN if is_nan(a) or is_nan(b) else min(a, b, key=key)


def larger(a: int, b: int) -> int:
    return NAN if is_nan(a) or is_nan(b) else max(a, b, key=key)


def to_int(a: int, low: int = -(2**31), high: int = 2**31 - 1) -> int:
    """The nearest integer, ties to even, saturated; NaN gives 0."""
    x = value(a)
    if isinstance(x, float):
        return 0 if math.isnan(x) else (high if x > 0 else low)
    return max(low, min(high, round(x)))


def from_int(number: int) -> int:
    return to_bits(Fraction(number))


def to_half(a: int, precision: int, least: int, most: int) -> Real:
    """The nearest bf16 (8, -126, 127) or f16 (11, -14, 15) number."""
    x = value(a)
    return x if isinstance(x, float) else rounded(x, precision, least, most)


def wrap(number: int) -> int:
    """The low 32 bits as a signed word."""
    return (number + 2**31) % 2**32 - 2**31
