"""fold-qdq: a contraction between dequantise and quantise becomes an integer contraction.

conv(dequantize(x), dequantize(w)) + b, perhaps clipped, quantised: products and sums are integers,
the bias is rounded to the accumulator's scale and the clip becomes the clamp of the result. Within
one unit of the last place of the quantised result; scale and rounding as in ONNX's QLinear form.
"""

from dataclasses import dataclass
from dataclasses import replace as replaced

import numpy as np

from npuc.compiler.consts import ConstStore
from npuc.compiler.context import npu_context
from npuc.compiler.dialects.element_types import dtype_of, shape_of, tensor_type
from npuc.compiler.dialects.nn import (
    ClipOp,
    Conv2dOp,
    DequantizeOp,
    ElementwiseOp,
    MatmulOp,
    QuantizeOp,
    RequantizeOp,
    Rescale,
)
from npuc.compiler.locations import node_names
from npuc.compiler.ops import reference
from npuc.compiler.ops.contraction import ZeroPoints, geometry_of, make_conv2d, make_matmul
from npuc.compiler.ops.elementwise import clip_bounds
from npuc.compiler.ops.interface import Array
from npuc.compiler.ops.movement import make_constant
from npuc.compiler.ops.quantization import quantized, scale_and_zero
from npuc.compiler.ops.structured import Made
from npuc.compiler.passes.rewriting import (
    Pattern,
    apply_patterns,
    constant_array,
    replace,
    single_user,
)
from npuc.compiler.xdsl_api import (
    Context,
    ModuleOp,
    ModulePass,
    Operation,
    PatternRewriter,
    SSAValue,
)
from npuc.isa.dtypes import DType
from npuc.isa.numerics.arrays import I32_MAX, I32_MIN

I8_LOW, I8_HIGH = -128, 127


@dataclass(frozen=True)
class _Quantised:
    """A dequantised operand: its integers, scale and zero point (as stored, not broadcast)."""

    op: DequantizeOp
    scale: Array
    zero_point: Array


@dataclass(frozen=True)
class _Tail:
    """What follows the contraction: bias, bounds, quantisation; ``last`` makes the result."""

    contraction: Conv2dOp | MatmulOp
    last: Operation
    bias: Array | None
    bounds: tuple[float | None, float | None]
    quantize: QuantizeOp | None
    passed: tuple[Operation, ...]


@dataclass(frozen=True)
class _Chain:
    contraction: Conv2dOp | MatmulOp
    first: _Quantised
    second: _Quantised
    tail: _Tail


class ContractionOfQuantised(Pattern[_Chain]):
    """The pattern at the head of this file, rooted at the contraction."""

    def match(self, op: Operation) -> _Chain | None:
        if not isinstance(op, Conv2dOp | MatmulOp) or dtype_of(op.result) is not DType.f32:
            return None
        first, second = (_quantised(value, self.ctx.consts) for value in op.operands)
        if first is None or second is None:
            self._explain(op, first is not None)
            return None
        tail = _tail_of(op, self.ctx.consts)
        return _Chain(op, first, second, tail)

    def _explain(self, op: Operation, has_first: bool) -> None:
        if has_first:
            self.ctx.remarks.missed(
                self.source, "stays in float: its second operand is no int8 tensor", node_names(op)
            )

    def check(self, found: _Chain) -> str | None:
        if found.first.scale.ndim or found.first.zero_point.ndim:
            return "stays in float: the activations have a scale per channel"
        axis, rank = found.second.op.axis_number, len(shape_of(found.second.op.x))
        if found.second.scale.ndim and (axis is None or axis % rank != rank - 1):
            return "stays in float: the weights' scales do not go by output channel"
        if found.tail.bias is not None and _integer_bias(found) is None:
            return "stays in float: the bias does not fit int32 at the accumulator's scale"
        return None

    def rewrite(self, op: Operation, found: _Chain, rewriter: PatternRewriter) -> str:
        consts = self.ctx.consts
        acc = _integer_contraction(found, consts)
        acc.location = op.location
        ops: list[Operation] = [acc]
        bias: SSAValue | None = None
        integers = _integer_bias(found)
        if integers is not None:
            ops.append(make_constant(integers, consts))
            bias = ops[-1].results[0]
        last = _requantize(found, acc.results[0], bias, consts)
        ops.append(last)
        replace(rewriter, found.tail.last, Made(tuple(ops), last.result), [op, *found.tail.passed])
        return "an integer contraction, exact up to the requantisation"


def _quantised(value: SSAValue, consts: ConstStore) -> _Quantised | None:
    op = value.owner
    if not isinstance(op, DequantizeOp) or dtype_of(op.x) is not DType.i8:
        return None
    zero = consts.get(op.zero_point.data) if op.zero_point else np.zeros((), np.int8)
    return _Quantised(op, consts.get(op.scale.data), zero)


def _tail_of(contraction: Conv2dOp | MatmulOp, consts: ConstStore) -> _Tail:
    """Follow single uses: a constant addition, then bounds, then a quantisation."""
    tail = _Tail(contraction, contraction, None, (None, None), None, ())
    channels = shape_of(contraction.result)[-1]
    while (user := single_user(tail.last.results[0])) is not None:
        bias = _added_constant(user, tail.last.results[0], channels, consts)
        if bias is not None and tail.bias is None and tail.bounds == (None, None):
            tail = replaced(tail, bias=bias)
        elif (bounds := _bounds(user)) is not None:
            tail = replaced(tail, bounds=_intersection(tail.bounds, bounds))
        else:
            is_final = isinstance(user, QuantizeOp) and user.axis_number is None
            return _ended(tail, user) if is_final else _shortened(tail)
        tail = replaced(tail, last=user, passed=(*tail.passed, user))
    return _shortened(tail)


