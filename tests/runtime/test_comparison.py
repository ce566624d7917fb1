"""Rules of agreement: what passes, what fails, and what the outcome says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from npuc.runtime.verification.comparison import CLOSE, EXACT, Rule, Sides, compare, ties_of

SIDES = Sides("after fuse", "after quantize", "logits")


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_equal_bits_pass_exactly_nan_included() -> None:
    result = compare(SIDES, floats(1, np.nan, -0.0), floats(1, np.nan, -0.0), EXACT)
    assert result.passed
    assert (result.identical, result.elements, result.largest) == (3, 3, 0.0)
    assert result.first == ""


def test_a_negative_zero_is_not_a_zero() -> None:
    result = compare(SIDES, floats(0.0), floats(-0.0), EXACT)
    assert not result.passed
    assert result.first == "[0]: 0.0 instead of -0.0"


def test_the_first_difference_is_told() -> None:
    given, expected = np.zeros((2, 3), np.int8), np.zeros((2, 3), np.int8)
    given[1, 0] = 5
    result = compare(SIDES, given, expected, EXACT)
    assert not result.passed
    assert result.first == "[1, 0]: 5 instead of 0"
    assert result.largest == 5


@pytest.mark.parametrize(
    "given", [np.zeros(3, np.int8), np.zeros((3, 1), np.float32), np.zeros(4, np.float32)]
)
@pytest.mark.parametrize("rule", [EXACT, CLOSE, Rule("steps", 0.5)])
def test_another_shape_or_type_never_passes(given: np.ndarray, rule: Rule) -> None:
    result = compare(SIDES, given, np.zeros(3, np.float32), rule)
    assert not result.passed
    assert "instead of float32[3]" in result.first


def test_one_step_passes_where_nearly_all_are_identical() -> None:
    expected = np.zeros(1000, np.float32)
    given = expected.copy()
    given[7] = 0.25
    assert compare(SIDES, given, expected, Rule("steps", 0.25)).passed
    assert compare(SIDES, given, expected, Rule("steps", 0.25)).largest == 1
    given[8] = -0.25
    assert not compare(SIDES, given, expected, Rule("steps", 0.25)).passed, "99.8 % identical"
    given[8] = 0
    given[7] = 0.5
    assert not compare(SIDES, given, expected, Rule("steps", 0.25)).passed, "two steps"


def test_ties_may_go_either_way_by_one_step() -> None:
    rule = Rule("steps", 1.0, but_ties=True)
    expected, given = np.zeros(1000, np.int8), np.zeros(1000, np.int8)
    ties = ties_of(np.where(np.arange(1000) < 300, 0.5, 0.45))
    told = replace(SIDES, ties=ties)
    given[:300] = 1
    assert compare(told, given, expected, rule).passed
    assert not compare(SIDES, given, expected, rule).passed, "nobody knows of ties"
    assert not compare(told, given, expected, Rule("steps", 1.0)).passed
    given[300:302] = 1
    assert not compare(told, given, expected, rule).passed, "two of no ties"
    given[300:302], given[0] = 0, 2
    assert not compare(told, given, expected, rule).passed, "two steps"


def test_what_is_a_tie() -> None:
    steps = floats(0.5, -3.5, 127.50001, 0.49, 0.51, 7, 0)
    assert ties_of(steps).tolist() == [True, True, True, False, False, False, False]


def test_integers_wider_than_a_step_do_not_wrap() -> None:
    given, expected = np.array([127] * 2, np.int8), np.array([-128, 127], np.int8)
    assert compare(SIDES, given, expected, Rule("steps", 1.0)).largest == 255


def test_close_is_relative_to_the_largest_magnitude() -> None:
    expected = floats(1000, 0)
    assert compare(SIDES, floats(1000, 0.05), expected, CLOSE).passed
    assert not compare(SIDES, floats(1000, 0.2), expected, CLOSE).passed


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("rule", [EXACT, CLOSE, Rule("steps", 0.5)])
def test_a_number_that_became_nan_or_infinite_never_passes(value: float, rule: Rule) -> None:
    given = np.ones(2000, np.float32)
    given[3] = value
    assert not compare(SIDES, given, np.ones(2000, np.float32), rule).passed


def test_nothing_agrees_with_nothing() -> None:
    empty = np.zeros((0, 4), np.float32)
    for rule in (EXACT, CLOSE, Rule("steps", 1.0)):
        assert compare(SIDES, empty, empty, rule).passed


def test_the_outcome_is_plain_data() -> None:
    data = compare(SIDES, floats(1), floats(2), EXACT).to_json()
    assert data["tensor"] == "logits"
    assert data["rule"] == "bit for bit"
    assert data["passed"] is False
