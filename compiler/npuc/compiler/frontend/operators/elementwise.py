"""Elementwise operators: arithmetic, Relu, Clip, Cast and the functions of one operand."""

import numpy as np
import onnx

from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.nn import ClipOp, Scalars
from npuc.compiler.dialects.nn_generic import DOMAIN_TYPES
from npuc.compiler.frontend.node import Node, Result, Value, onnx_operator
from npuc.compiler.frontend.operators.logic import integer_arithmetic
from npuc.compiler.frontend.unsigned import UNSIGNED_SHIFT
from npuc.compiler.ops.elementwise import make_function
from npuc.compiler.ops.scalar_ops import Body
from npuc.compiler.ops.structured import make_elementwise
from npuc.compiler.xdsl_api import SSAValue
from npuc.isa.dtypes import DType

BROADCASTING_OPSET = 7


def _register_function(op_type: str, function: str, arity: int, since: int) -> None:
    @onnx_operator(op_type, since=since)
    def import_one(node: Node) -> Result:
        given = [node.tensor(index) for index in range(arity)]
        integers = integer_arithmetic(node, function, given)
        if integers is not None:
            return [integers]
        operands = [node.floats(index) for index in range(arity)]
        try:
            return [node.emit(make_function(function, operands))]
        except ValueError as error:
            raise node.unsupported("shapes do not broadcast", error) from error


for _op_type, _function in (
    ("Add", "add"),
    ("Sub", "sub"),
    ("Mul", "mul"),
    ("Div", "div"),
):
    _register_function(_op_type, _function, 2, BROADCASTING_OPSET)

for _op_type, _function in (
    ("Relu", "relu"),
    ("Neg", "neg"),
    ("Abs", "abs"),
    ("Sqrt", "sqrt"),
    ("Exp", "exp"),
    ("Log", "log"),
    ("Sigmoid", "sigmoid"),
    ("Tanh", "tanh"),
    ("Erf", "erf"),
    ("Floor", "floor"),
    ("Ceil", "ceil"),
    ("Round", "round"),
    ("Reciprocal", "reciprocal"),
    ("Sin", "sin"),
    ("Cos", "cos"),
):
    _register_function(_op_type, _function, 1, 1)


def _register_fold(op_type: str, function: str) -> None:
    @onnx_operator(op_type, since=6)
    def import_one(node: Node) -> Result:
        result = node.tensor(0)
        for index in range(1, len(node.proto.input)):
            made = integer_arithmetic(node, function, [result, node.tensor(index)])
            if made is None:
                first = node.floats(0) if index == 1 else result
                made = node.emit(make_function(function, [first, node.floats(index)]))
            result = made
        return [result]


for _op_type, _function in (("Sum", "add"), ("Min", "min"), ("Max", "max")):
    _register_fold(_op_type, _function)


@onnx_operator("Clip", until=10)
def clip_by_attributes(node: Node) -> Result:
    """Bounds as attributes; the defaults are the ends of float32."""
    low, high = node.attribute("min", -np.inf), node.attribute("max", np.inf)
    return _clip(node, float(low), float(high))


@onnx_operator("Clip", since=11)
def clip(node: Node) -> Result:
    """Bounds as optional inputs."""
    low, high = node.constant_or(1, -np.inf), node.constant_or(2, np.inf)
    if np.size(low) != 1 or np.size(high) != 1:
        raise node.unsupported("a bound is not a scalar", f"{np.shape(low)}, {np.shape(high)}")
    return _clip(node, float(np.asarray(low).item()), float(np.asarray(high).item()))


def _clip(node: Node, low: float, high: float) -> Result:
    limit = float(np.finfo(np.float32).max)
    x = node.floats(0)
    bounds = (low if low > -limit else None, high if high < limit else None)
    if bounds == (None, None):
        return [x]
    return [node.emit(ClipOp(x, *bounds))]


_CAST_TO: dict[int, DType] = {
    onnx.TensorProto.FLOAT: DType.f32,
    onnx.TensorProto.INT8: DType.i8,
    onnx.TensorProto.UINT8: DType.u8,
    onnx.TensorProto.INT32: DType.i32,
    onnx.TensorProto.INT64: DType.i64,
}


@onnx_operator("Cast", since=6)
def cast(node: Node) -> Result:
    """Floats to integers towards zero and saturated; integers to narrower ones wrap around."""
    source, number = node.value(0), node.attribute("to", 0)
    if number == onnx.TensorProto.BOOL:
        return [_cast_to_bool(node)]
    if number not in _CAST_TO:
        name = onnx.TensorProto.DataType.Name(number)
        allowed = ", ".join(dtype.name for dtype in _CAST_TO.values())
        raise node.unsupported("Cast to this element type is not supported", name, allowed)
    x, to = node.tensor(0), _CAST_TO[number]
    if to is dtype_of(x) and not source.is_unsigned:
        return [x]
    body = Body("f" if dtype_of(x).is_float else "i")
    value = _integer_of(body, to, is_unsigned=source.is_unsigned)
    is_unsigned = to is DType.u8
    if is_unsigned:
        value = body("subi", value, body.number(UNSIGNED_SHIFT))
    stored = DType.i8 if is_unsigned else to
    made = make_elementwise([x], shape_of(x), stored, Scalars(body.done(value)))
    return [Value(ssa=node.emit_made(made), is_unsigned=is_unsigned)]


def _cast_to_bool(node: Node) -> SSAValue:
    """Whether an element differs from 0."""
    x = node.tensor(0)
    letter = "f" if dtype_of(x).is_float else "i"
    body = Body(letter)
    zero = -UNSIGNED_SHIFT if node.value(0).is_unsigned else 0
    is_zero = body(f"eq{letter}", body.args[0], body.number(0.0 if letter == "f" else zero))
    truth = body("selecti", is_zero, body.number(0), body.number(1))
    made = make_elementwise([x], shape_of(x), DType.i8, Scalars(body.done(truth)))
    return node.emit_made(made)


def _integer_of(body: Body, to: DType, *, is_unsigned: bool) -> SSAValue:
    """The argument of ``body`` as what the store as ``to`` needs."""
    (value,) = body.args
    if value.type == DOMAIN_TYPES["i"]:
        if is_unsigned:
            value = body("addi", value, body.number(UNSIGNED_SHIFT))
        return _wrapped(body, value, to)
    if to is DType.f32:
        return value
    is_negative = body("ltf", value, body.number(0.0))
    whole = body("selectf", is_negative, body("ceilf", value), body("floorf", value))
    return body("f2i", whole)


def _wrapped(body: Body, value: SSAValue, to: DType) -> SSAValue:
    """The low bits of an integer, as ``to`` has them."""
    if to is DType.u8:
        return body("andi", value, body.number(2 ** (8 * to.bytes) - 1))
    if to is not DType.i8:
        return value
    left = body.number(32 - 8 * to.bytes)
    return body("shri", body("shli", value, left), left)
