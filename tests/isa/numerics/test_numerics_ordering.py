"""Scans and sorted order against plain Python, with NaN, zeros, ties and cuts."""

import functools
import itertools
import math
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from npuc.isa.instructions.ordered import SCAN_OPERATIONS
from npuc.isa.numerics.ordering import SCANS, scan, sorted_order

WORDS = st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=40)
FLOATS = hnp.arrays(
    np.float32,
    st.integers(1, 40),
    elements=st.sampled_from([np.nan, -0.0, 0.0, 1.0, -1.0, np.inf, -np.inf, 2.5, 1e-45]),
)


def test_operations_are_those_of_the_instruction() -> None:
    assert tuple(SCANS) == SCAN_OPERATIONS
    assert all(domain == name[-1] for name, (domain, _, _) in SCANS.items())


@given(WORDS, st.sampled_from(["sumi", "prodi", "mini", "maxi"]), st.booleans())
def test_integer_scans_wrap(words: list[int], operation: str, exclusive: bool) -> None:
    plain = {"sumi": operator.add, "prodi": operator.mul, "mini": min, "maxi": max}[operation]
    totals = list(itertools.accumulate(words, plain))
    neutral = {"sumi": 0, "prodi": 1, "mini": 2**31 - 1, "maxi": -(2**31)}[operation]
    expected = [neutral, *totals[:-1]] if exclusive else totals
    found = scan(np.array(words, np.int32), operation, None, exclusive)
    assert [int(v) % 2**32 for v in found] == [v % 2**32 for v in expected]


@given(st.integers(0, 2**32), st.integers(1, 50))
def test_float_sums_round_once_an_element_in_ascending_order(seed: int, n: int) -> None:
    x = np.random.default_rng(seed).normal(size=n).astype(np.float32)
    held, expected = np.float32(x[0]), [x[0]]
    for value in x[1:]:
        held = np.float32(float(held) + float(value))  # exact in double, then one rounding
        expected.append(held)
    found = scan(x, "sumf", None, exclusive=False)
    assert found.tobytes() == np.array(expected, np.float32).tobytes()


@given(FLOATS, st.sampled_from(sorted(SCANS)), st.booleans(), st.data())
def test_a_scan_may_be_cut_anywhere(x: np.ndarray, name: str, late: bool, data: object) -> None:
    domain = SCANS[name][0]
    row = x if domain == "f" else np.nan_to_num(x, posinf=9, neginf=-9).astype(np.int32)
    cut = data.draw(st.integers(1, len(row)))  # type: ignore[attr-defined]
    whole, inside = scan(row, name, None, late), scan(row, name, None, False)
    first = np.asarray(inside[cut - 1])
    parts = [scan(row[:cut], name, None, late), scan(row[cut:], name, first, late)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_rows_do_not_see_each_other() -> None:
    x_LN = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    assert np.array_equal(scan(x_LN, "sumi", None, False), np.cumsum(x_LN, axis=-1))
    first = np.array([[1, 2, 3], [4, 5, 6]], np.int32)
    expected = np.cumsum(x_LN, axis=-1) + first[..., np.newaxis]
    assert np.array_equal(scan(x_LN, "sumi", first, False), expected)


def before(a: tuple[float, int], b: tuple[float, int], descending: bool) -> int:
    """-1 where a comes first: the rule, word for word."""
    (x, i), (y, j) = a, b
    larger = (math.isnan(x) and not math.isnan(y)) or x > y
    smaller = (math.isnan(y) and not math.isnan(x)) or x < y
    if larger or smaller:
        return -1 if larger == descending else 1
    return -1 if i < j else 1


@given(FLOATS, st.booleans())
def test_sorted_order_of_floats(x: np.ndarray, descending: bool) -> None:
    pairs = [(float(v), i) for i, v in enumerate(x)]
    key = functools.cmp_to_key(functools.partial(before, descending=descending))
    expected = [i for _, i in sorted(pairs, key=key)]
    assert sorted_order(x, descending).tolist() == expected


@given(WORDS, st.booleans())
def test_sorted_order_of_integers(words: list[int], descending: bool) -> None:
    sign = -1 if descending else 1
    expected = sorted(range(len(words)), key=lambda i: (sign * words[i], i))
    assert sorted_order(np.array(words, np.int32), descending).tolist() == expected


@pytest.mark.parametrize("name", sorted(SCANS))
def test_an_empty_row_has_no_result(name: str) -> None:
    dtype = np.float32 if SCANS[name][0] == "f" else np.int32
    assert scan(np.zeros((3, 0), dtype), name, None, exclusive=True).shape == (3, 0)
    assert sorted_order(np.zeros((3, 0), dtype), descending=True).shape == (3, 0)
