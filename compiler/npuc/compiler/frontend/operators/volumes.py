"""Convolution and pooling with three spatial axes, by those with two.

A volume is a tensor [N, W, D * H, C]: columns of planes. A kernel of KW columns reads KW slices
along W: side by side as channels they make one convolution of planes (D, H), in the natural order
(kz, ky, kx, c) of accumulation. Pooling goes over planes first, then along W.
"""

from dataclasses import dataclass, replace

import numpy as np

from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.frontend.node import Node
from npuc.compiler.frontend.operators.pieces import cut, joined
from npuc.compiler.frontend.operators.windows import ceiled_pads, explicit_pads
from npuc.compiler.ops.contraction import ConvGeometry, ZeroPoints, make_conv2d
from npuc.compiler.ops.movement import make_reshape, make_transpose
from npuc.compiler.ops.pieces import make_pad
from npuc.compiler.ops.pooling import Pool, make_pool2d
from npuc.compiler.xdsl_api import SSAValue

VOLUME_RANK = 5
AXES = 3
ENDS_SWAPPED = (0, 3, 2, 1)  # x[N, C, D * H, W] to a volume and back
CHANNELS_LAST = (2, 3, 4, 1, 0)  # w[O, I, KD, KH, KW] to [KD, KH, KW, I, O]


@dataclass(frozen=True)
class Across:
    """A window along W; ``before`` and ``after`` are pads."""

    kernel: int
    stride: int
    dilation: int
    before: int
    after: int

    def count(self, size: int) -> int:
        """Positions of the window on ``size`` columns."""
        span = (self.kernel - 1) * self.dilation + 1
        return (size + self.before + self.after - span) // self.stride + 1


@dataclass(frozen=True)
class VolumeWindow:
    """The window of a node on x[N, C, D, H, W]: in the planes D, H, and along W."""

    kernel: tuple[int, int]
    plane: ConvGeometry
    across: Across
    size: tuple[int, int, int]

    @property
    def out(self) -> tuple[int, int, int]:
        """Output depth, height, width."""
        depth, height, width = self.size
        rows = self.plane.output_size(depth, self.kernel[0], 0)
        return rows, self.plane.output_size(height, self.kernel[1], 1), self.across.count(width)


def volume_window(node: Node, kernel: tuple[int, ...]) -> VolumeWindow:
    """The window of a node whose input 0 has three spatial axes. Raises: UnsupportedError."""
    shape = node.value(0).shape
    if len(shape) != VOLUME_RANK or len(kernel) != AXES:
        raise node.unsupported(
            "kernel and tensor have different axes", f"x {list(shape)}, kernel {list(kernel)}"
        )
    ones = [1] * AXES
    strides, dilations = node.integers("strides", ones), node.integers("dilations", ones)
    pads = explicit_pads(node, shape[2:], kernel, (strides, dilations))
    if node.attribute("ceil_mode", 0):
        pads = ceiled_pads(shape[2:], kernel, (strides, dilations), pads)
    (front, top, left), (back, bottom, right) = pads[:AXES], pads[AXES:]
    plane = ConvGeometry(
        (strides[0], strides[1]), (front, top, back, bottom), (dilations[0], dilations[1])
    )
    across = Across(kernel[2], strides[2], dilations[2], left, right)
    size = (shape[2], shape[3], shape[4])
    window = VolumeWindow((kernel[0], kernel[1]), plane, across, size)
    if min(window.out) < 1:
        raise node.unsupported("the kernel is larger than the padded input", f"output {window.out}")
    return window


def from_volume(node: Node, y_NWPC: SSAValue, window: VolumeWindow) -> SSAValue:
    """y[N, W, D * H, C] as ONNX has it: [N, C, D, H, W]."""
    n, channels = shape_of(y_NWPC)[0], shape_of(y_NWPC)[-1]
    turned = node.emit(make_transpose(y_NWPC, ENDS_SWAPPED))
    return node.emit(make_reshape(turned, (n, channels, *window.out)))


def _volume(node: Node, x_NCDHW: SSAValue) -> SSAValue:
    n, channels, depth, height, width = shape_of(x_NCDHW)
    planes = node.emit(make_reshape(x_NCDHW, (n, channels, depth * height, width)))
    return node.emit(make_transpose(planes, ENDS_SWAPPED))


def convolve_volume(node: Node, operands: tuple[int, int], zero: ZeroPoints) -> SSAValue:
    """The accumulators [N, W, D * H, O] of the convolution of inputs ``operands``."""
    w_OIDHW, groups = node.constant(operands[1]), node.attribute("group", 1)
    window = volume_window(node, w_OIDHW.shape[2:])
    across, (depth, height, width) = window.across, window.out
    x = _volume(node, node.tensor(operands[0]))
    n, channels = shape_of(x)[0], shape_of(x)[-1]
    if w_OIDHW.shape[1] * groups != channels:
        raise node.unsupported(
            "weights do not suit the channels", f"{list(w_OIDHW.shape)}, {channels}"
        )
    if across.before or across.after:
        widths = ((0, across.before, 0, 0), (0, across.after, 0, 0))
        x = node.emit(make_pad(x, widths, 0.0 if dtype_of(x).is_float else zero.first))
    each = channels // groups
    parts = [cut(node, x, 3, (g * each, each, 1)) for g in range(groups)]
    places = [(k * across.dilation, width, across.stride) for k in range(across.kernel)]
    stacked = joined(node, [cut(node, part, 1, p) for part in parts for p in places], 3)
    sizes = (n * width, *window.size[:2], across.kernel * channels)
    images = node.emit(make_reshape(stacked, sizes))
    turned = np.ascontiguousarray(w_OIDHW.transpose(CHANNELS_LAST))
    w_HWIO = turned.reshape(*window.kernel, across.kernel * each, w_OIDHW.shape[0])
    geometry = replace(window.plane, groups=groups)
    acc = node.emit(make_conv2d(images, node.constant_tensor(w_HWIO), geometry, zero))
    return node.emit(make_reshape(acc, (n, width, depth * height, w_OIDHW.shape[0])))


def pool_volume(node: Node, kind: str, *, counts_padding: bool) -> SSAValue:
    """Pooling over planes, then along W: largest values and means both allow it."""
    window = volume_window(node, tuple(node.integers("kernel_shape", [])))
    if counts_padding and node.attribute("ceil_mode", 0):
        raise node.unsupported("ceil_mode with count_include_pad is supported on images only")
    across, x = window.across, _volume(node, node.tensor(0))
    n, width, _, channels = shape_of(x)
    images = node.emit(make_reshape(x, (n * width, *window.size[:2], channels)))
    flat = Pool(window.kernel, window.plane, counts_padding)
    pooled = node.emit(make_pool2d(kind, images, flat))
    points = window.out[0] * window.out[1]
    columns = node.emit(make_reshape(pooled, (n, width, points, channels)))
    along = ConvGeometry(
        (across.stride, 1), (across.before, 0, across.after, 0), (across.dilation, 1)
    )
    result = node.emit(make_pool2d(kind, columns, Pool((across.kernel, 1), along, counts_padding)))
    return from_volume(node, result, window)
