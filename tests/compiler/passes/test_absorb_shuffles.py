"""Shuffled channels before windows: the values of onnx's reference, and no copy of the shuffle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from npuc.compiler.dialects.nn import GroupOp, TransposeOp
from npuc.compiler.driver import CompileResult, compile_model
from npuc.compiler.interpreter import evaluate
from npuc.compiler.options import CompileOptions
from npuc.emulator.machine import RunOptions, run
from tests.compiler.ops.case import Builder

SIDE = 5


def shuffled(groups: int, per_group: int, batch: int = 1, window: str = "Depthwise") -> ModelProto:
    """relu, a shuffle of the channels as exports have it, windows of 3x3, an addition, relu."""
    channels = groups * per_group
    rng = np.random.default_rng(channels)
    shapes = {
        "split": np.array([batch, groups, per_group, SIDE, SIDE]),
        "joined": np.array([batch, channels, SIDE, SIDE]),
    }
    arrays = {name: numpy_helper.from_array(value, name) for name, value in shapes.items()}
    weights = rng.integers(-4, 5, (channels, 1, 3, 3)).astype(np.float32)
    arrays["w"] = numpy_helper.from_array(weights, "w")
    bias = rng.integers(-4, 5, (1, channels, 1, 1)).astype(np.float32)
    arrays["b"] = numpy_helper.from_array(bias, "b")
    depthwise = helper.make_node("Conv", ["r2", "w"], ["c"], group=channels, pads=[1, 1, 1, 1])
    pool = helper.make_node("MaxPool", ["r2"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    nodes = [
        helper.make_node("Relu", ["x"], ["r0"]),
        helper.make_node("Reshape", ["r0", "split"], ["r1"]),
        helper.make_node("Transpose", ["r1"], ["t"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["t", "joined"], ["r2"]),
        depthwise if window == "Depthwise" else pool,
        helper.make_node("Add", ["c", "b"], ["d"]),
        helper.make_node("Relu", ["d"], ["y"]),
    ]
    shape = (batch, channels, SIDE, SIDE)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "shuffle", [x], [y], list(arrays.values()))
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def fused(model: ModelProto) -> CompileResult:
    """The graph in groups; its values are those of the reference, exactly: all are integers."""
    result = compile_model(model.SerializeToString(), CompileOptions(stop_after="fuse"))
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(0).integers(-9, 10, shape).astype(np.float32)
    (want,) = ReferenceEvaluator(model).run(None, {"x": x})
    (got,) = evaluate(result.module, {"x": x}, result.ctx.consts).values()
    np.testing.assert_array_equal(got, want)
    return result


@given(st.integers(2, 5), st.integers(2, 5), st.sampled_from(["Depthwise", "MaxPool"]))
def test_a_shuffle_is_read_in_place(groups: int, per_group: int, window: str) -> None:
    result = fused(shuffled(groups, per_group, window=window))
    made = [op for op in result.module.walk() if isinstance(op, GroupOp)]
    moved = [op for op in result.module.walk() if isinstance(op, TransposeOp)]
    # relu writes the rows of x by channels; the windows, what follows and the way back are one
    assert (len(made), moved) == (2, [])


def test_a_batch_of_shuffles_is_copied_as_the_engine_has_four_dimensions() -> None:
    result = fused(shuffled(3, 4, batch=2))
    assert [op for op in result.module.walk() if isinstance(op, TransposeOp)]


def test_a_shuffle_that_is_read_along_two_dimensions_is_copied() -> None:
    b = Builder()
    moved = b.node("Transpose", b.input((2, 3, 6)), perm=[1, 0, 2])
    joined = b.node("Reshape", moved, b.const(np.array([6, 6])))
    model = b.model(b.node("Add", joined, b.node("Transpose", joined, perm=[1, 0])))
    result = compile_model(model.SerializeToString(), CompileOptions(stop_after="fuse"))
    (got,) = evaluate(result.module, b.inputs, result.ctx.consts).values()
    (want,) = ReferenceEvaluator(model).run(None, b.inputs)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("window", ["Depthwise", "MaxPool"])
def test_programs_give_what_the_reference_gives(window: str) -> None:
    model = shuffled(4, 7, window=window)
    x = np.random.default_rng(1).integers(-9, 10, (1, 28, SIDE, SIDE)).astype(np.float32)
    (want,) = ReferenceEvaluator(model).run(None, {"x": x})
    for target, level in [("edge", 0), ("edge", 2), ("tiny", 2)]:
        options = CompileOptions(target=target, level=level)
        program = compile_model(model.SerializeToString(), options).program
        assert program is not None
        (got,) = run(program, {"x": x}, RunOptions(strict=True)).outputs.values()
        np.testing.assert_array_equal(got, want)
