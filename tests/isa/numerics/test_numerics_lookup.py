"""Tables, coordinates, multiply-shift and random words as micro-ops, against plain Python."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.isa.descriptors import Kernel, Op, Output, Stream, Table
from npuc.isa.errors import EncodingError
from npuc.isa.microops import BY_NAME
from npuc.isa.numerics.lookup import multiply_shift_code

WORD = st.integers(-(2**31), 2**31 - 1)
TABLE = Table(tuple((i * 0x9E3779B9) % 2**32 for i in range(256)))


def run(name: str, *operands: object) -> object:
    words = [np.array([w], np.int32) if isinstance(w, int) else w for w in operands]
    return BY_NAME[name].meaning(*words)[0]


@given(WORD)
def test_tables_take_the_low_byte(x: int) -> None:
    word = TABLE.words[x % 256]
    found = BY_NAME["tablei"].meaning(np.array([x], np.int32), TABLE.array)[0]
    assert int(found) % 2**32 == word
    real = BY_NAME["tablef"].meaning(np.array([x], np.int32), TABLE.array).view(np.uint32)[0]
    is_nan = word & 0x7FFFFFFF > 0x7F800000
    assert int(real) == (0x7FC00000 if is_nan else word)


def rounded(value: Fraction, rounding: str) -> int:
    low = floor(value)
    if value - low != Fraction(1, 2):
        return floor(value + Fraction(1, 2))
    if rounding == "half_even":
        return low + low % 2
    return low + 1 if rounding == "half_up" or value > 0 else low


@given(WORD, WORD, st.integers(1, 62), st.sampled_from(["half_up", "half_even", "half_away"]))
def test_multiply_shift_rounds_once_and_saturates(x: int, m: int, shift: int, how: str) -> None:
    code = multiply_shift_code(shift, how)
    found = BY_NAME["mulshift"].meaning(np.array([x], np.int32), np.array([m], np.int32), code)
    exact = rounded(Fraction(x * m, 2**shift), how)
    assert int(found[0]) == min(max(exact, -(2**31)), 2**31 - 1)


def philox(counter: int, key: int) -> int:
    """Word 0 of Philox4x32-10, written from the paper's round."""
    c, k = [counter % 2**32, 0, 0, 0], [key % 2**32, 0]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 % 2**32, p0 >> 32 ^ c[3] ^ k[1], p0 % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c[0]


@given(WORD, WORD)
def test_random_words_depend_on_counter_and_key_alone(counter: int, key: int) -> None:
    word = philox(counter, key)
    assert int(run("randi", counter, key)) % 2**32 == word
    real = run("randf", counter, key)
    assert real == np.float32((word >> 8) / 2**24) and 0 <= real < 1


@given(WORD, WORD)
def test_not_equal(a: int, b: int) -> None:
    assert run("nei", a, b) == int(a != b)


def test_not_equal_of_floats_is_true_of_nan() -> None:
    a = np.array([np.nan, 0.0, 1.0], np.float32)
    b = np.array([np.nan, -0.0, 2.0], np.float32)
    assert BY_NAME["nef"].meaning(a, b).tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("name", "immediate"),
    [("index", 7), ("index", -1), ("mulshift", 0), ("mulshift", 63), ("mulshift", 64 * 3 + 1)],
)
def test_immediates_without_meaning_are_refused(name: str, immediate: int) -> None:
    operands = (0,) * len(BY_NAME[name].operands)
    with pytest.raises(EncodingError, match="immediate"):
        Kernel((Stream("i"),), (Op(name, operands, immediate),), 1, (Output(16),))


def test_a_table_has_256_words_of_32_bits() -> None:
    with pytest.raises(EncodingError, match="length"):
        Table((1, 2))
    with pytest.raises(EncodingError, match="32 bits"):
        Table((1 << 32,) * 256).pack()
    assert Table.unpack(TABLE.pack()) == TABLE
