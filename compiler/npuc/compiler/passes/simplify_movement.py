"""Patterns that make reshapes and transposes fewer; used by every pass that moves them."""

from typing import cast

from npuc.compiler.context import NpuContext
from npuc.compiler.dialects.element_types import shape_of
from npuc.compiler.dialects.nn import ReshapeOp, TransposeOp
from npuc.compiler.ops.movement import make_reshape, make_transpose
from npuc.compiler.passes.rewriting import Pattern, replace
from npuc.compiler.xdsl_api import Operation, PatternRewriter, RewritePattern


class TransposeOfTranspose(Pattern[TransposeOp]):
    """transpose(transpose(x, p), q) == transpose(x, p[q])."""

    def match(self, op: Operation) -> TransposeOp | None:
        if not isinstance(op, TransposeOp):
            return None
        inner = op.x.owner
        return inner if isinstance(inner, TransposeOp) else None

    def rewrite(self, op: Operation, found: TransposeOp, rewriter: PatternRewriter) -> str:
        outer = cast(TransposeOp, op)
        perm = [found.permutation[axis] for axis in outer.permutation]
        replace(rewriter, op, make_transpose(found.x, perm), [found])
        return "two transposes became one"


class TransposeOfUnitAxes(Pattern[TransposeOp]):
    """A transpose that keeps the order of all axes larger than 1 is a reshape."""

    def match(self, op: Operation) -> TransposeOp | None:
        if not isinstance(op, TransposeOp):
            return None
        shape = shape_of(op.x)
        moved = [axis for axis in op.permutation if shape[axis] > 1]
        return op if moved == sorted(moved) else None

    def rewrite(self, op: Operation, found: TransposeOp, rewriter: PatternRewriter) -> str:
        replace(rewriter, op, make_reshape(found.x, shape_of(found.result)))
        return "a transpose moves axes of size 1 alone: it became a view"


class ReshapeOfReshape(Pattern[ReshapeOp]):
    """reshape(reshape(x)) == reshape(x)."""

    def match(self, op: Operation) -> ReshapeOp | None:
        if not isinstance(op, ReshapeOp):
            return None
        inner = op.x.owner
        return inner if isinstance(inner, ReshapeOp) else None

    def rewrite(self, op: Operation, found: ReshapeOp, rewriter: PatternRewriter) -> str:
        replace(rewriter, op, make_reshape(found.x, shape_of(cast(ReshapeOp, op).result)), [found])
        return "two views became one"


class ReshapeToItself(Pattern[ReshapeOp]):
    """reshape(x) == x when the shapes are equal."""

    def match(self, op: Operation) -> ReshapeOp | None:
        return op if isinstance(op, ReshapeOp) and op.x.type == op.result.type else None

    def rewrite(self, op: Operation, found: ReshapeOp, rewriter: PatternRewriter) -> str:
        rewriter.replace(op, [], [found.x])
        return "a view of equal shape vanished"


def movement_patterns(ctx: NpuContext, source: str) -> list[RewritePattern]:
    """All patterns of this file."""
    kinds = (TransposeOfUnitAxes, TransposeOfTranspose, ReshapeOfReshape, ReshapeToItself)
    return [kind(ctx, source) for kind in kinds]
