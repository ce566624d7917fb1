"""sink-transposes: transposes and views move towards the outputs until they cancel.

The importer puts one before and one after each operation with height and width; between two such
operations they meet and vanish.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from npuc.compiler.context import npu_context
from npuc.compiler.dialects.element_types import dtype_of, shape_of, tensor_type
from npuc.compiler.dialects.nn import (
    ClipOp,
    ConstantOp,
    DequantizeOp,
    ElementwiseOp,
    MatmulOp,
    QuantizeOp,
    ReduceOp,
    ReshapeOp,
    SoftmaxOp,
    TransposeOp,
)
from npuc.compiler.ops.elementwise import clip_bounds
from npuc.compiler.ops.interface import Array
from npuc.compiler.ops.movement import make_constant, make_reshape, make_transpose
from npuc.compiler.ops.structured import Made
from npuc.compiler.passes.rewriting import Pattern, apply_patterns, constant_array, rebuilt, replace
from npuc.compiler.passes.simplify_movement import movement_patterns
from npuc.compiler.passes.sink_pieces import ConcatOfTransposes, PartOfTranspose
from npuc.compiler.passes.transposes.around_reshapes import (
    TransposeOfJoinedAxes,
    TransposesAroundReshape,
)
from npuc.compiler.xdsl_api import (
    Attribute,
    Context,
    DenseArrayBase,
    IntegerAttr,
    ModuleOp,
    ModulePass,
    Operation,
    PatternRewriter,
    SSAValue,
    i64,
)

Permutation = tuple[int, ...]


def _transposed(value: SSAValue) -> TransposeOp | None:
    owner = value.owner
    return owner if isinstance(owner, TransposeOp) else None


def _below(made: Operation, transpose: TransposeOp) -> Made:
    """``made`` followed by the transpose that stood before it."""
    after = make_transpose(made.results[0], transpose.permutation)
    return Made((made, after), after.result)


class BelowUnary(Pattern[TransposeOp]):
    """f(transpose(x)) == transpose(f(x)) for f that treats elements alike, or along an axis."""

    def match(self, op: Operation) -> TransposeOp | None:
        if isinstance(op, QuantizeOp | DequantizeOp | ClipOp | SoftmaxOp | ReduceOp):
            return _transposed(op.operands[0])
        if isinstance(op, ElementwiseOp) and len(op.inputs) == 1:
            return _transposed(op.inputs[0])
        return None

    def rewrite(self, op: Operation, found: TransposeOp, rewriter: PatternRewriter) -> str:
        replace(rewriter, op, _below(_on_source(op, found), found))
        return f"a transpose moved below {op.name}"


def _on_source(op: Operation, transpose: TransposeOp) -> Operation:
    """``op`` applied to what ``transpose`` reads."""
    x, perm = transpose.x, transpose.permutation
    if isinstance(op, ClipOp):
        return ClipOp(x, *clip_bounds(op))
    if isinstance(op, SoftmaxOp):
        return SoftmaxOp(x, perm[op.axis.value.data])
    if isinstance(op, ReduceOp):
        return _reduced(op, transpose)
    properties = dict(op.properties)
    if isinstance(op, QuantizeOp | DequantizeOp) and op.axis_number is not None:
        properties["axis"] = IntegerAttr(perm[op.axis_number % len(perm)], i64)
    result = tensor_type(dtype_of(op.results[0]), shape_of(x))
    return rebuilt(op, _operands(op, x), result, properties)


def _operands(op: Operation, x: SSAValue) -> list[SSAValue | Sequence[SSAValue]]:
    return [[x]] if isinstance(op, ElementwiseOp) else [x]


def _reduced(op: ReduceOp, transpose: TransposeOp) -> ReduceOp:
    axes = sorted(transpose.permutation[int(axis)] for axis in op.axes.get_values())
    shape = [1 if i in axes else n for i, n in enumerate(shape_of(transpose.x))]
    result: Attribute = tensor_type(dtype_of(op.result), shape)
    return ReduceOp.build(
        operands=[transpose.x],
        result_types=[result],
        properties={**op.properties, "axes": DenseArrayBase.from_list(i64, axes)},
    )


class ReshapeBelowUnary(Pattern[ReshapeOp]):
    """f(reshape(x)) == reshape(f(x)) for f that treats all elements alike."""

    def match(self, op: Operation) -> ReshapeOp | None:
        is_affine = isinstance(op, QuantizeOp | DequantizeOp) and op.axis_number is None
        is_function = isinstance(op, ElementwiseOp) and len(op.inputs) == 1
        if not (is_affine or is_function or isinstance(op, ClipOp)):
            return None
        owner = op.operands[0].owner
        return owner if isinstance(owner, ReshapeOp) else None

    def rewrite(self, op: Operation, found: ReshapeOp, rewriter: PatternRewriter) -> str:
        result = tensor_type(dtype_of(op.results[0]), shape_of(found.x))
        inner = rebuilt(op, _operands(op, found.x), result, op.properties)
        after = make_reshape(inner.results[0], shape_of(op.results[0]))
        replace(rewriter, op, Made((inner, after), after.result))
        return f"a view moved below {op.name}"


@dataclass(frozen=True)
class _Operands:
    """One permutation for all operands that are transposed; the others are constants."""

    transposes: tuple[TransposeOp, ...]
    has_strangers: bool


class BelowElementwise(Pattern[_Operands]):
    """f(transpose(x, p), transpose(y, p), c) == transpose(f(x, y, transpose(c, p^-1)), p)."""

    def match(self, op: Operation) -> _Operands | None:
        if not isinstance(op, ElementwiseOp) or len(op.inputs) < 2:
            return None
        found = [_transposed(value) for value in op.inputs]
        transposes = tuple(t for t in found if t is not None)
        if not transposes or any(shape_of(t.result) != shape_of(op.result) for t in transposes):
            return None
        rest = [v for v, t in zip(op.inputs, found, strict=True) if t is None]
        has_strangers = any(not isinstance(value.owner, ConstantOp) for value in rest)
        return _Operands(transposes, has_strangers)

    def check(self, found: _Operands) -> str | None:
        if found.has_strangers:
            return "a transpose stays: another operand is not transposed and not constant"
        if len({t.permutation for t in found.transposes}) > 1:
            return "transposes stay: the operands have different ones"
        return None

    def rewrite(self, op: Operation, found: _Operands, rewriter: PatternRewriter) -> str:
        assert isinstance(op, ElementwiseOp)
        transpose = found.transposes[0]
        ops: list[Operation] = []
        values: list[SSAValue] = []
        for value in op.inputs:
            array = constant_array(value, self.ctx.consts)
            if array is None:
                values.append(value.owner.x)  # type: ignore[union-attr]  # a transpose
                continue
            ops.append(make_constant(_unpermuted(array, transpose.permutation), self.ctx.consts))
            values.append(ops[-1].results[0])
        result = tensor_type(dtype_of(op.result), shape_of(transpose.x))
        below = _below(ElementwiseOp(op.function.data, values, result), transpose)
        replace(rewriter, op, Made((*ops, *below.ops), below.result))
        return "a transpose moved below an elementwise operation"


def _unpermuted(array: Array, perm: Permutation) -> Array:
    """A constant that broadcasts to transposed tensors, for tensors before the transpose."""
    aligned = array.reshape((1,) * (len(perm) - array.ndim) + array.shape)
    inverse = sorted(range(len(perm)), key=lambda axis: perm[axis])
    return aligned.transpose(inverse)


@dataclass(frozen=True)
class _Flattened:
    transpose: TransposeOp
    weights: Array


class FlattenIntoWeights(Pattern[_Flattened]):
    """matmul(flatten(transpose(x)), w) == matmul(flatten(x), w with its rows in x's order)."""

    def match(self, op: Operation) -> _Flattened | None:
        if not isinstance(op, MatmulOp) or not isinstance(op.a.owner, ReshapeOp):
            return None
        transpose = _transposed(op.a.owner.x)
        weights = constant_array(op.b, self.ctx.consts)
        if transpose is None or weights is None or weights.ndim != 2:
            return None
        shape, flat = shape_of(transpose.result), shape_of(op.a)
        if transpose.permutation[0] != 0 or flat != (shape[0], weights.shape[0]):
            return None
        return _Flattened(transpose, weights)

    def rewrite(self, op: Operation, found: _Flattened, rewriter: PatternRewriter) -> str:
        assert isinstance(op, MatmulOp)
        perm, shape = found.transpose.permutation, shape_of(found.transpose.result)
        inverse = sorted(range(len(perm)), key=lambda axis: perm[axis])
        rows = found.weights.reshape(*shape[1:], found.weights.shape[1])
        order = [axis - 1 for axis in inverse[1:]]
        turned = rows.transpose(*order, len(order)).reshape(found.weights.shape)
        weights = make_constant(turned, self.ctx.consts)
        flat = make_reshape(found.transpose.x, shape_of(op.a))
        product = MatmulOp.build(
            operands=[flat.result, weights.result],
            result_types=[op.result.type],
            properties=dict(op.properties),
        )
        replace(rewriter, op, Made((flat, weights, product), product.result), [found.transpose])
        return "a transpose before a flattening product went into the weights"


@dataclass(frozen=True)
class SinkTransposes(ModulePass):
    """Move transposes down until they cancel or reach what needs them."""

    name = "sink-transposes"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        npu = npu_context(ctx)
        patterns = [
            *movement_patterns(npu, self.name),
            TransposesAroundReshape(npu, self.name),
            TransposeOfJoinedAxes(npu, self.name),
            BelowUnary(npu, self.name),
            ReshapeBelowUnary(npu, self.name),
            BelowElementwise(npu, self.name),
            FlattenIntoWeights(npu, self.name),
            PartOfTranspose(npu, self.name),
            ConcatOfTransposes(npu, self.name),
        ]
        apply_patterns(op, patterns)
