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
HALF_SQRT = 0.7071067811865476
SQRT_2_OVER_PI = 0.7978845608028654


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


def _select(b: Body, test: tuple[str, SSAValue, SSAValue], *cases: SSAValue) -> SSAValue:
    return b("selectf", b(*test), *cases)


def _leaky_relu(b: Body, x: SSAValue, slope: SSAValue) -> SSAValue:
    return _select(b, ("ltf", x, b.number(0.0)), b("mulf", x, slope), x)


def _elu(b: Body, x: SSAValue, alpha: SSAValue) -> SSAValue:
    below = b("mulf", alpha, b("subf", _exp(b, x), b.number(1.0)))
    return _select(b, ("ltf", x, b.number(0.0)), below, x)


def _celu(b: Body, x: SSAValue, alpha: SSAValue) -> SSAValue:
    below = b("mulf", alpha, b("subf", _exp(b, b("divf", x, alpha)), b.number(1.0)))
    return _select(b, ("ltf", x, b.number(0.0)), below, x)


def _softplus(b: Body, x: SSAValue) -> SSAValue:
    """max(x, 0) + log(1 + exp(-|x|)): no overflow."""
    power = _exp(b, b("negf", b("absf", x)))
    rest = b("mulf", b("log2", b("addf", power, b.number(1.0))), b.number(LN_2))
    return b("addf", b("maxf", x, b.number(0.0)), rest)


def _softsign(b: Body, x: SSAValue) -> SSAValue:
    return b("divf", x, b("addf", b("absf", x), b.number(1.0)))


def _hard_swish(b: Body, x: SSAValue) -> SSAValue:
    gate = b("addf", b("mulf", x, b.number(1 / 6)), b.number(0.5))
    return b("mulf", x, b("minf", b("maxf", gate, b.number(0.0)), b.number(1.0)))


def _gelu(b: Body, x: SSAValue) -> SSAValue:
    error = b("erf", b("mulf", x, b.number(HALF_SQRT)))
    return b("mulf", b("mulf", x, b.number(0.5)), b("addf", error, b.number(1.0)))


def _gelu_tanh(b: Body, x: SSAValue) -> SSAValue:
    cube = b("mulf", b("mulf", b("mulf", x, x), x), b.number(0.044715))
    inner = b("mulf", b("addf", x, cube), b.number(SQRT_2_OVER_PI))
    return b("mulf", b("mulf", x, b.number(0.5)), b("addf", b("tanh", inner), b.number(1.0)))


def _hyperbolic(name: str) -> Callable[..., SSAValue]:
    def write(b: Body, x: SSAValue) -> SSAValue:
        both = b(name, _exp(b, x), _exp(b, b("negf", x)))
        return b("mulf", both, b.number(0.5))

    return write


def _sign(b: Body, x: SSAValue) -> SSAValue:
    zero = b.number(0.0)
    below = _select(b, ("ltf", x, zero), b.number(-1.0), zero)
    return _select(b, ("ltf", zero, x), b.number(1.0), below)


def _pow(b: Body, x: SSAValue, y: SSAValue) -> SSAValue:
    """exp2(y * log2 |x|); negative x: the sign of an odd y, NaN where y is not whole."""
    zero = b.number(0.0)
    size = b("exp2", b("mulf", y, b("log2", b("absf", x))))
    half = b("mulf", y, b.number(0.5))
    even = _select(b, ("eqf", b("floorf", half), half), size, b("negf", size))
    whole = _select(b, ("eqf", b("floorf", y), y), even, b.number(float("nan")))
    signed = _select(b, ("ltf", x, zero), whole, size)
    return _select(b, ("eqf", y, zero), b.number(1.0), signed)


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
    "leaky_relu": Function(2, _leaky_relu),
    "elu": Function(2, _elu),
    "selu": Function(3, lambda b, x, alpha, gamma: b("mulf", _elu(b, x, alpha), gamma)),
    "celu": Function(2, _celu),
    "thresholded_relu": Function(
        2, lambda b, x, alpha: _select(b, ("ltf", alpha, x), x, b.number(0.0))
    ),
    "softplus": Function(1, _softplus),
    "softsign": Function(1, _softsign),
    "mish": Function(1, lambda b, x: b("mulf", x, b("tanh", _softplus(b, x)))),
    "swish": Function(2, lambda b, x, alpha: b("mulf", x, _sigmoid(b, b("mulf", x, alpha)))),
    "hard_swish": Function(1, _hard_swish),
    "gelu": Function(1, _gelu),
    "gelu_tanh": Function(1, _gelu_tanh),
    "tan": Function(1, lambda b, x: b("divf", b("sin", x), b("cos", x))),
    "sinh": Function(1, _hyperbolic("subf")),
    "cosh": Function(1, _hyperbolic("addf")),
    "sign": Function(1, _sign),
    "pow": Function(2, _pow),
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
