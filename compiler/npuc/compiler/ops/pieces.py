"""nn.concat, nn.slice, nn.gather and nn.pad: tensors joined, cut, chosen from and surrounded."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from npuc.compiler.consts import ConstStore
from npuc.compiler.dialects.element_types import dtype_of, shape_of, tensor_type
from npuc.compiler.dialects.nn import ConcatOp, GatherOp, PadOp, SliceOp
from npuc.compiler.ops.interface import Array, contradiction
from npuc.compiler.xdsl_api import Attribute, Operation, SSAValue
from npuc.isa.dtypes import DType

Places = tuple[Sequence[int], Sequence[int]]


def make_concat(pieces: Sequence[SSAValue], axis: int) -> ConcatOp:
    """``pieces`` one after the other along ``axis``; their other sizes agree."""
    shape = list(shape_of(pieces[0]))
    shape[axis] = sum(shape_of(piece)[axis] for piece in pieces)
    return ConcatOp(pieces, axis, tensor_type(dtype_of(pieces[0]), shape))


def make_slice(x: SSAValue, places: Places, sizes: Sequence[int]) -> SliceOp:
    """``sizes`` elements of ``x`` from the starts on, by the steps: ``places`` has both."""
    return SliceOp(x, places, tensor_type(dtype_of(x), sizes))


def make_axis_slice(x: SSAValue, axis: int, place: tuple[int, int, int]) -> SliceOp:
    """Start, size and step along ``axis``, all of every other axis."""
    start, size, step = place
    sizes = list(shape_of(x))
    starts, steps = [0] * len(sizes), [1] * len(sizes)
    starts[axis], steps[axis], sizes[axis] = start, step, size
    return make_slice(x, (starts, steps), sizes)


def make_gather(table: SSAValue, indices: SSAValue) -> GatherOp:
    """The rows of ``table``, [rows, elements], that ``indices``, [count] of i32, name."""
    return GatherOp(table, indices, _gathered_type(table, indices))


def _gathered_type(table: SSAValue, indices: SSAValue) -> Attribute:
    return tensor_type(dtype_of(table), (*shape_of(indices), *shape_of(table)[1:]))


def make_pad(x: SSAValue, widths: Places, value: float) -> PadOp:
    """``x`` with ``widths`` (before, after) new elements of ``value`` on each axis."""
    shape = [a + n + b for a, n, b in zip(widths[0], shape_of(x), widths[1], strict=True)]
    return PadOp(x, widths, value, tensor_type(dtype_of(x), shape))


class Concat:
    """Joined along an axis."""

    op_class = ConcatOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        concat = cast(ConcatOp, op)
        axis, shapes = concat.axis_number, [shape_of(piece) for piece in concat.pieces]
        if not 0 <= axis < len(shapes[0]):
            raise contradiction(op, "there is no such axis", f"{axis} of {shapes[0]}")
        others = {(len(s), *s[:axis], *s[axis + 1 :]) for s in shapes}
        if len(others) > 1 or len({dtype_of(piece) for piece in concat.pieces}) > 1:
            raise contradiction(
                op, "the pieces do not fit together", [str(p.type) for p in concat.pieces]
            )
        shape = list(shapes[0])
        shape[axis] = sum(s[axis] for s in shapes)
        return (tensor_type(dtype_of(concat.pieces[0]), shape),)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        return (np.concatenate(operands, axis=cast(ConcatOp, op).axis_number),)


class Slice:
    """A regular part."""

    op_class = SliceOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        part = cast(SliceOp, op)
        (starts, steps), sizes = part.places, shape_of(part.result)
        rows = zip(starts, steps, sizes, shape_of(part.x), strict=False)
        fits = len(starts) == len(sizes) == len(shape_of(part.x)) and all(
            start + (size - 1) * step < whole for start, step, size, whole in rows
        )
        if not fits:
            raise contradiction(
                op, "the slice leaves the tensor", f"{part.places} of {part.x.type}"
            )
        return (tensor_type(dtype_of(part.x), sizes),)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        part = cast(SliceOp, op)
        rows = zip(*part.places, shape_of(part.result), strict=True)
        cut = tuple(slice(start, start + size * step, step) for start, step, size in rows)
        return (np.ascontiguousarray(operands[0][cut]),)


class Gather:
    """Rows by number."""

    op_class = GatherOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        gather = cast(GatherOp, op)
        ranks = len(shape_of(gather.table)), len(shape_of(gather.indices))
        if ranks != (2, 1) or dtype_of(gather.indices) is not DType.i32:
            raise contradiction(
                op,
                "a table of rank 2 and a list of i32 are needed",
                f"{gather.table.type} and {gather.indices.type}",
            )
        return (_gathered_type(gather.table, gather.indices),)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        table, indices = operands[0], operands[1].astype(np.int64)
        is_row = (indices >= 0) & (indices < len(table))
        rows = np.zeros((len(indices), table.shape[1]), table.dtype)
        rows[is_row] = table[indices[is_row]]
        return (rows,)


class Pad:
    """Surrounded by one value."""

    op_class = PadOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        pad = cast(PadOp, op)
        low, high = pad.widths
        if len(low) != len(shape_of(pad.x)):
            raise contradiction(op, "widths do not suit the tensor", f"{low} of {pad.x.type}")
        shape = [a + n + b for a, n, b in zip(low, shape_of(pad.x), high, strict=True)]
        return (tensor_type(dtype_of(pad.x), shape),)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        pad = cast(PadOp, op)
        widths = list(zip(*pad.widths, strict=True))
        return (np.pad(operands[0], widths, constant_values=pad.number),)


OPS = (Concat(), Slice(), Gather(), Pad())
