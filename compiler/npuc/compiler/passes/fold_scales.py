"""fold-scales: constant factors and terms move into the weights and biases before them.

Batch normalisation becomes part of the convolution that feeds it. Values change in the last places,
so this stands in normalise and runs at every optimisation level.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from npuc.compiler.context import npu_context
from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.nn import Conv2dOp, ElementwiseOp, MatmulOp
from npuc.compiler.ops.elementwise import make_function
from npuc.compiler.ops.interface import Array
from npuc.compiler.ops.movement import make_constant
from npuc.compiler.ops.structured import Made
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
    SSAValue,
)


@dataclass(frozen=True)
class _Affine:
    """``value`` and a constant, joined by the function of the operation ``op``."""

    op: Operation
    value: SSAValue
    array: Array


class _OfConstant(Pattern[_Affine], ABC):
    """Finds ``function(value, constant)`` that adds no axes; subclasses look at ``value``."""

    function = "mul"

    def affine(self, op: object, function: str) -> _Affine | None:
        """``op`` taken apart, or None where it is no such operation."""
        if not isinstance(op, ElementwiseOp) or op.function.data != function:
            return None
        for position in (1, 0):
            array = constant_array(op.inputs[position], self.ctx.consts)
            value = op.inputs[1 - position]
            if array is not None and shape_of(value) == shape_of(op.result):
                return _Affine(op, value, array)
        return None

    def match(self, op: Operation) -> _Affine | None:
        found = self.affine(op, self.function)
        suits = found is not None and single_user(found.value) is op and self.suits(found)
        return found if suits else None

    @abstractmethod
    def suits(self, found: _Affine) -> bool:
        """Whether the pattern knows what makes the value."""


class FactorIntoWeights(_OfConstant):
    """conv(x, w) * c == conv(x, w * c), c one number per output channel; so for a product."""

    def suits(self, found: _Affine) -> bool:
        owner = found.value.owner
        if not isinstance(owner, Conv2dOp | MatmulOp) or not dtype_of(found.value).is_float:
            return False
        weights = constant_array(owner.operands[1], self.ctx.consts)
        size = found.array.size
        return weights is not None and (size == 1 or found.array.shape[-1] == size)

    def rewrite(self, op: Operation, found: _Affine, rewriter: PatternRewriter) -> str:
        owner = found.value.owner
        assert isinstance(owner, Conv2dOp | MatmulOp)
        weights = constant_array(owner.operands[1], self.ctx.consts)
        assert weights is not None
        scaled = np.multiply(weights, found.array.reshape(-1)).astype(np.float32)
        constant = make_constant(scaled, self.ctx.consts)
        properties = dict(owner.properties)
        operands = [owner.operands[0], constant.result]
        new = rebuilt(owner, operands, owner.results[0].type, properties)
        replace(rewriter, op, Made((constant, new), new.results[0]), [owner])
        return "a factor per channel went into the weights"


class FactorIntoTerm(_OfConstant):
    """(x + b) * c == x * c + b * c."""

    def suits(self, found: _Affine) -> bool:
        return self.affine(found.value.owner, "add") is not None

    def rewrite(self, op: Operation, found: _Affine, rewriter: PatternRewriter) -> str:
        inner = self.affine(found.value.owner, "add")
        assert inner is not None
        factor = make_constant(found.array, self.ctx.consts)
        term = make_constant(
            np.multiply(inner.array, found.array).astype(np.float32), self.ctx.consts
        )
        product = make_function("mul", [inner.value, factor.result])
        total = make_function("add", [product.result, term.result])
        replace(rewriter, op, Made((factor, term, product, total), total.result), [inner.op])
        return "a factor moved before a term"


class _TwoConstants(_OfConstant):
    def suits(self, found: _Affine) -> bool:
        return self.affine(found.value.owner, self.function) is not None

    def rewrite(self, op: Operation, found: _Affine, rewriter: PatternRewriter) -> str:
        inner = self.affine(found.value.owner, self.function)
        assert inner is not None
        join = np.multiply if self.function == "mul" else np.add
        both = make_constant(join(inner.array, found.array).astype(np.float32), self.ctx.consts)
        made = make_function(self.function, [inner.value, both.result])
        replace(rewriter, op, Made((both, made), made.result), [inner.op])
        return "two constants became one"


class FactorOfFactor(_TwoConstants):
    """x * b * c == x * (b * c)."""


class TermOfTerm(_TwoConstants):
    """x + b + c == x + (b + c)."""

    function = "add"


@dataclass(frozen=True)
class FoldScales(ModulePass):
    """Move constant factors and terms towards the weights."""

    name = "fold-scales"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        npu = npu_context(ctx)
        kinds = (FactorIntoWeights, FactorIntoTerm, FactorOfFactor, TermOfTerm)
        apply_patterns(op, [kind(npu, self.name) for kind in kinds])
