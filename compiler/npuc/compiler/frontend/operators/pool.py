"""Pooling, reductions over axes, Softmax."""

import math
from dataclasses import replace

import numpy as np

from npuc.compiler.dialects.element_types import dtype_of, shape_of, tensor_type
from npuc.compiler.dialects.nn import ReduceOp, SoftmaxOp
from npuc.compiler.frontend.node import Node, Result, Value, onnx_operator
from npuc.compiler.frontend.operators.volumes import (
    VOLUME_RANK,
    pool_volume,
)
from npuc.compiler.frontend.operators.windows import (
    TO_NCHW,
    TO_NHWC,
    as_image,
    from_image,
    onnx_window,
)
from npuc.compiler.ops.elementwise import make_function
from npuc.compiler.ops.movement import make_reshape, make_transpose
from npuc.compiler.ops.pieces import make_pad
from npuc.compiler.ops.pooling import Pool, make_pool2d
from npuc.compiler.xdsl_api import SSAValue
from npuc.isa.dtypes import DType


@onnx_operator("MaxPool")
def max_pool(node: Node) -> Result:
    """Largest value of each window; float32, int8 or uint8."""
    if node.uses_output(1):
        raise node.unsupported("MaxPool's second output (indices) is not supported")
    if dtype_of(node.tensor(0)) not in (DType.f32, DType.i8):
        raise node.unsupported("MaxPool is supported on float32 and 8-bit integers")
    pooled = _pool(node, "max", counts_padding=False)
    return [Value(ssa=pooled, is_unsigned=node.value(0).is_unsigned)]


@onnx_operator("AveragePool")
def average_pool(node: Node) -> Result:
    """Mean of each window."""
    node.floats(0)
    counts_padding = bool(node.attribute("count_include_pad", 0))
    return [_pool(node, "average", counts_padding=counts_padding)]


def _pool(node: Node, kind: str, *, counts_padding: bool) -> SSAValue:
    if len(node.value(0).shape) == VOLUME_RANK:
        return pool_volume(node, kind, counts_padding=counts_padding)
    x_NCHW = as_image(node, node.tensor(0))
    kernel = tuple(node.integers("kernel_shape", []))
    window = onnx_window(node, shape_of(x_NCHW), kernel)
    geometry = window.geometry
    if counts_padding and node.attribute("ceil_mode", 0):  # what ceil adds counts no padding
        pads = window.stated_pads
        x_NCHW = node.emit(make_pad(x_NCHW, ((0, 0, *pads[:2]), (0, 0, *pads[2:])), 0.0))
        rest = [a - b for a, b in zip(geometry.pads, pads, strict=True)]
        geometry = replace(geometry, pads=(rest[0], rest[1], rest[2], rest[3]))
        counts_padding = False
    x_NHWC = node.emit(make_transpose(x_NCHW, TO_NHWC))
    pool = make_pool2d(kind, x_NHWC, Pool(window.kernel, geometry, counts_padding))
    result = node.emit(make_transpose(node.emit(pool), TO_NCHW))
    return from_image(node, result, len(node.value(0).shape))


def reduce_over(node: Node, kind: str, x: SSAValue, axes: list[int]) -> SSAValue:
    """The reduction of ``x`` over ``axes``, which stay with size 1."""
    shape = shape_of(x)
    kept = [1 if axis in axes else size for axis, size in enumerate(shape)]
    return node.emit(ReduceOp(kind, x, axes, tensor_type(dtype_of(x), kept)))


def _register_global(op_type: str, kind: str) -> None:
    @onnx_operator(op_type)
    def import_one(node: Node) -> Result:
        x = node.floats(0)
        return [reduce_over(node, kind, x, list(range(2, len(shape_of(x)))))]


def _register_reduction(op_type: str, kind: str, axes_input_since: int) -> None:
    @onnx_operator(op_type, until=axes_input_since - 1)
    def by_attribute(node: Node) -> Result:
        return _reduce(node, kind, node.integers("axes", []))

    @onnx_operator(op_type, since=axes_input_since)
    def by_input(node: Node) -> Result:
        return _reduce(node, kind, _axes_input(node))


