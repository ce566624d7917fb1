"""Operator cases of images: grouped and transposed convolutions, resizing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.compiler.ops.case import I8, U8, Builder, Case


def grouped(name: str, x: tuple[int, ...], w: tuple[int, ...], **attributes: object) -> Case:
    b = Builder(len(name))
    y = b.node("Conv", b.input(x), b.weights(*w), b.weights(w[0]), **attributes)
    return b.case(name, b.node("Relu", y), tolerance=2e-5)


def transposed(name: str, x: tuple[int, ...], w: tuple[int, ...], **attributes: object) -> Case:
    b = Builder(len(name))
    inputs = [b.input(x), b.weights(*w)]
    if "group" not in attributes:
        inputs.append(b.weights(w[1]))
    y = b.node("ConvTranspose", *inputs, **attributes)
    return b.case(name, b.node("Relu", y), tolerance=2e-5)


def resize(
    name: str,
    shape: tuple[int, ...],
    factors: Sequence[float] = (),
    opset: int = 19,
    **more: object,
) -> Case:
    b = Builder(len(name), opset=opset)
    sizes = more.pop("sizes", None)
    x = b.input(shape)
    if opset < 11:
        return b.case(name, b.node("Upsample", x, b.const(np.asarray(factors, np.float32)), **more))
    if sizes is None:
        inputs = [x, "", b.const(np.asarray(factors, np.float32))]
    else:
        inputs = [x, "", "", b.const(np.asarray(sizes, np.int64))]
    return b.case(name, b.node("Resize", *inputs, **more), tolerance=2e-5)


def blocks(op: str, shape: tuple[int, ...], **attributes: object) -> Case:
    b = Builder(len(op))
    name = "_".join([op.lower(), *map(str, attributes.values())])
    return b.case(name, b.node(op, b.input(shape), blocksize=2, **attributes))


def resize_unsigned() -> Case:
    b = Builder(1)
    scales = b.const(np.asarray([1, 1, 2, 2], np.float32))
    y = b.node("Resize", b.input((1, 2, 3, 3), U8), "", scales, mode="nearest")
    return b.case("resize_uint8", y, kind=U8, exact=True)


ASYMMETRIC = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


def grouped_integers(name: str, kind: type, w_zero: int) -> Case:
    """Two groups of two channels to three, a scale per output channel."""
    b = Builder(len(name))
    onnx_kind = U8 if kind is np.uint8 else I8
    scales = b.const(np.linspace(0.01, 0.03, 6).astype(np.float32))
    zeros = b.const(np.full(6, w_zero, kind))
    y = b.node(
        "QLinearConv",
        *(b.input((1, 4, 6, 6), onnx_kind), b.const(np.float32(0.05)), b.const(kind(7))),
        *(b.int8(6, 2, 3, 3, kind=kind), scales, zeros),
        *(b.const(np.float32(0.3)), b.const(kind(3))),
        b.const(b.rng.integers(-2000, 2000, 6).astype(np.int32)),
        group=2,
        pads=[1, 1, 1, 1],
    )
    return b.case(name, y, kind=onnx_kind, exact=True)


IMAGE_CASES: list[Case] = [
    grouped("conv_grouped", (2, 6, 7, 7), (4, 3, 3, 3), group=2, pads=[1, 1, 1, 1]),
    grouped("conv_grouped_pointwise", (1, 8, 5, 5), (12, 2, 1, 1), group=4, strides=[2, 2]),
    grouped("conv_depthwise_twice", (1, 3, 6, 6), (6, 1, 3, 3), group=3),
    grouped("conv_grouped_1d", (1, 4, 9), (6, 2, 3), group=2),
    grouped_integers("qlinear_grouped", np.int8, 0),
    grouped_integers("qlinear_grouped_u8", np.uint8, 130),
    transposed("transposed_2x2", (1, 3, 4, 5), (3, 4, 2, 2), strides=[2, 2]),
    transposed("transposed_3x3", (2, 3, 4, 5), (3, 2, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1]),
    transposed("transposed_plain", (1, 2, 5, 4), (2, 3, 3, 2)),
    transposed(
        "transposed_extra", (1, 2, 4, 4), (2, 2, 3, 4), strides=[2, 3], output_padding=[1, 2]
    ),
    transposed("transposed_dilated", (1, 2, 4, 4), (2, 2, 2, 3), dilations=[2, 2], strides=[2, 1]),
    transposed("transposed_groups", (1, 4, 4, 4), (4, 3, 2, 2), strides=[2, 2], group=2),
    transposed(
        "transposed_same", (1, 2, 4, 4), (2, 3, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER"
    ),
    transposed("transposed_1d", (1, 3, 6), (3, 2, 4), strides=[2], pads=[1, 1]),
    blocks("DepthToSpace", (2, 12, 3, 4), mode="DCR"),
    blocks("DepthToSpace", (1, 8, 2, 3), mode="CRD"),
    blocks("SpaceToDepth", (2, 3, 4, 6)),
    resize("resize_nearest_2", (1, 3, 4, 5), (1, 1, 2, 3), **ASYMMETRIC),
    resize("resize_nearest_half", (1, 2, 4, 5), (1, 1, 1.5, 0.6)),
    resize("resize_nearest_sizes", (1, 2, 4, 5), sizes=(1, 2, 7, 3), nearest_mode="ceil"),
    resize("resize_linear", (1, 2, 4, 5), (1, 1, 2, 1.5), mode="linear"),
    resize(
        "resize_linear_corners",
        (1, 2, 4, 5),
        sizes=(1, 2, 7, 9),
        mode="linear",
        coordinate_transformation_mode="align_corners",
    ),
    resize("resize_cubic", (1, 1, 5, 6), (1, 1, 2, 1.5), mode="cubic"),
    resize("upsample_9", (1, 2, 3, 3), (1, 1, 2, 2), opset=9, mode="nearest"),
    resize_unsigned(),
]
