"""absorb-transposes: a transpose beside a structured operation becomes part of its index maps."""

from dataclasses import dataclass

from npuc.compiler.context import npu_context
from npuc.compiler.dialects.nn import GenericOp, TransposeOp
from npuc.compiler.passes.generic_parts import Frame, Input, Inputs, inputs_of, moved_region
from npuc.compiler.passes.rewriting import Pattern, apply_patterns, replace, single_user
from npuc.compiler.xdsl_api import (
    Context,
    ModuleOp,
    ModulePass,
    Operation,
    PatternRewriter,
)


class TransposedInput(Pattern[int]):
    """f(transpose(x, p)) at map m == f(x) at map m with its axes in the order of x."""

    def match(self, op: Operation) -> int | None:
        if not isinstance(op, GenericOp):
            return None
        positions = range(len(op.inputs))
        return next((i for i in positions if isinstance(op.inputs[i].owner, TransposeOp)), None)

    def rewrite(self, op: Operation, found: int, rewriter: PatternRewriter) -> str:
        assert isinstance(op, GenericOp)
        transpose = op.inputs[found].owner
        assert isinstance(transpose, TransposeOp)
        entries = inputs_of(op)
        forms = list(entries[found].forms)
        for axis, form in zip(transpose.permutation, entries[found].forms, strict=True):
            forms[axis] = form
        entries[found] = Input(
            transpose.x, tuple(forms), entries[found].fill, entries[found].domain
        )
        new = Frame.of(op).build(Inputs(entries), op.body.clone(), moved_region(op.epilogue))
        replace(rewriter, op, new, [transpose])
        return "a transpose of an input became part of the index map"


class TransposedResult(Pattern[GenericOp]):
    """transpose(f(x), p) == f(x) stored with its axes in the order p."""

    def match(self, op: Operation) -> GenericOp | None:
        if not isinstance(op, TransposeOp):
            return None
        owner = op.x.owner
        return owner if isinstance(owner, GenericOp) and single_user(op.x) is op else None

    def rewrite(self, op: Operation, found: GenericOp, rewriter: PatternRewriter) -> str:
        assert isinstance(op, TransposeOp)
        old = Frame.of(found)
        forms = tuple(old.result_forms[axis] for axis in op.permutation)
        frame = Frame(old.extents, old.parallel, forms, op.result.type, old.reduction)
        new = frame.build(
            Inputs(inputs_of(found)), found.body.clone(), moved_region(found.epilogue)
        )
        replace(rewriter, op, new, [found])
        return "a transpose of a result became part of the index map"


@dataclass(frozen=True)
class AbsorbTransposes(ModulePass):
    """Take transposes into neighbouring structured operations; nothing at level 0."""

    name = "absorb-transposes"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        npu = npu_context(ctx)
        if npu.options.level > 0:
            apply_patterns(op, [TransposedInput(npu, self.name), TransposedResult(npu, self.name)])
