"""Comparisons, logic, Where, and arithmetic of integers.

A bool is an int8 of 0 or 1 inside the graph; the importer remembers what it is in ONNX.
"""

from collections.abc import Callable, Sequence

import numpy as np

from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.nn import Scalars
from npuc.compiler.frontend.node import Node, Result, Value, onnx_operator
from npuc.compiler.ops.scalar_ops import Body
from npuc.compiler.ops.structured import make_elementwise
from npuc.compiler.xdsl_api import SSAValue
from npuc.isa.dtypes import DType

Write = Callable[..., SSAValue]


def is_unsigned(value: Value) -> bool:
    """Whether ``value`` is uint8 in ONNX."""
    return value.is_unsigned or (value.array is not None and value.array.dtype == np.uint8)


def _pointwise(node: Node, operands: Sequence[SSAValue], dtype: DType, write: Write) -> SSAValue:
    """``write(body, *scalars)`` at every point of the broadcast operands."""
    try:
        shape = np.broadcast_shapes(*map(shape_of, operands))
    except ValueError as error:
        raise node.unsupported("shapes do not broadcast", error) from error
    body = Body("".join("f" if dtype_of(value).is_float else "i" for value in operands))
    scalars = Scalars(body.done(write(body, *body.args)))
    return node.emit_made(make_elementwise(operands, shape, dtype, scalars))


def _alike(node: Node, first: int = 0) -> tuple[SSAValue, SSAValue]:
    """Two operands of one element type."""
    a, b = node.tensor(first), node.tensor(first + 1)
    signs = is_unsigned(node.value(first)), is_unsigned(node.value(first + 1))
    if dtype_of(a) is not dtype_of(b) or signs[0] != signs[1]:
        raise node.unsupported(
            "operands have different element types", f"{dtype_of(a).name}, {dtype_of(b).name}"
        )
    return a, b


def _truth(body: Body, condition: SSAValue) -> SSAValue:
    return body("selecti", condition, body.number(1), body.number(0))


def _register_comparison(op_type: str, micro_op: str, *, swapped: bool) -> None:
    @onnx_operator(op_type, since=7)
    def import_one(node: Node) -> Result:
        operands = _alike(node)
        name = micro_op + ("f" if dtype_of(operands[0]).is_float else "i")

        def write(body: Body, a: SSAValue, b: SSAValue) -> SSAValue:
            return _truth(body, body(name, b, a) if swapped else body(name, a, b))

        return [_pointwise(node, operands, DType.i8, write)]


for _op_type, _micro_op, _swapped in (
    ("Equal", "eq", False),
    ("Less", "lt", False),
    ("LessOrEqual", "le", False),
    ("Greater", "lt", True),
    ("GreaterOrEqual", "le", True),
):
    _register_comparison(_op_type, _micro_op, swapped=_swapped)


def _register_logic(op_type: str, micro_op: str) -> None:
    @onnx_operator(op_type, since=7)
    def import_one(node: Node) -> Result:
        def write(body: Body, a: SSAValue, b: SSAValue) -> SSAValue:
            return body(micro_op, a, b)

        return [_pointwise(node, _alike(node), DType.i8, write)]


for _op_type, _micro_op in (("And", "andi"), ("Or", "ori"), ("Xor", "xori")):
    _register_logic(_op_type, _micro_op)


@onnx_operator("Not")
def logical_not(node: Node) -> Result:
    """1 for 0, 0 for 1."""

    def write(body: Body, a: SSAValue) -> SSAValue:
        return body("xori", a, body.number(1))

    return [_pointwise(node, [node.tensor(0)], DType.i8, write)]


@onnx_operator("IsNaN", since=9)
def is_nan(node: Node) -> Result:
    """Whether an element differs from itself."""

    def write(body: Body, a: SSAValue) -> SSAValue:
        return body("selecti", body("eqf", a, a), body.number(0), body.number(1))

    return [_pointwise(node, [node.floats(0)], DType.i8, write)]


@onnx_operator("Where", since=9)
def where(node: Node) -> Result:
    """Inputs 1 where input 0 holds, 2 elsewhere."""
    a, b = _alike(node, 1)
    select = "selectf" if dtype_of(a).is_float else "selecti"

    def write(body: Body, condition: SSAValue, x: SSAValue, y: SSAValue) -> SSAValue:
        is_false = body("eqi", condition, body.number(0))
        return body(select, is_false, y, x)

    result = _pointwise(node, [node.tensor(0), a, b], dtype_of(a), write)
    return [Value(ssa=result, is_unsigned=is_unsigned(node.value(1)))]


INTEGER_OPS = {"add": "addi", "sub": "subi", "mul": "muli", "min": "mini", "max": "maxi"}


def integer_arithmetic(node: Node, function: str, operands: Sequence[SSAValue]) -> SSAValue | None:
    """``function`` of int32 or int64 operands; None for other element types or functions.

    Wraps at 32 bits; an int64 element that needs more traps when it is loaded.
    """
    dtype = dtype_of(operands[0])
    if dtype not in (DType.i32, DType.i64) or any(dtype_of(v) is not dtype for v in operands):
        return None
    if len(operands) == 1 and function in ("neg", "abs"):
        return _pointwise(node, operands, dtype, _SIGNS[function])
    if len(operands) != 2 or function not in INTEGER_OPS:  # a pair
        return None
    return _pointwise(node, operands, dtype, lambda body, a, b: body(INTEGER_OPS[function], a, b))


_SIGNS: dict[str, Write] = {
    "neg": lambda body, a: body("subi", body.number(0), a),
    "abs": lambda body, a: body("absi", a),
}
