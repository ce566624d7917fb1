"""sink-dequantize: movement and max pooling happen on integers, dequantisation after them.

Every law here is exact: a scale per tensor is positive, so that dequantisation and quantisation of
numbers keep order and place.
"""

from dataclasses import dataclass

from npuc.compiler.context import npu_context
from npuc.compiler.dialects.element_types import dtype_of, shape_of, tensor_type
from npuc.compiler.dialects.nn import (
    DequantizeOp,
    GatherOp,
    Pool2dOp,
    QuantizeOp,
    ReshapeOp,
    TransposeOp,
)
from npuc.compiler.ops.quantization import make_dequantize, make_quantize
from npuc.compiler.ops.structured import Made
from npuc.compiler.passes.rewriting import (
    Pattern,
    apply_patterns,
    rebuilt,
    replace,
    single_user,
)
from npuc.compiler.passes.simplify_movement import movement_patterns
from npuc.compiler.passes.sink_pieces import (
    ConcatOfDequantize,
    PartOfDequantize,
    PoolOfConcat,
    QuantizeOfConcat,
)
from npuc.compiler.xdsl_api import (
    Block,
    Context,
    IntegerAttr,
    ModuleOp,
    ModulePass,
    Operation,
    PatternRewriter,
    RewritePattern,
    SSAValue,
    i64,
)


class MoveBeforeDequantize(Pattern[DequantizeOp]):
    """move(dequantize(q)) == dequantize(move(q)): reshape, transpose, gather of rows, max pooling.

    A scale per channel follows its axis through a transpose. Rows that are gathered must exist, as
    importers see to: others are 0 before the dequantisation, not after it.
    """

    def match(self, op: Operation) -> DequantizeOp | None:
        is_max_pool = isinstance(op, Pool2dOp) and op.kind.data == "max"
        if not (is_max_pool or isinstance(op, ReshapeOp | TransposeOp | GatherOp)):
            return None
        owner = op.operands[0].owner
        if not isinstance(owner, DequantizeOp):
            return None
        has_axis = owner.axis_number is not None
        return None if has_axis and not isinstance(op, TransposeOp) else owner

    def rewrite(self, op: Operation, found: DequantizeOp, rewriter: PatternRewriter) -> str:
        moved_type = tensor_type(dtype_of(found.x), shape_of(op.results[0]))
        moved = rebuilt(op, [found.x, *op.operands[1:]], moved_type, op.properties)
        properties = dict(found.properties)
        if isinstance(op, TransposeOp) and found.axis_number is not None:
            axis = op.permutation.index(found.axis_number % len(op.permutation))
            properties["axis"] = IntegerAttr(axis, i64)
        after = make_dequantize(moved.results[0], properties)
        moved.location, after.location = op.location, found.location
        replace(rewriter, op, Made((moved, after), after.result))
        return f"{op.name} moved before a dequantisation"


class QuantizeOfDequantize(Pattern[DequantizeOp]):
    """quantize(dequantize(q)) == q under one scale and zero point of the whole tensor."""

    def match(self, op: Operation) -> DequantizeOp | None:
        if not isinstance(op, QuantizeOp) or op.axis_number is not None:
            return None
        owner = op.x.owner
        if not isinstance(owner, DequantizeOp) or owner.x.type != op.result.type:
            return None
        return owner if owner.properties == op.properties else None

    def rewrite(self, op: Operation, found: DequantizeOp, rewriter: PatternRewriter) -> str:
        rewriter.replace(op, [], [found.x])
        return "a dequantisation and the same quantisation cancelled"


def _origin(value: SSAValue) -> SSAValue:
    """What ``value`` is a view or a transpose of."""
    while isinstance(value.owner, ReshapeOp | TransposeOp):
        value = value.owner.x
    return value


class QuantizeBeforeMove(Pattern[Pool2dOp | ReshapeOp]):
    """quantize(move(x)) == move(quantize(x)) for max pooling and reshapes.

    Whoever makes x hands on integers. Not for inputs of the model, which come as they are, nor for
    dequantised tensors: there the movement goes first.
    """

    def match(self, op: Operation) -> Pool2dOp | ReshapeOp | None:
        if not isinstance(op, QuantizeOp) or op.axis_number is not None:
            return None
        move = op.x.owner
        if not isinstance(move, Pool2dOp | ReshapeOp) or single_user(op.x) is not op:
            return None
        if isinstance(move, Pool2dOp) and move.kind.data != "max":
            return None
        source = _origin(move.x) if isinstance(move, Pool2dOp) else move.x
        return None if isinstance(source.owner, Block | DequantizeOp) else move

    def rewrite(self, op: Operation, found: Pool2dOp | ReshapeOp, rewriter: PatternRewriter) -> str:
        result_type = op.results[0].type
        before = make_quantize(found.x, dict(op.properties), dtype_of(op.results[0]))
        moved = rebuilt(found, [before.result], result_type, found.properties)
        before.location, moved.location = op.location, found.location
        replace(rewriter, op, Made((before, moved), moved.results[0]))
        return f"a quantisation moved before {found.name}"


@dataclass(frozen=True)
class SinkDequantize(ModulePass):
    """Move dequantisation below movement, quantisation above; cancel them where they are equal."""

    name = "sink-dequantize"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        npu = npu_context(ctx)
        patterns: list[RewritePattern] = [
            MoveBeforeDequantize(npu, self.name),
            QuantizeOfDequantize(npu, self.name),
            QuantizeBeforeMove(npu, self.name),
            PartOfDequantize(npu, self.name),
            ConcatOfDequantize(npu, self.name),
            QuantizeOfConcat(npu, self.name),
            PoolOfConcat(npu, self.name),  # after concat-of-dequantize: one scale keeps one pool
            *movement_patterns(npu, self.name),
        ]
        apply_patterns(op, patterns)
