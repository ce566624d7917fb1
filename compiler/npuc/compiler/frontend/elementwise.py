"""Elementwise operators: arithmetic, Relu, Clip and the functions of one operand."""

import numpy as np

from npuc.compiler.dialects.nn import ClipOp
from npuc.compiler.frontend.node import Node, Result, onnx_operator
from npuc.compiler.ops.elementwise import make_function

BROADCASTING_OPSET = 7


def _register_function(op_type: str, function: str, arity: int, since: int) -> None:
    @onnx_operator(op_type, since=since)
    def import_one(node: Node) -> Result:
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
    @onnx_operator(op_type, since=8)
    def import_one(node: Node) -> Result:
        result = node.floats(0)
        for index in range(1, len(node.proto.input)):
            result = node.emit(make_function(function, [result, node.floats(index)]))
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
    return _clip(node, float(np.asarray(low).item()), float(np.asarray(high).item()))


def _clip(node: Node, low: float, high: float) -> Result:
    limit = float(np.finfo(np.float32).max)
    x = node.floats(0)
    bounds = (low if low > -limit else None, high if high < limit else None)
    if bounds == (None, None):
        return [x]
    return [node.emit(ClipOp(x, *bounds))]
