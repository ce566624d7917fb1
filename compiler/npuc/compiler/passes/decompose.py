"""decompose: pooling, reductions and softmax become structured generics."""

from dataclasses import dataclass

import numpy as np

from npuc.compiler.consts import ConstStore
from npuc.compiler.context import npu_context
from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.nn import Pool2dOp, ReduceOp, Scalars, SoftmaxOp
from npuc.compiler.ops.elementwise import LOG2_E
from npuc.compiler.ops.movement import make_constant
from npuc.compiler.ops.pooling import pool_geometry, pool_kernel, window_counts
from npuc.compiler.ops.quantization import INTEGER_BOUNDS
from npuc.compiler.ops.scalar_ops import Body
from npuc.compiler.ops.structured import (
    Made,
    Window,
    make_elementwise,
    make_reduction,
    make_windows,
)
from npuc.compiler.passes.rewriting import Pattern, apply_patterns, replace
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

_REDUCERS = {"mean": "sumf", "sum": "sumf", "max": "rmaxf", "min": "rminf", "prod": "prodf"}


def _pass_through(domain: str) -> Region:
    body = Body(domain)
    return body.done(*body.args)


def _divided_by(count: float) -> Region:
    epilogue = Body("f")
    return epilogue.done(epilogue("divf", epilogue.args[0], epilogue.number(count)))


def decomposed_reduce(op: ReduceOp) -> Made:
    """One reduction; a mean divides the sum in its epilogue."""
    axes = [int(axis) for axis in op.axes.get_values()]
    kind = op.kind.data
    count = int(np.prod([shape_of(op.x)[axis] for axis in axes]))
    epilogue = _divided_by(float(count)) if kind == "mean" else None
    scalars = Scalars(_pass_through("f"), _REDUCERS[kind], epilogue)
    return make_reduction([op.x], axes, dtype_of(op.result), scalars)


def decomposed_pool(op: Pool2dOp, consts: ConstStore) -> Made:
    """One reduction over windows; an average of ragged windows reads their sizes."""
    window = Window(pool_kernel(op), pool_geometry(op))
    is_padded = any(window.geometry.pads)
    if op.kind.data == "max":
        return _max_pool(op, window, is_padded=is_padded)
    filled = Window(window.kernel, window.geometry, 0.0 if is_padded else None)
    if not is_padded or op.counts_padding:
        scalars = Scalars(_pass_through("f"), "sumf", _divided_by(float(np.prod(window.kernel))))
        return make_windows([op.x], filled, DType.f32, scalars)
    body, epilogue = Body("ff"), Body("ff")
    region = epilogue.done(epilogue("divf", *epilogue.args))
    counts = make_constant(window_counts(op), consts)
    scalars = Scalars(body.done(body.args[0]), "sumf", region)
    made = make_windows([op.x, counts.result], filled, DType.f32, scalars)
    return Made((counts, *made.ops), made.result)


def _max_pool(op: Pool2dOp, window: Window, *, is_padded: bool) -> Made:
    dtype = dtype_of(op.x)
    domain = "f" if dtype.is_float else "i"
    lowest = float("-inf") if dtype.is_float else INTEGER_BOUNDS[dtype][0]
    filled = Window(window.kernel, window.geometry, lowest if is_padded else None)
    return make_windows([op.x], filled, dtype, Scalars(_pass_through(domain), f"rmax{domain}"))


def decomposed_softmax(op: SoftmaxOp) -> Made:
    """Three generics: the maximum, the sum of powers, the quotient."""
    axis = op.axis.value.data
    largest = make_reduction([op.x], [axis], DType.f32, Scalars(_pass_through("f"), "rmaxf"))
    body = Body("ff")
    power = _power(body)
    total = make_reduction(
        [op.x, largest.result], [axis], DType.f32, Scalars(body.done(power), "sumf")
    )
    body = Body("fff")
    quotient = body.done(body("divf", _power(body), body.args[2]))
    last = make_elementwise(
        [op.x, largest.result, total.result], shape_of(op.x), DType.f32, Scalars(quotient)
    )
    return Made((*largest.ops, *total.ops, *last.ops), last.result)


def _power(body: Body) -> SSAValue:
    difference = body("subf", body.args[0], body.args[1])
    return body("exp2", body("mulf", difference, body.number(LOG2_E)))


class IntoGenerics(Pattern[Made]):
    """pool, reduce, softmax == their structured forms."""  # code

    def match(self, op: Operation) -> Made | None:
        if isinstance(op, ReduceOp):
            return decomposed_reduce(op)
        if isinstance(op, Pool2dOp):
            return decomposed_pool(op, self.ctx.consts)
        return decomposed_softmax(op) if isinstance(op, SoftmaxOp) else None

    def rewrite(self, op: Operation, found: Made, rewriter: PatternRewriter) -> str:
        replace(rewriter, op, found)
        return f"{op.name} became structured operations"


@dataclass(frozen=True)
class Decompose(ModulePass):
    """Write pooling, reductions and softmax as nn.generic."""

    name = "decompose"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        apply_patterns(op, [IntoGenerics(npu_context(ctx), self.name)])
