"""Micro-operations that take more than operands: tables, coordinates, immediates."""

import numpy as np

from npuc.isa.numerics.arrays import F32, I32, U32
from npuc.isa.numerics.convert import quiet_nan
from npuc.isa.numerics.integer import Rounding, fixed_point_multiply_shift
from npuc.isa.numerics.random import random_u32, random_uniform

TABLE_WORDS = 256
ROUNDINGS = tuple(Rounding)
SHIFTS = range(1, 63)


def table_i32(x: I32, words: U32) -> I32:
    """Word ``x mod 256`` of the table that the immediate names."""
    return words.view(np.int32)[np.bitwise_and(x, TABLE_WORDS - 1)]


def table_f32(x: I32, words: U32) -> F32:
    """Word ``x mod 256`` of the table that the immediate names, as float32; NaN is quieted."""
    return quiet_nan(words.view(np.float32)[np.bitwise_and(x, TABLE_WORDS - 1)])


def coordinate(along: I32) -> I32:
    """The point's index along dimension ``immediate`` of the space (p0 to p3, r0 to r2: 0 to 6).

    In the epilogue the reduction dimensions are 0.
    """
    return along


def multiply_shift_code(shift: int, rounding: str) -> int:
    """The immediate of ``mulshift``: shift (1 to 62) + 64 * position of the rounding."""
    return shift + 64 * ROUNDINGS.index(Rounding(rounding))


MULTIPLY_SHIFT_CODES = tuple(multiply_shift_code(s, r) for r in ROUNDINGS for s in SHIFTS)


def multiply_shift(x: I32, multiplier: I32, code: int) -> I32:
    """Product x * multiplier / 2**shift, rounded once, saturated to int32.

    Immediate: shift (1 to 62) + 64 * rounding of exact halves (0 towards plus infinity, 1 to even,
    2 away from zero).
    """
    rounding, shift = divmod(code, 64)
    return fixed_point_multiply_shift(x, multiplier, np.array(shift, np.int32), ROUNDINGS[rounding])


def random_word(counter: I32, key: I32) -> I32:
    """A random word of counter and key: Philox4x32-10, word 0 at (counter, 0, 0, 0), (key, 0)."""
    return random_u32(counter, key).view(np.int32)


def random_real(counter: I32, key: I32) -> F32:
    """A float32 in [0, 1): the top 24 bits of the random word of counter and key times 2**-24."""
    return random_uniform(counter, key)
