"""Resize and Upsample: repetition, selection, or a product with a matrix of weights per axis.

Nearest neighbours by a whole factor repeat; other selections take slices. Linear and cubic
interpolation along an axis is a matrix product in ascending input position with weights computed
in float64; axes are done from the last to the first.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npuc.compiler.dialects.element_types import shape_of
from npuc.compiler.frontend.node import Node, Result, Value, onnx_operator
from npuc.compiler.frontend.operators.pieces import axis_of, broadcast, taken
from npuc.compiler.ops.contraction import make_matmul
from npuc.compiler.ops.movement import make_reshape, make_transpose
from npuc.compiler.xdsl_api import SSAValue
from npuc.isa.numerics.arrays import F32

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Scaling:
    """One axis: sizes before and after, and the factor between positions."""

    size: int
    out: int
    scale: float

    def positions(self, node: Node, mode: str) -> F64:
        """Position in the input of each output element."""
        index = np.arange(self.out, dtype=np.float64)
        if mode == "asymmetric":
            return index / self.scale
        if mode == "align_corners":
            return index * (self.size - 1) / max(1, self.out - 1)
        if mode == "pytorch_half_pixel" and self.out == 1:
            return np.zeros(1)
        if mode in ("half_pixel", "pytorch_half_pixel"):
            return (index + 0.5) / self.scale - 0.5
        if mode == "half_pixel_symmetric":
            adjustment = self.out / (self.scale * self.size)
            offset = self.size / 2 * (1 - adjustment)
            return offset + (index + 0.5) / self.scale - 0.5
        raise node.unsupported("this coordinate transformation is not supported", mode)


@onnx_operator("Resize", until=10)
@onnx_operator("Upsample", until=9)
def upsample(node: Node) -> Result:
    """Factors as input 1 or attribute; positions are asymmetric."""
    given = node.constant(1) if node.has(1) else np.asarray(node.attribute("scales", [1.0]))
    shape, factors = node.value(0).shape, [float(f) for f in given.ravel()]
    rows = [_Scaling(n, int(n * f), f) for n, f in zip(shape, factors, strict=True)]
    return [_resized(node, dict(enumerate(rows)), "asymmetric", "floor")]


@onnx_operator("Resize", since=11)
def resize(node: Node) -> Result:
    """Factors or sizes as inputs 2 and 3."""
    coordinates = node.attribute("coordinate_transformation_mode", "half_pixel")
    rounding = node.attribute("nearest_mode", "round_prefer_floor")
    if node.attribute("antialias", 0):
        raise node.unsupported("antialias is not supported")
    return [_resized(node, _scalings(node), coordinates, rounding)]


def _scalings(node: Node) -> dict[int, _Scaling]:
    shape = node.value(0).shape
    axes = node.integers("axes", range(len(shape)))
    axes = [axis_of(node, axis, len(shape)) for axis in axes]
    if node.has(3):
        if node.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise node.unsupported("only the policy stretch is supported")
        sizes = [int(n) for n in node.constant(3)]
        rows = zip(axes, sizes, strict=True)
        return {a: _Scaling(shape[a], out, out / shape[a]) for a, out in rows}
    factors = [float(f) for f in node.constant(2)]
    pairs = zip(axes, factors, strict=True)
    return {a: _Scaling(shape[a], int(np.floor(shape[a] * f)), f) for a, f in pairs}


def _resized(node: Node, rows: dict[int, _Scaling], coordinates: str, rounding: str) -> Value:
    mode, x = node.attribute("mode", "nearest"), node.tensor(0)
    weights = {"linear": _linear, "bilinear": _linear, "cubic": _cubic}
    if mode != "nearest" and mode not in weights:
        raise node.unsupported("unknown mode", mode, "nearest, linear, cubic")
    for axis in sorted(rows, reverse=True):
        along = rows[axis]
        if along.out < 1:
            raise node.unsupported("the output would be empty", f"axis {axis}")
        if along.out == along.size and along.scale == 1.0:
            continue
        positions = along.positions(node, coordinates)
        if mode == "nearest":
            x = _selected(node, x, axis, _nearest(node, positions, along.size, rounding))
        else:
            x = _interpolated(node, x, axis, _matrix(node, positions, along.size, weights[mode]))
    return Value(ssa=x, is_unsigned=node.value(0).is_unsigned)


def _nearest(node: Node, positions: F64, size: int, rounding: str) -> list[int]:
    roundings: dict[str, Callable[[F64], F64]] = {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda p: np.ceil(p - 0.5),
        "round_prefer_ceil": lambda p: np.floor(p + 0.5),
    }
    if rounding not in roundings:
        raise node.unsupported("unknown nearest_mode", rounding, ", ".join(roundings))
    return [int(i) for i in np.clip(roundings[rounding](positions), 0, size - 1)]


def _selected(node: Node, x: SSAValue, axis: int, indices: list[int]) -> SSAValue:
    """Elements at ``indices``: a repetition where every one comes equally often, in order."""
    shape = shape_of(x)
    size, count = shape[axis], len(indices) // shape[axis]
    if indices != [i for i in range(size) for _ in range(count)]:
        return taken(node, x, axis, indices)
    outer, inner = int(np.prod(shape[:axis])) * size, int(np.prod(shape[axis + 1 :]))
    rows = node.emit(make_reshape(x, (outer, 1, inner)))
    copies = broadcast(node, rows, (outer, count, inner))
    return node.emit(make_reshape(copies, (*shape[:axis], size * count, *shape[axis + 1 :])))


def _matrix(
    node: Node,
    positions: F64,
    size: int,
    weights: Callable[[Node, F64], list[tuple[int, F64]]],
) -> F32:
    """Weights [size, out]; positions outside take the nearest element."""
    first = np.floor(positions)
    rows = weights(node, positions - first)
    total = np.zeros((size, len(positions)))
    columns = np.arange(len(positions))
    if node.attribute("exclude_outside", 0):
        inside = [(o, w * ((first + o >= 0) & (first + o < size))) for o, w in rows]
        norm = np.sum([w for _, w in inside], axis=0)
        rows = [(o, w / norm) for o, w in inside]
    for offset, weight in rows:
        np.add.at(total, (np.clip(first + offset, 0, size - 1).astype(int), columns), weight)
    return total.astype(np.float32)


def _linear(node: Node, fraction: F64) -> list[tuple[int, F64]]:
    del node  # the weights have no parameters
    return [(0, 1 - fraction), (1, fraction)]


def _cubic(node: Node, fraction: F64) -> list[tuple[int, F64]]:
    a = float(node.attribute("cubic_coeff_a", -0.75))
    near = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (fraction, 1 - fraction)]
    far = [((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (fraction + 1, 2 - fraction)]
    return [(-1, far[0]), (0, near[0]), (1, near[1]), (2, far[1])]


def _interpolated(node: Node, x: SSAValue, axis: int, matrix: F32) -> SSAValue:
    """The product of ``x`` along ``axis`` with weights [size, out]."""
    node.floats(0)
    shape = shape_of(x)
    outer, size, inner = int(np.prod(shape[:axis])), shape[axis], int(np.prod(shape[axis + 1 :]))
    rows = node.emit(make_reshape(x, (outer, size, inner)))
    turned = node.emit(make_transpose(rows, (0, 2, 1)))
    flat = node.emit(make_reshape(turned, (outer * inner, size)))
    product = node.emit(make_matmul(flat, node.constant_tensor(matrix)))
    split = node.emit(make_reshape(product, (outer, inner, matrix.shape[1])))
    back = node.emit(make_transpose(split, (0, 2, 1)))
    return node.emit(make_reshape(back, (*shape[:axis], matrix.shape[1], *shape[axis + 1 :])))
