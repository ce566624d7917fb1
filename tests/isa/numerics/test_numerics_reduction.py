"""Reductions and order against scalar loops that follow the written order."""

import itertools
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.isa.numerics import compare
from npuc.isa.numerics.reduction import (
    PartialProduct,
    PartialSum,
    reduce_argmax,
    reduce_argmin,
    reduce_max,
    reduce_min,
    reduce_prod,
    reduce_sum,
)

NAN_BITS = 0x7FC00000
LENGTHS = [1, 2, 15, 16, 17, 31, 32, 33, 34, 47, 48, 49, 63, 64, 65, 100, 257]


def rounded(value: float) -> float:
    """To float32. A double sum or product of two floats rounds to the same float as exact does."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def in_written_order(values: list[float], is_sum: bool) -> float:
    """The order of the contract, one scalar step at a time."""

    def step(a: float, b: float) -> float:
        return rounded(a + b if is_sum else a * b)

    if len(values) <= 32:
        total = values[0]
        for value in values[1:]:
            total = step(total, value)
        return total
    level: list[float] = []
    for p in range(16):
        partial = values[p]
        for index in range(p + 16, len(values), 16):
            partial = step(partial, values[index])
        level.append(partial)
    while len(level) > 1:
        level = [step(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def sample(n: int, rows: int = 3) -> np.ndarray:
    rng = np.random.default_rng(n)
    return (rng.normal(size=(rows, n)) * 10.0 ** rng.integers(-3, 4, (rows, n))).astype(np.float32)


@pytest.mark.parametrize("n", LENGTHS)
def test_sum_follows_the_written_order(n: int) -> None:
    x = sample(n)
    result = reduce_sum(x)
    assert result.dtype == np.float32
    assert result.tolist() == [in_written_order(row, is_sum=True) for row in x.tolist()]


@pytest.mark.parametrize("n", LENGTHS)
def test_product_follows_the_written_order(n: int) -> None:
    x = (1 + sample(n) / 1e4).astype(np.float32)
    result = reduce_prod(x)
    assert result.dtype == np.float32
    assert result.tolist() == [in_written_order(row, is_sum=False) for row in x.tolist()]


def test_the_order_matters_to_these_tests() -> None:
    x = sample(257, rows=20)
    straight = x[:, 0]
    for n in range(1, 257):
        straight = straight + x[:, n]
    assert (reduce_sum(x) != straight).any()


def test_the_first_element_enters_as_it_is() -> None:
    assert np.signbit(reduce_sum(np.array([-0.0], np.float32)))
    assert np.signbit(reduce_sum(np.full(40, -0.0, np.float32)))


@given(st.integers(1, 90), st.lists(st.integers(0, 90), max_size=4), st.booleans())
def test_a_split_changes_no_bit(n: int, cuts: list[int], is_sum: bool) -> None:
    x = sample(n) if is_sum else (1 + sample(n) / 1e4).astype(np.float32)
    partial = PartialSum(n) if is_sum else PartialProduct(n)
    edges = [0, *sorted(min(cut, n) for cut in cuts), n]
    for begin, end in itertools.pairwise(edges):
        state = (partial.total, partial.count, partial.words_LP.copy())  # stored and resumed
        partial = type(partial)(*state)
        partial.take(x[:, begin:end])
    whole = reduce_sum(x) if is_sum else reduce_prod(x)
    assert partial.result().tobytes() == whole.tobytes()


def test_partials_refuse_a_wrong_length() -> None:
    with pytest.raises(AssertionError, match="more elements"):
        PartialSum(3).take(np.zeros(4, np.float32))
    with pytest.raises(AssertionError, match="not complete"):
        PartialSum(3).result()


@pytest.mark.parametrize("n", [5, 40])
@pytest.mark.parametrize("reduce", [reduce_sum, reduce_prod, reduce_min, reduce_max])
def test_nan_and_infinity_reach_the_result_as_the_one_nan(n: int, reduce) -> None:  # type: ignore[no-untyped-def]
    x = sample(n)
    x[0, n // 2] = np.array(0xFFC12345, np.uint32).view(np.float32)
    result = np.asarray(reduce(x))
    assert result.view(np.uint32)[0] == NAN_BITS
    assert np.isfinite(result[1:]).all() or reduce is reduce_prod
    opposite = np.array([np.inf, -np.inf], np.float32)
    assert reduce_sum(opposite).view(np.uint32) == NAN_BITS


def test_integer_reductions_wrap() -> None:
    x = np.array([[2**31 - 1, 2, 3], [-(2**31), -1, 5]], np.int32)
    assert reduce_sum(x).tolist() == [-(2**31) + 4, -(2**31) + 4 + 2**32 - 2**32]
    assert reduce_sum(x).dtype == np.int32
    wraps = [(v + 2**31) % 2**32 - 2**31 for v in ((2**31 - 1) * 6, 2**31 * 5)]
    assert reduce_prod(x).tolist() == wraps
    assert reduce_min(x).tolist() == [2, -(2**31)]
    assert reduce_max(x).tolist() == [2**31 - 1, 5]
    assert reduce_argmin(x).tolist() == [1, 0]
    assert reduce_argmax(x).tolist() == [0, 2]
    long = np.full((1, 200), 2**31 - 1, np.int32)
    assert reduce_sum(long).tolist() == [-200]
    assert reduce_prod(long[:, :199]).tolist() == [2**31 - 1]


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_the_empty_reduction_is_neutral(dtype: type) -> None:
    empty = np.zeros((2, 0), dtype)
    low, high = (-np.inf, np.inf) if dtype is np.float32 else (-(2**31), 2**31 - 1)
    assert reduce_sum(empty).tolist() == [0, 0]
    assert reduce_prod(empty).tolist() == [1, 1]
    assert reduce_min(empty).tolist() == [high, high]
    assert reduce_max(empty).tolist() == [low, low]
    assert reduce_argmin(empty).tolist() == reduce_argmax(empty).tolist() == [-1, -1]


def test_ties_go_to_the_lowest_index() -> None:
    x = np.array([[3, 1, 3, 1], [0.0, -0.0, 0.0, -0.0], [np.inf, -np.inf, np.inf, -np.inf]])
    for dtype in (np.float32, np.int32):
        rows = x[: 3 if dtype is np.float32 else 2].astype(dtype)
        assert reduce_argmin(rows).tolist() == [1, 0, 1][: len(rows)]
        assert reduce_argmax(rows).tolist() == [0, 0, 0][: len(rows)]


def test_the_first_nan_wins_argmin_and_argmax() -> None:
    x = np.array([[1, np.nan, -np.inf, np.nan], [np.inf, 2, 2, np.nan]], np.float32)
    assert reduce_argmin(x).tolist() == reduce_argmax(x).tolist() == [1, 3]
    assert reduce_argmin(np.full((1, 3), np.inf, np.float32)).tolist() == [0]
    assert reduce_argmax(np.full((1, 3), -np.inf, np.float32)).tolist() == [0]


@pytest.mark.parametrize("n", [1, 7, 40])
def test_argmin_and_argmax_agree_with_a_scan(n: int) -> None:
    x = np.round(sample(n, rows=6))
    assert reduce_argmin(x).tolist() == [row.index(min(row)) for row in x.tolist()]
    assert reduce_argmax(x).tolist() == [row.index(max(row)) for row in x.tolist()]
    assert reduce_min(x).tolist() == [min(row) for row in x.tolist()]
    assert reduce_max(x).tolist() == [max(row) for row in x.tolist()]


SPECIAL = [-np.inf, -1.5, -(2.0**-149), -0.0, 0.0, 2.0**-149, 1.5, np.inf, np.nan]


def test_minimum_and_maximum_order_zero_and_spread_nan() -> None:
    for (i, a), (j, b) in itertools.product(enumerate(SPECIAL), repeat=2):
        low, high = np.array([SPECIAL[min(i, j)], SPECIAL[max(i, j)]], np.float32)
        left, right = np.array([a], np.float32), np.array([b], np.float32)
        smaller, larger = compare.f32_min(left, right), compare.f32_max(left, right)
        is_nan = math.isnan(a) or math.isnan(b)
        expected = [NAN_BITS, NAN_BITS] if is_nan else [low.view(np.uint32), high.view(np.uint32)]
        assert [*smaller.view(np.uint32), *larger.view(np.uint32)] == expected


def test_zeros_reduce_in_order() -> None:
    zeros = np.array([0.0, -0.0, 0.0], np.float32)
    assert np.signbit(reduce_min(zeros))
    assert not np.signbit(reduce_max(zeros))


PYTHON_RELATION = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


@pytest.mark.parametrize("relation", list(compare.Relation))
def test_comparison_is_ieee(relation: str) -> None:
    values = np.array(SPECIAL, np.float32)
    result = compare.compare(values[:, np.newaxis], values[np.newaxis, :], relation)
    assert result.dtype == np.int32
    rule = PYTHON_RELATION[relation]
    numbers = values.tolist()
    assert result.tolist() == [[int(rule(a, b)) for b in numbers] for a in numbers]


def test_selection_tests_the_whole_word() -> None:
    condition = np.array([0, 1, -1, 256, -(2**31)], np.int32)
    ones, zeros = np.ones(5, np.int32), np.zeros(5, np.int32)
    assert compare.select_i32(condition, ones, zeros).tolist() == [0, 1, 1, 1, 1]
    chosen = compare.select_f32(condition, np.float32(2.5), np.float32(np.nan))
    assert chosen.view(np.uint32).tolist() == [NAN_BITS, *[0x40200000] * 4]


@given(st.integers(0, 2**32 - 1))
def test_order_key_undoes_itself(word: int) -> None:
    value = np.array([word], np.uint32).view(np.float32)
    assert compare.from_order_key(compare.order_key(value)).view(np.uint32).tolist() == [word]
