"""Pooling, reductions over axes, Softmax."""

import math

import numpy as np

from npuc.compiler.dialects.element_types import dtype_of, shape_of, tensor_type
from npuc.compiler.dialects.nn import ReduceOp, SoftmaxOp
from npuc.compiler.frontend.node import Node, Result, Value, onnx_operator
from npuc.compiler.frontend.windows import TO_NCHW, TO_NHWC, onnx_window
from npuc.compiler.ops.movement import make_reshape, make_transpose
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
    if counts_padding and node.attribute("ceil_mode", 0):
        raise node.unsupported("count_include_pad together with ceil_mode is not supported")
    return [_pool(node, "average", counts_padding=counts_padding)]


def _pool(node: Node, kind: str, *, counts_padding: bool) -> SSAValue:
    x_NCHW = node.tensor(0)
    kernel = tuple(node.integers("kernel_shape", []))
    window = onnx_window(node, shape_of(x_NCHW), kernel)
    x_NHWC = node.emit(make_transpose(x_NCHW, TO_NHWC))
    pool = make_pool2d(kind, x_NHWC, Pool(window.kernel, window.geometry, counts_padding))
    return node.emit(make_transpose(node.emit(pool), TO_NCHW))


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
        axes = node.constant_or(1, np.zeros(0, np.int64))
        return _reduce(node, kind, [int(axis) for axis in np.asarray(axes).ravel()])


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
    x = node.floats(0)
    shape = shape_of(x)
    if not axes and node.attribute("noop_with_empty_axes", 0):
        return [x]
    reduced = sorted({axis % len(shape) for axis in axes} or set(range(len(shape))))
    result = reduce_over(node, kind, x, reduced)
    if node.attribute("keepdims", 1):
        return [result]
    kept = [size for axis, size in enumerate(shape) if axis not in reduced]
    return [node.emit(make_reshape(result, kept))]


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
