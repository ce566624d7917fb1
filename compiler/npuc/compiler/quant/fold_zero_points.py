"""fold-zero-points: contractions lose their zero points; corrections go to the bias or beside it.

sum((x - zx) * (w - zw)) == sum(x * w) - zx * sum(w) - zw * sum(x) + K * zx * zw, exactly, modulo
2**32. Constant weights are first made symmetric where the difference fits int8; then only the
second term is left, and it is a constant per output channel: a bias.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np

from npuc.compiler.context import npu_context
from npuc.compiler.dialects.element_types import shape_of
from npuc.compiler.dialects.nn import Conv2dOp, MatmulOp, RequantizeOp, Scalars
from npuc.compiler.ops.contraction import geometry_of, make_conv2d
from npuc.compiler.ops.interface import Array
from npuc.compiler.ops.movement import make_constant
from npuc.compiler.ops.scalar_ops import Body
from npuc.compiler.ops.structured import Made, make_elementwise, make_reduction
from npuc.compiler.passes.rewriting import (
    Pattern,
    apply_patterns,
    constant_array,
    rebuilt,
    replace,
    single_user,
)
from npuc.compiler.xdsl_api import (
    Context,
    ModuleOp,
    ModulePass,
    Operation,
    PatternRewriter,
    Region,
    SSAValue,
)
from npuc.isa.dtypes import DType
from npuc.isa.numerics.arrays import I64
from npuc.isa.numerics.integer import wrap_i32

Contraction = Conv2dOp | MatmulOp


def _zero_points(op: Contraction, pattern: "Pattern[Contraction]") -> tuple[int, Array]:
    first, key = (
        (op.x_zero, op.w_zero_point) if isinstance(op, Conv2dOp) else (op.a_zero, op.b_zero_point)
    )
    consts = pattern.ctx.consts
    return first, np.zeros((), np.int8) if key is None else consts.get(key.data)


def _without_zero_points(op: Contraction, weights: SSAValue | None = None) -> Contraction:
    names = {"x_zero_point", "w_zero_point", "a_zero_point", "b_zero_point"}
    properties = {name: value for name, value in op.properties.items() if name not in names}
    operands = [op.operands[0], weights or op.operands[1]]
    return cast(Contraction, rebuilt(op, operands, op.result.type, properties))


class SymmetricWeights(Pattern[Array]):
    """Weights w with zero point z == weights w - z with zero point 0, where w - z fits int8."""

    def match(self, op: Operation) -> Array | None:
        key = getattr(op, "w_zero_point", None) or getattr(op, "b_zero_point", None)
        if not isinstance(op, Contraction) or key is None:
            return None
        weights = constant_array(op.operands[1], self.ctx.consts)
        if weights is None:
            return None
        centred = weights.astype(np.int16) - self.ctx.consts.get(key.data).astype(np.int16)
        fits = centred.min() >= -128 and centred.max() <= 127
        return centred.astype(np.int8) if fits else None

    def rewrite(self, op: Operation, found: Array, rewriter: PatternRewriter) -> str:
        weights = make_constant(found, self.ctx.consts)
        gone = ("w_zero_point", "b_zero_point")
        properties = {name: value for name, value in op.properties.items() if name not in gone}
        new = rebuilt(op, [op.operands[0], weights.result], op.results[0].type, properties)
        replace(rewriter, op, Made((weights, new), new.results[0]))
        return "constant weights made symmetric"


class CorrectionOfZeroPoints(Pattern[Contraction]):
    """The law at the head of this file."""

    def match(self, op: Operation) -> Contraction | None:
        if not isinstance(op, Contraction):
            return None
        first, second = _zero_points(op, self)
        is_grouped = isinstance(op, Conv2dOp) and op.group_count > 1
        if is_grouped and np.any(second):
            return None  # the reduction that it becomes subtracts them at each point
        return op if first or np.any(second) else None

    def rewrite(self, op: Operation, found: Contraction, rewriter: PatternRewriter) -> str:
        first, second = _zero_points(found, self)
        weights = constant_array(found.operands[1], self.ctx.consts)
        user = single_user(found.result)
        if weights is not None and not np.any(second):
            vector = wrap_i32(-first * _sum_over_k(found, weights))
            if isinstance(user, RequantizeOp) and self._into_bias(found, user, vector, rewriter):
                return "the zero point of the activations went into the bias"
        replace(rewriter, op, self._beside(found, first, second))
        return "zero points became a correction of the accumulators"

    def _into_bias(
        self, op: Contraction, user: RequantizeOp, vector: Array, rewriter: PatternRewriter
    ) -> bool:
        old: Array | None = np.zeros((), np.int32)
        if user.bias is not None:
            old = constant_array(user.bias, self.ctx.consts)
        if old is None:
            return False
        total = wrap_i32(old.astype(np.int64) + vector.astype(np.int64))
        bias = make_constant(np.broadcast_to(total, shape_of(op.result)[-1:]), self.ctx.consts)
        new = _without_zero_points(op)
        requantized = RequantizeOp(new.result, bias.result, user.rescale, user.result.type)
        new.location = bias.location = op.location
        requantized.location = user.location
        rewriter.replace(user, [new, bias, requantized], [requantized.result])
        rewriter.erase(op)
        return True

    def _beside(self, op: Contraction, first: int, second: Array) -> Made:
        """acc - first * sum(w) - second * sum(x) + K * first * second, as one generic."""
        k = _reduced_size(op)
        plain = _without_zero_points(op)
        ops: list[Operation] = [plain]
        terms: list[tuple[SSAValue, Array]] = []
        if first:
            terms.append((self._weight_sums(op, ops), np.asarray(-first, np.int32)))
        constant = wrap_i32(np.asarray(k * first * second.astype(np.int64)))
        if np.any(second):
            negated = (-second.astype(np.int64)).astype(np.int32)
            terms.append((_window_sums(op, ops, self), negated))
        made = self._corrected(plain.result, terms, constant)
        return Made((*ops, *made.ops), made.result)

    def _weight_sums(self, op: Contraction, ops: list[Operation]) -> SSAValue:
        weights = op.operands[1]
        array = constant_array(weights, self.ctx.consts)
        if array is not None:
            sums = make_constant(wrap_i32(_sum_over_k(op, array)), self.ctx.consts)
            ops.append(sums)
            return sums.result
        axes = [0, 1, 2] if isinstance(op, Conv2dOp) else [len(shape_of(weights)) - 2]
        made = make_reduction([weights], axes, DType.i32, Scalars(_identity(), "sumi"))
        ops.extend(made.ops)
        return made.result

    def _corrected(
        self, acc: SSAValue, terms: list[tuple[SSAValue, Array]], constant: Array
    ) -> Made:
        """acc + sum(value * factor) + constant, factors and constant along the last axis."""
        ops: list[Operation] = []
        inputs = [acc, *(value for value, _ in terms)]
        vectors: list[SSAValue] = []
        for array in [*(factor for _, factor in terms), constant]:
            if array.ndim:
                ops.append(make_constant(array, self.ctx.consts))
                vectors.append(ops[-1].results[0])
        body = Body("i" * (len(inputs) + len(vectors)))
        rest = iter(body.args[len(inputs) :])

        def scalar(array: Array) -> SSAValue:
            return next(rest) if array.ndim else body.number(int(array))

        total = body.args[0]
        for argument, (_, factor) in zip(body.args[1 : len(inputs)], terms, strict=True):
            total = body("addi", total, body("muli", argument, scalar(factor)))
        if constant.ndim or int(constant):
            total = body("addi", total, scalar(constant))
        scalars = Scalars(body.done(total))
        made = make_elementwise([*inputs, *vectors], shape_of(acc), DType.i32, scalars)
        return Made((*ops, *made.ops), made.result)


def _identity() -> Region:
    body = Body("i")
    return body.done(body.args[0])


def _sum_over_k(op: Contraction, weights: Array) -> I64:
    axes = (0, 1, 2) if isinstance(op, Conv2dOp) else (weights.ndim - 2,)
    return np.asarray(weights.astype(np.int64).sum(axis=axes))


def _reduced_size(op: Contraction) -> int:
    shape = shape_of(op.operands[1])
    return int(np.prod(shape[:3])) if isinstance(op, Conv2dOp) else shape[-2]


def _window_sums(
    op: Contraction, ops: list[Operation], pattern: CorrectionOfZeroPoints
) -> SSAValue:
    """The sum of the activations that each accumulator reads: [N, OH, OW, 1] or [..., M, 1]."""
    x = op.operands[0]
    if isinstance(op, MatmulOp):
        axes = [len(shape_of(x)) - 1]
        made = make_reduction([x], axes, DType.i32, Scalars(_identity(), "sumi"))
        ops.extend(made.ops)
        return made.result
    kh, kw, c, _ = shape_of(op.w)
    ones = make_constant(np.ones((kh, kw, c, 1), np.int8), pattern.ctx.consts)
    sums = make_conv2d(x, ones.result, geometry_of(op))
    if op.pad_value is not None:
        sums.pad_value = op.pad_value
    ops.extend([ones, sums])
    return sums.result


@dataclass(frozen=True)
class FoldZeroPoints(ModulePass):
    """Take the zero points out of contractions."""

    name = "fold-zero-points"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        npu = npu_context(ctx)
        apply_patterns(op, [SymmetricWeights(npu, self.name)])
        apply_patterns(op, [CorrectionOfZeroPoints(npu, self.name)])
