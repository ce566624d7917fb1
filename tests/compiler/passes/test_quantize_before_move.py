"""Quantisation moved before max pooling: the same bits, and as ONNX Runtime."""

from __future__ import annotations

from math import prod

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings

from npuc.compiler.dialects.element_types import shape_of
from npuc.compiler.dialects.nn import QuantizeOp
from npuc.compiler.xdsl_api import ModuleOp
from tests.compiler.ops.cases import Case, Qdq
from tests.compiler.passes.test_pool_of_concat import AFFINE, normalised


def model_of(affine: tuple[float, int], *, is_shared: bool = False) -> Case:
    """A sum, pooled with padding and quantised; what is pooled perhaps given out, too."""
    q = Qdq(5)
    x = q.b.input((1, 6, 7, 7), scale=20)
    x = q.b.node("Add", x, x)
    pooled = q.b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    return q.b.case("pooled", q.act(pooled, *affine), *([pooled] if is_shared else []))


def quantised_points(module: ModuleOp) -> int:
    """Elements that the only quantisation makes: of the tensor before pooling, or after it."""
    (quantize,) = (op for op in module.walk() if isinstance(op, QuantizeOp))
    return prod(shape_of(quantize.result))


@settings(max_examples=10, deadline=None, derandomize=True)
@given(affine=AFFINE)
def test_pooling_integers_gives_the_bits_of_pooling_floats(affine: tuple[float, int]) -> None:
    case = model_of(affine)
    (before, after), module = normalised(case)
    np.testing.assert_array_equal(after, before)
    (want,) = ort.InferenceSession(case.model.SerializeToString()).run(None, case.inputs)
    np.testing.assert_allclose(after, want, atol=affine[0] * 1.01)
    assert quantised_points(module) == 6 * 7 * 7


@pytest.mark.parametrize("special", [np.inf, -np.inf, 1e38])
def test_values_beyond_the_integers_saturate_alike(special: float) -> None:
    case = model_of((0.1, 3))
    (x,) = case.inputs.values()
    x[0, :, 2, 3] = special
    x[0, :, 5, 1] = -special
    (before, after), _ = normalised(case)
    np.testing.assert_array_equal(after, before)


def test_what_comes_from_outside_is_pooled_as_it_comes() -> None:
    q = Qdq(5)
    pooled = q.b.node("MaxPool", q.b.input((1, 6, 7, 7)), kernel_shape=[3, 3], strides=[2, 2])
    _, module = normalised(q.b.case("pooled", q.act(pooled, 0.1, 3)))
    assert quantised_points(module) == 6 * 3 * 3


def test_floats_that_others_read_are_pooled_as_floats() -> None:
    _, module = normalised(model_of((0.1, 3), is_shared=True))
    assert quantised_points(module) == 6 * 4 * 4
