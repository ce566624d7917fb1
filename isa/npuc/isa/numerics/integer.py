"""Integer micro-operations: 32-bit two's complement words that wrap, on arrays that broadcast."""

from enum import StrEnum

import numpy as np

from npuc.isa.numerics.arrays import I32, I32_MAX, I32_MIN, I64, trap_where


class Rounding(StrEnum):
    """How a fixed-point product drops its fraction bits; the three differ on exact halves only."""

    half_up = "half_up"  # towards plus infinity
    half_even = "half_even"
    half_away = "half_away"  # away from zero


def wrap_i32(x: I64) -> I32:
    """The low 32 bits of each int64, as a signed word."""
    return np.asarray(x, dtype=np.int64).astype(np.uint32).view(np.int32)


def i32_add(a: I32, b: I32) -> I32:
    """Sum a + b, wrapping."""
    return wrap_i32(np.add(a, b, dtype=np.int64))


def i32_sub(a: I32, b: I32) -> I32:
    """Difference a - b, wrapping."""
    return wrap_i32(np.subtract(a, b, dtype=np.int64))


def i32_mul(a: I32, b: I32) -> I32:
    """The low word of a * b."""
    return wrap_i32(np.multiply(a, b, dtype=np.int64))


def i32_mac(acc: I32, a: I32, b: I32) -> I32:
    """Sum acc + a * b, wrapping: the step of ``mac8`` when a and b are widened int8."""
    return i32_add(acc, i32_mul(a, b))


def i32_neg(x: I32) -> I32:
    """-x, wrapping: the smallest word is its own negative."""
    return wrap_i32(np.negative(x, dtype=np.int64))


def i32_abs(x: I32) -> I32:
    """|x|, wrapping: the smallest word stays as it is."""
    return wrap_i32(np.abs(np.asarray(x, dtype=np.int64)))


def i32_min(a: I32, b: I32) -> I32:
    """The smaller word, signed."""
    return np.minimum(a, b)


def i32_max(a: I32, b: I32) -> I32:
    """The larger word, signed."""
    return np.maximum(a, b)


def i32_div(a: I32, b: I32) -> I32:
    """Quotient a / b truncated towards zero; the smallest word divided by -1 wraps to itself.

    Raises: NumericTrap when a divisor is zero.
    """
    dividend, divisor = np.broadcast_arrays(np.asarray(a, np.int64), np.asarray(b, np.int64))
    trap_where(divisor == 0, what="integer division by zero", allowed="any other divisor")
    magnitude = np.abs(dividend) // np.abs(divisor)
    return wrap_i32(np.where((dividend < 0) != (divisor < 0), -magnitude, magnitude))


def _amount(amount: I32) -> I64:
    five_bits: I64 = np.asarray(amount, dtype=np.int64) & 31
    return five_bits


def i32_shl(x: I32, amount: I32) -> I32:
    """Word x shifted left; only the low five bits of ``amount`` count."""
    return wrap_i32(np.asarray(x, dtype=np.int64) << _amount(amount))


def i32_shr_arithmetic(x: I32, amount: I32) -> I32:
    """Word x shifted right, copies of the sign entering; only five bits of ``amount`` count."""
    return wrap_i32(np.asarray(x, dtype=np.int64) >> _amount(amount))


def i32_shr_logical(x: I32, amount: I32) -> I32:
    """Word x shifted right, zeros entering; only the low five bits of ``amount`` count."""
    unsigned = np.asarray(x, dtype=np.int64) & 0xFFFFFFFF
    return wrap_i32(unsigned >> _amount(amount))


def i32_and(a: I32, b: I32) -> I32:
    """Bitwise and."""
    return np.bitwise_and(a, b)


def i32_or(a: I32, b: I32) -> I32:
    """Bitwise or."""
    return np.bitwise_or(a, b)


def i32_xor(a: I32, b: I32) -> I32:
    """Bitwise exclusive or."""
    return np.bitwise_xor(a, b)


def i32_not(x: I32) -> I32:
    """Bitwise complement."""
    return np.bitwise_not(x)


def round_shift(product: I64, shift: I64, rounding: str) -> I64:
    """Quotient product / 2**shift, rounded once as ``Rounding`` names."""
    half = np.left_shift(np.int64(1), shift - 1)
    if rounding == Rounding.half_up:
        biased: I64 = product + half
        return np.right_shift(biased, shift, dtype=np.int64)
    if rounding == Rounding.half_away:
        magnitude = (np.abs(product) + half) >> shift
        return np.where(product < 0, -magnitude, magnitude)
    floor: I64 = np.right_shift(product, shift)
    remainder = product - (floor << shift)
    goes_up = (remainder > half) | ((remainder == half) & (floor & 1 == 1))
    return np.where(goes_up, floor + 1, floor)


def fixed_point_multiply_shift(x: I32, multiplier: I32, shift: I32, rounding: str) -> I32:
    """Product x * multiplier / 2**shift, rounded once as ``Rounding`` names, saturated to int32.

    ``multiplier`` is a signed word and ``shift`` is 1..62; both broadcast against x.
    """
    mode = Rounding(rounding)
    amount = np.asarray(shift, dtype=np.int64)
    assert np.all((amount >= 1) & (amount <= 62)), "shift is 1..62"
    product = np.multiply(x, multiplier, dtype=np.int64)  # at most 2**62: adding half is safe
    return np.clip(round_shift(product, amount, mode), I32_MIN, I32_MAX).astype(np.int32)
