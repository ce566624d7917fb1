"""Patterns for transposes that meet reshapes: what an export makes of shuffled channels or heads.

A reshape that splits and joins axes only changes how the elements are counted: the transposes on
its two sides can act as one on the finest axes that both sides know.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import cast

from npuc.compiler.dialects.element_types import shape_of
from npuc.compiler.dialects.nn import ReshapeOp, TransposeOp
from npuc.compiler.ops.movement import make_reshape, make_transpose
from npuc.compiler.ops.structured import MAX_PARALLEL, Made
from npuc.compiler.passes.rewriting import Pattern, replace, single_user
from npuc.compiler.xdsl_api import Operation, PatternRewriter, SSAValue

Shape = tuple[int, ...]
Groups = list[list[int]]


@dataclass(frozen=True)
class _Sandwich:
    """outer(reshape(inner(x))) as one transpose ``perm`` of x with axes ``fine``."""

    inner: TransposeOp
    reshape: ReshapeOp
    fine: Shape
    perm: tuple[int, ...]


class TransposesAroundReshape(Pattern[_Sandwich]):
    """transpose(reshape(transpose(x))) == reshape(transpose(reshape(x)))."""

    def match(self, op: Operation) -> _Sandwich | None:
        if not isinstance(op, TransposeOp) or not isinstance(op.x.owner, ReshapeOp):
            return None
        reshape = op.x.owner
        inner = reshape.x.owner
        if not isinstance(inner, TransposeOp):
            return None
        if single_user(inner.result) is None or single_user(reshape.result) is None:
            return None  # the transposes would stay for the other users
        found = _sandwich(op, reshape, inner)
        ranks = (len(op.permutation), len(inner.permutation))
        if found is None or len(_moving(found.fine, found.perm)) > max(MAX_PARALLEL, *ranks):
            return None  # two transposes that the machine has are better than one that it has not
        return found

    def rewrite(self, op: Operation, found: _Sandwich, rewriter: PatternRewriter) -> str:
        result = shape_of(cast(TransposeOp, op).result)
        made = _between_views(found.inner.x, found.fine, found.perm, result)
        replace(rewriter, op, made, [found.inner, found.reshape])
        return "the transposes on both sides of a reshape became one"


class TransposeOfJoinedAxes(Pattern[Shape]):
    """A transpose of more axes than the machine has: axes that stay neighbours move as one."""

    def match(self, op: Operation) -> Shape | None:
        if not isinstance(op, TransposeOp) or len(op.permutation) <= MAX_PARALLEL:
            return None
        shape = shape_of(op.x)
        starts = _moving(shape, op.permutation)
        return starts if 0 < len(starts) < len(op.permutation) else None

    def rewrite(self, op: Operation, found: Shape, rewriter: PatternRewriter) -> str:
        transpose = cast(TransposeOp, op)
        shape, order = shape_of(transpose.x), sorted(found)
        bounds = [*order, len(shape)]
        bounds[0] = 0
        sizes = tuple(prod(shape[first:stop]) for first, stop in pairwise(bounds))
        perm = tuple(order.index(axis) for axis in found)
        made = _between_views(transpose.x, sizes, perm, shape_of(transpose.result))
        replace(rewriter, op, made)
        return "axes that move together are one axis of a transpose"


def _moving(shape: Shape, perm: tuple[int, ...]) -> Shape:
    """The first axes, in their new order, of the runs of axes that stay neighbours."""
    moved = [axis for axis in perm if shape[axis] > 1]
    following = dict(pairwise(sorted(moved)))  # axes of size 1 go anywhere
    starts = [axis for before, axis in pairwise(moved) if following.get(before) != axis]
    return (*moved[:1], *starts)


def _between_views(x: SSAValue, sizes: Shape, perm: tuple[int, ...], result: Shape) -> Made:
    split = make_reshape(x, sizes)
    moved = make_transpose(split.result, perm)
    joined = make_reshape(moved.result, result)
    return Made((split, moved, joined), joined.result)


def _sandwich(outer: TransposeOp, reshape: ReshapeOp, inner: TransposeOp) -> _Sandwich | None:
    before, after = shape_of(reshape.x), shape_of(reshape.result)
    sizes = common_axes(before, after)
    if sizes is None:
        return None
    parts_before, parts_after = axis_parts(before, sizes), axis_parts(after, sizes)
    source = [part for axis in _inverse(inner.permutation) for part in parts_before[axis]]
    target = [part for axis in outer.permutation for part in parts_after[axis]]
    perm = tuple(source.index(part) for part in target)
    return _Sandwich(inner, reshape, tuple(sizes[part] for part in source), perm)


def common_axes(before: Shape, after: Shape) -> Shape | None:
    """The sizes of the coarsest axes that both shapes are made of, or None where there are none.

    (112, 56) and (4, 28, 56) are made of (4, 28, 56); (6, 4) and (8, 3) of nothing coarser than
    single elements in another grid.
    """
    ends = {prod(shape[: i + 1]) for shape in (before, after) for i in range(len(shape))}
    cuts = sorted(ends | {1})
    if 0 in ends or any(high % low for low, high in pairwise(cuts)):
        return None
    return tuple(high // low for low, high in pairwise(cuts))


def axis_parts(shape: Shape, sizes: Shape) -> Groups:
    """For each axis of ``shape`` the numbers of the axes ``sizes`` that make it."""
    groups: Groups = []
    first = 0
    for size in shape:
        stop, covered = first, 1
        while covered < size:
            covered *= sizes[stop]
            stop += 1
        groups.append(list(range(first, stop)))
        first = stop
    return groups


def _inverse(perm: tuple[int, ...]) -> list[int]:
    return [perm.index(axis) for axis in range(len(perm))]
