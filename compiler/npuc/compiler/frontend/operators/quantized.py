"""Quantised operators: QuantizeLinear, DequantizeLinear, QLinear* and com.microsoft QGemm.

Integer contractions carry their zero points as properties and end in nn.requantize; the quantize
stage takes the zero points away.
"""

from dataclasses import dataclass

import numpy as np
import onnx

from npuc.compiler.dialects.element_types import shape_of, tensor_type
from npuc.compiler.dialects.nn import RequantizeOp, Rescale
from npuc.compiler.frontend.load import Array
from npuc.compiler.frontend.node import MICROSOFT, Node, Result, Value, onnx_operator
from npuc.compiler.frontend.operators.conv import channels_first, convolution
from npuc.compiler.frontend.operators.matmul import matrix, product
from npuc.compiler.frontend.operators.pool import reduce_over
from npuc.compiler.frontend.unsigned import to_signed
from npuc.compiler.ops.contraction import ZeroPoints, make_matmul
from npuc.compiler.ops.elementwise import make_function
from npuc.compiler.ops.quantization import affine_properties, make_dequantize, make_quantize
from npuc.compiler.xdsl_api import Attribute, SSAValue
from npuc.isa.dtypes import DType
from npuc.isa.numerics.arrays import F32

_EIGHT_BIT = (np.dtype(np.int8), np.dtype(np.uint8))


@dataclass(frozen=True)
class Affine:
    """Scale and zero point of a quantised tensor, the zero point already shifted to int8."""

    scale: F32
    zero_point: Array
    is_unsigned: bool

    @property
    def zero(self) -> int:
        """The zero point of a whole tensor."""
        return int(self.zero_point.reshape(-1)[0])


def affine(node: Node, first: int) -> Affine:
    """Inputs ``first`` (scale) and ``first + 1`` (zero point, uint8 0 where absent)."""
    scale = np.asarray(node.constant(first)).astype(np.float32)
    zero_point = np.asarray(node.constant_or(first + 1, np.zeros((), np.uint8)))
    if zero_point.dtype not in _EIGHT_BIT:
        raise node.unsupported(
            "only 8-bit quantisation is supported", zero_point.dtype, "int8, uint8"
        )
    if not np.all(np.isfinite(scale)) or np.any(scale <= 0):
        raise node.unsupported("a scale must be positive and finite", scale.reshape(-1)[:4])
    return _affine(scale, to_signed(zero_point), is_unsigned=zero_point.dtype == np.uint8)


def per_tensor(node: Node, first: int) -> Affine:
    """As ``affine``. Raises: UnsupportedError for a scale per channel."""
    found = affine(node, first)
    if found.scale.ndim or found.zero_point.ndim:
        raise node.unsupported(
            "activations need one scale and zero point per tensor", f"{found.scale.size} scales"
        )
    return found


def _affine(scale: F32, zero_point: Array, *, is_unsigned: bool) -> Affine:
    """One number as a scalar, several as a vector."""
    shape: tuple[int, ...] = () if scale.size == 1 else (-1,)
    zeros = zero_point.reshape(() if zero_point.size == 1 else (-1,))
    return Affine(scale.reshape(shape), zeros, is_unsigned)


def _axis(node: Node) -> int:
    if node.attribute("block_size", 0):
        raise node.unsupported("blocked quantisation is not supported")
    return node.attribute("axis", 1)


@onnx_operator("QuantizeLinear", since=10)
def quantize_linear(node: Node) -> Result:
    """float32 to int8 or uint8."""
    x = node.floats(0)
    found = affine(node, 1)
    wanted = node.attribute("output_dtype", 0)
    if not node.has(2) and wanted == onnx.TensorProto.INT8:
        found = Affine(found.scale, np.zeros((), np.int8), is_unsigned=False)
    elif wanted not in (0, onnx.TensorProto.INT8, onnx.TensorProto.UINT8):
        raise node.unsupported("only 8-bit quantisation is supported", f"output_dtype {wanted}")
    return [_quantize(node, x, found, _axis(node))]


def _quantize(node: Node, x: SSAValue, found: Affine, axis: int | None = None) -> Value:
    properties = affine_properties(found.scale, found.zero_point, axis, node.importer.ctx.consts)
    ssa = node.emit(make_quantize(x, properties, DType.i8))
    return Value(ssa=ssa, is_unsigned=found.is_unsigned)


@onnx_operator("DequantizeLinear", since=10)
def dequantize_linear(node: Node) -> Result:
    """int8, uint8 or int32 to float32."""
    scale = np.asarray(node.constant(1)).astype(np.float32)
    x = node.value(0)
    is_unsigned = x.is_unsigned or (x.array is not None and x.array.dtype == np.uint8)
    default = np.zeros((), np.uint8 if is_unsigned else np.int8)
    zero_point = to_signed(np.asarray(node.constant_or(2, default)))
    found = _affine(scale, zero_point, is_unsigned=is_unsigned)
    return [_dequantize(node, node.tensor(0), found, _axis(node))]


