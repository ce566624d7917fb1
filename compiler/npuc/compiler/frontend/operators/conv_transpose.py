"""ConvTranspose as one forward convolution and a pixel shuffle.

Output position p = q * stride + r is made by the taps k = r + stride * j of the inputs q - j. All
phases r together are the channels of one convolution of stride 1 over ceil(K / stride) taps; a
transpose puts them in place. The order of accumulation is that of this convolution: ascending input
position (y, x), then channel; taps that a phase lacks are zero weights.
"""

from dataclasses import dataclass

import numpy as np

from npuc.compiler.dialects.element_types import shape_of
from npuc.compiler.frontend.load import Array
from npuc.compiler.frontend.node import Node, Result, onnx_operator
from npuc.compiler.frontend.operators.pieces import cut, joined
from npuc.compiler.frontend.operators.windows import SPATIAL, TO_NCHW, TO_NHWC, as_image, from_image
from npuc.compiler.ops.contraction import ConvGeometry, make_conv2d
from npuc.compiler.ops.elementwise import make_function
from npuc.compiler.ops.movement import make_reshape, make_transpose
from npuc.compiler.xdsl_api import SSAValue


@dataclass(frozen=True)
class _Axis:
    """One spatial axis: input size, taps of the dilated kernel, stride, first and last output."""

    size: int
    taps: int
    stride: int
    start: int
    out: int

    @property
    def steps(self) -> int:
        """Taps of one phase."""
        return -(-self.taps // self.stride)

    @property
    def blocks(self) -> int:
        """Positions of the forward convolution that cover the output."""
        return -(-(self.start + self.out) // self.stride)

    @property
    def pads(self) -> tuple[int, int]:
        """Padding of the forward convolution before and after."""
        return self.steps - 1, max(0, self.blocks - self.size)


@onnx_operator("ConvTranspose")
def conv_transpose(node: Node) -> Result:
    """x_NCHW by constant w[C, O / groups, KH, KW], plus a bias per output channel."""
    x_NCHW, weights = as_image(node, node.floats(0)), node.constant(1)
    if len(shape_of(x_NCHW)) != 4 or weights.ndim not in (3, 4):
        raise node.unsupported(
            "only one or two spatial axes are supported", f"weights {list(weights.shape)}"
        )
    w_COHW = _dilated(node, weights.reshape(*weights.shape[:2], *_images(weights.shape[2:])))
    groups = node.attribute("group", 1)
    channels = shape_of(x_NCHW)[1]
    if w_COHW.shape[0] != channels or channels % groups:
        raise node.unsupported("weights do not suit the channels", f"{weights.shape}, {channels}")
    axes = _axes(node, shape_of(x_NCHW)[2:], w_COHW.shape[2:])
    x_NHWC = node.emit(make_transpose(x_NCHW, TO_NHWC))
    each = channels // groups
    pieces = [
        _group(node, cut(node, x_NHWC, 3, (i * each, each, 1)), w_COHW[i * each :][:each], axes)
        for i in range(groups)
    ]
    result = joined(node, pieces, 3)
    if node.has(2):
        result = node.emit(make_function("add", [result, node.floats(2)]))
    image = node.emit(make_transpose(result, TO_NCHW))
    return [from_image(node, image, len(node.value(0).shape))]


def _images(values: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes along two axes; a missing height is 1."""
    return (*[1] * (SPATIAL - len(values)), *values)


def _dilated(node: Node, w_COHW: Array) -> Array:
    """The kernel with zeros between its taps."""
    steps = _images(tuple(node.integers("dilations", [1, 1][: len(node.value(0).shape) - 2])))
    c, o, height, width = w_COHW.shape
    sizes = (steps[0] * (height - 1) + 1, steps[1] * (width - 1) + 1)
    wide = np.zeros((c, o, *sizes), np.float32)
    wide[:, :, :: steps[0], :: steps[1]] = w_COHW
    return wide


def _axes(node: Node, size: tuple[int, ...], taps: tuple[int, ...]) -> tuple[_Axis, _Axis]:
    rank = len(node.value(0).shape) - 2
    strides = _images(tuple(node.integers("strides", [1] * rank)))
    extra = (0,) * (SPATIAL - rank) + tuple(node.integers("output_padding", [0] * rank))
    pads = node.integers("pads", [0] * (2 * rank))
    begins = (0,) * (SPATIAL - rank) + tuple(pads[:rank])
    ends = (0,) * (SPATIAL - rank) + tuple(pads[rank:])
    wanted = _images(tuple(node.integers("output_shape", [])))
    mode = node.attribute("auto_pad", "NOTSET")
    axes = []
    for i in range(SPATIAL):
        full = (size[i] - 1) * strides[i] + taps[i] + extra[i]
        begin, out = begins[i], full - begins[i] - ends[i]
        has_size = node.integers("output_shape", []) or mode.startswith("SAME")
        if has_size:
            out = wanted[i] if node.integers("output_shape", []) else size[i] * strides[i]
            total = max(0, full - out)
            begin = total - total // 2 if mode == "SAME_LOWER" else total // 2
        if out < 1 or begin < 0:
            raise node.unsupported("the output would be empty", f"{out} on spatial axis {i}")
        axes.append(_Axis(size[i], taps[i], strides[i], begin, out))
    return axes[0], axes[1]


def _group(node: Node, x_NHWC: SSAValue, w_COHW: Array, axes: tuple[_Axis, _Axis]) -> SSAValue:
    """One group of channels: convolution, shuffle of the phases, cut."""
    y, x = axes
    weights = node.constant_tensor(_phases(w_COHW, axes))
    pads = (y.pads[0], x.pads[0], y.pads[1], x.pads[1])
    phases = node.emit(make_conv2d(x_NHWC, weights, ConvGeometry(pads=pads)))
    n, height, width, _ = shape_of(phases)
    outputs = w_COHW.shape[1]
    rows = node.emit(make_reshape(phases, (n * height, width, y.stride, x.stride * outputs)))
    moved = node.emit(make_transpose(rows, (0, 2, 1, 3)))
    whole = (n, height * y.stride, width * x.stride, outputs)
    result = node.emit(make_reshape(moved, whole))
    for axis, along in ((1, y), (2, x)):
        result = cut(node, result, axis, (along.start, along.out, 1))
    return result


def _phases(w_COHW: Array, axes: tuple[_Axis, _Axis]) -> Array:
    """Weights [JY, JX, C, (ry, rx, O)] of the forward convolution."""
    c, o = w_COHW.shape[:2]
    y, x = axes
    padded = np.zeros((c, o, y.steps * y.stride, x.steps * x.stride), np.float32)
    padded[:, :, : y.taps, : x.taps] = w_COHW
    split = padded.reshape(c, o, y.steps, y.stride, x.steps, x.stride)[:, :, ::-1, :, ::-1]
    ordered = split.transpose(2, 4, 0, 3, 5, 1)
    return np.ascontiguousarray(ordered).reshape(y.steps, x.steps, c, -1)
