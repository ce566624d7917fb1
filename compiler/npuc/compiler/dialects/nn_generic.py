"""nn.generic: all elementwise and reduction work as one structured operation.

The iteration space has ``extents``; its first ``parallel`` dimensions are those of the result, the
others are reduced. At each point the body gets one scalar of each input: the element that the
input's map names, converted to the body's float32 or int32, or the fill value where that element
lies outside the tensor. Without a reduction the body yields the result's value. With one it yields
the operands of the reduction's micro-op; the epilogue, where there is one, gets the reduced value
and one scalar of every input whose map uses no reduced dimension, and yields the result's value.
The value is converted to the result's element type, half to even and saturated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from npuc.compiler.dialects.element_types import shape_of
from npuc.compiler.dialects.index_forms import IndexForm, forms_of, map_of
from npuc.compiler.dialects.nn_structure import YieldOp, check_tensor
from npuc.compiler.xdsl_api import (
    AffineMapAttr,
    ArrayAttr,
    Attribute,
    Block,
    DenseArrayBase,
    FloatAttr,
    IntegerAttr,
    IRDLOperation,
    Pure,
    Region,
    SSAValue,
    StringAttr,
    TensorType,
    UnitAttr,
    VerifyException,
    f32,
    i32,
    i64,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
)
from npuc.isa.microops import BY_NAME

DOMAIN_TYPES: dict[str, Attribute] = {"f": f32, "i": i32}
Fill = int | float | None


@dataclass(frozen=True)
class Space:
    """What an nn.generic iterates over: extents, how many of them are parallel, index forms.

    ``forms`` has one tuple per input and, last, that of the result; ``fills`` one value per input
    (None: every index lies inside).
    """

    extents: tuple[int, ...]
    parallel: int
    forms: tuple[tuple[IndexForm, ...], ...]
    fills: tuple[Fill, ...]

    @property
    def result_forms(self) -> tuple[IndexForm, ...]:
        """The forms of the result."""
        return self.forms[-1]

    @cached_property
    def epilogue_inputs(self) -> tuple[int, ...]:
        """Inputs that the epilogue sees: those that use no reduced dimension."""
        return tuple(
            i
            for i, forms in enumerate(self.forms[:-1])
            if all(d < self.parallel for form in forms for d in form.dims)
        )


@dataclass(frozen=True)
class Scalars:
    """What an nn.generic computes: its body, the reducing micro-op's name, its epilogue."""

    body: Region
    reduction: str | None = None
    epilogue: Region | None = None


def _fill_attribute(fill: Fill) -> Attribute:
    if fill is None:
        return UnitAttr()
    return FloatAttr(fill, f32) if isinstance(fill, float) else IntegerAttr(fill, i64)


def _fill_value(attribute: Attribute) -> Fill:
    if isinstance(attribute, IntegerAttr | FloatAttr):
        return attribute.value.data
    return None


@irdl_op_definition
class GenericOp(IRDLOperation):
    """A structured elementwise or reduction operation; see the head of this module."""

    name = "nn.generic"
    inputs = var_operand_def(TensorType)
    result = result_def(TensorType)
    extents = prop_def(DenseArrayBase.constr(i64))
    parallel = prop_def(IntegerAttr.constr(type=i64))
    reduction = opt_prop_def(StringAttr)
    maps = prop_def(ArrayAttr[AffineMapAttr])
    fills = opt_prop_def(ArrayAttr)
    body = region_def("single_block")
    epilogue = region_def()
    traits = traits_def(Pure())
    assembly_format = (
        "`extents` $extents `parallel` $parallel (`reduce` $reduction^)? `maps` $maps"
        " (`fills` $fills^)? `ins` `(` $inputs `:` type($inputs) `)` `->` type($result)"
        " attr-dict-with-keyword `body` $body `epilogue` $epilogue"
    )

    def __init__(
        self,
        inputs: Sequence[SSAValue],
        result_type: Attribute,
        space: Space,
        scalars: Scalars,
    ) -> None:
        rank = len(space.extents)
        has_fill = any(fill is not None for fill in space.fills)
        super().__init__(
            operands=[inputs],
            result_types=[result_type],
            properties={
                "extents": DenseArrayBase.from_list(i64, list(space.extents)),
                "parallel": IntegerAttr(space.parallel, i64),
                "reduction": StringAttr(scalars.reduction) if scalars.reduction else None,
                "maps": ArrayAttr([AffineMapAttr(map_of(rank, forms)) for forms in space.forms]),
                "fills": ArrayAttr(map(_fill_attribute, space.fills)) if has_fill else None,
            },
            regions=[scalars.body, scalars.epilogue or Region()],
        )

    @property
    def space(self) -> Space:
        """The iteration space as plain data."""
        fills = tuple(map(_fill_value, self.fills)) if self.fills else (None,) * len(self.inputs)
        return Space(
            tuple(int(n) for n in self.extents.get_values()),
            self.parallel.value.data,
            tuple(forms_of(index_map.data) for index_map in self.maps),
            fills,
        )

    @property
    def reduction_name(self) -> str | None:
        """The reducing micro-op, or None."""
        return self.reduction.data if self.reduction else None

    @property
    def epilogue_block(self) -> Block | None:
        """The block of the epilogue, or None where it is empty."""
        return self.epilogue.first_block

    def verify_(self) -> None:
        check_tensor("the result", self.result.type)
        _check_counts(self)
        try:
            space = self.space
        except ValueError as error:
            raise VerifyException(str(error)) from error
        _check_indices(self, space)
        _check_result_map(self, space)
        _check_regions(self, space)


