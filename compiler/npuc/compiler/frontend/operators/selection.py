"""Gather by indices that are known at run time only: a search in tables that are small.

result[o, m, i] = the largest, over v, of table[o, v, i] where index[m] is v: exact, for one v fits.
"""

from math import prod

import numpy as np

from npuc.compiler.dialects.element_types import dtype_of, shape_of, tensor_type
from npuc.compiler.dialects.index_forms import dim_form
from npuc.compiler.dialects.nn import GenericOp, Scalars, Space
from npuc.compiler.frontend.node import Node
from npuc.compiler.ops.movement import make_reshape
from npuc.compiler.ops.quantization import INTEGER_BOUNDS
from npuc.compiler.ops.scalar_ops import Body
from npuc.compiler.xdsl_api import SSAValue
from npuc.isa.dtypes import DType
from npuc.isa.numerics.arrays import I32_MIN

# Compared elements of one Gather; more would take longer than anything else in a network.
MAX_COMPARED = 1 << 24
RANK, FOUND, INNER, ROW = 4, 1, 2, 3


def selected(node: Node, axis: int) -> SSAValue:
    """Input 0 at the indices of input 1 along ``axis``; an index outside gives the lowest value.

    Raises: UnsupportedError where the table is large.
    """
    table, indices = node.tensor(0), node.tensor(1)
    if dtype_of(indices) not in (DType.i32, DType.i64) or dtype_of(table) is DType.i64:
        raise node.unsupported(
            "Gather at run time takes int32 or int64 indices and a table of up to 32 bits",
            f"{dtype_of(indices).name} into {dtype_of(table).name}",
        )
    shape, picked = shape_of(table), shape_of(indices)
    outer, rows, inner = prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])
    extents = (outer, max(1, prod(picked)), inner, rows)
    if prod(extents) > MAX_COMPARED:
        raise node.unsupported(
            "Gather at run time compares every row with every index, and the table is large",
            f"{rows} rows, {extents[FOUND]} indices, {outer * inner} elements each",
            f"at most {MAX_COMPARED} in all",
        )
    operands = [
        node.emit(make_reshape(table, (outer, rows, inner))),
        node.emit(make_reshape(indices, (extents[FOUND],))),
        node.constant_tensor(np.arange(rows, dtype=np.int32)),
    ]
    found, row = dim_form(RANK, FOUND), dim_form(RANK, ROW)
    outermost, last = dim_form(RANK, 0), dim_form(RANK, INNER)
    forms = ((outermost, row, last), (found,), (row,), (outermost, found, last))
    result = tensor_type(dtype_of(table), extents[:ROW])
    generic = GenericOp(
        operands, result, Space(extents, ROW, forms, (None,) * 3), _search(dtype_of(table), rows)
    )
    return node.emit(make_reshape(node.emit(generic), (*shape[:axis], *picked, *shape[axis + 1 :])))


def _search(dtype: DType, rows: int) -> Scalars:
    letter = "f" if dtype.is_float else "i"
    body = Body(f"{letter}ii")
    value, index, row = body.args
    is_negative = body("lti", index, body.number(0))
    from_front = body("selecti", is_negative, body("addi", index, body.number(rows)), index)
    low = float("-inf") if dtype.is_float else INTEGER_BOUNDS.get(dtype, (I32_MIN, 0))[0]
    chosen = body(f"select{letter}", body("eqi", from_front, row), value, body.number(low))
    return Scalars(body.done(chosen), f"rmax{letter}")
