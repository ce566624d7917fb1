"""Small ONNX models, one for each operator and variant: the table that the operator tests run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.compiler.ops.body_cases import BODY_CASES
from tests.compiler.ops.case import F32, I8, MS, U8, Builder, Case
from tests.compiler.ops.function_cases import FUNCTION_CASES
from tests.compiler.ops.image_cases import IMAGE_CASES
from tests.compiler.ops.logic_cases import LOGIC_CASES
from tests.compiler.ops.piece_cases import PIECE_CASES

__all__ = ["CASES", "F32", "I8", "MS", "U8", "Builder", "Case"]


def conv(name: str, x: tuple[int, ...], w: tuple[int, ...], **attributes: object) -> Case:
    b = Builder(len(name))
    y = b.node("Conv", b.input(x), b.weights(*w), b.weights(w[0]), **attributes)
    return b.case(name, y)


def unary(op: str, scale: float = 2.0, shape: tuple[int, ...] = (2, 3, 4), **attributes) -> Case:
    b = Builder(len(op))
    return b.case(op.lower(), b.node(op, b.input(shape, scale=scale), **attributes))


def pool(name: str, op: str, **attributes: object) -> Case:
    b = Builder(len(name))
    return b.case(name, b.node(op, b.input((2, 3, 7, 9)), **attributes))


def binary(op: str, a: tuple[int, ...], c: tuple[int, ...]) -> Case:
    b = Builder(len(a))
    shape = "x".join(map(str, a)) + "_" + "x".join(map(str, c))
    return b.case(f"{op.lower()}_{shape}", b.node(op, b.input(a), b.input(c)))


def matmul(a: tuple[int, ...], c: tuple[int, ...]) -> Case:
    return binary("MatMul", a, c)


def gemm(name: str, a: tuple[int, ...], w: tuple[int, ...], **attributes: object) -> Case:
    b = Builder(len(name))
    columns = w[0] if attributes.get("transB") else w[1]
    return b.case(name, b.node("Gemm", b.input(a), b.weights(*w), b.weights(columns), **attributes))


def reduction(name: str, op: str, axes: Sequence[int] | None, keepdims: int) -> Case:
    b = Builder(len(name))
    inputs = [b.input((2, 3, 5, 4))]
    if axes is not None:
        inputs.append(b.const(np.asarray(axes, np.int64)))
    return b.case(name, b.node(op, *inputs, keepdims=keepdims))


def softmax(shape: tuple[int, ...], axis: int, opset: int = 20) -> Case:
    b = Builder(axis + 1, opset=opset)
    y = b.node("Softmax", b.input(shape, scale=3.0), axis=axis)
    return b.case(f"softmax{opset}_{len(shape)}d_axis{axis}", y, tolerance=2e-6)


def clip_attributes() -> Case:
    b = Builder(opset=9)
    return b.case("clip_opset9", b.node("Clip", b.input((3, 4)), min=-0.5, max=0.5))


def clip_inputs() -> Case:
    b = Builder()
    y = b.node("Clip", b.input((3, 4)), "", b.const(np.float32(0.5)))
    return b.case("clip_upper", y)


def shape_code() -> Case:
    """Flatten to a shape that nodes compute, as exporters write it."""
    b = Builder()
    x = b.input((2, 3, 4, 5))
    batch = b.node("Gather", b.node("Shape", x), b.const(np.int64(0)), axis=0)
    first = b.node("Unsqueeze", batch, b.const(np.asarray([0], np.int64)))
    target = b.node("Concat", first, b.const(np.asarray([-1], np.int64)), axis=0)
    return b.case("shape_code", b.node("Relu", b.node("Reshape", x, target)))


def layout_chain() -> Case:
    """Convolution, residual addition, pooling, flattening, product: all transposes must go."""
    b = Builder()
    x = b.input((2, 3, 8, 8))
    first = b.node("Relu", b.node("Conv", x, b.weights(4, 3, 3, 3), pads=[1, 1, 1, 1]))
    second = b.node("Conv", first, b.weights(4, 4, 1, 1), b.weights(4))
    pooled = b.node("MaxPool", b.node("Add", first, second), kernel_shape=[2, 2], strides=[2, 2])
    scaled = b.node("Mul", pooled, b.weights(4, 1, 1))
    flat = b.node("Flatten", scaled)
    return b.case("layout_chain", b.node("MatMul", flat, b.weights(64, 5)), tolerance=1e-4)


def residual_of_transposed() -> Case:
    b = Builder()
    x = b.input((1, 4, 6, 6))
    y = b.node("Conv", x, b.weights(4, 4, 3, 3), pads=[1, 1, 1, 1])
    return b.case("residual_to_input", b.node("Add", y, x))


def rank5() -> Case:
    b = Builder()
    return b.case("rank5_add", b.node("Add", b.input((2, 3, 2, 3, 2)), b.weights(3, 2)))


def outputs_of_no_work() -> Case:
    """An input, a view of it, a constant and one value under two names, all as outputs."""
    b = Builder()
    x = b.input((2, 3))
    y = b.node("Relu", x)
    again, view = b.node("Identity", y), b.node("Flatten", x, axis=0)
    constant = b.node("Identity", b.weights(2, 2))
    return b.case("outputs_of_no_work", b.node("Identity", x), view, constant, y, again)


FLOAT_CASES: list[Case] = [
    conv("conv_3x3_same", (1, 3, 8, 8), (5, 3, 3, 3), pads=[1, 1, 1, 1]),
    conv("conv_stride", (2, 3, 9, 7), (4, 3, 3, 3), strides=[2, 2]),
    conv("conv_uneven_pads", (1, 2, 6, 6), (4, 2, 3, 2), pads=[0, 1, 2, 0], strides=[1, 2]),
    conv("conv_dilated", (1, 2, 9, 9), (3, 2, 3, 3), dilations=[2, 3], pads=[2, 3, 2, 3]),
    conv("conv_same_upper", (1, 2, 7, 8), (3, 2, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2]),
    conv("conv_same_lower", (1, 2, 7, 8), (3, 2, 2, 2), auto_pad="SAME_LOWER"),
    conv("conv_valid", (1, 2, 7, 8), (3, 2, 2, 2), auto_pad="VALID"),
    conv("conv_depthwise", (2, 6, 7, 7), (6, 1, 3, 3), group=6, pads=[1, 1, 1, 1]),
    conv("conv_depthwise_stride", (1, 6, 8, 8), (6, 1, 3, 3), group=6, strides=[2, 2]),
    conv("conv_pointwise", (1, 8, 5, 5), (4, 8, 1, 1)),
    gemm("gemm", (3, 7), (7, 5)),
    gemm("gemm_transposed", (3, 7), (5, 7), transB=1),
    gemm("gemm_scaled", (7, 3), (7, 5), transA=1, alpha=0.5, beta=2.0),
    matmul((3, 7), (7, 5)),
    matmul((2, 3, 7), (7, 5)),
    matmul((2, 3, 7), (2, 7, 5)),
    matmul((7,), (7, 5)),
    matmul((3, 7), (7,)),
    matmul((2, 3, 7), (1, 7, 5)),
    binary("Add", (2, 3, 4), (2, 3, 4)),
    binary("Add", (2, 3, 4), (4,)),
    binary("Add", (2, 1, 4), (3, 1)),
    binary("Sub", (4,), (2, 3, 4)),
    binary("Mul", (2, 3, 4), (1, 3, 1)),
    binary("Div", (2, 3), (2, 3)),
    unary("Relu"),
    unary("Sigmoid"),
    unary("Tanh"),
    unary("Erf"),
    unary("Exp"),
    unary("Neg"),
    unary("Abs"),
    unary("Floor"),
    unary("Ceil"),
    unary("Round"),
    unary("Identity"),
    unary("Flatten", axis=2),
    unary("Transpose", perm=[2, 0, 1]),
    unary("Dropout"),
    unary("GlobalAveragePool", shape=(2, 3, 5, 4)),
    unary("GlobalMaxPool", shape=(2, 3, 5, 4)),
    clip_attributes(),
    clip_inputs(),
    pool("max_pool", "MaxPool", kernel_shape=[2, 3], strides=[2, 2]),
    pool("max_pool_padded", "MaxPool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
    pool("max_pool_dilated", "MaxPool", kernel_shape=[2, 2], dilations=[2, 2]),
    pool("max_pool_ceil", "MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    pool("average_pool", "AveragePool", kernel_shape=[2, 2], strides=[2, 2]),
    pool("average_pool_padded", "AveragePool", kernel_shape=[3, 3], pads=[1, 0, 1, 1]),
    pool(
        "average_pool_all",
        "AveragePool",
        kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
        count_include_pad=1,
    ),
    pool("average_pool_ceil", "AveragePool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    reduction("reduce_mean_spatial", "ReduceMean", [2, 3], 1),
    reduction("reduce_mean_flat", "ReduceMean", [-2, -1], 0),
    reduction("reduce_mean_all", "ReduceMean", None, 1),
    reduction("reduce_max", "ReduceMax", [1], 0),
    reduction("reduce_sum", "ReduceSum", [0, 2], 1),
    reduction("reduce_min", "ReduceMin", [3], 1),
    softmax((3, 10), -1),
    softmax((2, 4, 5), 1),
    softmax((2, 3, 4), 1, opset=11),
    shape_code(),
    layout_chain(),
    residual_of_transposed(),
    rank5(),
    outputs_of_no_work(),
]


def _affine(b: Builder, scale: float, zero: int, kind: type = np.int8) -> tuple[str, str]:
    return b.const(np.float32(scale)), b.const(kind(zero))


def qlinear_conv(name: str, kind: type = np.int8, w_zero: int = 0, **attributes: object) -> Case:
    b = Builder(len(name))
    group = int(attributes.get("group", 1))
    x = b.input((2, 4, 7, 7), I8 if kind is np.int8 else U8)
    w = b.int8(4 if group > 1 else 6, 4 // group, 3, 3, kind=kind)
    bias = b.const(b.rng.integers(-2000, 2000, 4 if group > 1 else 6).astype(np.int32))
    y = b.node(
        "QLinearConv",
        x,
        *_affine(b, 0.05, 7, kind),
        w,
        *_affine(b, 0.02, w_zero, kind),
        *_affine(b, 0.3, 3, kind),
        bias,
        **attributes,
    )
    return b.case(name, y, kind=I8 if kind is np.int8 else U8, exact=True)


def qlinear_conv_per_channel() -> Case:
    b = Builder(5)
    x = b.input((1, 3, 6, 6), I8)
    scales = b.const(np.linspace(0.01, 0.05, 6).astype(np.float32))
    zeros = b.const(np.zeros(6, np.int8))
    y = b.node(
        "QLinearConv",
        x,
        *_affine(b, 0.1, -5),
        b.int8(6, 3, 3, 3),
        scales,
        zeros,
        *_affine(b, 0.4, 9),
        pads=[1, 1, 1, 1],
    )
    return b.case("qlinear_conv_per_channel", y, kind=I8, exact=True)


def qlinear_matmul(name: str, kind: type, b_zero: int, *, dynamic: bool = False) -> Case:
    b = Builder(len(name))
    onnx_kind = I8 if kind is np.int8 else U8
    a = b.input((5, 12), onnx_kind)
    w = b.input((12, 6), onnx_kind) if dynamic else b.int8(12, 6, kind=kind)
    y = b.node(
        "QLinearMatMul",
        a,
        *_affine(b, 0.05, 11, kind),
        w,
        *_affine(b, 0.02, b_zero, kind),
        *_affine(b, 0.2, 4, kind),
    )
    return b.case(name, y, kind=onnx_kind, exact=True)


def qgemm(name: str, *, has_output_scale: bool) -> Case:
    b = Builder(len(name))
    a = b.input((3, 10), I8)
    bias = b.const(b.rng.integers(-500, 500, 6).astype(np.int32))
    inputs = [a, *_affine(b, 0.05, 11), b.int8(6, 10), *_affine(b, 0.02, 0), bias]
    if has_output_scale:
        inputs += _affine(b, 0.2, 4)
    y = b.node("QGemm", *inputs, domain=MS, transB=1)
    return b.case(name, y, kind=I8 if has_output_scale else F32, exact=has_output_scale)


def quantize_round_trip(kind: type, zero: int) -> Case:
    b = Builder(zero % 7)
    affine = _affine(b, 0.02, zero, kind)
    q = b.node("QuantizeLinear", b.input((4, 33), scale=2.0), *affine)
    return b.case(f"quantize_{kind.__name__}_{zero}", b.node("DequantizeLinear", q, *affine))


def quantize_only(kind: type, zero: int) -> Case:
    b = Builder(3)
    q = b.node("QuantizeLinear", b.input((4, 33), scale=2.0), *_affine(b, 0.02, zero, kind))
    onnx_kind = I8 if kind is np.int8 else U8
    return b.case(f"quantize_only_{kind.__name__}", q, kind=onnx_kind, exact=True)


def max_pool_of_unsigned() -> Case:
    b = Builder(9)
    y = b.node("MaxPool", b.input((1, 3, 6, 6), U8), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    return b.case("max_pool_uint8", y, kind=U8, exact=True)


class Qdq:
    """Builds QDQ graphs: ``act`` inserts a pair, ``weights`` a dequantised constant."""

    def __init__(self, seed: int) -> None:
        self.b = Builder(seed)

    def act(self, x: str, scale: float = 0.05, zero: int = 3) -> str:
        affine = _affine(self.b, scale, zero)
        return self.b.node("DequantizeLinear", self.b.node("QuantizeLinear", x, *affine), *affine)

    def weights(self, *shape: int, per_channel: bool = False) -> str:
        b = self.b
        if not per_channel:
            return b.node("DequantizeLinear", b.int8(*shape), *_affine(b, 0.01, 0))
        scales = b.const(np.linspace(0.005, 0.02, shape[0]).astype(np.float32))
        zeros = b.const(np.zeros(shape[0], np.int8))
        return b.node("DequantizeLinear", b.int8(*shape), scales, zeros, axis=0)


def qdq_conv(name: str, *, activation: str = "", per_channel: bool = True, group: int = 1) -> Case:
    q = Qdq(len(name))
    x = q.act(q.b.input((2, 4, 8, 8)))
    channels = 4 if group > 1 else 6
    w = q.weights(channels, 4 // group, 3, 3, per_channel=per_channel)
    y = q.b.node("Conv", x, w, q.b.weights(channels), pads=[1, 1, 1, 1], group=group)
    if activation == "clip":
        y = q.b.node("Clip", y, q.b.const(np.float32(0)), q.b.const(np.float32(6)))
    elif activation:
        y = q.b.node(activation, y)
    return q.b.case(name, q.act(y, 0.1, -20), steps=1, tolerance=0.1)


def qdq_chain() -> Case:
    """Convolution, residual addition, average pooling, flattening, product."""
    q = Qdq(2)
    x = q.act(q.b.input((2, 4, 8, 8)))
    y = q.act(q.b.node("Conv", x, q.weights(4, 4, 3, 3), q.b.weights(4), pads=[1, 1, 1, 1]))
    y = q.act(q.b.node("Add", y, x), 0.08, -4)
    y = q.act(q.b.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]), 0.08, -4)
    y = q.act(q.b.node("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2]), 0.04, 5)
    y = q.b.node("Flatten", y)
    y = q.b.node("Gemm", y, q.weights(16, 5), q.b.weights(5))
    return q.b.case("qdq_chain", q.act(y, 0.05, 0), steps=1, tolerance=0.05)


def qdq_pool_of_pieces(kind: str) -> Case:
    """Pieces of two scales, the second that of the reader, pooled together."""
    q = Qdq(5)
    x = q.act(q.b.input((1, 4, 7, 7)))
    wide = q.act(q.b.node("Conv", x, q.weights(3, 4, 1, 1), q.b.weights(3)), 0.07, 9)
    fine = q.act(q.b.node("Conv", x, q.weights(5, 4, 1, 1), q.b.weights(5)), 0.04, -6)
    x = q.b.node("Concat", wide, fine, axis=1)
    y = q.b.node(kind, x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    return q.b.case(f"qdq_{kind}_of_pieces", q.act(y, 0.04, -6), steps=1, tolerance=0.041)


def qdq_padded_average() -> Case:
    q = Qdq(4)
    x = q.act(q.b.input((1, 4, 7, 7)), 0.05, 17)
    y = q.b.node("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    return q.b.case("qdq_padded_average", q.act(y, 0.03, 2), steps=1, tolerance=0.03)


def qdq_activation_product() -> Case:
    q = Qdq(6)
    a, c = q.act(q.b.input((2, 5, 8))), q.act(q.b.input((2, 8, 6)), 0.04, -9)
    return q.b.case(
        "qdq_activation_product", q.act(q.b.node("MatMul", a, c), 0.1, 1), steps=1, tolerance=0.1
    )


def microsoft_add() -> Case:
    b = Builder(11)
    a, c = b.input((2, 3, 4), I8), b.input((2, 3, 4), I8)
    y = b.node(
        "QLinearAdd",
        a,
        *_affine(b, 0.05, 3),
        c,
        *_affine(b, 0.03, -7),
        *_affine(b, 0.06, 1),
        domain=MS,
    )
    return b.case("qlinear_add", y, kind=I8, steps=1)


def microsoft_global_average() -> Case:
    b = Builder(12)
    y = b.node(
        "QLinearGlobalAveragePool",
        b.input((2, 3, 5, 5), U8),
        *_affine(b, 0.05, 120, np.uint8),
        *_affine(b, 0.02, 130, np.uint8),
        domain=MS,
    )
    return b.case("qlinear_global_average", y, kind=U8, steps=1)


QUANTISED_CASES: list[Case] = [
    qlinear_conv("qlinear_conv"),
    qlinear_conv("qlinear_conv_padded", pads=[1, 1, 1, 1], strides=[2, 2]),
    qlinear_conv("qlinear_conv_depthwise", group=4, pads=[1, 1, 1, 1]),
    qlinear_conv("qlinear_conv_u8u8", np.uint8, 131, pads=[1, 1, 1, 1]),
    qlinear_conv("qlinear_conv_u8u8_depthwise", np.uint8, 131, group=4, pads=[1, 1, 1, 1]),
    qlinear_conv_per_channel(),
    qlinear_matmul("qlinear_matmul", np.int8, 0),
    qlinear_matmul("qlinear_matmul_u8", np.uint8, 99),
    qlinear_matmul("qlinear_matmul_dynamic", np.int8, 5, dynamic=True),
    qgemm("qgemm", has_output_scale=True),
    qgemm("qgemm_float", has_output_scale=False),
    quantize_round_trip(np.int8, 0),
    quantize_round_trip(np.int8, -13),
    quantize_round_trip(np.uint8, 128),
    quantize_round_trip(np.uint8, 7),
    quantize_only(np.int8, 5),
    quantize_only(np.uint8, 50),
    max_pool_of_unsigned(),
    qdq_conv("qdq_conv"),
    qdq_conv("qdq_conv_relu", activation="Relu"),
    qdq_conv("qdq_conv_clip", activation="clip"),
    qdq_conv("qdq_conv_scalar", per_channel=False),
    qdq_conv("qdq_conv_depthwise", group=4),
    qdq_chain(),
    qdq_pool_of_pieces("MaxPool"),
    qdq_pool_of_pieces("AveragePool"),
    qdq_padded_average(),
    qdq_activation_product(),
    microsoft_add(),
    microsoft_global_average(),
]
_FLOAT = FLOAT_CASES + BODY_CASES + FUNCTION_CASES + IMAGE_CASES + PIECE_CASES
CASES = _FLOAT + LOGIC_CASES + QUANTISED_CASES
