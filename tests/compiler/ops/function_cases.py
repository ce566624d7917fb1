"""Operator cases of functions, reductions and normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.compiler.ops.case import Builder, Case


def function(op: str, opset: int = 20, tolerance: float = 1e-5, **attributes: object) -> Case:
    b = Builder(len(op), opset=opset)
    name = "_".join([op.lower(), str(opset), *map(str, attributes.values())])
    y = b.node(op, b.input((2, 5, 7), scale=3.0), **attributes)
    return b.case(name, y, tolerance=tolerance)


def prelu(shape: tuple[int, ...]) -> Case:
    b = Builder(len(shape))
    y = b.node("PRelu", b.input((2, 3, 4, 4)), b.weights(*shape))
    return b.case("prelu_" + "x".join(map(str, shape)), y)


def power(exponent: float | Sequence[float], opset: int = 13) -> Case:
    b = Builder(3, opset=opset)
    x = b.node("Abs", b.input((3, 4), scale=2.0))
    return b.case(f"pow_{exponent}_{opset}", b.node("Pow", x, b.const(np.float32(exponent))))


def power_of_signed() -> Case:
    """Whole exponents of negative numbers, and exponents that are computed."""
    b = Builder(4)
    x, y = b.input((3, 4), scale=2.0), b.node("Round", b.input((3, 4), scale=3.0))
    cube = b.node("Pow", x, b.const(np.float32(3)))
    return b.case("pow_signed", b.node("Pow", x, y), cube, tolerance=2e-5)


def reduction(op: str, opset: int, axes: Sequence[int] | None, keepdims: int = 1) -> Case:
    b = Builder(len(op), opset=opset)
    x = b.input((2, 3, 5, 4))
    attributes: dict[str, object] = {"keepdims": keepdims}
    inputs = [b.node("Exp", x) if op == "ReduceLogSum" else x]
    if axes is not None and opset >= 18:
        inputs.append(b.const(np.asarray(axes, np.int64)))
    elif axes is not None:
        attributes["axes"] = list(axes)
    name = f"{op.lower()}_{opset}_{'all' if axes is None else len(axes)}_{keepdims}"
    return b.case(name, b.node(op, *inputs, **attributes))


def batch_norm(name: str, *, after: str) -> Case:
    b = Builder(len(name), opset=9)
    x = b.input((2, 3, 6, 6))
    if after == "conv":
        x = b.node("Conv", x, b.weights(3, 3, 3, 3), b.weights(3))
    elif after == "depthwise":
        x = b.node("Conv", x, b.weights(3, 1, 3, 3), group=3)
    positive = b.const(np.abs(b.rng.standard_normal(3)).astype(np.float32) + 0.5)
    y = b.node("BatchNormalization", x, b.weights(3), b.weights(3), b.weights(3), positive)
    y = b.node("Mul", y, b.weights(3, 1, 1)) if after == "conv" else y
    return b.case(name, b.node("Relu", y), tolerance=5e-5)


def layer_norm(axis: int, *, bias: bool) -> Case:
    b = Builder(axis + 7)
    shape = (2, 3, 4, 10)[axis:]
    affine = [b.weights(*shape)] + ([b.weights(*shape)] if bias else [])
    y = b.node("LayerNormalization", b.input((2, 3, 4, 10), scale=4.0), *affine, axis=axis)
    return b.case(f"layer_norm_{axis}_{bias}", y, tolerance=2e-5)


def instance_norm() -> Case:
    b = Builder(5)
    y = b.node("InstanceNormalization", b.input((2, 3, 4, 5)), b.weights(3), b.weights(3))
    return b.case("instance_norm", y, tolerance=2e-5)


def lrn(size: int) -> Case:
    b = Builder(size)
    x = b.node("Conv", b.input((1, 3, 5, 5)), b.weights(8, 3, 1, 1))
    y = b.node("LRN", x, size=size, alpha=0.3, beta=0.6, bias=1.5)
    return b.case(f"lrn_{size}", b.node("Relu", y), tolerance=1e-4)


def conv1d(name: str, **attributes: object) -> Case:
    b = Builder(len(name))
    group = int(str(attributes.get("group", 1)))
    y = b.node("Conv", b.input((2, 4, 12)), b.weights(6, 4 // group, 3), b.weights(6), **attributes)
    return b.case(name, b.node("Relu", y))


def pool1d(op: str, **attributes: object) -> Case:
    b = Builder(1)
    y = b.node(op, b.input((2, 3, 11)), kernel_shape=[3], strides=[2], **attributes)
    return b.case(f"{op.lower()}_1d", y)


def pool_all_ceil() -> Case:
    b = Builder(2, opset=19)
    y = b.node(
        "AveragePool",
        b.input((1, 2, 7, 8)),
        kernel_shape=[3, 3],
        strides=[2, 2],
        pads=[1, 1, 1, 1],
        ceil_mode=1,
        count_include_pad=1,
    )
    return b.case("average_pool_all_ceil", y)


FUNCTION_CASES: list[Case] = [
    function("LeakyRelu", alpha=0.3),
    function("Elu", alpha=0.7),
    function("Selu"),
    function("Celu", alpha=1.5),
    function("ThresholdedRelu", alpha=0.5),
    function("Softplus"),
    function("Softsign"),
    function("Mish"),
    function("HardSwish", 14),
    function("HardSigmoid", 9, alpha=0.3),
    function("Gelu"),
    function("Gelu", approximate="tanh"),
    function("Tan", tolerance=1e-3),
    function("Sinh"),
    function("Cosh"),
    function("Sign"),
    prelu((3, 1, 1)),
    prelu((1,)),
    power(2.0),
    power(3.0, 7),
    power(-1.0),
    power(0.5),
    power(1.7),
    power(0.0),
    power([1.0, 2.0, 0.5, -1.5]),
    power_of_signed(),
    *[
        reduction(op, opset, axes, keepdims)
        for op in ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare")
        for opset, axes, keepdims in ((13, (1, -1), 0), (18, None, 1))
    ],
    reduction("ReduceProd", 13, (2,)),
    reduction("ReduceMax", 12, (1, 2), 0),
    reduction("ReduceMin", 20, None, 0),
    reduction("ReduceSum", 11, (3,)),
    batch_norm("batch_norm", after=""),
    batch_norm("batch_norm_conv", after="conv"),
    batch_norm("batch_norm_depthwise", after="depthwise"),
    layer_norm(3, bias=True),
    layer_norm(2, bias=False),
    instance_norm(),
    lrn(3),
    lrn(5),
    conv1d("conv_1d", pads=[1, 1], strides=[2]),
    conv1d("conv_1d_same", auto_pad="SAME_UPPER"),
    pool1d("MaxPool", pads=[1, 0]),
    pool1d("AveragePool", pads=[1, 1]),
    pool_all_ceil(),
]