def _ended(tail: _Tail, user: Operation) -> _Tail:
    assert isinstance(user, QuantizeOp)
    if dtype_of(user.result) is not DType.i8:
        return _shortened(tail)
    return replaced(tail, last=user, quantize=user, passed=(*tail.passed, user))


def _shortened(tail: _Tail) -> _Tail:
    """Without a quantisation the result is float32 and the bounds stay operations of their own."""
    kept = tuple(op for op in tail.passed if not _bounds(op))
    last = kept[-1] if kept else tail.contraction
    return replaced(tail, last=last, bounds=(None, None), passed=kept)


def _added_constant(
    op: Operation, value: SSAValue, channels: int, consts: ConstStore
) -> Array | None:
    """The float32 vector that ``op`` adds to ``value`` along the last axis, or None."""
    if not isinstance(op, ElementwiseOp) or op.function.data != "add":
        return None
    others = [operand for operand in op.inputs if operand is not value]
    array = _constant_float(others[0], consts) if others else None
    if (
        array is None
        or array.size not in (1, channels)
        or array.shape[-1:] not in ((), (array.size,))
    ):
        return None
    return np.broadcast_to(array.reshape(-1), (channels,))


def _constant_float(value: SSAValue, consts: ConstStore) -> Array | None:
    """A constant, or the value of a dequantised constant."""
    array = constant_array(value, consts)
    if array is not None or not isinstance(value.owner, DequantizeOp):
        return array
    inner = constant_array(value.owner.x, consts)
    return None if inner is None else reference(value.owner, [inner], consts)[0]


def _bounds(op: Operation) -> tuple[float | None, float | None] | None:
    if isinstance(op, ClipOp):
        return clip_bounds(op)
    if isinstance(op, ElementwiseOp) and op.function.data == "relu":
        return 0.0, None
    return None


def _intersection(
    a: tuple[float | None, float | None], b: tuple[float | None, float | None]
) -> tuple[float | None, float | None]:
    """Clip by ``a`` and then by ``b``, as one clip; ``b`` wins where they are disjoint."""
    low = max((v for v in (a[0], b[0]) if v is not None), default=None)
    high = min((v for v in (a[1], b[1]) if v is not None), default=None)
    if low is not None and high is not None and low > high:
        low = high = b[0] if a[1] is not None and b[0] is not None and b[0] > a[1] else b[1]
    return low, high


def _accumulator_scale(found: _Chain) -> Array:
    return np.asarray(found.first.scale * found.second.scale, np.float32)  # type: ignore[operator]


def _integer_bias(found: _Chain) -> Array | None:
    if found.tail.bias is None:
        return None
    scale = np.asarray(found.first.scale, np.float64) * np.asarray(found.second.scale, np.float64)
    steps = np.rint(found.tail.bias.astype(np.float64) / scale)
    if not np.all((steps >= I32_MIN) & (steps <= I32_MAX)):
        return None
    return steps.astype(np.int32)


def _integer_contraction(found: _Chain, consts: ConstStore) -> Conv2dOp | MatmulOp:
    op, zero_w = found.contraction, found.second.zero_point
    zero = ZeroPoints(int(found.first.zero_point), consts.put(zero_w) if np.any(zero_w) else None)
    x, w = found.first.op.x, found.second.op.x
    if isinstance(op, Conv2dOp):
        return make_conv2d(x, w, geometry_of(op), zero)
    return make_matmul(x, w, zero)


def _requantize(
    found: _Chain, acc: SSAValue, bias: SSAValue | None, consts: ConstStore
) -> RequantizeOp:
    quantize, shape = found.tail.quantize, shape_of(acc)
    scale = _accumulator_scale(found)
    if quantize is None:
        return RequantizeOp(acc, bias, Rescale(consts.put(scale)), tensor_type(DType.f32, shape))
    y_scale, y_zero = scale_and_zero(quantize, consts)
    low, high = (
        default if bound is None else _quantised_bound(bound, y_scale, y_zero)
        for bound, default in zip(found.tail.bounds, (I8_LOW, I8_HIGH), strict=True)
    )
    key = consts.put(np.asarray(scale / y_scale, np.float32))  # type: ignore[operator]
    rescale = Rescale(key, int(y_zero), low, high)
    return RequantizeOp(acc, bias, rescale, tensor_type(DType.i8, shape))


def _quantised_bound(bound: float, scale: Array, zero: Array) -> int:
    """quantize is monotone: quantize(clip(x, a, b)) == clip(quantize(x), quantize(a), ..(b))."""
    return int(quantized(np.asarray(bound, np.float32), scale, zero, (I8_LOW, I8_HIGH)))


@dataclass(frozen=True)
class FoldQdq(ModulePass):
    """Make integer contractions of contractions between dequantise and quantise."""

    name = "fold-qdq"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        apply_patterns(op, [ContractionOfQuantised(npu_context(ctx), self.name)])