def _dequantize(node: Node, x: SSAValue, found: Affine, axis: int | None = None) -> SSAValue:
    properties = affine_properties(found.scale, found.zero_point, axis, node.importer.ctx.consts)
    return node.emit(make_dequantize(x, properties))


@onnx_operator("QLinearConv", since=10)
def qlinear_conv(node: Node) -> Result:
    """Inputs x, its affine, w, its affine, affine of y, bias."""
    x, w, y = per_tensor(node, 1), affine(node, 4), per_tensor(node, 6)
    acc = convolution(node, (0, 3), _zero_points(node, x, w))
    bias = node.tensor(8) if node.has(8) else None
    result = _requantize(node, acc, bias, (x.scale * w.scale / y.scale, y))
    assert result.ssa is not None
    moved = channels_first(node, result.ssa, 3)
    return [Value(ssa=moved, is_unsigned=y.is_unsigned)]


@onnx_operator("QLinearMatMul", since=10)
def qlinear_matmul(node: Node) -> Result:
    """Inputs a, its affine, b, its affine, affine of y."""
    a, b, y = per_tensor(node, 1), affine(node, 4), per_tensor(node, 6)
    acc = product(node, (0, 3), _zero_points(node, a, b))
    return [_requantize(node, acc, None, (a.scale * b.scale / y.scale, y))]


@onnx_operator("QGemm", domain=MICROSOFT)
def qgemm(node: Node) -> Result:
    """Inputs A, its affine, B, its affine, bias, affine of y; float32 without the last."""
    a, b = per_tensor(node, 1), affine(node, 4)
    operands = matrix(node, 0, "transA"), matrix(node, 3, "transB")
    acc = node.emit(make_matmul(*operands, _zero_points(node, a, b)))
    bias = _bias(node, 6, shape_of(acc)[-1])
    scale = np.asarray(node.attribute("alpha", 1.0), np.float32) * a.scale * b.scale
    if not node.has(7):
        key = node.importer.ctx.consts.put(scale)
        return [node.emit(RequantizeOp(acc, bias, Rescale(key), _like(acc, DType.f32)))]
    y = per_tensor(node, 7)
    return [_requantize(node, acc, bias, (scale / y.scale, y))]


def _bias(node: Node, index: int, channels: int) -> SSAValue | None:
    if not node.has(index):
        return None
    bias = node.constant(index)
    if bias.size not in (1, channels):
        raise node.unsupported("the bias must be one number per column", list(bias.shape))
    return node.constant_tensor(np.broadcast_to(bias.reshape(-1), (channels,)))


def _zero_points(node: Node, x: Affine, w: Affine) -> ZeroPoints:
    second = node.importer.ctx.consts.put(w.zero_point) if np.any(w.zero_point) else None
    return ZeroPoints(x.zero, second)


def _requantize(
    node: Node, acc: SSAValue, bias: SSAValue | None, scaling: tuple[Array, Affine]
) -> Value:
    scale, y = scaling
    key = node.importer.ctx.consts.put(np.asarray(scale, np.float32))
    op = RequantizeOp(acc, bias, Rescale(key, y.zero), _like(acc, DType.i8))
    return Value(ssa=node.emit(op), is_unsigned=y.is_unsigned)


def _like(acc: SSAValue, dtype: DType) -> Attribute:
    return tensor_type(dtype, shape_of(acc))


def _register_qlinear(op_type: str, function: str) -> None:
    @onnx_operator(op_type, domain=MICROSOFT)
    def import_one(node: Node) -> Result:
        """Inputs a, its affine, b, its affine, affine of the result; arithmetic in float32."""
        operands = [_dequantize(node, node.tensor(i), per_tensor(node, i + 1)) for i in (0, 3)]
        result = node.emit(make_function(function, operands))
        return [_quantize(node, result, per_tensor(node, 6))]


for _op_type, _function in (("QLinearAdd", "add"), ("QLinearMul", "mul")):
    _register_qlinear(_op_type, _function)


@onnx_operator("QLinearGlobalAveragePool", domain=MICROSOFT)
def qlinear_global_average_pool(node: Node) -> Result:
    """Mean over the spatial axes; NHWC where ``channels_last`` is 1."""
    x = _dequantize(node, node.tensor(0), per_tensor(node, 1))
    rank = len(shape_of(x))
    first = 1 if node.attribute("channels_last", 0) else 2
    mean = reduce_over(node, "mean", x, list(range(first, first + rank - 2)))
    return [_quantize(node, mean, per_tensor(node, 3))]
