"""Patterns that move transposes and dequantisation below slices, paddings and concatenations.

Used by sink-transposes and sink-dequantize; every law here is exact.
"""

from dataclasses import dataclass

import numpy as np

from npuc.compiler.consts import ConstStore
from npuc.compiler.dialects.element_types import dtype_of, shape_of, tensor_type
from npuc.compiler.dialects.nn import (
    ConcatOp,
    ConstantOp,
    DequantizeOp,
    PadOp,
    Pool2dOp,
    QuantizeOp,
    SliceOp,
    TransposeOp,
)
from npuc.compiler.ops.movement import make_constant, make_transpose
from npuc.compiler.ops.pieces import make_concat, make_pad, make_slice
from npuc.compiler.ops.quantization import make_dequantize, make_quantize
from npuc.compiler.ops.structured import Made
from npuc.compiler.passes.rewriting import (
    Pattern,
    constant_array,
    rebuilt,
    replace,
    single_user,
)
from npuc.compiler.xdsl_api import Operation, PatternRewriter, SSAValue

CHANNELS = 3  # of NHWC


def _inverse(perm: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(perm)), key=lambda axis: perm[axis]))


class PartOfTranspose(Pattern[TransposeOp]):
    """slice(transpose(x)) == transpose(slice(x)), and so for padding."""

    def match(self, op: Operation) -> TransposeOp | None:
        if not isinstance(op, SliceOp | PadOp):
            return None
        owner = op.x.owner
        return owner if isinstance(owner, TransposeOp) else None

    def rewrite(self, op: Operation, found: TransposeOp, rewriter: PatternRewriter) -> str:
        assert isinstance(op, SliceOp | PadOp)
        back = _inverse(found.permutation)
        first, second = op.places if isinstance(op, SliceOp) else op.widths
        places = ([first[axis] for axis in back], [second[axis] for axis in back])
        made: Operation
        if isinstance(op, SliceOp):
            sizes = shape_of(op.result)
            made = make_slice(found.x, places, [sizes[axis] for axis in back])
        else:
            made = make_pad(found.x, places, op.number)
        after = make_transpose(made.results[0], found.permutation)
        replace(rewriter, op, Made((made, after), after.result))
        return f"a transpose moved below {op.name}"


@dataclass(frozen=True)
class _Transposed:
    perm: tuple[int, ...]
    has_strangers: bool


class ConcatOfTransposes(Pattern[_Transposed]):
    """concat(transpose(x, p), transpose(y, p), c) == transpose(concat(x, y, p^-1 c), p)."""

    def match(self, op: Operation) -> _Transposed | None:
        if not isinstance(op, ConcatOp):
            return None
        owners = [piece.owner for piece in op.pieces]
        perms = {o.permutation for o in owners if isinstance(o, TransposeOp)}
        if not perms:
            return None
        strangers = [o for o in owners if not isinstance(o, TransposeOp | ConstantOp)]
        return _Transposed(min(perms), bool(strangers) or len(perms) > 1)

    def check(self, found: _Transposed) -> str | None:
        if found.has_strangers:
            return "transposes stay: the pieces have different ones"
        return None

    def rewrite(self, op: Operation, found: _Transposed, rewriter: PatternRewriter) -> str:
        assert isinstance(op, ConcatOp)
        ops: list[Operation] = []
        pieces = [_before(piece, found.perm, self.ctx.consts, ops) for piece in op.pieces]
        whole = make_concat(pieces, found.perm[op.axis_number])
        after = make_transpose(whole.result, found.perm)
        replace(rewriter, op, Made((*ops, whole, after), after.result))
        return "transposes moved below a concatenation"


def _before(
    piece: SSAValue, perm: tuple[int, ...], consts: ConstStore, ops: list[Operation]
) -> SSAValue:
    """What gives ``piece`` when it is transposed by ``perm``."""
    array = constant_array(piece, consts)
    if array is None:
        assert isinstance(piece.owner, TransposeOp)
        return piece.owner.x
    turned = make_constant(np.ascontiguousarray(array.transpose(_inverse(perm))), consts)
    ops.append(turned)
    return turned.result


