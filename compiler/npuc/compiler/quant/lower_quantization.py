"""lower-quantization: quantise, dequantise and requantise become structured generics.

Steps and order are those of ``npuc.compiler.ops.quantization``. The store of a generic rounds half
to even and saturates, so a step that the store does anyway is left out.
"""

from dataclasses import dataclass

import numpy as np

from npuc.compiler.consts import ConstStore
from npuc.compiler.context import npu_context
from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.nn import DequantizeOp, QuantizeOp, RequantizeOp, Scalars
from npuc.compiler.ops.interface import Array
from npuc.compiler.ops.movement import make_constant
from npuc.compiler.ops.quantization import INTEGER_BOUNDS, scale_and_zero
from npuc.compiler.ops.scalar_ops import Body
from npuc.compiler.ops.structured import Made, make_elementwise
from npuc.compiler.passes.rewriting import Pattern, apply_patterns, replace
from npuc.compiler.xdsl_api import (
    Context,
    ModuleOp,
    ModulePass,
    Operation,
    PatternRewriter,
    SSAValue,
)
from npuc.isa.dtypes import DType


@dataclass
class _Operands:
    """Inputs of a generic in the making: tensors, and constants that are no single number."""

    consts: ConstStore
    values: list[SSAValue]
    domains: str
    ops: list[Operation]

    def add_constant(self, array: Array, domain: str) -> None:
        """A further input when ``array`` varies; nothing for one number."""
        if array.size > 1:
            self.ops.append(make_constant(array, self.consts))
            self.values.append(self.ops[-1].results[0])
            self.domains += domain

    def made(self, body: Body, result: SSAValue, like: SSAValue, dtype: DType) -> Made:
        """The generic of ``body`` over the shape of ``like``."""
        scalars = Scalars(body.done(result))
        made = make_elementwise(self.values, shape_of(like), dtype, scalars)
        return Made((*self.ops, *made.ops), made.result)


def _scalar(body: Body, array: Array, position: int) -> SSAValue:
    """Argument ``position`` when ``array`` varies, else its one number."""
    if array.size > 1:
        return body.args[position]
    number = array.reshape(()).item()
    return body.number(float(number) if array.dtype == np.float32 else int(number))


def lowered_requantize(op: RequantizeOp, consts: ConstStore) -> Made:
    """(acc + bias) as float32, times scale; rounded, shifted and clamped for an integer result."""
    scale = np.asarray(consts.get(op.scale.data), np.float32)
    operands = _Operands(consts, [op.acc], "i", [])
    if op.bias is not None:
        operands.values.append(op.bias)
        operands.domains += "i"
    operands.add_constant(scale, "f")
    body = Body(operands.domains)
    acc = body.args[0] if op.bias is None else body("addi", body.args[0], body.args[1])
    value = body("mulf", body("i2f", acc), _scalar(body, scale, len(operands.domains) - 1))
    dtype = dtype_of(op.result)
    if dtype is not DType.f32:
        value = _shifted(body, value, float(op.rescale.zero_point))
        value = _clamped(body, value, (op.rescale.low, op.rescale.high), INTEGER_BOUNDS[dtype])
    return operands.made(body, value, op.acc, dtype)


def _shifted(body: Body, value: SSAValue, zero_point: float) -> SSAValue:
    """Rounded, plus the zero point; without one the store rounds."""
    if zero_point == 0:
        return value
    return body("addf", body("roundf", value), body.number(zero_point))


def _clamped(
    body: Body, value: SSAValue, bounds: tuple[int, int], stored: tuple[int, int]
) -> SSAValue:
    """Within ``bounds``; those that the store keeps anyway are left out."""
    if bounds[0] > stored[0]:
        value = body("maxf", value, body.number(float(bounds[0])))
    if bounds[1] < stored[1]:
        value = body("minf", value, body.number(float(bounds[1])))
    return value


def lowered_quantize(op: QuantizeOp, consts: ConstStore) -> Made:
    """x / scale, rounded, plus zero point."""
    scale, zero = scale_and_zero(op, consts)
    zero = np.asarray(zero, np.float32)
    operands = _Operands(consts, [op.x], "f", [])
    operands.add_constant(scale, "f")
    zero_position = len(operands.domains)
    operands.add_constant(zero, "f")
    body = Body(operands.domains)
    value = body("divf", body.args[0], _scalar(body, scale, 1))
    if zero.size > 1:
        value = body("addf", body("roundf", value), body.args[zero_position])
    else:
        value = _shifted(body, value, float(zero.reshape(())))
    return operands.made(body, value, op.x, dtype_of(op.result))


def lowered_dequantize(op: DequantizeOp, consts: ConstStore) -> Made:
    """(x - zero point) as float32, times scale."""
    scale, zero = scale_and_zero(op, consts)
    operands = _Operands(consts, [op.x], "i", [])
    operands.add_constant(scale, "f")
    zero_position = len(operands.domains)
    operands.add_constant(zero, "i")
    body = Body(operands.domains)
    value = body.args[0]
    if np.any(zero):
        value = body("subi", value, _scalar(body, zero, zero_position))
    value = body("mulf", body("i2f", value), _scalar(body, scale, 1))
    return operands.made(body, value, op.x, DType.f32)


class IntoGenerics(Pattern[Made]):
    """quantize, dequantize, requantize == their scalar steps."""  # code

    def match(self, op: Operation) -> Made | None:
        consts = self.ctx.consts
        if isinstance(op, RequantizeOp):
            return lowered_requantize(op, consts)
        if isinstance(op, QuantizeOp):
            return lowered_quantize(op, consts)
        return lowered_dequantize(op, consts) if isinstance(op, DequantizeOp) else None

    def rewrite(self, op: Operation, found: Made, rewriter: PatternRewriter) -> str:
        replace(rewriter, op, found)
        return f"{op.name} became a structured operation"


@dataclass(frozen=True)
class LowerQuantization(ModulePass):
    """Write all changes of precision as nn.generic."""

    name = "lower-quantization"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        apply_patterns(op, [IntoGenerics(npu_context(ctx), self.name)])