def _check_counts(op: GenericOp) -> None:
    extents, parallel = op.extents.get_values(), op.parallel.value.data
    if (not extents and parallel) or not 0 <= parallel <= len(extents):
        raise VerifyException(f"{parallel} parallel dimensions of {len(extents)}")
    if any(n < 1 for n in extents):
        raise VerifyException(f"extents {extents}: every one must be at least 1")
    if len(op.maps) != len(op.inputs) + 1:
        raise VerifyException(f"{len(op.maps)} maps for {len(op.inputs)} inputs and a result")
    if op.fills is not None and len(op.fills) != len(op.inputs):
        raise VerifyException(f"{len(op.fills)} fills for {len(op.inputs)} inputs")
    if any(index_map.data.num_dims != len(extents) for index_map in op.maps):
        raise VerifyException(f"every map must have {len(extents)} dimensions")
    if (len(extents) > parallel) != (op.reduction is not None):
        raise VerifyException("reduced dimensions and a reduction come together or not at all")


def _check_indices(op: GenericOp, space: Space) -> None:
    for position, value in enumerate((*op.inputs, op.result)):
        forms, shape = space.forms[position], shape_of(value)
        if len(forms) != len(shape):
            raise VerifyException(f"map {position} has {len(forms)} results for {value.type}")
        if position < len(op.inputs) and space.fills[position] is not None:
            continue
        for axis, (form, size) in enumerate(zip(forms, shape, strict=True)):
            low, high = form.bounds(space.extents)
            if low < 0 or high >= size:
                raise VerifyException(
                    f"map {position} reaches {low}..{high} on axis {axis} of {value.type}"
                    " and has no fill"
                )


def _check_result_map(op: GenericOp, space: Space) -> None:
    used = [form.single_dim for form in space.result_forms if form.dims or form.constant]
    if None in used or len(set(used)) != len(used):
        raise VerifyException("the result's map must name each of its dimensions alone")
    if any(d is not None and d >= space.parallel for d in used):
        raise VerifyException("the result's map uses a reduced dimension")
    wanted = {d for d in range(space.parallel) if space.extents[d] > 1}
    if not wanted <= set(used):
        raise VerifyException(f"the result's map leaves out dimensions {wanted - set(used)}")
    sizes = [space.extents[d] if (d := f.single_dim) is not None else 1 for f in space.result_forms]
    if tuple(sizes) != shape_of(op.result):
        raise VerifyException(f"the space gives a result of {sizes}, not {op.result.type}")


def _check_regions(op: GenericOp, space: Space) -> None:
    body = op.body.block
    _check_arguments("body", body, [None] * len(op.inputs))
    yielded = _yielded("body", body)
    if op.reduction is None:
        if op.epilogue_block is not None:
            raise VerifyException("an epilogue needs a reduction")
        _check_one_scalar("body", yielded)
        return
    micro_op = BY_NAME.get(op.reduction.data)
    if micro_op is None or not micro_op.is_reduction:
        raise VerifyException(f"{op.reduction.data!r} is no reducing micro-op")
    if yielded != [DOMAIN_TYPES[letter] for letter in micro_op.operands]:
        raise VerifyException(
            f"{micro_op.name} takes {micro_op.operands}, the body yields {yielded}"
        )
    if op.epilogue_block is None:
        return
    loaded = [body.args[i].type for i in space.epilogue_inputs]
    _check_arguments("epilogue", op.epilogue_block, [DOMAIN_TYPES[micro_op.result], *loaded])
    _check_one_scalar("epilogue", _yielded("epilogue", op.epilogue_block))


def _check_arguments(what: str, block: Block, wanted: Sequence[Attribute | None]) -> None:
    if len(block.args) != len(wanted):
        raise VerifyException(f"the {what} has {len(block.args)} arguments, not {len(wanted)}")
    for argument, exact in zip(block.args, wanted, strict=True):
        if argument.type not in ((exact,) if exact else DOMAIN_TYPES.values()):
            raise VerifyException(f"the {what} has an argument of type {argument.type}")


def _yielded(what: str, block: Block) -> list[Attribute]:
    if not isinstance(block.last_op, YieldOp):
        raise VerifyException(f"the {what} must end in nn.yield")
    return [value.type for value in block.last_op.values]


def _check_one_scalar(what: str, types: list[Attribute]) -> None:
    if len(types) != 1 or types[0] not in DOMAIN_TYPES.values():
        raise VerifyException(f"the {what} must yield one f32 or i32, not {types}")


@irdl_op_definition
class MicroOp(IRDLOperation):
    """A scalar operation of a body that arith and math have no word for, by its micro-op's name.

    Examples: ``f2i`` (nearest integer, ties to even, saturated), ``recip``.
    """

    name = "nn.micro"
    micro_op = prop_def(StringAttr)
    values = var_operand_def(Attribute)
    result = result_def(Attribute)
    traits = traits_def(Pure())
    assembly_format = "$micro_op $values `:` type($values) `->` type($result) attr-dict"

    def __init__(self, micro_op: str, values: Sequence[SSAValue]) -> None:
        result = DOMAIN_TYPES[BY_NAME[micro_op].result]
        super().__init__(
            operands=[values],
            result_types=[result],
            properties={"micro_op": StringAttr(micro_op)},
        )

    def verify_(self) -> None:
        spec = BY_NAME.get(self.micro_op.data)
        if spec is None or spec.is_reduction:
            raise VerifyException(f"{self.micro_op.data!r} is no elementwise micro-op")
        if [value.type for value in self.values] != [DOMAIN_TYPES[d] for d in spec.operands]:
            raise VerifyException(f"{spec.name} takes {spec.operands}")
        if self.result.type != DOMAIN_TYPES[spec.result]:
            raise VerifyException(f"{spec.name} gives {spec.result}")
