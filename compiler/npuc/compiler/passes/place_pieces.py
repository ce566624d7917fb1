"""place-pieces: slices and concatenations become views; where they cannot, a copy is inserted.

After this pass every nn.concat has pieces that are written where they belong, and every nn.reshape
and nn.slice shows bytes that lie there already: ``analysis/layouts.py`` says where.
"""

from dataclasses import dataclass

from npuc.compiler.analysis.layouts import layouts_of
from npuc.compiler.context import npu_context
from npuc.compiler.dialects.element_types import shape_of
from npuc.compiler.dialects.nn import ConcatOp, ReshapeOp, SliceOp
from npuc.compiler.interpreter import graph_of
from npuc.compiler.locations import node_names
from npuc.compiler.ops.movement import make_reshape
from npuc.compiler.ops.pieces import make_axis_slice, make_concat
from npuc.compiler.ops.structured import MAX_PARALLEL, Made, make_copy
from npuc.compiler.passes.rewriting import Pattern, apply_patterns, replace
from npuc.compiler.xdsl_api import (
    Context,
    ModuleOp,
    ModulePass,
    Operation,
    PatternRewriter,
    SSAValue,
)


def _flat(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """``shape`` as (before, axis, after)."""
    sizes = [1, shape[axis], 1]
    for position, size in enumerate(shape):
        if position != axis:
            sizes[0 if position < axis else 2] *= size
    return sizes[0], sizes[1], sizes[2]


class FlatConcat(Pattern[ConcatOp]):
    """concat along one axis == concat of three axes, those before and after it as one."""

    def match(self, op: Operation) -> ConcatOp | None:
        is_deep = isinstance(op, ConcatOp) and len(shape_of(op.result)) > MAX_PARALLEL
        return op if is_deep else None  # type: ignore[return-value]  # is_deep says it

    def rewrite(self, op: Operation, found: ConcatOp, rewriter: PatternRewriter) -> str:
        axis = found.axis_number
        pieces = [make_reshape(p, _flat(shape_of(p), axis)) for p in found.pieces]
        flat = make_concat([piece.result for piece in pieces], 1)
        whole = make_reshape(flat.result, shape_of(found.result))
        replace(rewriter, op, Made((*pieces, flat, whole), whole.result))
        return "a concatenation of many axes became one of three"


class FlatSlice(Pattern[SliceOp]):
    """slice of several axes == slices of one each; of three axes, those beside it as one."""

    def match(self, op: Operation) -> SliceOp | None:
        is_deep = isinstance(op, SliceOp) and len(shape_of(op.result)) > MAX_PARALLEL
        return op if is_deep else None  # type: ignore[return-value]  # is_deep says it

    def rewrite(self, op: Operation, found: SliceOp, rewriter: PatternRewriter) -> str:
        ops: list[Operation] = []
        value: SSAValue = found.x
        rows = zip(*found.places, shape_of(found.result), strict=True)
        for axis, (start, step, size) in enumerate(rows):
            shape = shape_of(value)
            if shape[axis] == size:
                continue
            flat = make_reshape(value, _flat(shape, axis))
            part = make_axis_slice(flat.result, 1, (start, size, step))
            back = make_reshape(part.result, (*shape[:axis], size, *shape[axis + 1 :]))
            ops += [flat, part, back]
            value = back.result
        replace(rewriter, op, Made(tuple(ops), value))
        return "a slice of many axes became slices of three"


@dataclass(frozen=True)
class PlacePieces(ModulePass):
    """Insert the copies without which slices and concatenations could not be views."""

    name = "place-pieces"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        npu, graph = npu_context(ctx), graph_of(op)
        apply_patterns(op, [FlatConcat(npu, self.name), FlatSlice(npu, self.name)])
        while copies := layouts_of(graph).copies:
            for user, index in dict.fromkeys(copies):
                self._copy(user, index)
                what = "piece" if isinstance(user, ConcatOp) else "view"
                npu.remarks.missed(self.name, f"a {what} is copied", node_names(user))
        n_views = sum(isinstance(o, ConcatOp | SliceOp) for o in graph.block.ops)
        npu.remarks.note(self.name, "pieces are views", views=n_views)

    def _copy(self, user: Operation, index: int) -> None:
        value = user.operands[index]
        assert isinstance(user, ConcatOp | ReshapeOp)
        made = make_copy(value)
        block = user.parent
        assert block is not None
        for new in made.ops:
            new.location = user.location
            block.insert_op_before(new, user)
        user.operands[index] = made.result
