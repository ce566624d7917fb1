"""Integer operations, the matrix unit and random words against Python's own integers."""

from collections.abc import Callable
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.isa.numerics import integer, matrix, random
from npuc.isa.numerics.arrays import NumericTrap

MIN, MAX = -(2**31), 2**31 - 1
EDGES = [MIN, MIN + 1, -65536, -3, -2, -1, 0, 1, 2, 3, 31, 32, 33, 65535, 65537, MAX - 1, MAX]
words = st.sampled_from(EDGES) | st.integers(MIN, MAX)


def wrap(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


def truncated(a: int, b: int) -> int:
    return wrap((abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1))


BINARY: dict[str, Callable[[int, int], int]] = {
    "i32_add": lambda a, b: wrap(a + b),
    "i32_sub": lambda a, b: wrap(a - b),
    "i32_mul": lambda a, b: wrap(a * b),
    "i32_min": min,
    "i32_max": max,
    "i32_and": lambda a, b: a & b,
    "i32_or": lambda a, b: a | b,
    "i32_xor": lambda a, b: a ^ b,
    "i32_shl": lambda a, b: wrap(a << (b % 32)),
    "i32_shr_arithmetic": lambda a, b: a >> (b % 32),
    "i32_shr_logical": lambda a, b: wrap((a % 2**32) >> (b % 32)),
}
UNARY: dict[str, Callable[[int], int]] = {
    "i32_neg": lambda a: wrap(-a),
    "i32_abs": lambda a: wrap(abs(a)),
    "i32_not": lambda a: ~a,
}


def grid() -> tuple[np.ndarray, np.ndarray]:
    edges = np.array(EDGES, np.int32)
    return edges[:, np.newaxis], edges[np.newaxis, :]


@pytest.mark.parametrize("name", BINARY)
def test_binary_operations_on_every_pair_of_edges(name: str) -> None:
    result = getattr(integer, name)(*grid())
    assert result.dtype == np.int32
    assert result.tolist() == [[BINARY[name](a, b) for b in EDGES] for a in EDGES]


@pytest.mark.parametrize("name", BINARY)
@given(a=words, b=words)
def test_binary_operations(name: str, a: int, b: int) -> None:
    result = getattr(integer, name)(np.array([a], np.int32), np.array([b], np.int32))
    assert result.tolist() == [BINARY[name](a, b)]


@pytest.mark.parametrize("name", UNARY)
def test_unary_operations(name: str) -> None:
    result = getattr(integer, name)(np.array(EDGES, np.int32))
    assert result.dtype == np.int32
    assert result.tolist() == [UNARY[name](a) for a in EDGES]


def test_division_truncates_and_wraps() -> None:
    divisors = [b for b in EDGES if b]
    result = integer.i32_div(np.array(EDGES, np.int32)[:, np.newaxis], np.array(divisors, np.int32))
    assert result.tolist() == [[truncated(a, b) for b in divisors] for a in EDGES]
    assert integer.i32_div(np.array([MIN], np.int32), np.array([-1], np.int32)).tolist() == [MIN]


def test_division_by_zero_traps_at_its_point() -> None:
    with pytest.raises(NumericTrap, match="division by zero") as caught:
        integer.i32_div(np.array([1, 2, 0], np.int32), np.array([1, 0, 0], np.int32))
    assert caught.value.point == 1


def test_multiply_accumulate_wraps() -> None:
    acc = np.array([MAX, MIN], np.int32)
    result = integer.i32_mac(acc, np.array([127, -128], np.int32), np.array([1, 127], np.int32))
    assert result.tolist() == [wrap(MAX + 127), wrap(MIN - 128 * 127)]


def scaled(x: int, multiplier: int, shift: int, rounding: str) -> int:
    exact = Fraction(x * multiplier, 2**shift)
    below = exact.numerator // exact.denominator
    rest = exact - below
    if rounding == "half_even":
        nearest = round(exact)
    elif rest == Fraction(1, 2):
        nearest = below + (1 if rounding == "half_up" or exact > 0 else 0)
    else:
        nearest = below + (rest > Fraction(1, 2))
    return max(MIN, min(MAX, nearest))


@pytest.mark.parametrize("rounding", list(integer.Rounding))
@given(x=words, multiplier=words, shift=st.integers(1, 62))
def test_fixed_point_multiply_shift(rounding: str, x: int, multiplier: int, shift: int) -> None:
    args = (np.array([v], np.int32) for v in (x, multiplier, shift))
    result = integer.fixed_point_multiply_shift(*args, rounding)
    assert result.dtype == np.int32
    assert result.tolist() == [scaled(x, multiplier, shift, rounding)]


@pytest.mark.parametrize("rounding", list(integer.Rounding))
@pytest.mark.parametrize("shift", [1, 2, 8, 31, 32, 61, 62])
def test_fixed_point_ties(rounding: str, shift: int) -> None:
    """Products that lie on an exact half, both signs, odd and even neighbours."""
    multiplier = 2 ** min(shift - 1, 30)
    step = 2 ** (shift - 1) // multiplier
    xs = [step * odd for odd in (1, 3, 5, -1, -3, -5) if MIN <= step * odd <= MAX]
    result = integer.fixed_point_multiply_shift(
        np.array(xs, np.int32), np.int32(multiplier), np.int32(shift), rounding
    )
    assert xs
    assert result.tolist() == [scaled(x, multiplier, shift, rounding) for x in xs]


def test_fixed_point_roundings_differ_on_halves_only() -> None:
    xs = np.array([1, 3, -1, -3], np.int32)
    by_mode = {
        mode.value: integer.fixed_point_multiply_shift(xs, np.int32(1), np.int32(1), mode).tolist()
        for mode in integer.Rounding
    }
    assert by_mode == {
        "half_up": [1, 2, 0, -1],
        "half_even": [0, 2, 0, -2],
        "half_away": [1, 2, -1, -2],
    }


def test_mma_int_wraps_as_python_integers_do() -> None:
    rng = np.random.default_rng(1)
    for a_type, w_type in [(np.int8, np.int8), (np.uint8, np.int8), (np.int16, np.int16)]:
        a = rng.integers(np.iinfo(a_type).min, np.iinfo(a_type).max, (3, 50), a_type, True)
        w = rng.integers(np.iinfo(w_type).min, np.iinfo(w_type).max, (50, 4), w_type, True)
        acc = rng.integers(MIN, MAX, (3, 4), np.int32, True)
        expected = [
            [
                wrap(int(acc[m, n]) + sum(int(a[m, k]) * int(w[k, n]) for k in range(50)))
                for n in range(4)
            ]
            for m in range(3)
        ]
        result = matrix.mma_int(a, w, acc)
        assert result.dtype == np.int32
        assert result.tolist() == expected


def test_mma_int_wraps_past_one_exact_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    a, w = np.full((1, 140_000), -128, np.int8), np.full((140_000, 1), -128, np.int8)
    acc = np.array([[MAX]], np.int32)
    assert matrix.mma_int(a, w, acc).tolist() == [[wrap(MAX + 2**14 * 140_000)]]
    monkeypatch.setattr(matrix, "_EXACT_K", 999)
    assert matrix.mma_int(a, w, acc).tolist() == [[wrap(MAX + 2**14 * 140_000)]]


def nearest_f32(exact: Fraction) -> float:
    """Round an exact value to float32, half to even, for normal results."""
    if exact == 0:
        return 0.0
    exponent = 0
    while abs(exact) * Fraction(2) ** exponent < 2**23:
        exponent += 1
    while abs(exact) * Fraction(2) ** exponent >= 2**24:
        exponent -= 1
    return float(round(exact * Fraction(2) ** exponent) / Fraction(2) ** exponent)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_mma_float_rounds_twice_a_step_in_ascending_k(dtype: type) -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(size=(2, 40)).astype(dtype)
    w = rng.normal(size=(40, 3)).astype(dtype)
    acc = rng.normal(size=(2, 3)).astype(np.float32)
    expected = acc.astype(np.float64).tolist()
    for m, n in np.ndindex(2, 3):
        for k in range(40):
            product = nearest_f32(Fraction(float(a[m, k])) * Fraction(float(w[k, n])))
            expected[m][n] = nearest_f32(Fraction(expected[m][n]) + Fraction(product))
    result = matrix.mma_float(a, w, acc)
    assert result.dtype == np.float32
    assert result.tolist() == expected
    head = matrix.mma_float(a[:, :17], w[:17], acc)
    assert matrix.mma_float(a[:, 17:], w[17:], head).tobytes() == result.tobytes()


def test_mma_float_is_not_fused_and_quiets_nan() -> None:
    tiny = np.float32(1 + 2.0**-12)  # its square needs 25 bits: a fused step would keep the last
    fused_differs = matrix.mma_float(
        np.array([[tiny]]), np.array([[tiny]]), np.array([[-1]], np.float32)
    )
    assert fused_differs.tolist() == [[2.0**-11]]
    nan = matrix.mma_float(
        np.array([[np.inf]], np.float32), np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)
    )
    assert nan.view(np.uint32).tolist() == [[0x7FC00000]]


