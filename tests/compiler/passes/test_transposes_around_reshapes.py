"""Transposes around reshapes: any such chain keeps its values and never grows."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from npuc.compiler.dialects.nn import TransposeOp
from npuc.compiler.driver import compile_model
from npuc.compiler.interpreter import evaluate
from npuc.compiler.options import CompileOptions
from npuc.compiler.passes.transposes.around_reshapes import axis_parts, common_axes

Shape = tuple[int, ...]


def chain(first: Shape, steps: list[tuple[Shape, Shape]]) -> bytes:
    """Transposes by the first, reshapes to the second of each step."""
    nodes, shapes, name = [], [], "x"
    for at, (perm, shape) in enumerate(steps):
        nodes.append(helper.make_node("Transpose", [name], [f"t{at}"], perm=perm))
        shapes.append(numpy_helper.from_array(np.asarray(shape, np.int64), f"s{at}"))
        nodes.append(helper.make_node("Reshape", [f"t{at}", f"s{at}"], [f"r{at}"]))
        name = f"r{at}"
    nodes.append(helper.make_node("Relu", [name], ["y"]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, first)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, steps[-1][1])
    model = helper.make_model(
        helper.make_graph(nodes, "chain", [x], [y], shapes),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


def expected(x: np.ndarray, steps: list[tuple[Shape, Shape]]) -> np.ndarray:
    for perm, shape in steps:
        x = x.transpose(perm).reshape(shape)
    return np.maximum(x, 0)


@st.composite
def chains(draw: st.DrawFn) -> tuple[Shape, list[tuple[Shape, Shape]]]:
    """Shapes of the same elements in up to five axes, unit axes among them."""
    factors = draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=2, max_size=5))

    def shape() -> Shape:
        cuts = sorted(draw(st.sets(st.integers(1, len(factors) - 1), max_size=4)))
        bounds = [0, *cuts, len(factors)]
        sizes = [math.prod(factors[a:b]) for a, b in pairwise(bounds)]
        return tuple(sizes)

    first = current = shape()
    steps = []
    for _ in range(draw(st.integers(2, 3))):
        perm = tuple(draw(st.permutations(range(len(current)))))
        current = shape()
        steps.append((perm, current))
    return first, steps


@given(chains())
def test_values_stay(case: tuple[Shape, list[tuple[Shape, Shape]]]) -> None:
    first, steps = case
    x = np.random.default_rng(0).standard_normal(first).astype(np.float32)
    result = compile_model(chain(first, steps), CompileOptions(stop_after="normalise"))
    (got,) = evaluate(result.module, {"x": x}, result.ctx.consts).values()
    np.testing.assert_array_equal(got, expected(x, steps))


def transposes(model: bytes) -> list[TransposeOp]:
    module = compile_model(model, CompileOptions(stop_after="normalise")).module
    return [op for op in module.walk() if isinstance(op, TransposeOp)]


def test_shuffled_channels_are_one_transpose_of_channels_alone() -> None:
    steps: list[tuple[Shape, Shape]] = [
        ((0, 3, 1, 2), (1, 4, 3, 5, 5)),
        ((0, 2, 1, 3, 4), (1, 12, 5, 5)),
        ((0, 2, 3, 1), (1, 5, 5, 12)),
    ]
    (only,) = transposes(chain((1, 5, 5, 12), steps))
    assert only.permutation[-2:] in ((4, 3), (3, 2), (2, 1))  # within a pixel


def test_many_axes_become_those_that_move() -> None:
    (only,) = transposes(chain((2, 3, 4, 5, 6), [((0, 3, 4, 1, 2), (2, 30, 12))]))
    assert only.permutation == (0, 2, 1)


@pytest.mark.parametrize(
    ("before", "after", "sizes"),
    [
        ((112, 56), (4, 28, 56), (4, 28, 56)),
        ((1, 6), (2, 3, 1), (2, 3)),
        ((6, 4), (3, 8), (3, 2, 4)),
        ((6, 4), (4, 6), None),
        ((0, 4), (4, 0), None),
    ],
)
def test_common_axes(before: Shape, after: Shape, sizes: Shape | None) -> None:
    assert common_axes(before, after) == sizes
    for shape in (before, after) if sizes else ():
        parts = axis_parts(shape, sizes or ())
        assert tuple(math.prod((sizes or ())[p] for p in group) for group in parts) == shape
