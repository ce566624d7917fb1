"""nn.generic: inference and reference of all elementwise and reduction work."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from npuc.compiler.consts import ConstStore
from npuc.compiler.dialects.element_types import dtype_of
from npuc.compiler.dialects.index_forms import IndexForm
from npuc.compiler.dialects.nn import GenericOp, Space
from npuc.compiler.dialects.nn_generic import Fill
from npuc.compiler.ops.interface import Array
from npuc.compiler.ops.scalar_ops import evaluate_block
from npuc.compiler.xdsl_api import Attribute, Block, Operation, f32
from npuc.isa.dtypes import DType
from npuc.isa.microops import BY_NAME
from npuc.isa.numerics.convert import load_convert, store_convert

# Points evaluated at once: bounds the memory of an evaluation, not its result.
_CHUNK_POINTS = 1 << 22


class Generic:
    """The structured operation; its verifier has checked the regions already."""

    op_class = GenericOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        """The declared type: the verifier ties its shape to the space; its dtype is free."""
        return (cast(GenericOp, op).result.type,)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        generic = cast(GenericOp, op)
        space = generic.space
        domains = [argument.type for argument in generic.body.block.args]
        views = [
            _points(_loaded(operand, domain == f32), space, position, operand.dtype)
            for position, (operand, domain) in enumerate(zip(operands, domains, strict=True))
        ]
        flat = _evaluate(generic, space, views)
        return (_stored(flat, space, dtype_of(generic.result)),)


def _loaded(operand: Array, is_float: bool) -> Array:
    return load_convert(operand, "f32" if is_float else "i32")


def _points(loaded: Array, space: Space, position: int, dtype: np.dtype[np.generic]) -> Array:
    """A view with one axis per dimension (size 1 where the input does not depend on it)."""
    forms, fill = space.forms[position], space.fills[position]
    if fill is not None:
        loaded = _padded(loaded, forms, space.extents, _fill_in(fill, dtype, loaded.dtype))
        lows = [min(0, form.bounds(space.extents)[0]) for form in forms]
    else:
        lows = [0] * len(forms)
    offset = [form.constant - low for form, low in zip(forms, lows, strict=True)]
    base = loaded[tuple(slice(o, None) for o in offset)] if forms else loaded
    strides = [
        sum(form.coefficients[d] * stride for form, stride in zip(forms, base.strides, strict=True))
        for d in range(len(space.extents))
    ]
    used = {d for form in forms for d in form.dims}
    extents = [n if d in used else 1 for d, n in enumerate(space.extents)]
    return np.lib.stride_tricks.as_strided(base, extents, strides, writeable=False)


def _fill_in(fill: Fill, dtype: np.dtype[np.generic], domain: np.dtype[np.generic]) -> Array:
    element = np.asarray(fill).astype(dtype)
    return load_convert(element, "f32" if domain == np.float32 else "i32")


def _padded(
    loaded: Array, forms: Sequence[IndexForm], extents: Sequence[int], fill: Array
) -> Array:
    widths = []
    for form, size in zip(forms, loaded.shape, strict=True):
        low, high = form.bounds(extents)
        widths.append((max(0, -low), max(0, high - size + 1)))
    if not any(low or high for low, high in widths):
        return loaded
    return np.pad(loaded, widths, constant_values=fill)


def _evaluate(op: GenericOp, space: Space, views: Sequence[Array]) -> Array:
    """The values of all points of the parallel space, in the domain of the last scalar."""
    parallel = space.extents[: space.parallel]
    if not parallel:
        return _evaluate_chunk(op, space, views)
    points_per_row = max(1, int(np.prod(space.extents[1:])))
    rows = max(1, _CHUNK_POINTS // points_per_row)
    chunks = []
    for start in range(0, parallel[0], rows):
        stop = min(start + rows, parallel[0])
        part = [view if view.shape[0] == 1 else view[start:stop] for view in views]
        value = _evaluate_chunk(op, space, part)
        chunks.append(np.broadcast_to(value, (stop - start, *parallel[1:])))
    return np.concatenate(chunks)


@np.errstate(all="ignore")
def _evaluate_chunk(op: GenericOp, space: Space, views: Sequence[Array]) -> Array:
    yielded = evaluate_block(op.body.block, views)
    if op.reduction_name is None:
        return yielded[0]
    reduced = _reduced(op.reduction_name, space, yielded)
    block = op.epilogue_block
    if block is None:
        return reduced
    return _epilogue(block, space, [reduced, *(views[i] for i in space.epilogue_inputs)])


def _reduced(name: str, space: Space, yielded: Sequence[Array]) -> Array:
    reduced_extents = space.extents[space.parallel :]
    rank = len(space.extents)
    aligned = [np.reshape(value, (1,) * (rank - value.ndim) + value.shape) for value in yielded]
    common = np.broadcast_shapes(*(value.shape[: space.parallel] for value in aligned))
    size = int(np.prod(reduced_extents))
    flat = [
        np.broadcast_to(value, (*common, *reduced_extents)).reshape(*common, size)
        for value in aligned
    ]
    return BY_NAME[name].meaning(*flat)


def _epilogue(block: Block, space: Space, values: Sequence[Array]) -> Array:
    first, *inputs = values
    squeezed = [value.reshape(value.shape[: space.parallel]) for value in inputs]
    (result,) = evaluate_block(block, [first, *squeezed])
    return result


def _stored(values: Array, space: Space, dtype: DType) -> Array:
    parallel = space.extents[: space.parallel]
    stored = store_convert(np.broadcast_to(values, parallel), dtype.numpy)  # type: ignore[arg-type]
    order = [form.single_dim for form in space.result_forms]
    named = [d for d in order if d is not None]
    absent = [d for d in range(space.parallel) if d not in named]
    moved = stored.transpose([*named, *absent])
    return np.ascontiguousarray(moved).reshape(
        [1 if d is None else space.extents[d] for d in order]
    )


OPS = (Generic(),)
