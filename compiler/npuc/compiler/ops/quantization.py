"""nn.quantize, nn.dequantize and nn.requantize: between integers with a scale and float32.

Everything is written in the machine's scalar steps, so that the generics which quantize makes of
these operations give the same bits.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np

from npuc.compiler.consts import ConstStore
from npuc.compiler.dialects.element_types import dtype_of, shape_of, tensor_type
from npuc.compiler.dialects.nn import DequantizeOp, QuantizeOp, RequantizeOp, Rescale
from npuc.compiler.ops.interface import Array, contradiction
from npuc.compiler.xdsl_api import Attribute, IntegerAttr, Operation, SSAValue, StringAttr, i64
from npuc.isa.dtypes import DType
from npuc.isa.numerics import compare, convert, ieee, integer

INTEGER_BOUNDS = {DType.i8: (-128, 127), DType.u8: (0, 255), DType.i32: (-(2**31), 2**31 - 1)}


def make_quantize(x: SSAValue, affine: dict[str, Attribute], dtype: DType) -> QuantizeOp:
    """``x`` quantised to ``dtype`` with the properties of ``affine_properties``."""
    return QuantizeOp.build(
        operands=[x], result_types=[tensor_type(dtype, shape_of(x))], properties=dict(affine)
    )


def make_dequantize(x: SSAValue, affine: dict[str, Attribute]) -> DequantizeOp:
    """``x`` as float32 with the properties of ``affine_properties``."""
    return DequantizeOp.build(
        operands=[x], result_types=[tensor_type(DType.f32, shape_of(x))], properties=dict(affine)
    )


def affine_properties(
    scale: Array, zero_point: Array | None, axis: int | None, consts: ConstStore
) -> dict[str, Attribute]:
    """The properties of both: a scalar scale has no axis, zero points of 0 are left out."""
    properties: dict[str, Attribute] = {"scale": StringAttr(consts.put(np.asarray(scale)))}
    if zero_point is not None and np.any(zero_point):
        properties["zero_point"] = StringAttr(consts.put(np.asarray(zero_point)))
    if np.ndim(scale) and axis is not None:
        properties["axis"] = IntegerAttr(axis, i64)
    return properties


def along_axis(values: Array, axis: int | None, rank: int) -> Array:
    """A scale or zero point shaped to broadcast along ``axis`` of a tensor of ``rank``."""
    if values.ndim == 0 or axis is None:
        return values.reshape(())
    return values.reshape([-1 if d == axis % rank else 1 for d in range(rank)])


def scale_and_zero(op: QuantizeOp | DequantizeOp, consts: ConstStore) -> tuple[Array, Array]:
    """Scale (float32) and zero point (int32), shaped to broadcast against the tensor."""
    rank, axis = len(shape_of(op.x)), op.axis_number
    scale = along_axis(consts.get(op.scale.data), axis, rank)
    zero = consts.get(op.zero_point.data) if op.zero_point else np.int32(0)
    return scale, along_axis(np.asarray(zero).astype(np.int32), axis, rank)


def quantized(x: Array, scale: Array, zero: Array, bounds: tuple[int, int]) -> Array:
    """clamp(round_half_even(x / scale) + zero, bounds) as int32, in machine steps."""
    steps = ieee.f32_round_even(ieee.f32_div(x.astype(np.float32), scale.astype(np.float32)))
    shifted = ieee.f32_add(steps, convert.i32_to_f32(zero.astype(np.int32)))
    return np.clip(convert.f32_to_i32(shifted), *bounds)


class Quantize:
    """float32 to integer."""

    op_class = QuantizeOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        quantize = cast(QuantizeOp, op)
        if dtype_of(quantize.x) is not DType.f32:
            raise contradiction(op, "only float32 is quantised", quantize.x.type)
        return (tensor_type(dtype_of(quantize.result), shape_of(quantize.x)),)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        quantize = cast(QuantizeOp, op)
        scale, zero = scale_and_zero(quantize, consts)
        dtype = dtype_of(quantize.result)
        return (quantized(operands[0], scale, zero, INTEGER_BOUNDS[dtype]).astype(dtype.numpy),)


class Dequantize:
    """Integer to float32."""

    op_class = DequantizeOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        dequantize = cast(DequantizeOp, op)
        if dtype_of(dequantize.x) not in INTEGER_BOUNDS:
            raise contradiction(op, "only integers are dequantised", dequantize.x.type)
        return (tensor_type(DType.f32, shape_of(dequantize.x)),)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        scale, zero = scale_and_zero(cast(DequantizeOp, op), consts)
        difference = integer.i32_sub(operands[0].astype(np.int32), zero.astype(np.int32))
        return (ieee.f32_mul(convert.i32_to_f32(difference), scale.astype(np.float32)),)


class Requantize:
    """Accumulator to integer or scaled float32."""

    op_class = RequantizeOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        requantize = cast(RequantizeOp, op)
        shape = shape_of(requantize.acc)
        if dtype_of(requantize.acc) is not DType.i32:
            raise contradiction(op, "an accumulator is int32", requantize.acc.type)
        if requantize.bias is not None and shape_of(requantize.bias) != shape[-1:]:
            raise contradiction(op, "the bias does not suit the channels", requantize.bias.type)
        return (tensor_type(dtype_of(requantize.result), shape),)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        requantize = cast(RequantizeOp, op)
        acc = operands[0].astype(np.int32)
        if len(operands) > 1:
            acc = integer.i32_add(acc, operands[1].astype(np.int32))
        scale = consts.get(requantize.scale.data).astype(np.float32)
        scaled = ieee.f32_mul(convert.i32_to_f32(acc), scale)
        dtype = dtype_of(requantize.result)
        if dtype is DType.f32:
            return (scaled,)
        return (_clamped(scaled, requantize.rescale).astype(dtype.numpy),)


def _clamped(scaled: Array, rescale: Rescale) -> Array:
    values = ieee.f32_round_even(scaled.astype(np.float32))
    zero, low, high = (
        np.asarray(number, np.float32) for number in (rescale.zero_point, rescale.low, rescale.high)
    )
    values = compare.f32_max(ieee.f32_add(values, zero), low)
    return convert.f32_to_i32(compare.f32_min(values, high))


OPS = (Quantize(), Dequantize(), Requantize())
