"""BatchNormalization, InstanceNormalization, LayerNormalization and LRN."""

from collections.abc import Sequence

import numpy as np

from npuc.compiler.dialects.element_types import shape_of
from npuc.compiler.dialects.index_forms import IndexForm, dim_form
from npuc.compiler.dialects.nn import GenericOp, Scalars, Space
from npuc.compiler.frontend.load import Array
from npuc.compiler.frontend.node import Node, Result, onnx_operator
from npuc.compiler.frontend.operators.activations import function
from npuc.compiler.frontend.operators.pieces import axis_of
from npuc.compiler.ops.movement import make_reshape, make_transpose
from npuc.compiler.ops.scalar_ops import Body
from npuc.compiler.ops.structured import make_elementwise, make_reduction
from npuc.compiler.xdsl_api import SSAValue
from npuc.isa.dtypes import DType


@onnx_operator("BatchNormalization", since=7)
def batch_normalization(node: Node) -> Result:
    """x * a + b per channel, a = scale / sqrt(var + epsilon), both computed in float64."""
    if node.attribute("training_mode", 0) or any(node.uses_output(i) for i in range(1, 5)):
        raise node.unsupported("BatchNormalization in training mode is not supported")
    x = node.floats(0)
    scale, bias, mean, var = (node.constant(i).astype(np.float64) for i in range(1, 5))
    factor = scale / np.sqrt(var + node.attribute("epsilon", 1e-5))
    shape = (-1, *[1] * (len(shape_of(x)) - 2))
    if factor.shape != (shape_of(x)[1],):
        raise node.unsupported("one number per channel is needed", f"{factor.shape}")
    multiplied = function(node, "mul", x, _vector(node, factor, shape))
    return [function(node, "add", multiplied, _vector(node, bias - mean * factor, shape))]


def _vector(node: Node, values: Array, shape: Sequence[int]) -> SSAValue:
    return node.constant_tensor(values.astype(np.float32).reshape(shape))


@onnx_operator("LayerNormalization")
def layer_normalization(node: Node) -> Result:
    """(x - mean) / sqrt(mean((x - mean)^2) + epsilon) over all axes from ``axis`` on."""
    if node.uses_output(1) or node.uses_output(2):
        raise node.unsupported("LayerNormalization's further outputs are not supported")
    x = node.floats(0)
    rank = len(shape_of(x))
    axes = list(range(axis_of(node, node.attribute("axis", -1), rank), rank))
    affine = [node.floats(i) for i in (1, 2) if node.has(i)]
    return [normalised(node, x, axes, affine)]


@onnx_operator("InstanceNormalization")
def instance_normalization(node: Node) -> Result:
    """As LayerNormalization over the spatial axes, scale and bias per channel."""
    x = node.floats(0)
    rank = len(shape_of(x))
    shape = (shape_of(x)[1], *[1] * (rank - 2))
    affine = [node.emit(make_reshape(node.floats(i), shape)) for i in (1, 2)]
    return [normalised(node, x, list(range(2, rank)), affine)]


def normalised(
    node: Node, x: SSAValue, axes: Sequence[int], affine: Sequence[SSAValue]
) -> SSAValue:
    """``x`` with mean 0 and variance 1 over ``axes``, times affine[0], plus affine[1]."""
    count = float(np.prod([shape_of(x)[axis] for axis in axes]))
    body, epilogue = Body("f"), Body("f")
    mean_of = epilogue.done(epilogue("divf", epilogue.args[0], epilogue.number(count)))
    sums = Scalars(body.done(body.args[0]), "sumf", mean_of)
    mean = node.emit_made(make_reduction([x], axes, DType.f32, sums))
    deviation = node.emit_made(
        make_reduction(
            [x, mean], axes, DType.f32, _deviation(count, float(node.attribute("epsilon", 1e-5)))
        )
    )
    body = Body("fff" + "f" * len(affine))
    value = body("divf", body("subf", *body.args[:2]), body.args[2])
    for name, argument in zip(("mulf", "addf"), body.args[3:], strict=False):
        value = body(name, value, argument)
    scalars = Scalars(body.done(value))
    return node.emit_made(
        make_elementwise([x, mean, deviation, *affine], shape_of(x), DType.f32, scalars)
    )


def _deviation(count: float, epsilon: float) -> Scalars:
    """sqrt(sum((x - mean)^2) / count + epsilon)."""
    body = Body("ff")
    difference = body("subf", *body.args)
    epilogue = Body("ff")
    variance = epilogue("divf", epilogue.args[0], epilogue.number(count))
    shifted = epilogue("addf", variance, epilogue.number(epsilon))
    region = epilogue.done(epilogue("sqrt", shifted))
    return Scalars(body.done(body("mulf", difference, difference)), "sumf", region)


@onnx_operator("LRN")
def local_response_normalization(node: Node) -> Result:
    """x * (bias + alpha / size * sum of squares of neighbouring channels) ^ -beta."""
    x = node.floats(0)
    rank = len(shape_of(x))
    perm = (0, *range(2, rank), 1)
    last = node.emit(make_transpose(x, perm))
    shape = shape_of(last)
    rows = node.emit(make_reshape(last, (int(np.prod(shape[:-1])), shape[-1])))
    result = node.emit(_response(node, rows))
    back = node.emit(make_reshape(result, shape))
    return [node.emit(make_transpose(back, (0, rank - 1, *range(1, rank - 1))))]


def _response(node: Node, rows: SSAValue) -> GenericOp:
    size = int(node.attribute("size", 1))
    window = IndexForm((0, 1, 1), -((size - 1) // 2))
    own = (dim_form(3, 0), dim_form(3, 1))
    forms = ((dim_form(3, 0), window), own, own)
    space = Space((*shape_of(rows), size), 2, forms, (0.0, None))
    body, epilogue = Body("ff"), Body("ff")
    total, x = epilogue.args
    scaled = epilogue("mulf", total, epilogue.number(float(node.attribute("alpha", 1e-4)) / size))
    base = epilogue("addf", scaled, epilogue.number(float(node.attribute("bias", 1.0))))
    exponent = epilogue.number(-float(node.attribute("beta", 0.75)))
    power = epilogue("exp2", epilogue("mulf", epilogue("log2", base), exponent))
    region = epilogue.done(epilogue("mulf", x, power))
    square = body.done(body("mulf", body.args[0], body.args[0]))
    return GenericOp([rows, rows], rows.type, space, Scalars(square, "sumf", region))
