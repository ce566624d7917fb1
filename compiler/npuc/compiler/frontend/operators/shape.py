"""Operators that move or rename: Reshape, Flatten, Transpose, Squeeze, Shape, Identity."""

import math

import numpy as np

from npuc.compiler.frontend.node import Node, Result, Value, onnx_operator
from npuc.compiler.frontend.operators.windows import TO_NCHW, TO_NHWC
from npuc.compiler.ops.movement import make_reshape, make_transpose
from npuc.compiler.xdsl_api import SSAValue


@onnx_operator("Identity")
def identity(node: Node) -> Result:
    """The same value."""
    return [node.value(0)]


@onnx_operator("Dropout")
def dropout(node: Node) -> Result:
    """The same value, and a mask that keeps everything: npuc compiles inference."""
    if node.has(2) and bool(np.any(node.constant(2))):
        raise node.unsupported("Dropout in training mode is not supported")
    return [node.value(0), Value(array=np.broadcast_to(np.True_, node.value(0).shape))]


@onnx_operator("Shape")
def shape(node: Node) -> Result:
    """The static shape, as a constant."""
    sizes = np.asarray(node.value(0).shape, np.int64)
    end = node.attribute("end", len(sizes))
    return [Value(array=sizes[node.attribute("start", 0) : end])]


@onnx_operator("Reshape")
def reshape(node: Node) -> Result:
    """A shape in which 0 copies a size and -1 stands for the rest."""
    wanted = node.integers("shape", []) or [int(n) for n in node.constant(1)]
    given = node.value(0).shape
    if not node.attribute("allowzero", 0):
        if any(n == 0 and i >= len(given) for i, n in enumerate(wanted)):
            raise node.unsupported("shape copies an axis that does not exist", wanted)
        wanted = [given[i] if n == 0 else n for i, n in enumerate(wanted)]
    total, known = math.prod(given), math.prod(n for n in wanted if n != -1)
    if wanted.count(-1) == 1 and known and total % known == 0:
        wanted = [total // known if n == -1 else n for n in wanted]
    if -1 in wanted or math.prod(wanted) != total:
        raise node.unsupported(
            "the shape does not suit the tensor", f"{list(given)} to {wanted}", f"{total} elements"
        )
    return _reshaped(node, wanted)


def _reshaped(node: Node, sizes: list[int]) -> Result:
    value = node.value(0)
    result = node.emit(make_reshape(node.tensor(0), sizes))
    return [Value(ssa=result, is_unsigned=value.is_unsigned)]


@onnx_operator("Flatten")
def flatten(node: Node) -> Result:
    """Two axes: those before ``axis`` and the rest."""
    sizes = node.value(0).shape
    axis = node.attribute("axis", 1)
    axis = axis + len(sizes) if axis < 0 else axis
    return _reshaped(node, [math.prod(sizes[:axis]), math.prod(sizes[axis:])])


@onnx_operator("Transpose")
def transpose(node: Node) -> Result:
    """Axes in the order ``perm``, reversed by default."""
    rank = len(node.value(0).shape)
    perm = node.integers("perm", list(reversed(range(rank))))
    result = node.emit(make_transpose(node.tensor(0), perm))
    return [Value(ssa=result, is_unsigned=node.value(0).is_unsigned)]


def _axes(node: Node) -> list[int]:
    if node.has(1):
        return [int(axis) for axis in node.constant(1)]
    return node.integers("axes", [])


@onnx_operator("Squeeze")
def squeeze(node: Node) -> Result:
    """Without axes of size 1: the named ones, or all."""
    sizes = node.value(0).shape
    unit = [axis for axis, size in enumerate(sizes) if size == 1]
    dropped = {axis % len(sizes) for axis in _axes(node)} or set(unit)
    if any(sizes[axis] != 1 for axis in dropped):
        raise node.unsupported("only axes of size 1 can be dropped", sorted(dropped))
    return _reshaped(node, [size for axis, size in enumerate(sizes) if axis not in dropped])


@onnx_operator("Unsqueeze")
def unsqueeze(node: Node) -> Result:
    """With new axes of size 1."""
    sizes, axes = list(node.value(0).shape), _axes(node)
    rank = len(sizes) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        sizes.insert(axis, 1)
    return _reshaped(node, sizes)


@onnx_operator("DepthToSpace")
def depth_to_space(node: Node) -> Result:
    """Blocks of channels side by side in height and width."""
    x_NCHW, block = node.tensor(0), node.attribute("blocksize", 1)
    n, channels, height, width = _image_shape(node)
    depth = channels // block**2
    if depth * block**2 != channels:
        raise node.unsupported("blocks do not divide the channels", f"{channels} by {block}")
    x_NHWC = node.emit(make_transpose(x_NCHW, TO_NHWC))
    if node.attribute("mode", "DCR") == "CRD":
        pairs = node.emit(make_reshape(x_NHWC, (n * height * width, depth, block**2)))
        x_NHWC = node.emit(make_transpose(pairs, (0, 2, 1)))
    rows = node.emit(make_reshape(x_NHWC, (n * height, width, block, block * depth)))
    moved = node.emit(make_transpose(rows, (0, 2, 1, 3)))
    whole = node.emit(make_reshape(moved, (n, height * block, width * block, depth)))
    return [_like_input(node, node.emit(make_transpose(whole, TO_NCHW)))]


@onnx_operator("SpaceToDepth")
def space_to_depth(node: Node) -> Result:
    """Blocks of height and width as channels."""
    x_NCHW, block = node.tensor(0), node.attribute("blocksize", 1)
    n, channels, height, width = _image_shape(node)
    if height % block or width % block:
        raise node.unsupported("blocks do not divide the image", f"{height}x{width} by {block}")
    x_NHWC = node.emit(make_transpose(x_NCHW, TO_NHWC))
    sizes = (n * height // block, block, width // block, block * channels)
    moved = node.emit(make_transpose(node.emit(make_reshape(x_NHWC, sizes)), (0, 2, 1, 3)))
    whole = (n, height // block, width // block, block**2 * channels)
    result = node.emit(make_reshape(moved, whole))
    return [_like_input(node, node.emit(make_transpose(result, TO_NCHW)))]


def _image_shape(node: Node) -> tuple[int, int, int, int]:
    shape = node.value(0).shape
    if len(shape) != 4:
        raise node.unsupported("x must have 4 axes", list(shape), "x[N, C, H, W]")
    return shape[0], shape[1], shape[2], shape[3]


def _like_input(node: Node, ssa: SSAValue) -> Value:
    return Value(ssa=ssa, is_unsigned=node.value(0).is_unsigned)
