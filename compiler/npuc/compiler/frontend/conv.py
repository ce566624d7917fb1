"""Conv."""

from dataclasses import replace

import numpy as np

from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.frontend.node import Node, Result, onnx_operator
from npuc.compiler.frontend.windows import TO_NCHW, TO_NHWC, onnx_window
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
    return [node.emit(make_transpose(result, TO_NCHW))]


def convolution(node: Node, operands: tuple[int, int], zero: ZeroPoints) -> SSAValue:
    """The accumulators in NHWC of the convolution of inputs ``operands`` (x_NCHW, w_OIHW)."""
    x_NCHW, w_OIHW = node.tensor(operands[0]), weight_tensor(node, operands[1])
    groups = node.attribute("group", 1)
    shape = shape_of(w_OIHW)  # already HWIO
    window = onnx_window(node, shape_of(x_NCHW), shape[:2] if len(shape) == 4 else shape)
    _check_groups(node, groups, shape_of(x_NCHW)[1])
    x_NHWC = node.emit(make_transpose(x_NCHW, TO_NHWC))
    geometry = replace(window.geometry, groups=groups)
    return node.emit(make_conv2d(x_NHWC, w_OIHW, geometry, zero))


def weight_tensor(node: Node, index: int) -> SSAValue:
    """The weights of input ``index`` as HWIO; constants are turned here and now."""
    value = node.value(index)
    if len(value.shape) != 4:
        raise node.unsupported(
            "only two spatial axes are supported",
            f"weights of shape {list(value.shape)}",
            "w[O, I, KH, KW]",
        )
    if value.array is not None:
        return node.constant_tensor(np.ascontiguousarray(value.array.transpose(OIHW_TO_HWIO)))
    return node.emit(make_transpose(node.tensor(index), OIHW_TO_HWIO))


def _check_groups(node: Node, groups: int, channels: int) -> None:
    if groups not in (1, channels):
        raise node.unsupported(
            "grouped convolution is supported as depthwise only",
            f"{groups} groups of {channels} channels",
            f"1 or {channels} groups",
        )
