"""split-groups: a grouped convolution becomes one convolution per group, side by side.

Each reads its slice of the channels and writes its piece of the result; both are views. Elementwise
work behind it is done piece by piece, so that it stays the epilogue of each convolution. Depthwise
convolutions are left to lower-elementwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced

import numpy as np

from npuc.compiler.consts import ConstStore
from npuc.compiler.context import npu_context
from npuc.compiler.dialects.element_types import dtype_of, shape_of, tensor_type
from npuc.compiler.dialects.nn import (
    ClipOp,
    ConcatOp,
    Conv2dOp,
    ElementwiseOp,
    RequantizeOp,
)
from npuc.compiler.ops.contraction import ZeroPoints, geometry_of, make_conv2d
from npuc.compiler.ops.elementwise import clip_bounds, make_function
from npuc.compiler.ops.movement import make_constant
from npuc.compiler.ops.pieces import make_axis_slice, make_concat
from npuc.compiler.ops.structured import Made
from npuc.compiler.passes.rewriting import Pattern, apply_patterns, constant_array, replace
from npuc.compiler.xdsl_api import (
    Context,
    ModuleOp,
    ModulePass,
    Operation,
    PatternRewriter,
    SSAValue,
)


def is_depthwise(conv: Conv2dOp) -> bool:
    """Whether every group has one input and one output channel."""
    _, _, inputs, outputs = shape_of(conv.w)
    return inputs == 1 and outputs == conv.group_count


@dataclass
class _Parts:
    """Cuts values along their last axis; what it makes for that goes to ``ops``."""

    consts: ConstStore
    ops: list[Operation]

    def cut(self, value: SSAValue, place: tuple[int, int], whole: int) -> SSAValue:
        """Start and size of a value whose last axis has ``whole`` elements; others as they are."""
        shape = shape_of(value)
        if not shape or shape[-1] != whole:
            return value
        start, size = place
        array = constant_array(value, self.consts)
        made: Operation
        if array is not None:
            part = np.ascontiguousarray(array[..., start : start + size])
            made = make_constant(part, self.consts)
        else:
            made = make_axis_slice(value, len(shape) - 1, (start, size, 1))
        self.ops.append(made)
        return made.results[0]

    def key(self, key: str, place: tuple[int, int]) -> str:
        """The key of the part of a stored vector; one number is itself."""
        array = self.consts.get(key)
        if array.size == 1:
            return key
        return self.consts.put(array.reshape(-1)[place[0] : sum(place)])


class GroupsSideBySide(Pattern[Conv2dOp]):
    """conv of g groups == concat of g convolutions of slices."""

    def match(self, op: Operation) -> Conv2dOp | None:
        if not isinstance(op, Conv2dOp) or op.group_count == 1 or is_depthwise(op):
            return None
        return op

    def rewrite(self, op: Operation, found: Conv2dOp, rewriter: PatternRewriter) -> str:
        count, parts = found.group_count, _Parts(self.ctx.consts, [])
        channels, outputs = shape_of(found.x)[3], shape_of(found.w)[3]
        geometry = replaced(geometry_of(found), groups=1)
        pieces: list[SSAValue] = []
        for group in range(count):
            inside = (group * channels // count, channels // count)
            outside = (group * outputs // count, outputs // count)
            x = parts.cut(found.x, inside, channels)
            w = parts.cut(found.w, outside, outputs)
            key = found.w_zero_point
            second = parts.key(key.data, outside) if key is not None else None
            conv = make_conv2d(x, w, geometry, ZeroPoints(found.x_zero, second))
            if found.pad_value is not None:
                conv.pad_value = found.pad_value
            parts.ops.append(conv)
            pieces.append(conv.result)
        whole = make_concat(pieces, 3)
        replace(rewriter, op, Made((*parts.ops, whole), whole.result))
        return f"a convolution of {count} groups became as many, each writing its piece"


class WorkInPieces(Pattern[ConcatOp]):
    """f(concat(conv, conv), c) == concat(f(conv, part of c), f(conv, part of c)), f elementwise."""

    def match(self, op: Operation) -> ConcatOp | None:
        if not isinstance(op, RequantizeOp | ElementwiseOp | ClipOp):
            return None
        found = [value.owner for value in op.operands if _is_side_by_side(value)]
        owner = found[0] if found else None
        if not isinstance(owner, ConcatOp) or shape_of(owner.result) != shape_of(op.results[0]):
            return None
        return owner

    def rewrite(self, op: Operation, found: ConcatOp, rewriter: PatternRewriter) -> str:
        whole, start = shape_of(found.result)[-1], 0
        parts, pieces = _Parts(self.ctx.consts, []), []
        for piece in found.pieces:
            place = (start, shape_of(piece)[-1])
            start += place[1]
            operands = [
                piece if value is found.result else parts.cut(value, place, whole)
                for value in op.operands
            ]
            made = _on(op, operands, place, parts)
            parts.ops.append(made)
            pieces.append(made.results[0])
        joined = make_concat(pieces, found.axis_number)
        replace(rewriter, op, Made((*parts.ops, joined), joined.result), [found])
        return f"{op.name} is done piece by piece"


def _is_side_by_side(value: SSAValue) -> bool:
    """Whether ``value`` is made by groups side by side, perhaps with work behind each."""
    owner = value.owner
    if not isinstance(owner, ConcatOp) or len(list(value.uses)) != 1:
        return False
    is_last = owner.axis_number == len(shape_of(value)) - 1
    kinds = Conv2dOp | RequantizeOp | ElementwiseOp | ClipOp
    work = all(isinstance(p.owner, kinds) and len(list(p.uses)) == 1 for p in owner.pieces)
    return is_last and work and len(shape_of(value)) == 4


def _on(
    op: Operation, operands: Sequence[SSAValue], place: tuple[int, int], parts: _Parts
) -> Operation:
    """``op`` on a piece."""
    if isinstance(op, ClipOp):
        return ClipOp(operands[0], *clip_bounds(op))
    if isinstance(op, ElementwiseOp):
        return make_function(op.function.data, operands)
    assert isinstance(op, RequantizeOp)
    rescale = replaced(op.rescale, scale=parts.key(op.rescale.scale, place))
    bias = operands[1] if len(operands) > 1 else None
    result = tensor_type(dtype_of(op.result), shape_of(operands[0]))
    return RequantizeOp(operands[0], bias, rescale, result)


@dataclass(frozen=True)
class SplitGroups(ModulePass):
    """Write grouped convolutions as convolutions side by side."""

    name = "split-groups"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        npu = npu_context(ctx)
        split = GroupsSideBySide(npu, self.name)
        if any(split.match(inner) for inner in op.walk()):
            apply_patterns(op, [split])
            apply_patterns(op, [WorkInPieces(npu, self.name)])