def _register_composed(op_type: str, before: str, kind: str, after: str) -> None:
    """A reduction of a function of the elements, and a function of the result."""

    def composed(node: Node, axes: list[int]) -> Result:
        x = node.floats(0)
        if before:
            operands = [x, x] if before == "mul" else [x]
            x = node.emit(make_function(before, operands))
        (value,) = _reduced(node, kind, x, axes)
        return [node.emit(make_function(after, [value])) if after else value]

    @onnx_operator(op_type, until=17)
    def by_attribute(node: Node) -> Result:
        return composed(node, node.integers("axes", []))

    @onnx_operator(op_type, since=18)
    def by_input(node: Node) -> Result:
        return composed(node, _axes_input(node))


def _log_sum_exp(node: Node, axes: list[int]) -> Result:
    """log(sum(exp(x - max))) + max: no overflow."""
    x = node.floats(0)
    shape = shape_of(x)
    reduced = sorted({axis % len(shape) for axis in axes} or set(range(len(shape))))
    if not axes and node.attribute("noop_with_empty_axes", 0):
        return [x]
    largest = reduce_over(node, "max", x, reduced)
    powers = node.emit(make_function("exp", [node.emit(make_function("sub", [x, largest]))]))
    logarithm = node.emit(make_function("log", [reduce_over(node, "sum", powers, reduced)]))
    return [_without(node, node.emit(make_function("add", [logarithm, largest])), reduced)]


@onnx_operator("ReduceLogSumExp", until=17)
def log_sum_exp_by_attribute(node: Node) -> Result:
    """Axes as attribute."""
    return _log_sum_exp(node, node.integers("axes", []))


@onnx_operator("ReduceLogSumExp", since=18)
def log_sum_exp(node: Node) -> Result:
    """Axes as input."""
    return _log_sum_exp(node, _axes_input(node))


def _axes_input(node: Node) -> list[int]:
    axes = node.constant_or(1, np.zeros(0, np.int64))
    return [int(axis) for axis in np.asarray(axes).ravel()]


for _row in (
    ("ReduceL1", "abs", "sum", ""),
    ("ReduceL2", "mul", "sum", "sqrt"),
    ("ReduceSumSquare", "mul", "sum", ""),
    ("ReduceLogSum", "", "sum", "log"),
):
    _register_composed(*_row)
for _op_type, _kind in (("GlobalAveragePool", "mean"), ("GlobalMaxPool", "max")):
    _register_global(_op_type, _kind)
for _op_type, _kind, _since in (
    ("ReduceMean", "mean", 18),
    ("ReduceMax", "max", 18),
    ("ReduceMin", "min", 18),
    ("ReduceProd", "prod", 18),
    ("ReduceSum", "sum", 13),
):
    _register_reduction(_op_type, _kind, _since)


def _reduce(node: Node, kind: str, axes: list[int]) -> Result:
    return _reduced(node, kind, node.floats(0), axes)


def _reduced(node: Node, kind: str, x: SSAValue, axes: list[int]) -> list[SSAValue]:
    rank = len(shape_of(x))
    if not axes and node.attribute("noop_with_empty_axes", 0):
        return [x]
    if any(not -rank <= axis < rank for axis in axes):
        raise node.unsupported("there is no such axis", f"axes {axes} of rank {rank}")
    reduced = sorted({axis % rank for axis in axes} or set(range(rank)))
    return [_without(node, reduce_over(node, kind, x, reduced), reduced)]


def _without(node: Node, result: SSAValue, reduced: list[int]) -> SSAValue:
    """``result`` without its axes ``reduced`` of size 1, unless they are to be kept."""
    if node.attribute("keepdims", 1):
        return result
    kept = [size for axis, size in enumerate(shape_of(result)) if axis not in reduced]
    return node.emit(make_reshape(result, kept))


@onnx_operator("Softmax", since=13)
def softmax(node: Node) -> Result:
    """Over one axis."""
    x = node.floats(0)
    axis = node.attribute("axis", -1) % len(shape_of(x))
    return [node.emit(SoftmaxOp(x, axis))]


@onnx_operator("Softmax", until=12)
def softmax_flattened(node: Node) -> Result:
    """Over all axes from ``axis`` on, as one."""
    x = node.floats(0)
    shape = shape_of(x)
    axis = node.attribute("axis", 1) % len(shape)
    rows, columns = math.prod(shape[:axis]), math.prod(shape[axis:])
    flat = node.emit(make_reshape(x, (rows, columns)))
    return [node.emit(make_reshape(node.emit(SoftmaxOp(flat, 1)), shape))]
