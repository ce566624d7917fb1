"""Operators that move or rename: Reshape, Flatten, Transpose, Squeeze, Shape, Identity."""

import math

import numpy as np

from npuc.compiler.frontend.node import Node, Result, Value, onnx_operator
from npuc.compiler.ops.movement import make_reshape, make_transpose


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