class PartOfDequantize(Pattern[DequantizeOp]):
    """part(dequantize(q)) == dequantize(part(q)) under one scale; padding by exactly 0."""

    def match(self, op: Operation) -> DequantizeOp | None:
        if not isinstance(op, SliceOp | PadOp) or (isinstance(op, PadOp) and op.number != 0):
            return None
        owner = op.x.owner
        is_one_scale = isinstance(owner, DequantizeOp) and owner.axis_number is None
        return owner if is_one_scale else None  # type: ignore[return-value]  # just checked

    def rewrite(self, op: Operation, found: DequantizeOp, rewriter: PatternRewriter) -> str:
        assert isinstance(op, SliceOp | PadOp)
        made: Operation
        if isinstance(op, SliceOp):
            made = make_slice(found.x, op.places, shape_of(op.result))
        else:
            key = found.zero_point
            zero = self.ctx.consts.get(key.data).reshape(-1)[0] if key else 0
            made = make_pad(found.x, op.widths, int(zero))
        after = make_dequantize(made.results[0], dict(found.properties))
        made.location, after.location = op.location, found.location
        replace(rewriter, op, Made((made, after), after.result))
        return f"{op.name} moved before a dequantisation"


class ConcatOfDequantize(Pattern[DequantizeOp]):
    """concat(dequantize(q), dequantize(r)) == dequantize(concat(q, r)) under one scale."""

    def match(self, op: Operation) -> DequantizeOp | None:
        if not isinstance(op, ConcatOp):
            return None
        owners = [piece.owner for piece in op.pieces]
        first = owners[0]
        if not isinstance(first, DequantizeOp) or first.axis_number is not None:
            return None
        alike = all(
            isinstance(o, DequantizeOp)
            and o.properties == first.properties
            and dtype_of(o.x) is dtype_of(first.x)
            for o in owners
        )
        return first if alike else None

    def rewrite(self, op: Operation, found: DequantizeOp, rewriter: PatternRewriter) -> str:
        assert isinstance(op, ConcatOp)
        sources = [o.x for o in (p.owner for p in op.pieces) if isinstance(o, DequantizeOp)]
        whole = make_concat(sources, op.axis_number)
        after = make_dequantize(whole.result, dict(found.properties))
        whole.location, after.location = op.location, found.location
        replace(rewriter, op, Made((whole, after), after.result))
        return "a concatenation moved before dequantisations"


class QuantizeOfConcat(Pattern[ConcatOp]):
    """quantize(concat(x, y)) == concat(quantize(x), quantize(y)) under one scale."""

    def match(self, op: Operation) -> ConcatOp | None:
        if not isinstance(op, QuantizeOp) or op.axis_number is not None:
            return None
        owner = op.x.owner
        return owner if isinstance(owner, ConcatOp) and single_user(op.x) is op else None

    def rewrite(self, op: Operation, found: ConcatOp, rewriter: PatternRewriter) -> str:
        assert isinstance(op, QuantizeOp)
        dtype = dtype_of(op.result)
        pieces = [make_quantize(p, dict(op.properties), dtype) for p in found.pieces]
        whole = make_concat([piece.result for piece in pieces], found.axis_number)
        replace(rewriter, op, Made((*pieces, whole), whole.result), [found])
        return "a quantisation moved into the pieces of a concatenation"


class PoolOfConcat(Pattern[ConcatOp]):
    """pool(concat(x, y)) == concat(pool(x), pool(y)) over channels: windows have one channel.

    The pieces are dequantised: each pooling reads integers, and no float32 whole is kept.
    """

    def match(self, op: Operation) -> ConcatOp | None:
        if not isinstance(op, Pool2dOp) or single_user(op.x) is not op:
            return None
        owner = op.x.owner
        if not isinstance(owner, ConcatOp) or owner.axis_number % 4 != CHANNELS:
            return None
        are_integers = all(isinstance(piece.owner, DequantizeOp) for piece in owner.pieces)
        return owner if are_integers else None

    def rewrite(self, op: Operation, found: ConcatOp, rewriter: PatternRewriter) -> str:
        batch, height, width, _ = shape_of(op.results[0])
        pools = []
        for piece in found.pieces:
            shape = (batch, height, width, shape_of(piece)[CHANNELS])
            kind = tensor_type(dtype_of(piece), shape)
            pools.append(rebuilt(op, [piece], kind, op.properties))
        for pool in pools:
            pool.location = op.location
        whole = make_concat([pool.results[0] for pool in pools], CHANNELS)
        whole.location = found.location
        replace(rewriter, op, Made((*pools, whole), whole.result))
        return "a pooling moved into the pieces of a concatenation"
