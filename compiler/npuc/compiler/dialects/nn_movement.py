"""Movement operations of the nn dialect that cut, join, surround and choose from tensors.

A slice and a concatenation cost nothing where they can be views: see ``analysis/layouts.py``.
"""

from collections.abc import Sequence

from npuc.compiler.xdsl_api import (
    Attribute,
    DenseArrayBase,
    FloatAttr,
    IntegerAttr,
    IRDLOperation,
    Pure,
    SSAValue,
    TensorType,
    VerifyException,
    f32,
    i64,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)


def _integers(values: Sequence[int]) -> Attribute:
    return DenseArrayBase.from_list(i64, list(values))


@irdl_op_definition
class ConcatOp(IRDLOperation):
    """The operands one after the other along ``axis``."""

    name = "nn.concat"
    pieces = var_operand_def(TensorType)
    result = result_def(TensorType)
    axis = prop_def(IntegerAttr.constr(type=i64))
    traits = traits_def(Pure())
    assembly_format = "$pieces `axis` $axis attr-dict `:` type($pieces) `->` type($result)"

    def __init__(self, pieces: Sequence[SSAValue], axis: int, result_type: Attribute) -> None:
        super().__init__(
            operands=[pieces],
            result_types=[result_type],
            properties={"axis": IntegerAttr(axis, i64)},
        )

    @property
    def axis_number(self) -> int:
        """The axis as a plain number."""
        return self.axis.value.data

    def verify_(self) -> None:
        if not self.pieces:
            raise VerifyException("there is nothing to concatenate")


@irdl_op_definition
class SliceOp(IRDLOperation):
    """Element i of the result is element starts + i * steps of x; steps are at least 1."""

    name = "nn.slice"
    x = operand_def(TensorType)
    result = result_def(TensorType)
    starts = prop_def(DenseArrayBase.constr(i64))
    steps = prop_def(DenseArrayBase.constr(i64))
    traits = traits_def(Pure())
    assembly_format = "$x `starts` $starts `steps` $steps attr-dict `:` type($x) `->` type($result)"

    def __init__(
        self,
        x: SSAValue,
        places: tuple[Sequence[int], Sequence[int]],
        result_type: Attribute,
    ) -> None:
        super().__init__(
            operands=[x],
            result_types=[result_type],
            properties={"starts": _integers(places[0]), "steps": _integers(places[1])},
        )

    @property
    def places(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Starts and steps as plain numbers."""
        starts, steps = self.starts.get_values(), self.steps.get_values()
        return tuple(int(n) for n in starts), tuple(int(n) for n in steps)

    def verify_(self) -> None:
        starts, steps = self.places
        if len(starts) != len(steps) or min(steps, default=1) < 1 or min(starts, default=0) < 0:
            raise VerifyException(f"starts {starts} and steps {steps} do not make a slice")


@irdl_op_definition
class GatherOp(IRDLOperation):
    """Row i of the result is row indices[i] of the table, [rows, elements]; indices are i32.

    A row outside the table is zeros, as the machine's gather fills it.
    """

    name = "nn.gather"
    table = operand_def(TensorType)
    indices = operand_def(TensorType)
    result = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = (
        "$table `,` $indices attr-dict `:` type($table) `,` type($indices) `->` type($result)"
    )

    def __init__(self, table: SSAValue, indices: SSAValue, result_type: Attribute) -> None:
        super().__init__(operands=[table, indices], result_types=[result_type])


@irdl_op_definition
class PadOp(IRDLOperation):
    """x with ``low`` elements before and ``high`` after it on each axis, all equal ``value``."""

    name = "nn.pad"
    x = operand_def(TensorType)
    result = result_def(TensorType)
    low = prop_def(DenseArrayBase.constr(i64))
    high = prop_def(DenseArrayBase.constr(i64))
    value = prop_def(Attribute)
    traits = traits_def(Pure())
    assembly_format = (
        "$x `low` $low `high` $high `value` $value attr-dict `:` type($x) `->` type($result)"
    )

    def __init__(
        self,
        x: SSAValue,
        widths: tuple[Sequence[int], Sequence[int]],
        value: float,
        result_type: Attribute,
    ) -> None:
        number = IntegerAttr(value, i64) if isinstance(value, int) else FloatAttr(value, f32)
        super().__init__(
            operands=[x],
            result_types=[result_type],
            properties={
                "low": _integers(widths[0]),
                "high": _integers(widths[1]),
                "value": number,
            },
        )

    @property
    def widths(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Elements before and after on each axis, as plain numbers."""
        low, high = self.low.get_values(), self.high.get_values()
        return tuple(int(n) for n in low), tuple(int(n) for n in high)

    @property
    def number(self) -> int | float:
        """The value of the new elements, as stored: an int for integer tensors."""
        assert isinstance(self.value, IntegerAttr | FloatAttr)
        return self.value.value.data

    def verify_(self) -> None:
        low, high = self.widths
        if len(low) != len(high) or min((*low, *high), default=0) < 0:
            raise VerifyException(f"widths {low} and {high} do not make a padding")
        if not isinstance(self.value, IntegerAttr | FloatAttr):
            raise VerifyException("the value must be one number")
