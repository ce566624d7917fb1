"""Operators that cut, join, repeat and surround: Concat, Split, Slice, Gather, Pad, Expand …"""

from collections.abc import Sequence

import numpy as np

from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.nn import Scalars
from npuc.compiler.frontend.node import Node, Result, Value, onnx_operator
from npuc.compiler.frontend.operators.selection import selected
from npuc.compiler.frontend.unsigned import UNSIGNED_SHIFT
from npuc.compiler.ops.movement import make_reshape
from npuc.compiler.ops.pieces import make_axis_slice, make_concat, make_pad
from npuc.compiler.ops.scalar_ops import Body
from npuc.compiler.ops.structured import make_elementwise
from npuc.compiler.xdsl_api import SSAValue

# More pieces than this make a program of copies: such a selection needs a gather at run time.
MAX_RUNS = 512


def like(node: Node, ssa: SSAValue) -> Value:
    """``ssa`` with the signedness of input 0."""
    return Value(ssa=ssa, is_unsigned=node.value(0).is_unsigned)


def axis_of(node: Node, axis: int, rank: int) -> int:
    """``axis`` counted from the front. Raises: UnsupportedError when there is no such axis."""
    if not -rank <= axis < rank:
        raise node.unsupported("there is no such axis", f"axis {axis} of rank {rank}")
    return axis % rank


@onnx_operator("Concat")
def concat(node: Node) -> Result:
    """One after the other; empty constants fall away."""
    indices = [i for i in range(len(node.proto.input)) if 0 not in node.value(i).shape]
    if not indices:
        raise node.unsupported("every operand is empty")
    pieces = [node.tensor(i) for i in indices]
    axis = axis_of(node, node.attribute("axis", 1), len(shape_of(pieces[0])))
    is_unsigned = any(node.value(i).is_unsigned for i in indices)
    return [Value(ssa=joined(node, pieces, axis), is_unsigned=is_unsigned)]


def joined(node: Node, pieces: Sequence[SSAValue], axis: int) -> SSAValue:
    """``pieces`` along ``axis``; one piece is itself."""
    return pieces[0] if len(pieces) == 1 else node.emit(make_concat(pieces, axis))


def cut(node: Node, x: SSAValue, axis: int, place: tuple[int, int, int]) -> SSAValue:
    """Start, size and step along ``axis``; ``x`` itself where that is all of it."""
    if place[:2] == (0, shape_of(x)[axis]):
        return x
    return node.emit(make_axis_slice(x, axis, place))


