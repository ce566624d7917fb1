"""Operator cases of movement: cutting, joining, padding, repeating, changing the type."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from tests.compiler.ops.case import F32, I8, U8, Builder, Case

I64 = TensorProto.INT64


def ints(b: Builder, *values: int) -> str:
    return b.const(np.asarray(values, np.int64))


def concat(name: str, shapes: Sequence[tuple[int, ...]], axis: int, opset: int = 20) -> Case:
    b = Builder(len(name), opset=opset)
    return b.case(name, b.node("Concat", *[b.input(s) for s in shapes], axis=axis), tolerance=0)


def concat_of_work() -> Case:
    """Convolutions, a view, an input and a constant: the first are written in place."""
    b = Builder(1)
    x = b.input((1, 3, 6, 6))
    first = b.node("Relu", b.node("Conv", x, b.weights(5, 3, 3, 3), pads=[1, 1, 1, 1]))
    second = b.node("Conv", first, b.weights(4, 5, 1, 1), b.weights(4))
    y = b.node("Concat", first, second, x, b.weights(1, 2, 6, 6), axis=1)
    z = b.node("Conv", y, b.weights(3, 14, 1, 1))
    return b.case("concat_of_work", z, tolerance=1e-4)


def dense_block() -> Case:
    """Every concatenation is the first piece of the next."""
    b = Builder(2)
    x = b.node("Relu", b.input((1, 4, 5, 5)))
    for channels in (4, 7, 10):
        new = b.node("Conv", b.node("Relu", x), b.weights(3, channels, 3, 3), pads=[1, 1, 1, 1])
        x = b.node("Concat", x, new, axis=1)
    pooled = b.node("GlobalAveragePool", x)
    return b.case("dense_block", x, b.node("Flatten", pooled), tolerance=1e-4)


def concat_shared() -> Case:
    """One value in two concatenations and twice in one, and itself an output."""
    b = Builder(3)
    x = b.node("Neg", b.input((2, 3)))
    first = b.node("Concat", x, x, axis=0)
    second = b.node("Concat", x, b.node("Abs", x), axis=1)
    return b.case("concat_shared", first, second, x)


def concat_through_views() -> Case:
    """A flattened map beside a vector, as in detection heads."""
    b = Builder(4)
    x = b.input((1, 2, 3, 4))
    a = b.node(
        "Reshape", b.node("Transpose", b.node("Relu", x), perm=[0, 2, 3, 1]), ints(b, 1, 12, 2)
    )
    c = b.node("Reshape", b.node("Neg", x), ints(b, 1, 12, 2))
    y = b.node("Concat", a, c, axis=1)
    z = b.node("Reshape", b.node("Concat", c, a, axis=2), ints(b, 48))
    return b.case("concat_through_views", y, z)


def split(
    name: str, axis: int, opset: int, sizes: Sequence[int] = (), **attributes: object
) -> Case:
    b = Builder(len(name), opset=opset)
    x = b.input((2, 6, 4))
    count = len(sizes) or 2
    if opset < 13 and sizes:
        attributes["split"] = list(sizes)
    inputs = [x, ints(b, *sizes)] if opset >= 13 and sizes else [x]
    if opset >= 18 and not sizes:
        attributes["num_outputs"] = 2
    parts = b.nodes_of("Split", inputs, count, axis=axis, **attributes)
    done = [b.node("Relu", part) for part in parts]
    return b.case(name, *done, parts[0])


def slice_case(
    name: str, shape: tuple[int, ...], places: Sequence[Sequence[int]], opset: int
) -> Case:
    b = Builder(len(name), opset=opset)
    x = b.input(shape)
    if opset < 10:
        y = b.node("Slice", x, starts=places[0], ends=places[1], axes=places[2])
    else:
        y = b.node("Slice", x, *[ints(b, *p) for p in places])
    return b.case(name, b.node("Neg", y), y)


def slice_between_convs() -> Case:
    b = Builder(5)
    x = b.input((1, 4, 8, 8))
    y = b.node("Conv", x, b.weights(6, 4, 3, 3))
    part = b.node("Slice", y, ints(b, 2, 1), ints(b, 6, 5), ints(b, 1, 2))
    flat = b.node("Flatten", part)
    return b.case(
        "slice_between_convs", b.node("Conv", part, b.weights(3, 4, 2, 2)), flat, tolerance=1e-4
    )


def gather(name: str, shape: tuple[int, ...], indices: object, axis: int) -> Case:
    b = Builder(len(name))
    y = b.node("Gather", b.input(shape), b.const(np.asarray(indices, np.int64)), axis=axis)
    return b.case(name, y, b.node("Relu", y))


def pad(
    name: str, shape: tuple[int, ...], widths: Sequence[int], opset: int = 20, **attributes: object
) -> Case:
    b = Builder(len(name), opset=opset)
    x = b.input(shape)
    if opset < 11:
        return b.case(name, b.node("Pad", x, pads=list(widths), **attributes))
    inputs = [x, ints(b, *widths)]
    if "value" in attributes:
        inputs.append(b.const(np.float32(attributes.pop("value"))))
    return b.case(name, b.node("Pad", *inputs, **attributes))


def pad_before_conv() -> Case:
    b = Builder(6)
    x = b.node("Conv", b.input((1, 3, 6, 6)), b.weights(4, 3, 1, 1))
    y = b.node("Pad", x, ints(b, 0, 0, 1, 2, 0, 0, 0, 1))
    return b.case(
        "pad_before_conv", b.node("Conv", y, b.weights(2, 4, 3, 3), strides=[2, 2]), tolerance=1e-4
    )


def pad_unsigned() -> Case:
    b = Builder(7)
    y = b.node("Pad", b.input((2, 3), U8), ints(b, 1, 0, 0, 2))
    return b.case("pad_uint8", y, kind=U8, exact=True)


def concat_unsigned() -> Case:
    b = Builder(8)
    y = b.node("Concat", b.input((2, 3), U8), b.int8(2, 2, kind=np.uint8), axis=1)
    return b.case("concat_uint8", y, kind=U8, exact=True)


def qdq_concat() -> Case:
    """Pieces with scales of their own, joined under one."""
    b = Builder(9)

    def pair(x: str, scale: float, zero: int) -> str:
        affine = b.const(np.float32(scale)), b.const(np.int8(zero))
        return b.node("DequantizeLinear", b.node("QuantizeLinear", x, *affine), *affine)

    a, c = pair(b.input((1, 3, 4, 4)), 0.02, 1), pair(b.input((1, 2, 4, 4)), 0.03, -2)
    part = b.node(
        "Slice", pair(b.node("Concat", a, c, axis=1), 0.03, -2), ints(b, 1), ints(b, 4), ints(b, 1)
    )
    return b.case("qdq_concat", pair(part, 0.03, -2), steps=1, tolerance=0.03)


def expand(name: str, shape: tuple[int, ...], wanted: Sequence[int]) -> Case:
    b = Builder(len(name))
    return b.case(name, b.node("Expand", b.input(shape), ints(b, *wanted)))


def tile() -> Case:
    b = Builder(10)
    return b.case("tile", b.node("Tile", b.input((2, 3, 2)), ints(b, 2, 1, 3)))


def cast(name: str, source: int, to: int, opset: int = 20, scale: float = 40.0) -> Case:
    b = Builder(len(name), opset=opset)
    return b.case(name, b.node("Cast", b.input((3, 5), source, scale), to=to), kind=to)


def cast_chain() -> Case:
    """To int32, from there to int8 and uint8, which wrap around."""
    b = Builder(12)
    whole = b.node("Cast", b.input((4, 6), scale=300.0), to=TensorProto.INT32)
    low = b.node("Cast", b.node("Cast", whole, to=I8), to=F32)
    positive = b.node("Cast", b.node("Cast", whole, to=U8), to=F32)
    return b.case("cast_chain", low, positive)


def constant_of_shape() -> Case:
    b = Builder(11)
    x = b.input((2, 3))
    ones = b.node("ConstantOfShape", b.node("Shape", x))
    return b.case("constant_of_shape", b.node("Add", x, b.node("Cos", ones)))


PIECE_CASES: list[Case] = [
    concat("concat_rows", [(2, 3), (1, 3), (4, 3)], 0),
    concat("concat_columns", [(2, 3), (2, 1)], -1, 11),
    concat("concat_channels", [(1, 3, 4, 5), (1, 2, 4, 5)], 1, 7),
    concat("concat_rank6", [(2, 1, 2, 3, 2, 2), (2, 1, 2, 1, 2, 2)], 3),
    concat_of_work(),
    dense_block(),
    concat_shared(),
    concat_through_views(),
    concat_unsigned(),
    qdq_concat(),
    split("split_11", 1, 11),
    split("split_11_sizes", 1, 11, (1, 2, 3)),
    split("split_13", 1, 13, (5, 1)),
    split("split_18", -1, 18),
    slice_case("slice_9", (4, 5, 6), [(1, 0), (3, 4), (0, 2)], 9),
    slice_case("slice_10", (4, 5, 6), [(1, -4), (1000, -1), (1, 2)], 10),
    slice_case("slice_steps", (7, 9), [(1, 0), (7, 9), (0, 1), (3, 2)], 13),
    slice_case("slice_backwards", (5, 4), [(-1,), (-9,), (0,), (-2,)], 20),
    slice_case("slice_rank5", (2, 3, 2, 4, 3), [(1, 1), (3, 4), (1, 3)], 20),
    slice_between_convs(),
    gather("gather_scalar", (3, 4, 5), 1, 1),
    gather("gather_list", (3, 7, 2), [[0, 1], [4, -1]], 1),
    gather("gather_rows", (6, 3), [5, 3, 1, 1, 2], 0),
    pad("pad_10", (2, 3, 4), [0, 1, 2, 1, 0, 0], 10, value=1.5),
    pad("pad_constant", (1, 2, 3, 4), [0, 0, 1, 1, 0, 0, 2, 0], value=-2.0),
    pad("pad_rank5", (2, 1, 3, 2, 2), [0, 0, 1, 0, 0, 0, 0, 0, 0, 1]),
    pad("pad_negative", (4, 5), [-1, 2, 0, -2]),
    pad("pad_reflect", (1, 2, 5, 6), [0, 0, 2, 1, 0, 0, 1, 3], 13, mode="reflect"),
    pad("pad_edge", (3, 4), [1, 2, 0, 1], 13, mode="edge"),
    pad("pad_wrap", (3, 4), [1, 2, 0, 1], 19, mode="wrap"),
    pad_before_conv(),
    pad_unsigned(),
    expand("expand", (3, 1), (2, 3, 4)),
    expand("expand_own", (3, 4), (1, 4)),
    tile(),
    cast("cast_f32_i32", F32, TensorProto.INT32),
    cast("cast_f32_i64", F32, I64, 9),
    cast("cast_f32_i8", F32, I8, scale=30.0),
    cast("cast_i8_f32", I8, F32, 13),
    cast("cast_u8_f32", U8, F32),
    cast("cast_i8_i32", I8, TensorProto.INT32),
    cast("cast_f32_f32", F32, F32),
    cast_chain(),
    constant_of_shape(),
]
