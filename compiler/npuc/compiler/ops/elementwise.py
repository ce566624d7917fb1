"""nn.elementwise and nn.clip: scalar functions of float32 tensors that broadcast.

Each function is written once, as micro-ops; reference and lowering both run that body.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from npuc.compiler.consts import ConstStore
from npuc.compiler.dialects.element_types import dtype_of, shape_of, tensor_type
from npuc.compiler.dialects.nn import ClipOp, ElementwiseOp
from npuc.compiler.ops.interface import Array, contradiction
from npuc.compiler.ops.scalar_ops import Body, evaluate_block
from npuc.compiler.xdsl_api import Attribute, Operation, Region, SSAValue
from npuc.isa.dtypes import DType

LOG2_E = 1.4426950408889634
LN_2 = 0.6931471805599453


@dataclass(frozen=True)
class Function:
    """A scalar function: number of operands and how to write it with micro-ops."""

    arity: int
    write: Callable[..., SSAValue]


def _micro(name: str, arity: int) -> Function:
    return Function(arity, lambda b, *operands: b(name, *operands))


def _exp(b: Body, x: SSAValue) -> SSAValue:
    return b("exp2", b("mulf", x, b.number(LOG2_E)))


def _sigmoid(b: Body, x: SSAValue) -> SSAValue:
    exponential = b("exp2", b("mulf", x, b.number(-LOG2_E)))
    return b("recip", b("addf", exponential, b.number(1.0)))


FUNCTIONS: dict[str, Function] = {
    "add": _micro("addf", 2),
    "sub": _micro("subf", 2),
    "mul": _micro("mulf", 2),
    "div": _micro("divf", 2),
    "min": _micro("minf", 2),
    "max": _micro("maxf", 2),
    "neg": _micro("negf", 1),
    "abs": _micro("absf", 1),
    "floor": _micro("floorf", 1),
    "ceil": _micro("ceilf", 1),
    "round": _micro("roundf", 1),
    "sqrt": _micro("sqrt", 1),
    "reciprocal": _micro("recip", 1),
    "sin": _micro("sin", 1),
    "cos": _micro("cos", 1),
    "tanh": _micro("tanh", 1),
    "erf": _micro("erf", 1),
    "exp": Function(1, _exp),
    "log": Function(1, lambda b, x: b("mulf", b("log2", x), b.number(LN_2))),
    "sigmoid": Function(1, _sigmoid),
    "relu": Function(1, lambda b, x: b("maxf", x, b.number(0.0))),
}


def function_body(name: str) -> Region:
    """The body of a function of ``FUNCTIONS``."""
    function = FUNCTIONS[name]
    body = Body("f" * function.arity)
    return body.done(function.write(body, *body.args))


def clip_body(low: float | None, high: float | None) -> Region:
    """min(max(x, low), high), each where it is given."""
    body = Body("f")
    value = body.args[0]
    if low is not None:
        value = body("maxf", value, body.number(low))
    if high is not None:
        value = body("minf", value, body.number(high))
    return body.done(value)


def make_function(name: str, inputs: Sequence[SSAValue]) -> ElementwiseOp:
    """``name`` of ``inputs``, which must broadcast. Raises: ValueError when they do not."""
    shape = np.broadcast_shapes(*(shape_of(value) for value in inputs))
    return ElementwiseOp(name, inputs, tensor_type(DType.f32, shape))


class Elementwise:
    """A function of ``FUNCTIONS``."""

    op_class = ElementwiseOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        elementwise = cast(ElementwiseOp, op)
        name, inputs = elementwise.function.data, elementwise.inputs
        if name not in FUNCTIONS or FUNCTIONS[name].arity != len(inputs):
            raise contradiction(op, "unknown function or wrong number of operands", name)
        if any(dtype_of(value) is not DType.f32 for value in inputs):
            raise contradiction(op, "operands must be f32", [str(v.type) for v in inputs])
        try:
            shape = np.broadcast_shapes(*(shape_of(value) for value in inputs))
        except ValueError as error:
            raise contradiction(op, "shapes do not broadcast", error) from error
        return (tensor_type(DType.f32, shape),)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        body = function_body(cast(ElementwiseOp, op).function.data)
        return (np.asarray(evaluate_block(body.block, operands)[0], np.float32),)


class Clip:
    """Two bounds."""

    op_class = ClipOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        return (cast(ClipOp, op).x.type,)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        body = clip_body(*clip_bounds(cast(ClipOp, op)))
        return (np.asarray(evaluate_block(body.block, operands)[0], np.float32),)


def clip_bounds(op: ClipOp) -> tuple[float | None, float | None]:
    """The bounds as plain numbers."""
    low = None if op.low is None else float(op.low.value.data)
    return low, None if op.high is None else float(op.high.value.data)


OPS = (Elementwise(), Clip())
