"""Gather by indices that are known at run time only: rows of a table in DRAM, one by one.

An index counts from the end where it is negative; one outside the table takes the row next to it,
which ONNX leaves open.
"""

from math import prod

from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.nn import Scalars
from npuc.compiler.frontend.node import Node
from npuc.compiler.ops.movement import make_reshape, make_transpose
from npuc.compiler.ops.pieces import make_gather
from npuc.compiler.ops.scalar_ops import Body
from npuc.compiler.ops.structured import make_elementwise
from npuc.compiler.xdsl_api import SSAValue
from npuc.isa.dtypes import DType


def selected(node: Node, axis: int) -> SSAValue:
    """Input 0 at the indices of input 1 along ``axis``.

    Raises: UnsupportedError for element types that the machine does not gather.
    """
    table, indices = node.tensor(0), node.tensor(1)
    if dtype_of(indices) not in (DType.i32, DType.i64) or dtype_of(table) is DType.i64:
        raise node.unsupported(
            "Gather at run time takes int32 or int64 indices and a table of up to 32 bits",
            f"{dtype_of(indices).name} into {dtype_of(table).name}",
        )
    shape, picked = shape_of(table), shape_of(indices)
    outer, rows, inner = prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])
    if outer > 1:
        by_row = node.emit(make_reshape(table, (outer, rows, inner)))
        table = node.emit(make_transpose(by_row, (1, 0, 2)))
    table = node.emit(make_reshape(table, (rows, outer * inner)))
    count = max(1, prod(picked))
    found = node.emit(make_gather(table, _row_numbers(node, indices, (count, rows))))
    if outer > 1:
        by_index = node.emit(make_reshape(found, (count, outer, inner)))
        found = node.emit(make_transpose(by_index, (1, 0, 2)))
    return node.emit(make_reshape(found, (*shape[:axis], *picked, *shape[axis + 1 :])))


def _row_numbers(node: Node, indices: SSAValue, sizes: tuple[int, int]) -> SSAValue:
    """``indices`` as a list of i32 from 0 on: ``sizes`` are theirs and the number of rows."""
    count, rows = sizes
    body = Body("i")
    (index,) = body.args
    is_negative = body("lti", index, body.number(0))
    from_front = body("selecti", is_negative, body("addi", index, body.number(rows)), index)
    inside = body("mini", body("maxi", from_front, body.number(0)), body.number(rows - 1))
    given = node.emit(make_reshape(indices, (count,)))
    scalars = Scalars(body.done(inside))
    return node.emit_made(make_elementwise([given], (count,), DType.i32, scalars))
