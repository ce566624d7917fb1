"""MatMul and Gemm."""

import numpy as np

from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.frontend.node import Node, Result, onnx_operator
from npuc.compiler.ops.contraction import ZeroPoints, make_matmul
from npuc.compiler.ops.elementwise import make_function
from npuc.compiler.ops.movement import make_reshape, make_transpose
from npuc.compiler.xdsl_api import SSAValue
from npuc.isa.dtypes import DType


@onnx_operator("MatMul")
def matmul(node: Node) -> Result:
    """NumPy's matmul of two tensors."""
    node.floats(0)
    return [product(node, (0, 1), ZeroPoints())]


def product(node: Node, operands: tuple[int, int], zero: ZeroPoints) -> SSAValue:
    """Accumulators of inputs ``operands``, of any ranks that matmul takes without broadcasting."""
    a, b = (node.tensor(index) for index in operands)
    a_shape, b_shape = shape_of(a), shape_of(b)
    if not a_shape or not b_shape:
        raise node.unsupported("a scalar cannot be multiplied as a matrix")
    out_shape = (*a_shape[:-1], *b_shape[:-2], *b_shape[-1:]) if len(b_shape) < 3 else None
    if len(a_shape) == 1:
        a = node.emit(make_reshape(a, (1, *a_shape)))
    if len(b_shape) == 1:
        b = node.emit(make_reshape(b, (*b_shape, 1)))
        out_shape = a_shape[:-1]
    b = _without_unit_batch(node, b)
    if len(shape_of(b)) > 2 and shape_of(a)[:-2] != shape_of(b)[:-2]:
        raise node.unsupported(
            "batches of MatMul that differ are not supported", f"{list(a_shape)} by {list(b_shape)}"
        )
    result = node.emit(make_matmul(a, b, zero))
    if len(a_shape) == 1 and len(b_shape) == 2:
        out_shape = b_shape[-1:]
    if out_shape is not None and shape_of(result) != out_shape:
        result = node.emit(make_reshape(result, out_shape))
    return result


def _without_unit_batch(node: Node, b: SSAValue) -> SSAValue:
    shape = shape_of(b)
    if len(shape) > 2 and set(shape[:-2]) == {1}:
        return node.emit(make_reshape(b, shape[-2:]))
    return b


@onnx_operator("Gemm")
def gemm(node: Node) -> Result:
    """alpha * A' * B' + beta * C."""
    node.floats(0)
    a, b = matrix(node, 0, "transA"), matrix(node, 1, "transB")
    result = scaled(node, node.emit(make_matmul(a, b)), node.attribute("alpha", 1.0))
    if node.has(2):
        bias = scaled(node, node.floats(2), node.attribute("beta", 1.0))
        result = node.emit(make_function("add", [result, bias]))
    return [result]


def matrix(node: Node, index: int, flag: str) -> SSAValue:
    """Input ``index`` of rank 2, transposed where attribute ``flag`` says so."""
    value = node.value(index)
    if len(value.shape) != 2:
        raise node.unsupported("operands must be matrices", list(value.shape))
    if not node.attribute(flag, 0):
        return node.tensor(index)
    if value.array is not None:
        return node.constant_tensor(np.ascontiguousarray(value.array.T))
    return node.emit(make_transpose(node.tensor(index), (1, 0)))


def scaled(node: Node, x: SSAValue, factor: float) -> SSAValue:
    """``x`` times ``factor``; ``x`` itself for 1."""
    if factor == 1.0:
        return x
    assert dtype_of(x) is DType.f32
    return node.emit(
        make_function("mul", [x, node.constant_tensor(np.asarray(factor, np.float32))])
    )
