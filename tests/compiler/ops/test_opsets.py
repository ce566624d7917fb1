"""Operators at every opset from 7 on where their definition changed, against onnx or ONNX Runtime.

A row says how an operator is written at an opset; the opsets come from onnx's own history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from npuc.compiler.driver import compile_model
from npuc.compiler.interpreter import evaluate
from npuc.compiler.options import CompileOptions
from tests.compiler.ops.case import Builder

FIRST_OPSET = 7
NEWEST_OPSET = onnx.defs.onnx_opset_version()
TOLERANCE = 2e-5
Write = Callable[[Builder], str]


def ints(b: Builder, *values: int) -> str:
    return b.const(np.asarray(values, np.int64))


def plain(op: str, n_inputs: int = 1, shape: tuple[int, ...] = (2, 3, 5), **given: Any) -> Write:
    def write(b: Builder) -> str:
        return b.node(op, *[b.input(shape, scale=2.0) for _ in range(n_inputs)], **given)

    return write


def positive(op: str) -> Write:
    return lambda b: b.node(op, b.node("Exp", b.input((3, 7))))


def listed(op: str, what: str, values: tuple[int, ...], input_since: int, **given: Any) -> Write:
    """Integers as attribute ``what``; as second input from ``input_since`` on."""

    def write(b: Builder) -> str:
        x = b.input(given.get("shape", (2, 1, 4, 6)))
        rest = {name: value for name, value in given.items() if name != "shape"}
        if b.opset >= input_since:
            return b.node(op, x, ints(b, *values), **rest)
        return b.node(op, x, **{what: list(values)}, **rest)

    return write


def binary_with_constant(op: str) -> Write:
    return lambda b: b.node(op, b.input((2, 3, 4)), b.const(np.float32([[1.5], [-2], [3]])))


def power(b: Builder) -> str:
    return b.node("Pow", b.node("Abs", b.input((3, 4))), b.const(np.float32(1.7)))


def batch_norm(b: Builder) -> str:
    variance = b.const(np.float32([0.5, 1.0, 2.0]))
    affine = [b.weights(3) for _ in range(3)]
    return b.node("BatchNormalization", b.input((2, 3, 4, 4)), *affine, variance)


def clip(b: Builder) -> str:
    x = b.input((4, 5), scale=3.0)
    if b.opset < 11:
        return b.node("Clip", x, min=-1.0, max=2.0)
    return b.node("Clip", x, b.const(np.float32(-1)), b.const(np.float32(2)))


def dropout(b: Builder) -> str:
    if b.opset < 12:
        return b.node("Dropout", b.input((2, 3)), ratio=0.3)
    return b.node("Dropout", b.input((2, 3)), b.const(np.float32(0.3)))


def softmax(axis: int | None) -> Write:
    given = {} if axis is None else {"axis": axis}
    return plain("Softmax", shape=(2, 3, 4), **given)


def slice_(b: Builder) -> str:
    x = b.input((4, 6, 5))
    if b.opset < 10:
        return b.node("Slice", x, axes=[0, 2], starts=[1, -3], ends=[4, 1000])
    steps = [ints(b, 2, 1)] if b.opset > 10 else []
    return b.node("Slice", x, ints(b, 1, -3), ints(b, 4, 1000), ints(b, 0, 2), *steps)


def split(b: Builder) -> str:
    x = b.input((6, 4))
    if b.opset < 13:
        outputs = b.nodes_of("Split", [x], 2, split=[2, 4])
    else:
        outputs = b.nodes_of("Split", [x, ints(b, 2, 4)], 2)
    return b.node("Concat", *reversed(outputs), axis=0)


def pad(mode: str) -> Write:
    def write(b: Builder) -> str:
        x, widths = b.input((2, 3, 4)), (0, 1, 2, 0, 1, 1)
        if b.opset < 11:
            return b.node("Pad", x, mode=mode, pads=list(widths), value=1.5)
        value = [b.const(np.float32(1.5))] if mode == "constant" else []
        return b.node("Pad", x, ints(b, *widths), *value, mode=mode)

    return write


def resize(mode: str) -> Write:
    def write(b: Builder) -> str:
        x, scales = b.input((1, 2, 3, 4)), b.const(np.float32([1, 1, 2, 1.5]))
        if b.opset < 11:
            return b.node("Resize", x, scales, mode=mode)
        roi = b.const(np.zeros(0, np.float32))
        return b.node("Resize", x, roi, scales, mode=mode)

    return write


def upsample(b: Builder) -> str:
    x = b.input((1, 2, 3, 4))
    if b.opset < 9:
        return b.node("Upsample", x, mode="nearest", scales=[1.0, 1.0, 2.0, 3.0])
    return b.node("Upsample", x, b.const(np.float32([1, 1, 2, 3])), mode="nearest")


def conv(op: str, w_shape: tuple[int, ...], x_shape: tuple[int, ...], **given: Any) -> Write:
    def write(b: Builder) -> str:
        bias = w_shape[0] if op == "Conv" else w_shape[1] * given.get("group", 1)
        return b.node(op, b.input(x_shape), b.weights(*w_shape), b.weights(bias), **given)

    return write


def cast(b: Builder) -> str:
    whole = b.node("Cast", b.input((3, 5), scale=40), to=onnx.TensorProto.INT32)
    return b.node("Cast", whole, to=onnx.TensorProto.FLOAT)


def gather(b: Builder) -> str:
    return b.node("Gather", b.input((5, 4)), ints(b, 3, 0, 3), axis=0)


def expand(b: Builder) -> str:
    return b.node("Expand", b.input((3, 1)), ints(b, 2, 3, 4))


def constant_of_shape(b: Builder) -> str:
    value = onnx.helper.make_tensor("v", onnx.TensorProto.FLOAT, [1], [2.5])
    ones = b.node("ConstantOfShape", b.node("Shape", b.input((2, 3))), value=value)
    return b.node("Add", "in0", ones)


def constant(b: Builder) -> str:
    value = onnx.numpy_helper.from_array(np.float32([1, 2, 3]))
    return b.node("Mul", b.input((2, 3)), b.node("Constant", value=value))


def reshape(b: Builder) -> str:
    return b.node("Reshape", b.input((2, 3, 4)), ints(b, 0, -1))


def shape_code(b: Builder) -> str:
    """What exporters write for a flattening view."""
    x = b.input((2, 3, 4))
    index = b.const(np.int64(0))
    batch = b.node("Gather", b.node("Shape", x), index, axis=0)
    if b.opset < 13:
        first = b.node("Unsqueeze", batch, axes=[0])
    else:
        first = b.node("Unsqueeze", batch, ints(b, 0))
    return b.node("Reshape", x, b.node("Concat", first, ints(b, -1), axis=0))


def layer_norm(b: Builder) -> str:
    return b.node("LayerNormalization", b.input((2, 3, 8)), b.weights(8), b.weights(8), axis=-1)


def prelu(b: Builder) -> str:
    return b.node("PRelu", b.input((2, 3, 4)), b.weights(3, 1))


def quantised(kind: type) -> Write:
    """A QDQ product with one scale per tensor."""

    def write(b: Builder) -> str:
        zero = b.const(kind(3))
        scale, step = b.const(np.float32(0.03)), b.const(np.float32(0.01))
        q = b.node("QuantizeLinear", b.input((4, 8)), scale, zero)
        x = b.node("DequantizeLinear", q, scale, zero)
        w = b.node("DequantizeLinear", b.int8(8, 5, kind=kind), step, zero)
        return b.node("MatMul", x, w)

    return write


POOL = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}
IMAGE = (1, 3, 7, 6)
# Name -> (the operator whose history counts, how it is written).
ROWS: dict[str, tuple[str, Write]] = {
    **{
        op: (op, plain(op))
        for op in (
            "Abs",
            "Neg",
            "Exp",
            "LeakyRelu",
            "Sigmoid",
            "HardSigmoid",
            "HardSwish",
            "Tanh",
            "Erf",
            "Relu",
            "Elu",
            "Selu",
            "Identity",
            "Flatten",
            "Transpose",
            "Gelu",
            "Mish",
            "Ceil",
            "Round",
        )
    },
    **{op: (op, positive(op)) for op in ("Log", "Sqrt", "Reciprocal")},
    **{op: (op, binary_with_constant(op)) for op in ("Add", "Sub", "Mul", "Div")},
    **{op: (op, plain(op, 3)) for op in ("Sum", "Min", "Max")},
    **{
        op: (op, listed(op, "axes", (1, 2), 18, keepdims=0))
        for op in (
            "ReduceMean",
            "ReduceMax",
            "ReduceMin",
            "ReduceProd",
            "ReduceL1",
            "ReduceL2",
            "ReduceSumSquare",
            "ReduceLogSumExp",
        )
    },
    "ReduceSum": ("ReduceSum", listed("ReduceSum", "axes", (-1,), 13)),
    "ReduceLogSum": (
        "ReduceLogSum",
        lambda b: b.node("ReduceLogSum", b.node("Exp", b.input((3, 4)))),
    ),
    "Squeeze": ("Squeeze", listed("Squeeze", "axes", (1,), 13)),
    "Unsqueeze": ("Unsqueeze", listed("Unsqueeze", "axes", (0, 2), 13)),
    "Concat": ("Concat", plain("Concat", 2, axis=1)),
    "Conv": ("Conv", conv("Conv", (4, 3, 3, 3), IMAGE, pads=[1, 1, 1, 1])),
    "Conv 1-D": ("Conv", conv("Conv", (4, 3, 3), (2, 3, 9), strides=[2])),
    "Conv 3-D": (
        "Conv",
        conv(
            "Conv",
            (4, 2, 3, 2, 3),
            (2, 2, 5, 6, 7),
            strides=[2, 1, 2],
            pads=[1, 0, 1, 0, 1, 1],
            dilations=[1, 2, 1],
        ),
    ),
    "Conv grouped": ("Conv", conv("Conv", (6, 2, 3, 3), (1, 4, 6, 6), group=2)),
    "ConvTranspose": ("ConvTranspose", conv("ConvTranspose", (3, 4, 3, 3), IMAGE, strides=[2, 2])),
    "MaxPool": ("MaxPool", plain("MaxPool", shape=IMAGE, **POOL)),
    "MaxPool 3-D": (
        "MaxPool",
        plain(
            "MaxPool",
            shape=(1, 2, 5, 6, 7),
            kernel_shape=[2, 3, 2],
            strides=[2, 1, 2],
            pads=[1, 1, 0, 0, 1, 1],
        ),
    ),
    "AveragePool": ("AveragePool", plain("AveragePool", shape=IMAGE, **POOL)),
    "AveragePool 3-D": (
        "AveragePool",
        plain(
            "AveragePool", shape=(1, 2, 5, 6, 7), kernel_shape=[2, 3, 2], pads=[1, 1, 0, 0, 1, 1]
        ),
    ),
    "GlobalMaxPool": ("GlobalMaxPool", plain("GlobalMaxPool", shape=IMAGE)),
    "GlobalAveragePool": ("GlobalAveragePool", plain("GlobalAveragePool", shape=IMAGE)),
    "LRN": ("LRN", plain("LRN", shape=IMAGE, size=3, alpha=0.2)),
    "MatMul": ("MatMul", plain("MatMul", 2, shape=(2, 4, 4))),
    "Gemm": ("Gemm", conv("Gemm", (6, 5), (3, 6), alpha=0.5, beta=2.0)),
    "Pow": ("Pow", power),
    "BatchNormalization": ("BatchNormalization", batch_norm),
    "Clip": ("Clip", clip),
    "Dropout": ("Dropout", dropout),
    "Softmax": ("Softmax", softmax(None)),
    "Softmax along 1": ("Softmax", softmax(1)),
    "Slice": ("Slice", slice_),
    "Split": ("Split", split),
    "Pad": ("Pad", pad("constant")),
    "Pad by reflection": ("Pad", pad("reflect")),
    "Resize": ("Resize", resize("nearest")),
    "Resize linear": ("Resize", resize("linear")),
    "Upsample": ("Upsample", upsample),
    "Cast": ("Cast", cast),
    "Gather": ("Gather", gather),
    "Expand": ("Expand", expand),
    "ConstantOfShape": ("ConstantOfShape", constant_of_shape),
    "Constant": ("Constant", constant),
    "Reshape": ("Reshape", reshape),
    "shape code": ("Shape", shape_code),
    "LayerNormalization": ("LayerNormalization", layer_norm),
    "PRelu": ("PRelu", prelu),
    "QDQ int8": ("DequantizeLinear", quantised(np.int8)),
    "QDQ uint8": ("QuantizeLinear", quantised(np.uint8)),
}


def boundaries(op: str) -> list[int]:
    """The opsets from 7 on at which ``op`` is another version than before, and the newest."""
    history = sorted(
        schema.since_version
        for schema in onnx.defs.get_all_schemas_with_history()
        if schema.name == op and schema.domain == "" and not schema.deprecated
    )
    first = max([v for v in history if v <= FIRST_OPSET], default=history[0])
    end = {
        s.since_version
        for s in onnx.defs.get_all_schemas_with_history()
        if s.name == op and s.domain == "" and s.deprecated
    }
    newest = [] if end else [NEWEST_OPSET]
    return sorted({max(v, FIRST_OPSET) for v in history if v >= first} | set(newest))


def cases() -> Iterator[Any]:
    for name, (op, write) in ROWS.items():
        for opset in boundaries(op):
            yield pytest.param(write, opset, id=f"{name} at {opset}")


@pytest.mark.parametrize(("write", "opset"), list(cases()))
def test_operator_at_opset(write: Write, opset: int) -> None:
    b = Builder(opset, opset=opset)
    model = b.model(write(b))
    (want,) = expected(model, b.inputs)
    options = CompileOptions(stop_after="partition")
    result = compile_model(model.SerializeToString(), options)
    (got,) = evaluate(result.module, b.inputs, result.ctx.consts).values()
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got, want, rtol=TOLERANCE, atol=TOLERANCE * np.abs(want).max())


def expected(model: onnx.ModelProto, inputs: dict[str, Any]) -> list[Any]:
    """ONNX Runtime where it knows the opset, else onnx's reference evaluator."""
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model.SerializeToString(), options)
    except Exception:  # noqa: BLE001  # its errors share no other base
        evaluated = ReferenceEvaluator(model).run(None, inputs)
        assert isinstance(evaluated, list)
        return evaluated
    return list(session.run(None, inputs))
