"""Builders of nn.generic for the common shapes of work: elementwise, axis reduction, windows.

The vector engine has 4 parallel and 3 reduced dimensions; tensors of more axes are reshaped so
that neighbouring axes that behave alike become one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from npuc.compiler.dialects.element_types import dtype_of, shape_of, tensor_type
from npuc.compiler.dialects.index_forms import IndexForm, constant_form, dim_form
from npuc.compiler.dialects.nn import GenericOp, Scalars, Space
from npuc.compiler.dialects.nn_generic import Fill
from npuc.compiler.ops.axis_groups import Axis, Groups, Shape, merge_axes, regroup
from npuc.compiler.ops.contraction import ConvGeometry
from npuc.compiler.ops.movement import make_reshape
from npuc.compiler.ops.scalar_ops import Body
from npuc.compiler.xdsl_api import Operation, SSAValue
from npuc.isa.dtypes import DType

MAX_PARALLEL = 4
MAX_REDUCED = 3


@dataclass(frozen=True)
class Made:
    """New operations in order, and the value that they make."""

    ops: tuple[Operation, ...]
    result: SSAValue


@dataclass(frozen=True)
class Window:
    """Windows over ``x_NHWC``: kernel height and width, geometry, value of padding."""

    kernel: tuple[int, int]
    geometry: ConvGeometry
    fill: Fill = None


def make_elementwise(
    inputs: Sequence[SSAValue], shape: Shape, dtype: DType, scalars: Scalars
) -> Made:
    """One value per point of ``shape``; inputs broadcast to it as in NumPy."""
    aligned = [(1,) * (len(shape) - len(shape_of(v))) + shape_of(v) for v in inputs]
    axes = [
        Axis(size, tuple(operand[i] == size for operand in aligned)) for i, size in enumerate(shape)
    ]
    groups = merge_axes(axes, lambda found: len(found) <= MAX_PARALLEL)
    ops, values = _regrouped(inputs, aligned, groups)
    grouped = regroup(shape, groups)
    extents = grouped or (1,)
    forms = [_broadcast_forms(shape_of(value), extents) for value in values]
    result_forms = tuple(dim_form(len(extents), d) for d in range(len(grouped)))
    space = Space(extents, len(extents), (*forms, result_forms), (None,) * len(values))
    generic = GenericOp(values, tensor_type(dtype, grouped), space, scalars)
    return _with_shape([*ops, generic], generic.result, shape)


def make_copy(value: SSAValue, dtype: DType | None = None) -> Made:
    """``value`` again, as ``dtype`` (its own by default)."""
    body = Body("f" if dtype_of(value).is_float else "i")
    scalars = Scalars(body.done(body.args[0]))
    return make_elementwise([value], shape_of(value), dtype or dtype_of(value), scalars)


def make_padding(x: SSAValue, widths: tuple[Shape, Shape], fill: int | float) -> Made:
    """``x`` with ``widths`` (before, after) elements of ``fill`` around it on each axis."""
    rows = list(zip(*widths, strict=True))
    shape = tuple(a + n + b for (a, b), n in zip(rows, shape_of(x), strict=True))
    axes = [Axis(n, i if any(rows[i]) else None) for i, n in enumerate(shape)]
    groups = merge_axes(axes, lambda found: len(found) <= MAX_PARALLEL)
    ops, (value,) = _regrouped([x], [shape_of(x)], groups)
    extents = regroup(shape, groups)
    rank = len(extents)
    lows = [sum(widths[0][axis] for axis in group) for group in groups]
    forms = tuple(dim_form(rank, d, constant=-low) for d, low in enumerate(lows))
    result = tuple(dim_form(rank, d) for d in range(rank))
    body = Body("f" if dtype_of(x).is_float else "i")
    scalars = Scalars(body.done(body.args[0]))
    space = Space(extents, rank, (forms, result), (fill,))
    generic = GenericOp([value], tensor_type(dtype_of(x), extents), space, scalars)
    return _with_shape([*ops, generic], generic.result, shape)


def make_reduction(
    inputs: Sequence[SSAValue], axes: Sequence[int], dtype: DType, scalars: Scalars
) -> Made:
    """A reduction of the first input over ``axes``, which stay with size 1.

    Each further input has, on every axis, the size of the first one or 1.
    """
    shape = shape_of(inputs[0])
    reduced = {axis % len(shape) for axis in axes}
    kinds = [
        Axis(size, (i in reduced, *(shape_of(value)[i] == size for value in inputs[1:])))
        for i, size in enumerate(shape)
    ]
    groups = merge_axes(kinds, lambda found: _fits_machine(found, reduced))
    ops, values = _regrouped(inputs, [shape_of(value) for value in inputs], groups)
    reduced_groups = {i for i, group in enumerate(groups) if set(group) & reduced}
    space = _reduction_space(values, reduced_groups)
    kept = tuple(1 if i in reduced_groups else n for i, n in enumerate(regroup(shape, groups)))
    generic = GenericOp(values, tensor_type(dtype, kept), space, scalars)
    out_shape = tuple(1 if i in reduced else n for i, n in enumerate(shape))
    return _with_shape([*ops, generic], generic.result, out_shape)


def _fits_machine(groups: Groups, reduced: set[int]) -> bool:
    n_reduced = sum(bool(set(group) & reduced) for group in groups)
    return len(groups) - n_reduced <= MAX_PARALLEL and n_reduced <= MAX_REDUCED


def _reduction_space(values: Sequence[SSAValue], reduced: set[int]) -> Space:
    shape = shape_of(values[0])
    kept = [i for i in range(len(shape)) if i not in reduced]
    order = kept + sorted(reduced)
    rank = len(order)
    forms = [
        tuple(
            dim_form(rank, order.index(i)) if size == shape[i] else constant_form(rank)
            for i, size in enumerate(shape_of(value))
        )
        for value in values
    ]
    result = tuple(
        constant_form(rank) if i in reduced else dim_form(rank, order.index(i)) for i in range(rank)
    )
    extents = tuple(shape[i] for i in order)
    return Space(extents, len(kept), (*forms, result), (None,) * len(values))


def make_windows(
    inputs: Sequence[SSAValue], window: Window, dtype: DType, scalars: Scalars
) -> Made:
    """A reduction over windows of ``inputs[0]`` (NHWC), giving NHWC.

    Further inputs are indexed by output row and column (two axes), by window position and channel
    (three axes, the weights of a depthwise convolution), or by channel (one axis).
    """
    n, _, _, c = x_shape = shape_of(inputs[0])
    (kh, kw), geometry = window.kernel, window.geometry
    height = geometry.output_size(x_shape[1], kh, 0)
    width = geometry.output_size(x_shape[2], kw, 1)
    extra_forms = {1: (3,), 2: (1, 2), 3: (4, 5, 3)}
    forms = [
        tuple(dim_form(6, d) for d in extra_forms[len(shape_of(value))]) for value in inputs[1:]
    ]
    result = tuple(dim_form(6, d) for d in range(4))
    space = Space(
        (n, height, width, c, kh, kw),
        4,
        (_window_forms(geometry), *forms, result),
        (window.fill, *(None for _ in inputs[1:])),
    )
    generic = GenericOp(inputs, tensor_type(dtype, (n, height, width, c)), space, scalars)
    return Made((generic,), generic.result)


def _window_forms(geometry: ConvGeometry) -> tuple[IndexForm, ...]:
    (sy, sx), (dy, dx) = geometry.strides, geometry.dilations
    top, left = geometry.pads[:2]
    return (
        dim_form(6, 0),
        IndexForm((0, sy, 0, 0, dy, 0), -top),
        IndexForm((0, 0, sx, 0, 0, dx), -left),
        dim_form(6, 3),
    )


def _regrouped(
    inputs: Sequence[SSAValue], aligned: Sequence[Shape], groups: Groups
) -> tuple[list[Operation], list[SSAValue]]:
    ops: list[Operation] = []
    values: list[SSAValue] = []
    has_merged = any(len(group) > 1 for group in groups)
    for value, shape in zip(inputs, aligned, strict=True):
        if has_merged and shape_of(value) != regroup(shape, groups):
            reshape = make_reshape(value, regroup(shape, groups))
            ops.append(reshape)
            value = reshape.result  # noqa: PLW2901
        values.append(value)
    return ops, values


def _broadcast_forms(shape: Shape, extents: Shape) -> tuple[IndexForm, ...]:
    rank = len(extents)
    first = rank - len(shape)
    return tuple(
        dim_form(rank, first + i) if size == extents[first + i] else constant_form(rank)
        for i, size in enumerate(shape)
    )


def _with_shape(ops: list[Operation], result: SSAValue, shape: Shape) -> Made:
    if shape_of(result) == shape:
        return Made(tuple(ops), result)
    reshape = make_reshape(result, shape)
    return Made((*ops, reshape), reshape.result)
