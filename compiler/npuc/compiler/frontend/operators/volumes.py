"""Convolution and pooling with three spatial axes, by those with two.

A volume is a tensor [N, D, H * W, C]. A kernel of KD planes reads KD slices along D: side by side
as channels they make one convolution of planes, in the order (ky, kx, kz, c) of accumulation.
Pooling goes over planes first, then along D.
"""

from dataclasses import dataclass, replace
from math import prod

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
PLANES_LAST = (3, 4, 2, 1, 0)  # w[O, I, KD, KH, KW] to [KH, KW, KD, I, O]


@dataclass(frozen=True)
class Depth:
    """A window along D; ``before`` and ``after`` are pads."""

    kernel: int
    stride: int
    dilation: int
    before: int
    after: int

    def count(self, size: int) -> int:
        """Positions of the window on ``size`` planes."""
        span = (self.kernel - 1) * self.dilation + 1
        return (size + self.before + self.after - span) // self.stride + 1


@dataclass(frozen=True)
class VolumeWindow:
    """The window of a node on x[N, C, D, H, W]: along D, and in the planes."""

    depth: Depth
    kernel: tuple[int, int]
    plane: ConvGeometry
    size: tuple[int, int, int]

    @property
    def out(self) -> tuple[int, int, int]:
        """Output depth, height, width."""
        _, rows, columns = self.size
        height = self.plane.output_size(rows, self.kernel[0], 0)
        width = self.plane.output_size(columns, self.kernel[1], 1)
        return self.depth.count(self.size[0]), height, width


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
    depth = Depth(kernel[0], strides[0], dilations[0], pads[0], pads[AXES])
    (top, left), (bottom, right) = pads[1:AXES], pads[AXES + 1 :]
    plane = ConvGeometry(
        (strides[1], strides[2]), (top, left, bottom, right), (dilations[1], dilations[2])
    )
    window = VolumeWindow(depth, (kernel[1], kernel[2]), plane, (shape[2], shape[3], shape[4]))
    if min(window.out) < 1:
        raise node.unsupported("the kernel is larger than the padded input", f"output {window.out}")
    return window


def from_volume(node: Node, y_NDPC: SSAValue, window: VolumeWindow) -> SSAValue:
    """y[N, D, H * W, C] as ONNX has it: [N, C, D, H, W]."""
    n, channels = shape_of(y_NDPC)[0], shape_of(y_NDPC)[-1]
    points = node.emit(make_reshape(y_NDPC, (n, prod(window.out), channels)))
    turned = node.emit(make_transpose(points, (0, 2, 1)))
    return node.emit(make_reshape(turned, (n, channels, *window.out)))


def _volume(node: Node, x_NCDHW: SSAValue) -> SSAValue:
    n, channels, depth, height, width = shape_of(x_NCDHW)
    points = node.emit(make_reshape(x_NCDHW, (n, channels, depth * height * width)))
    turned = node.emit(make_transpose(points, (0, 2, 1)))
    return node.emit(make_reshape(turned, (n, depth, height * width, channels)))


def convolve_volume(node: Node, operands: tuple[int, int], zero: ZeroPoints) -> SSAValue:
    """The accumulators [N, D, H * W, O] of the convolution of inputs ``operands``."""
    w_OIDHW, groups = node.constant(operands[1]), node.attribute("group", 1)
    window = volume_window(node, w_OIDHW.shape[2:])
    depth, (planes, height, width) = window.depth, window.out
    x = _volume(node, node.tensor(operands[0]))
    n, channels = shape_of(x)[0], shape_of(x)[-1]
    if w_OIDHW.shape[1] * groups != channels:
        raise node.unsupported(
            "weights do not suit the channels", f"{list(w_OIDHW.shape)}, {channels}"
        )
    if depth.before or depth.after:
        widths = ((0, depth.before, 0, 0), (0, depth.after, 0, 0))
        x = node.emit(make_pad(x, widths, 0.0 if dtype_of(x).is_float else zero.first))
    each = channels // groups
    parts = [cut(node, x, 3, (g * each, each, 1)) for g in range(groups)]
    places = [(k * depth.dilation, planes, depth.stride) for k in range(depth.kernel)]
    stacked = joined(node, [cut(node, part, 1, p) for part in parts for p in places], 3)
    sizes = (n * planes, *window.size[1:], depth.kernel * channels)
    images = node.emit(make_reshape(stacked, sizes))
    turned = np.ascontiguousarray(w_OIDHW.transpose(PLANES_LAST))
    w_HWIO = turned.reshape(*window.kernel, depth.kernel * each, w_OIDHW.shape[0])
    geometry = replace(window.plane, groups=groups)
    acc = node.emit(make_conv2d(images, node.constant_tensor(w_HWIO), geometry, zero))
    return node.emit(make_reshape(acc, (n, planes, height * width, w_OIDHW.shape[0])))


def pool_volume(node: Node, kind: str, *, counts_padding: bool) -> SSAValue:
    """Pooling over planes, then along D: largest values and means both allow it."""
    window = volume_window(node, tuple(node.integers("kernel_shape", [])))
    if counts_padding and node.attribute("ceil_mode", 0):
        raise node.unsupported("ceil_mode with count_include_pad is supported on images only")
    depth, x = window.depth, _volume(node, node.tensor(0))
    n, planes, _, channels = shape_of(x)
    images = node.emit(make_reshape(x, (n * planes, *window.size[1:], channels)))
    flat = Pool(window.kernel, window.plane, counts_padding)
    pooled = node.emit(make_pool2d(kind, images, flat))
    points = window.out[1] * window.out[2]
    columns = node.emit(make_reshape(pooled, (n, planes, points, channels)))
    along = ConvGeometry((depth.stride, 1), (depth.before, 0, depth.after, 0), (depth.dilation, 1))
    result = node.emit(make_pool2d(kind, columns, Pool((depth.kernel, 1), along, counts_padding)))
    return from_volume(node, result, window)
