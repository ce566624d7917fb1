"""absorb-shuffles: a dimension is split so that the transpose of a channel shuffle can be absorbed.

An export of a channel shuffle is reshape, transpose, reshape. The last reshape joins what the
transpose has moved apart, so the structured operation behind it has one dimension where the source
has two. With that dimension split, the transpose stands next to the operation. The reshape that
joins the result again would keep generics apart: therefore this comes after compose-generics.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from npuc.compiler.consts import ConstStore
from npuc.compiler.context import npu_context
from npuc.compiler.dialects.element_types import dtype_of, shape_of, tensor_type
from npuc.compiler.dialects.index_forms import constant_form, dim_form
from npuc.compiler.dialects.nn import ConstantOp, GenericOp, ReshapeOp, TransposeOp
from npuc.compiler.ops.movement import make_constant, make_reshape
from npuc.compiler.ops.structured import MAX_PARALLEL, Made
from npuc.compiler.passes.generic_parts import (
    Forms,
    Frame,
    Input,
    Inputs,
    inputs_of,
    moved_region,
    substituted,
)
from npuc.compiler.passes.rewriting import Pattern, apply_patterns, replace
from npuc.compiler.passes.transposes.absorb_transposes import TransposedInput
from npuc.compiler.passes.transposes.around_reshapes import axis_parts, common_axes
from npuc.compiler.xdsl_api import Context, ModuleOp, ModulePass, Operation, PatternRewriter

Shape = tuple[int, ...]


@dataclass(frozen=True)
class _Split:
    """Dimension ``dim`` of ``op`` as one for each of ``sizes``, outermost first.

    ``order`` numbers these parts in the order in which they become loops. ``reshape`` joins them.
    Parallel dimensions of extent 1 go.
    """

    op: GenericOp
    reshape: ReshapeOp
    dim: int
    sizes: Shape
    order: Shape

    @property
    def loops(self) -> list[tuple[int, int]]:
        """The new dimensions as (old dimension, part of it)."""
        space = self.op.space
        kept = [d for d, n in enumerate(space.extents) if n > 1 or d >= space.parallel]
        rows = ([(d, p) for p in self.order] if d == self.dim else [(d, 0)] for d in kept)
        return list(chain(*rows))

    @property
    def extents(self) -> Shape:
        """The new iteration space."""
        of_dim = self.op.space.extents
        return tuple(self.sizes[p] if d == self.dim else of_dim[d] for d, p in self.loops)

    @property
    def parallel(self) -> int:
        """How many of its dimensions are parallel."""
        return sum(d < self.op.space.parallel for d, _ in self.loops)

    @property
    def parts(self) -> Forms:
        """The index of each part."""
        loops = self.loops
        numbers = range(len(self.sizes))
        return tuple(dim_form(len(loops), loops.index((self.dim, p))) for p in numbers)

    def forms(self, forms: Forms) -> Forms:
        """``forms`` over the new space; an axis that ``dim`` indexes is one for each part."""
        loops = self.loops
        of_dim = {d: dim_form(len(loops), at) for at, (d, _) in enumerate(loops)}
        rows = (
            self.parts if f.single_dim == self.dim else substituted((f,), len(loops), of_dim)
            for f in forms
        )
        return tuple(chain(*rows))

    def shape(self, shape: Shape, forms: Forms) -> Shape:
        """``shape`` with the axis that ``dim`` indexes as ``sizes``."""
        rows = zip(shape, forms, strict=True)
        return tuple(chain(*(self.sizes if f.single_dim == self.dim else (n,) for n, f in rows)))


class ShuffledInput(Pattern[_Split]):
    """f(reshape(transpose(x))) == f(transpose(x)) with a dimension split that the reshape joins."""

    def match(self, op: Operation) -> _Split | None:
        return next(_splits(op), None) if isinstance(op, GenericOp) else None

    def check(self, found: _Split) -> str | None:
        if found.parallel <= MAX_PARALLEL:
            return None
        return (
            f"a shuffle of axes is copied: taken in, it makes {found.parallel} parallel"
            f" dimensions; the vector engine has {MAX_PARALLEL}"
        )

    def rewrite(self, op: Operation, found: _Split, rewriter: PatternRewriter) -> str:
        before = Frame.of(found.op)
        made: list[Operation] = []
        inputs = Inputs([_input(found, e, self.ctx.consts, made) for e in inputs_of(found.op)])
        forms = found.forms(before.result_forms)
        shape = found.shape(shape_of(found.op.result), before.result_forms)
        rows = [(n, form) for n, form in zip(shape, forms, strict=True) if form.dims]
        result = tensor_type(dtype_of(found.op.result), [n for n, _ in rows])
        kept = tuple(form for _, form in rows)
        frame = Frame(found.extents, found.parallel, kept, result, before.reduction)
        new = frame.build(inputs, found.op.body.clone(), moved_region(found.op.epilogue))
        whole = make_reshape(new.result, shape_of(found.op.result))
        replace(rewriter, op, Made((*made, new, whole), whole.result), [found.reshape])
        return "a dimension was split so that a shuffle of axes can be taken in"


def _input(split: _Split, entry: Input, consts: ConstStore, made: list[Operation]) -> Input:
    """The operand of the split operation; what makes it goes to ``made``.

    A constant is stored in the order in which the loops read it.
    """
    value, forms = entry.value, split.forms(entry.forms)
    shape = split.shape(shape_of(value), entry.forms)
    if value.owner is split.reshape:
        value, forms = split.reshape.x, _source_forms(split, shape, forms)
    elif shape != shape_of(value) and isinstance(value.owner, ConstantOp):
        array = consts.get(value.owner.key.data).reshape(shape)
        order = sorted(range(len(shape)), key=lambda axis: max(forms[axis].dims, default=-1))
        made.append(make_constant(array.transpose(order).copy(), consts))
        value, forms = made[-1].results[0], tuple(forms[axis] for axis in order)
    elif shape != shape_of(value):
        made.append(make_reshape(value, shape))
        value = made[-1].results[0]
    return Input(value, forms, entry.fill, entry.domain)


def _source_forms(split: _Split, shape: Shape, forms: Forms) -> Forms:
    """``forms`` of the axes of ``shape``, for the same axes as ``split.reshape`` finds them."""
    moving = iter(form for form, n in zip(forms, shape, strict=True) if n > 1)
    still = constant_form(len(split.loops))
    return tuple(next(moving) if n > 1 else still for n in shape_of(split.reshape.x))


def _splits(op: GenericOp) -> Iterator[_Split]:
    for reshape in dict.fromkeys(entry.value.owner for entry in inputs_of(op)):
        if isinstance(reshape, ReshapeOp) and isinstance(reshape.x.owner, TransposeOp):
            found = _split(op, reshape, reshape.x.owner.permutation)
            if found is not None and _is_plain(op, found.dim):
                yield found


def _split(op: GenericOp, reshape: ReshapeOp, perm: Shape) -> _Split | None:
    """The split that ``reshape`` of a transpose by ``perm`` asks for, if it joins one dimension.

    Whoever reads the joined axis reads it by that dimension.
    """
    fine, coarse = shape_of(reshape.x), shape_of(reshape.result)
    sizes = tuple(n for n in fine if n > 1)
    if common_axes(fine, coarse) != sizes:
        return None  # it splits axes
    readings = [entry.forms for entry in inputs_of(op) if entry.value.owner is reshape]
    single = [form for forms in readings for form, n in zip(forms, coarse, strict=True) if n == 1]
    if any(form.bounds(op.space.extents) != (0, 0) for form in single):
        return None  # such an axis has padding
    parts = axis_parts(coarse, sizes)
    joined = [axis for axis, group in enumerate(parts) if len(group) > 1]
    dims = {forms[joined[0]].single_dim for forms in readings} if len(joined) == 1 else {None}
    dim = dims.pop()
    if dim is None or dims:
        return None
    source = [perm[k] for k, n in enumerate(fine) if n > 1]
    group = parts[joined[0]]
    order = sorted(range(len(group)), key=lambda p: source[group[p]])
    return _Split(op, reshape, dim, tuple(sizes[p] for p in group), tuple(order))


def _is_plain(op: GenericOp, dim: int) -> bool:
    """Whether ``dim`` is parallel and only ever indexes whole axes, alone."""
    space = op.space
    rows = zip(space.forms, (*op.inputs, op.result), strict=True)
    return dim < space.parallel and all(
        form.single_dim == dim and n == space.extents[dim]
        for forms, value in rows
        for form, n in zip(forms, shape_of(value), strict=True)
        if dim in form.dims
    )


@dataclass(frozen=True)
class AbsorbShuffles(ModulePass):
    """Take shuffles of axes into the operations that read them; nothing at level 0."""

    name = "absorb-shuffles"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        npu = npu_context(ctx)
        if npu.options.level > 0:
            apply_patterns(op, [ShuffledInput(npu, self.name), TransposedInput(npu, self.name)])
