"""absorb-pads: a padding before a convolution becomes the convolution's own."""

from dataclasses import dataclass

from npuc.compiler.context import npu_context
from npuc.compiler.dialects.element_types import dtype_of
from npuc.compiler.dialects.nn import Conv2dOp, PadOp, TransposeOp
from npuc.compiler.ops.movement import make_transpose
from npuc.compiler.ops.structured import Made
from npuc.compiler.passes.rewriting import Pattern, apply_patterns, rebuilt, replace
from npuc.compiler.xdsl_api import (
    Context,
    DenseArrayBase,
    IntegerAttr,
    ModuleOp,
    ModulePass,
    Operation,
    PatternRewriter,
    i64,
)


@dataclass(frozen=True)
class _Padded:
    """A convolution, the padding before it, and the transpose between them, if any."""

    conv: Conv2dOp
    pad: PadOp
    turn: TransposeOp | None

    def along(self, widths: tuple[int, ...]) -> tuple[int, ...]:
        """``widths`` of the padding in the order N, H, W, C."""
        return widths if self.turn is None else tuple(widths[a] for a in self.turn.permutation)


class PadIntoConvolution(Pattern[_Padded]):
    """conv(pad(x, zero)) == conv(x) with wider pads, zero being what padding reads as."""

    def match(self, op: Operation) -> _Padded | None:
        if not isinstance(op, Conv2dOp):
            return None
        owner = op.x.owner
        turn = owner if isinstance(owner, TransposeOp) else None
        source = owner if turn is None else turn.x.owner
        return _Padded(op, source, turn) if isinstance(source, PadOp) else None

    def check(self, found: _Padded) -> str | None:
        low, high = (found.along(widths) for widths in found.pad.widths)
        if low[0] or high[0] or low[3] or high[3]:
            return "a padding stays: it pads the batch or the channels"
        zero = 0 if dtype_of(found.conv.x).is_float else found.conv.x_zero
        if found.pad.number != zero:
            return "a padding stays: its value is not zero"
        if any(found.conv.pads.get_values()) and found.conv.pad_number != zero:
            return "a padding stays: the convolution pads with another value"
        return None

    def rewrite(self, op: Operation, found: _Padded, rewriter: PatternRewriter) -> str:
        low, high = (found.along(widths) for widths in found.pad.widths)
        extra = (low[1], low[2], high[1], high[2])
        old = found.conv.pads.get_values()
        pads = [int(a) + b for a, b in zip(old, extra, strict=True)]
        properties = {**op.properties, "pads": DenseArrayBase.from_list(i64, pads)}
        zero = 0 if dtype_of(found.conv.x).is_float else found.conv.x_zero
        if zero:
            properties["pad_value"] = IntegerAttr(zero, i64)
        before: list[Operation] = []
        x = found.pad.x
        if found.turn is not None:
            turn = make_transpose(x, found.turn.permutation)
            before.append(turn)
            x = turn.result
        conv = rebuilt(op, [x, found.conv.w], op.results[0].type, properties)
        replace(rewriter, op, Made((*before, conv), conv.results[0]), [found.pad])
        return "a padding became the convolution's own"


@dataclass(frozen=True)
class AbsorbPads(ModulePass):
    """Give convolutions the paddings before them."""

    name = "absorb-pads"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        apply_patterns(op, [PadIntoConvolution(npu_context(ctx), self.name)])
