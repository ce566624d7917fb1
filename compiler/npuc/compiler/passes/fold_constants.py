"""fold-constants: operations of constants alone become constants.

In normalise quantised weights stay visible (``keep_quantized``); after quantize nothing is kept.
"""

from dataclasses import dataclass

from npuc.compiler.context import npu_context
from npuc.compiler.dialects.nn import ConstantOp, DequantizeOp, QuantizeOp
from npuc.compiler.ops import has_interface, reference
from npuc.compiler.ops.interface import Array
from npuc.compiler.ops.movement import make_constant
from npuc.compiler.passes.rewriting import Pattern, apply_patterns, constant_array, replace
from npuc.compiler.xdsl_api import Context, ModuleOp, ModulePass, Operation, PatternRewriter


class FoldOfConstants(Pattern[list[Array]]):
    """op(constants) == constant, by the reference of op."""  # code

    keep_quantized = True

    def match(self, op: Operation) -> list[Array] | None:
        if not has_interface(op) or isinstance(op, ConstantOp) or not op.operands:
            return None
        if self.keep_quantized and isinstance(op, DequantizeOp | QuantizeOp):
            return None
        arrays = [constant_array(value, self.ctx.consts) for value in op.operands]
        known = [array for array in arrays if array is not None]
        return known if len(known) == len(arrays) else None

    def rewrite(self, op: Operation, found: list[Array], rewriter: PatternRewriter) -> str:
        (value,) = reference(op, found, self.ctx.consts)
        replace(rewriter, op, make_constant(value, self.ctx.consts))
        return f"{op.name} of constants is a constant"


@dataclass(frozen=True)
class FoldConstants(ModulePass):
    """Evaluate what does not depend on any input."""

    name = "fold-constants"
    keep_quantized: bool = True

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        pattern = FoldOfConstants(npu_context(ctx), self.name)
        pattern.keep_quantized = self.keep_quantized
        apply_patterns(op, [pattern])
