"""Sliding windows in ONNX terms: kernel, strides, dilations, pads and their automatic forms."""

from dataclasses import dataclass

from npuc.compiler.dialects.element_types import shape_of
from npuc.compiler.frontend.node import Node
from npuc.compiler.ops.contraction import ConvGeometry
from npuc.compiler.ops.movement import make_reshape
from npuc.compiler.xdsl_api import SSAValue

TO_NHWC = (0, 2, 3, 1)
TO_NCHW = (0, 3, 1, 2)
SPATIAL = 2


@dataclass(frozen=True)
class OnnxWindow:
    """Kernel height and width, and the geometry with explicit pads.

    ``stated_pads`` are those without what ceil_mode adds at the end.
    """

    kernel: tuple[int, int]
    geometry: ConvGeometry
    stated_pads: tuple[int, int, int, int]


def onnx_window(node: Node, x_NCHW: tuple[int, ...], kernel: tuple[int, ...]) -> OnnxWindow:
    """The window of a convolution or pooling node on an input of this shape.

    ``x_NCHW`` may be an image of height 1 for a node of one spatial axis (``as_image``).

    Raises: UnsupportedError for other than two spatial axes.
    """
    spatial = len(kernel)
    if len(x_NCHW) != 4 or not 1 <= spatial <= SPATIAL:
        raise node.unsupported(
            "windows have one, two or three spatial axes",
            f"x of shape {list(x_NCHW)}, kernel {list(kernel)}",
            "x[N, C, L], x[N, C, H, W] or x[N, C, D, H, W]",
        )
    missing = [1] * (SPATIAL - spatial)
    strides = missing + node.integers("strides", [1] * spatial)
    dilations = missing + node.integers("dilations", [1] * spatial)
    kernel = (*missing, *kernel)
    pads = explicit_pads(node, x_NCHW[2:], kernel, (strides, dilations))
    stated = (pads[0], pads[1], pads[2], pads[3])
    if node.attribute("ceil_mode", 0):
        pads = ceiled_pads(x_NCHW[2:], kernel, (strides, dilations), pads)
    geometry = ConvGeometry(
        (strides[0], strides[1]), (pads[0], pads[1], pads[2], pads[3]), (dilations[0], dilations[1])
    )
    return OnnxWindow((kernel[0], kernel[1]), geometry, stated)


def as_image(node: Node, x: SSAValue) -> SSAValue:
    """``x[N, C, L]`` as an image of height 1; images are as they are."""
    shape = shape_of(x)
    return x if len(shape) != 3 else node.emit(make_reshape(x, (*shape[:2], 1, shape[2])))


def from_image(node: Node, y_NCHW: SSAValue, rank: int) -> SSAValue:
    """``y_NCHW`` as a tensor of the rank that the node had."""
    n, c, _, width = shape_of(y_NCHW)
    return y_NCHW if rank == 4 else node.emit(make_reshape(y_NCHW, (n, c, width)))


def explicit_pads(
    node: Node, size: tuple[int, ...], kernel: tuple[int, ...], steps: tuple[list[int], list[int]]
) -> list[int]:
    """Pads before each axis of ``size``, then after each; ``steps`` are strides and dilations."""
    mode = node.attribute("auto_pad", "NOTSET")
    if mode in ("NOTSET", ""):
        pads = node.integers("pads", [0, 0] * len(size))
        if len(pads) == len(size) == SPATIAL:  # one axis
            pads = [0, pads[0], 0, pads[1]]
        if min(pads) < 0:
            raise node.unsupported("negative pads are not supported", pads)
        return pads
    if mode == "VALID":
        return [0, 0] * len(size)
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise node.unsupported("unknown auto_pad", mode, "NOTSET, VALID, SAME_UPPER, SAME_LOWER")
    totals = [
        max(0, (-(-n // stride) - 1) * stride + (taps - 1) * dilation + 1 - n)
        for n, taps, stride, dilation in zip(size, kernel, *steps, strict=True)
    ]
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return small + large if mode == "SAME_UPPER" else large + small


def ceiled_pads(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    steps: tuple[list[int], list[int]],
    pads: list[int],
) -> list[int]:
    """Pads whose floored output size is the size that ceil_mode asks for.

    A last window that would start in the padding at the end is dropped, as ONNX has it.
    """
    ceiled = list(pads)
    for axis, (n, taps, stride, dilation) in enumerate(zip(size, kernel, *steps, strict=True)):
        begin, end = pads[axis], pads[axis + len(size)]
        free = n + begin + end - ((taps - 1) * dilation + 1)
        count = -(-free // stride) + 1
        if (count - 1) * stride >= n + begin:
            count -= 1
        ceiled[axis + len(size)] = end + max(0, (count - 1) * stride - free)
    return ceiled