PHILOX_VECTORS = [  # the known answers published with the algorithm
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    (
        [0xFFFFFFFF] * 4,
        [0xFFFFFFFF] * 2,
        [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
    ),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


def test_philox_known_answers() -> None:
    counters, keys, answers = (
        np.array(column, np.uint32) for column in zip(*PHILOX_VECTORS, strict=True)
    )
    result = random.philox4x32(counters, keys)
    assert result.dtype == np.uint32
    assert result.tolist() == answers.tolist()


def test_random_words_depend_on_their_own_counter_alone() -> None:
    counters = np.arange(-5, 5, dtype=np.int32)
    key = np.array(7, np.int64)
    stream = random.random_u32(counters, key)
    assert stream.shape == (10,)
    assert len(set(stream.tolist())) == 10
    backwards = random.random_u32(counters[::-1], key)[::-1]
    assert stream.tolist() == backwards.tolist()
    one = random.philox4x32(np.array([0xFFFFFFFB, 0, 0, 0], np.uint32), np.array([7, 0], np.uint32))
    assert stream[0] == one[0]
    wide = random.random_u32(np.array([2**32 + 3], np.int64), np.array(2**40 + 1, np.int64))
    two = random.philox4x32(np.array([3, 1, 0, 0], np.uint32), np.array([1, 256], np.uint32))
    assert wide.tolist() == [two[0]]


def test_random_uniform_fills_the_unit_interval() -> None:
    values = random.random_uniform(np.arange(20_000, dtype=np.int32), np.array(3, np.int32))
    assert values.dtype == np.float32
    assert 0 <= values.min() < 0.001
    assert 0.999 < values.max() < 1
    assert abs(float(values.mean()) - 0.5) < 0.01
