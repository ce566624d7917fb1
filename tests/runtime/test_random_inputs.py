"""Random inputs: seeded, of the asked type and range."""

from __future__ import annotations

import numpy as np
import pytest

from npuc.isa.dtypes import DType
from npuc.runtime.random_inputs import InputKind, random_inputs


@pytest.mark.parametrize("dtype", list(DType))
def test_every_type_gets_an_array_of_its_own(dtype: DType) -> None:
    array = random_inputs({"x": InputKind(dtype, (3, 50))})["x"]
    assert array.shape == (3, 50)
    assert array.dtype == dtype.numpy
    assert len(np.unique(array.astype(np.float64))) > 20


def test_the_same_seed_gives_the_same_values_and_another_others() -> None:
    kinds = {"a": InputKind(DType.f32, (8,)), "b": InputKind(DType.f32, (8,))}
    first, again, other = random_inputs(kinds, 1), random_inputs(kinds, 1), random_inputs(kinds, 2)
    np.testing.assert_array_equal(first["a"], again["a"])
    assert not np.array_equal(first["a"], other["a"])
    assert not np.array_equal(first["a"], first["b"]), "two inputs of one shape differ"


def test_integers_reach_both_ends_of_their_range() -> None:
    values = random_inputs({"x": InputKind(DType.i8, (20000,))})["x"]
    assert (values.min(), values.max()) == (-128, 127)


def test_int64_keeps_to_what_the_vector_unit_takes() -> None:
    values = random_inputs({"x": InputKind(DType.i64, (1000,))})["x"]
    assert values.dtype == np.int64
    assert -(2**31) <= values.min() < -(2**30) < 2**30 < values.max() < 2**31


def test_floats_keep_to_a_given_range() -> None:
    values = random_inputs({"x": InputKind(DType.f32, (1000,), 0.0, 1.0)})["x"]
    assert 0 <= values.min() < 0.1
    assert 0.9 < values.max() <= 1


def test_a_scalar_has_no_extents() -> None:
    assert random_inputs({"x": InputKind(DType.f32, ())})["x"].shape == ()