@onnx_operator("Split")
def split(node: Node) -> Result:
    """Parts of the sizes that attribute or input give, or equal ones; the last may be smaller."""
    x = node.tensor(0)
    axis = axis_of(node, node.attribute("axis", 0), len(shape_of(x)))
    whole = shape_of(x)[axis]
    sizes = [int(n) for n in node.constant(1)] if node.has(1) else node.integers("split", [])
    if not sizes:
        count = node.attribute("num_outputs", len(node.proto.output))
        each = -(-whole // count)
        sizes = [min(each, whole - i * each) for i in range(count)]
    if sum(sizes) != whole or min(sizes) < 1 or len(sizes) < len(node.proto.output):
        raise node.unsupported("the parts do not make the whole", f"{sizes} of {whole}")
    starts = np.cumsum([0, *sizes[:-1]])
    rows = zip(starts, sizes, strict=True)
    return [like(node, cut(node, x, axis, (int(start), size, 1))) for start, size in rows]


@onnx_operator("Slice", until=9)
def slice_by_attributes(node: Node) -> Result:
    """Starts, ends and axes as attributes; steps of 1."""
    starts, ends = node.integers("starts", []), node.integers("ends", [])
    axes = node.integers("axes", range(len(starts)))
    return [_sliced(node, list(zip(axes, starts, ends, [1] * len(starts), strict=True)))]


@onnx_operator("Slice", since=10)
def slice_by_inputs(node: Node) -> Result:
    """Starts, ends, axes and steps as inputs."""
    starts, ends = ([int(n) for n in node.constant(i)] for i in (1, 2))
    axes = [int(n) for n in node.constant_or(3, np.arange(len(starts)))]
    steps = [int(n) for n in node.constant_or(4, np.ones(len(starts), np.int64))]
    return [_sliced(node, list(zip(axes, starts, ends, steps, strict=True)))]


def _sliced(node: Node, rows: Sequence[tuple[int, int, int, int]]) -> Value:
    x = node.tensor(0)
    for given, start, end, step in rows:
        axis = axis_of(node, given, len(shape_of(x)))
        indices = range(shape_of(x)[axis])[slice(start, end, step)]
        if not indices:
            raise node.unsupported("the slice is empty", f"{start}:{end}:{step} on axis {axis}")
        x = taken(node, x, axis, indices)
    return like(node, x)


def taken(node: Node, x: SSAValue, axis: int, indices: Sequence[int]) -> SSAValue:
    """The elements of ``x`` at ``indices`` along ``axis``, as slices of regular runs."""
    runs = _runs(indices)
    if len(runs) > MAX_RUNS:
        raise node.unsupported(
            "the selection needs a gather at run time",
            f"{len(runs)} separate runs along axis {axis}",
            f"at most {MAX_RUNS} runs of regular steps",
        )
    return joined(node, [cut(node, x, axis, run) for run in runs], axis)


def _runs(indices: Sequence[int]) -> list[tuple[int, int, int]]:
    """Start, size and step of the longest regular stretches."""
    runs: list[tuple[int, int, int]] = []
    for index in indices:
        if runs:
            start, size, step = runs[-1]
            if size == 1 and index > start:
                runs[-1] = (start, 2, index - start)
                continue
            if size > 1 and index == start + size * step:
                runs[-1] = (start, size + 1, step)
                continue
        runs.append((index, 1, 1))
    return runs


@onnx_operator("Gather")
def gather(node: Node) -> Result:
    """Indices along one axis: constant ones give slices, computed ones rows (or the nearest)."""
    shape = node.value(0).shape
    axis = axis_of(node, node.attribute("axis", 0), len(shape))
    if node.value(1).array is None:
        return [like(node, selected(node, axis))]
    indices = np.asarray(node.constant(1), np.int64)
    size = shape[axis]
    if indices.size == 0 or indices.min() < -size or indices.max() >= size:
        raise node.unsupported("an index lies outside the axis", f"{indices.ravel()[:8]} of {size}")
    found = taken(node, node.tensor(0), axis, [int(i) % size for i in indices.ravel()])
    sizes = (*shape[:axis], *indices.shape, *shape[axis + 1 :])
    return [like(node, node.emit(make_reshape(found, sizes)))]


@onnx_operator("Pad", until=10)
def pad_by_attributes(node: Node) -> Result:
    """Widths and value as attributes."""
    widths = node.integers("pads", node.integers("paddings", []))
    return [_padded(node, widths, node.attribute("value", 0.0))]


@onnx_operator("Pad", since=11)
def pad_by_inputs(node: Node) -> Result:
    """Widths, value and, from opset 18 on, axes as inputs."""
    rank = len(node.value(0).shape)
    given = [int(n) for n in node.constant(1)]
    axes = [axis_of(node, int(a), rank) for a in node.constant_or(3, np.arange(rank))]
    if len(given) != 2 * len(axes):
        raise node.unsupported("widths do not suit the axes", f"{given} for axes {axes}")
    widths = [0] * (2 * rank)
    for position, axis in enumerate(axes):
        widths[axis], widths[rank + axis] = given[position], given[len(axes) + position]
    value = np.asarray(node.constant_or(2, np.zeros((), np.float32))).reshape(-1)
    return [_padded(node, widths, float(value[0]))]


def _padded(node: Node, widths: Sequence[int], value: float) -> Value:
    x = node.tensor(0)
    rank = len(shape_of(x))
    if len(widths) != 2 * rank:
        raise node.unsupported("widths do not suit the tensor", f"{widths} for rank {rank}")
    for axis in range(rank):  # negative widths cut
        low, high, size = -widths[axis], -widths[rank + axis], shape_of(x)[axis]
        start, stop = max(0, low), size - max(0, high)
        if start >= stop:
            raise node.unsupported("nothing remains", f"widths {widths}")
        x = cut(node, x, axis, (start, stop - start, 1))
    positive = [max(0, n) for n in widths]
    if not any(positive):
        return like(node, x)
    mode = node.attribute("mode", "constant")
    if mode != "constant":
        return like(node, _mirrored(node, x, positive, mode))
    shift = UNSIGNED_SHIFT if node.value(0).is_unsigned else 0
    number = value if dtype_of(x).is_float else int(value) - shift
    return like(node, node.emit(make_pad(x, (positive[:rank], positive[rank:]), number)))


def _mirrored(node: Node, x: SSAValue, widths: Sequence[int], mode: str) -> SSAValue:
    """Padding by the tensor's own elements."""
    modes = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}
    if mode not in modes:
        raise node.unsupported("unknown mode", mode, "constant, reflect, edge, wrap")
    rank = len(shape_of(x))
    for axis in range(rank):
        low, high = widths[axis], widths[rank + axis]
        if low or high:
            order = np.arange(shape_of(x)[axis])
            indices = np.pad(order, (low, high), mode=modes[mode])  # type: ignore[call-overload]
            x = taken(node, x, axis, [int(i) for i in indices])
    return x


