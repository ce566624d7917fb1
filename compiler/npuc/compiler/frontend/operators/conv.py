"""Conv."""

from dataclasses import replace

import numpy as np

from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.frontend.node import Node, Result, onnx_operator
from npuc.compiler.frontend.operators.volumes import (
    VOLUME_RANK,
    convolve_volume,
    from_volume,
    volume_window,
)
from npuc.compiler.frontend.operators.windows import (
    TO_NCHW,
    TO_NHWC,
    as_image,
    from_image,
    onnx_window,
)
from npuc.compiler.ops.contraction import ZeroPoints, make_conv2d
from npuc.compiler.ops.elementwise import make_function
from npuc.compiler.ops.movement import make_transpose
from npuc.compiler.xdsl_api import SSAValue
from npuc.isa.dtypes import DType

OIHW_TO_HWIO = (2, 3, 1, 0)


@onnx_operator("Conv")
def conv(node: Node) -> Result:
    """x_NCHW by w_OIHW, plus a bias per output channel."""
    if dtype_of(node.tensor(0)) is not DType.f32:
        raise node.unsupported("Conv is supported on float32", dtype_of(node.tensor(0)).name)
    result = convolution(node, (0, 1), ZeroPoints())
    if node.has(2):
        result = node.emit(make_function("add", [result, node.tensor(2)]))
    return [channels_first(node, result, 1)]


def channels_first(node: Node, result: SSAValue, weights: int) -> SSAValue:
    """What ``convolution`` by input ``weights`` led to, with the axes that ONNX has."""
    rank = len(node.value(0).shape)
    if rank == VOLUME_RANK:
        window = volume_window(node, node.value(weights).shape[2:])
        return from_volume(node, result, window)
    return from_image(node, node.emit(make_transpose(result, TO_NCHW)), rank)


def convolution(node: Node, operands: tuple[int, int], zero: ZeroPoints) -> SSAValue:
    """The accumulators in NHWC of the convolution of inputs ``operands`` (x_NCHW, w_OIHW)."""
    if len(node.value(operands[0]).shape) == VOLUME_RANK:
        return convolve_volume(node, operands, zero)
    x_NCHW, w_HWIO = as_image(node, node.tensor(operands[0])), weight_tensor(node, operands[1])
    groups, kernel = node.attribute("group", 1), node.value(operands[1]).shape[2:]
    if list(kernel) != node.integers("kernel_shape", kernel):
        stated = node.integers("kernel_shape", kernel)
        raise node.unsupported(
            "kernel_shape contradicts the weights", f"{stated} and {list(kernel)}"
        )
    window = onnx_window(node, shape_of(x_NCHW), kernel)
    x_NHWC = node.emit(make_transpose(x_NCHW, TO_NHWC))
    geometry = replace(window.geometry, groups=groups)
    return node.emit(make_conv2d(x_NHWC, w_HWIO, geometry, zero))


def weight_tensor(node: Node, index: int) -> SSAValue:
    """The weights of input ``index`` as HWIO; constants are turned here and now."""
    value = node.value(index)
    if len(value.shape) not in (3, 4):
        raise node.unsupported(
            "windows have one, two or three spatial axes",
            f"weights of shape {list(value.shape)}",
            "w[O, I, K], w[O, I, KH, KW] or w[O, I, KD, KH, KW]",
        )
    shape = (*value.shape[:2], *[1] * (4 - len(value.shape)), *value.shape[2:])
    if value.array is not None:
        array = value.array.reshape(shape).transpose(OIHW_TO_HWIO)
        return node.constant_tensor(np.ascontiguousarray(array))
    return node.emit(make_transpose(as_image(node, node.tensor(index)), OIHW_TO_HWIO))
