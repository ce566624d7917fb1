"""Activations, Pow, and other functions that are written with a few named ones."""

from collections.abc import Sequence

import numpy as np

from npuc.compiler.dialects.nn import ClipOp
from npuc.compiler.frontend.node import Node, Result, onnx_operator
from npuc.compiler.ops.elementwise import make_function
from npuc.compiler.xdsl_api import SSAValue

SELU = (1.67326319217681884765625, 1.05070102214813232421875)
# Whole exponents up to this size are products; beyond it, powers of two of logarithms.
MAX_FACTORS = 4


def function(node: Node, name: str, *operands: SSAValue | float) -> SSAValue:
    """The value of a named function; numbers become constants."""
    values = [v if isinstance(v, SSAValue) else number(node, v) for v in operands]
    try:
        return node.emit(make_function(name, values))
    except ValueError as error:
        raise node.unsupported("shapes do not broadcast", error) from error


def number(node: Node, value: float) -> SSAValue:
    """A scalar constant."""
    return node.constant_tensor(np.asarray(value, np.float32))


def _register_scaled(op_type: str, name: str, parameters: Sequence[tuple[str, float]]) -> None:
    @onnx_operator(op_type)
    def import_one(node: Node) -> Result:
        given = [float(node.attribute(*parameter)) for parameter in parameters]
        return [function(node, name, node.floats(0), *given)]


for _op_type, _name, _parameters in (
    ("LeakyRelu", "leaky_relu", [("alpha", 0.01)]),
    ("Elu", "elu", [("alpha", 1.0)]),
    ("Selu", "selu", [("alpha", SELU[0]), ("gamma", SELU[1])]),
    ("Celu", "celu", [("alpha", 1.0)]),
    ("ThresholdedRelu", "thresholded_relu", [("alpha", 1.0)]),
    ("Softplus", "softplus", []),
    ("Softsign", "softsign", []),
    ("Mish", "mish", []),
    ("Swish", "swish", [("alpha", 1.0)]),
    ("HardSwish", "hard_swish", []),
    ("Tan", "tan", []),
    ("Sinh", "sinh", []),
    ("Cosh", "cosh", []),
    ("Sign", "sign", []),
):
    _register_scaled(_op_type, _name, _parameters)


@onnx_operator("PRelu")
def prelu(node: Node) -> Result:
    """A slope for each element, broadcast to the tensor."""
    return [function(node, "leaky_relu", node.floats(0), node.floats(1))]


@onnx_operator("HardSigmoid")
def hard_sigmoid(node: Node) -> Result:
    """alpha * x + beta, between 0 and 1."""
    scaled = function(node, "mul", node.floats(0), float(node.attribute("alpha", 0.2)))
    shifted = function(node, "add", scaled, float(node.attribute("beta", 0.5)))
    return [node.emit(ClipOp(shifted, 0.0, 1.0))]


@onnx_operator("Gelu")
def gelu(node: Node) -> Result:
    """By erf, or by tanh where the attribute says so."""
    name = "gelu_tanh" if node.attribute("approximate", "none") == "tanh" else "gelu"
    return [function(node, name, node.floats(0))]


@onnx_operator("Gelu", domain="com.microsoft")
def microsoft_gelu(node: Node) -> Result:
    """By erf."""
    return [function(node, "gelu", node.floats(0))]


@onnx_operator("Pow", since=7)
def power(node: Node) -> Result:
    """Constant whole exponents are products; a half is a square root."""
    x = node.floats(0)
    exponent = node.value(1).array
    if exponent is not None and exponent.size == 1 and exponent.ndim <= len(node.value(0).shape):
        made = _constant_power(node, x, float(exponent.reshape(-1)[0]))
        if made is not None:
            return [made]
    if exponent is not None:
        return [function(node, "pow", x, node.constant_tensor(exponent.astype(np.float32)))]
    return [function(node, "pow", x, node.floats(1))]


def _constant_power(node: Node, x: SSAValue, exponent: float) -> SSAValue | None:
    if exponent == 0.5:
        return function(node, "sqrt", x)
    if exponent != int(exponent) or not 1 <= abs(exponent) <= MAX_FACTORS:
        return None
    product = x
    for _ in range(int(abs(exponent)) - 1):
        product = function(node, "mul", product, x)
    return function(node, "reciprocal", product) if exponent < 0 else product