@onnx_operator("Expand")
def expand(node: Node) -> Result:
    """Broadcast to the shape that input 1 and the tensor's own give together."""
    x, wanted = node.tensor(0), [int(n) for n in node.constant(1)]
    try:
        shape = np.broadcast_shapes(shape_of(x), tuple(wanted))
    except ValueError as error:
        raise node.unsupported("shapes do not broadcast", error) from error
    return [like(node, broadcast(node, x, shape))]


def broadcast(node: Node, x: SSAValue, shape: Sequence[int]) -> SSAValue:
    """``x`` repeated along its axes of size 1 (and new ones in front) to ``shape``."""
    if shape_of(x) == tuple(shape):
        return x
    body = Body("f" if dtype_of(x).is_float else "i")
    scalars = Scalars(body.done(body.args[0]))
    return node.emit_made(make_elementwise([x], tuple(shape), dtype_of(x), scalars))


@onnx_operator("Tile", since=6)
def tile(node: Node) -> Result:
    """Repeated along every axis as often as input 1 says."""
    x, repeats = node.tensor(0), [int(n) for n in node.constant(1)]
    if len(repeats) != len(shape_of(x)) or min(repeats, default=1) < 1:
        raise node.unsupported("repeats do not suit the tensor", f"{repeats} of {shape_of(x)}")
    for axis, count in enumerate(repeats):
        x = repeated(node, x, axis, count)
    return [like(node, x)]


def repeated(node: Node, x: SSAValue, axis: int, count: int) -> SSAValue:
    """``count`` copies of ``x`` one after the other along ``axis``."""
    if count == 1:
        return x
    shape = shape_of(x)
    outer, inner = int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))
    rows = node.emit(make_reshape(x, (outer, 1, inner)))
    copies = broadcast(node, rows, (outer, count, inner))
    sizes = (*shape[:axis], count * shape[axis], *shape[axis + 1 :])
    return node.emit(make_reshape(copies, sizes))


@onnx_operator("Size")
def size(node: Node) -> Result:
    """The number of elements, as a constant."""
    return [Value(array=np.asarray(np.prod(node.value(0).shape), np.int64))]
