"""nn.pool2d, nn.reduce and nn.softmax: what normalise decomposes into structured reductions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from npuc.compiler.consts import ConstStore
from npuc.compiler.dialects.element_types import dtype_of, shape_of, tensor_type
from npuc.compiler.dialects.nn import Pool2dOp, ReduceOp, SoftmaxOp
from npuc.compiler.ops.contraction import ConvGeometry
from npuc.compiler.ops.elementwise import LOG2_E
from npuc.compiler.ops.interface import Array, contradiction
from npuc.compiler.xdsl_api import (
    Attribute,
    DenseArrayBase,
    IntegerAttr,
    Operation,
    SSAValue,
    StringAttr,
    i64,
)
from npuc.isa.dtypes import DType
from npuc.isa.numerics import elementary, ieee, reduction
from npuc.isa.numerics.arrays import F32

REDUCE_KINDS = ("mean", "sum", "max", "min", "prod")


@dataclass(frozen=True)
class Pool:
    """Kernel height and width, geometry, and whether an average counts the padding."""

    kernel: tuple[int, int]
    geometry: ConvGeometry
    counts_padding: bool = False


def make_pool2d(kind: str, x: SSAValue, pool: Pool) -> Pool2dOp:
    """Pooling of ``x_NHWC``, result type inferred."""
    geometry = pool.geometry
    properties: dict[str, Attribute | None] = {
        "kind": StringAttr(kind),
        "kernel": DenseArrayBase.from_list(i64, list(pool.kernel)),
        "strides": DenseArrayBase.from_list(i64, list(geometry.strides)),
        "pads": DenseArrayBase.from_list(i64, list(geometry.pads)),
        "dilations": DenseArrayBase.from_list(i64, list(geometry.dilations)),
        "counts_padding": IntegerAttr(1, i64) if pool.counts_padding else None,
    }
    draft = Pool2dOp.build(operands=[x], result_types=[x.type], properties=properties)
    types = list(Pool2d().infer(draft))
    draft.erase()  # it must not count as a user of x
    return Pool2dOp.build(operands=[x], result_types=types, properties=dict(properties))


def pool_kernel(op: Pool2dOp) -> tuple[int, int]:
    """Height and width of the window."""
    height, width = op.kernel.get_values()
    return int(height), int(width)


def pool_geometry(op: Pool2dOp) -> ConvGeometry:
    """Strides, pads and dilations."""
    sy, sx = op.strides.get_values()
    top, left, bottom, right = op.pads.get_values()
    dy, dx = op.dilations.get_values()
    return ConvGeometry((sy, sx), (top, left, bottom, right), (dy, dx))


def window_counts(op: Pool2dOp) -> F32:
    """How many elements of each window lie inside the tensor: float32 [OH, OW]."""
    shape, geometry = shape_of(op.x), pool_geometry(op)
    counts = []
    for axis, taps in enumerate(pool_kernel(op)):
        size, step = shape[1 + axis], geometry.strides[axis]
        positions = np.arange(geometry.output_size(size, taps, axis)) * step - geometry.pads[axis]
        offsets = np.arange(taps) * geometry.dilations[axis]
        index = positions[:, None] + offsets[None, :]
        counts.append(((index >= 0) & (index < size)).sum(axis=1))
    return np.outer(counts[0], counts[1]).astype(np.float32)


class Pool2d:
    """Largest or mean value of windows."""

    op_class = Pool2dOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        pool = cast(Pool2dOp, op)
        shape, geometry = shape_of(pool.x), pool_geometry(pool)
        if len(shape) != 4:
            raise contradiction(op, "x must have 4 axes", pool.x.type)
        height, width = (
            geometry.output_size(shape[1 + axis], taps, axis)
            for axis, taps in enumerate(pool_kernel(pool))
        )
        if min(height, width) < 1:
            raise contradiction(op, "the kernel is larger than the padded input", pool.x.type)
        return (tensor_type(dtype_of(pool.x), (shape[0], height, width, shape[3])),)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        pool = cast(Pool2dOp, op)
        x_NHWC = operands[0]
        windows = _windows(x_NHWC, pool)
        if pool.kind.data == "max":
            return (windows.max(axis=-1),)
        total = reduction.reduce_sum(windows.astype(np.float32))
        counts = window_counts(pool)
        if pool.counts_padding:
            counts = np.full_like(counts, np.prod(pool_kernel(pool)))
        return (ieee.f32_div(total.astype(np.float32), counts[None, :, :, None]),)


def _windows(x_NHWC: Array, pool: Pool2dOp) -> Array:
    """[N, OH, OW, C, taps]; padding is the lowest value for max, 0 for average."""
    top, left, bottom, right = pool.pads.get_values()
    fill: float = 0
    if pool.kind.data == "max":
        is_float = x_NHWC.dtype == np.float32
        fill = -np.inf if is_float else np.iinfo(x_NHWC.dtype).min  # type: ignore[type-var]
    widths = [(0, 0), (top, bottom), (left, right), (0, 0)]
    padded = np.pad(x_NHWC, widths, constant_values=fill)
    n, y, x, c = padded.strides
    (sy, sx), (dy, dx) = pool.strides.get_values(), pool.dilations.get_values()
    shape = (*shape_of(pool.result), *pool_kernel(pool))
    strides = (n, y * sy, x * sx, c, y * dy, x * dx)
    view = np.lib.stride_tricks.as_strided(padded, shape, strides, writeable=False)
    return view.reshape(*shape[:4], -1)


class Reduce:
    """Reduction over axes."""

    op_class = ReduceOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        reduce = cast(ReduceOp, op)
        shape = shape_of(reduce.x)
        axes = [int(axis) for axis in reduce.axes.get_values()]
        if reduce.kind.data not in REDUCE_KINDS or any(axis >= len(shape) for axis in axes):
            raise contradiction(op, "unknown kind or axis", f"{reduce.kind.data} over {axes}")
        kept = [1 if axis in axes else size for axis, size in enumerate(shape)]
        return (tensor_type(dtype_of(reduce.x), kept),)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        reduce = cast(ReduceOp, op)
        axes = [int(axis) for axis in reduce.axes.get_values()]
        x = operands[0].astype(np.float32)
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        flat = x.transpose(kept + axes).reshape(*(x.shape[axis] for axis in kept), -1)
        kinds = {
            "max": reduction.reduce_max,
            "min": reduction.reduce_min,
            "prod": reduction.reduce_prod,
        }
        value = kinds.get(reduce.kind.data, reduction.reduce_sum)(flat).astype(np.float32)
        if reduce.kind.data == "mean":
            value = ieee.f32_div(value, np.asarray(flat.shape[-1], np.float32))
        return (value.reshape(shape_of(reduce.result)),)


class Softmax:
    """exp2((x - max) * log2 e), normalised to sum 1."""

    op_class = SoftmaxOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        softmax = cast(SoftmaxOp, op)
        if dtype_of(softmax.x) is not DType.f32:
            raise contradiction(op, "x must be f32", softmax.x.type)
        return (softmax.x.type,)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        axis = cast(SoftmaxOp, op).axis.value.data
        x = np.moveaxis(operands[0].astype(np.float32), axis, -1)
        largest = reduction.reduce_max(x).astype(np.float32)[..., None]
        scaled = ieee.f32_mul(ieee.f32_sub(x, largest), np.asarray(LOG2_E, np.float32))
        powers = elementary.f32_exp2(scaled)
        total = reduction.reduce_sum(powers).astype(np.float32)[..., None]
        return (np.ascontiguousarray(np.moveaxis(ieee.f32_div(powers, total), -1, axis)),)


OPS = (Pool2d(), Reduce(), Softmax())
