"""lower-elementwise: functions, bounds, padding, grouped convolutions become generics.

They kept their names until here because quantisation patterns look for them.
"""

from dataclasses import dataclass

import numpy as np

from npuc.compiler.consts import ConstStore
from npuc.compiler.context import npu_context
from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.nn import ClipOp, Conv2dOp, ElementwiseOp, PadOp, Scalars
from npuc.compiler.ops.contraction import geometry_of
from npuc.compiler.ops.elementwise import FUNCTIONS, clip_body, clip_bounds
from npuc.compiler.ops.movement import make_constant, make_reshape
from npuc.compiler.ops.scalar_ops import Body
from npuc.compiler.ops.structured import (
    Made,
    Window,
    make_elementwise,
    make_padding,
    make_windows,
)
from npuc.compiler.passes.rewriting import Pattern, apply_patterns, constant_array, replace
from npuc.compiler.xdsl_api import (
    Context,
    ModuleOp,
    ModulePass,
    Operation,
    PatternRewriter,
    Region,
    SSAValue,
)
from npuc.isa.dtypes import DType


class FunctionIntoGeneric(Pattern[Region]):
    """A named function or clip == its body at each point."""

    def match(self, op: Operation) -> Region | None:
        if isinstance(op, ElementwiseOp):
            return self._with_numbers(op)
        return clip_body(*clip_bounds(op)) if isinstance(op, ClipOp) else None

    def _number(self, value: SSAValue) -> float | None:
        """The one number of a constant operand."""
        array = constant_array(value, self.ctx.consts)
        return float(array.reshape(()).item()) if array is not None and array.size == 1 else None

    def _with_numbers(self, op: ElementwiseOp) -> Region:
        """The function's body; constant operands of one number are written into it."""
        numbers = [self._number(value) for value in op.inputs]
        body = Body("f" * numbers.count(None))
        rest = iter(body.args)
        arguments = [next(rest) if n is None else body.number(n) for n in numbers]
        return body.done(FUNCTIONS[op.function.data].write(body, *arguments))

    def rewrite(self, op: Operation, found: Region, rewriter: PatternRewriter) -> str:
        result, operands = op.results[0], list(op.operands)
        if len(found.block.args) < len(operands):
            operands = [value for value in operands if self._number(value) is None]
        made = make_elementwise(operands, shape_of(result), dtype_of(result), Scalars(found))
        replace(rewriter, op, made)
        return f"{op.name} became a structured operation"


class PadIntoGeneric(Pattern[PadOp]):
    """A padding == a copy that reads its value outside the tensor."""

    def match(self, op: Operation) -> PadOp | None:
        return op if isinstance(op, PadOp) else None

    def rewrite(self, op: Operation, found: PadOp, rewriter: PatternRewriter) -> str:
        replace(rewriter, op, make_padding(found.x, found.widths, found.number))
        return "a padding became a structured operation"


class DepthwiseIntoGeneric(Pattern[Conv2dOp]):
    """A convolution with one input and one output channel per group == a reduction over windows."""

    def match(self, op: Operation) -> Conv2dOp | None:
        return op if isinstance(op, Conv2dOp) and op.group_count > 1 else None

    def check(self, found: Conv2dOp) -> str | None:
        _, _, per_group, channels = shape_of(found.w)
        if per_group != 1 or channels != found.group_count:
            return "stays a grouped convolution: it has several channels per group"
        if found.w_zero_point and self.ctx.consts.get(found.w_zero_point.data).size > 1:
            return "stays a grouped convolution: its weights have a zero point per channel"
        return None

    def rewrite(self, op: Operation, found: Conv2dOp, rewriter: PatternRewriter) -> str:
        kh, kw, _, channels = shape_of(found.w)
        weights = _reshaped(found.w, (kh, kw, channels), self.ctx.consts)
        is_float = dtype_of(found.result) is DType.f32
        is_padded = any(found.pads.get_values())
        number = float(found.pad_number) if is_float else found.pad_number
        window = Window((kh, kw), geometry_of(found), number if is_padded else None)
        scalars = _multiply_float() if is_float else self._multiply_integer(found)
        made = make_windows([found.x, weights.results[0]], window, dtype_of(found.result), scalars)
        replace(rewriter, op, Made((weights, *made.ops), made.result))
        return "a depthwise convolution became a reduction over windows"

    def _multiply_integer(self, op: Conv2dOp) -> Scalars:
        """x * w; asymmetric weights subtract both zero points at each point."""
        body = Body("ii")
        x, w = body.args
        if op.w_zero_point is not None:
            zero = self.ctx.consts.get(op.w_zero_point.data)
            assert zero.size == 1, "weights per channel are symmetric after fold-zero-points"
            x = body("subi", x, body.number(op.x_zero))
            w = body("subi", w, body.number(int(zero.reshape(()).item())))
        return Scalars(body.done(x, w), "mac8")


def _reshaped(weights: SSAValue, shape: tuple[int, ...], consts: ConstStore) -> Operation:
    array = constant_array(weights, consts)
    if array is None:
        return make_reshape(weights, shape)
    return make_constant(np.reshape(array, shape), consts)


def _multiply_float() -> Scalars:
    body = Body("ff")
    return Scalars(body.done(body("mulf", *body.args)), "sumf")


@dataclass(frozen=True)
class LowerElementwise(ModulePass):
    """Write functions, bounds and depthwise convolutions as nn.generic."""

    name = "lower-elementwise"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        npu = npu_context(ctx)
        apply_patterns(op, [FunctionIntoGeneric(npu, self.name), PadIntoGeneric(npu, self.name)])
        apply_patterns(op, [DepthwiseIntoGeneric(npu, self.name)])
