"""Taking generics apart and putting them together: the mechanics of fusing two into one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from npuc.compiler.dialects.element_types import shape_of, tensor_of
from npuc.compiler.dialects.index_forms import IndexForm, constant_form
from npuc.compiler.dialects.nn import GenericOp, Scalars, Space, YieldOp
from npuc.compiler.dialects.nn_generic import Fill
from npuc.compiler.ops.quantization import INTEGER_BOUNDS
from npuc.compiler.ops.scalar_ops import Body
from npuc.compiler.xdsl_api import Attribute, Block, Region, SSAValue, f32
from npuc.isa.dtypes import DType

Forms = tuple[IndexForm, ...]


@dataclass(frozen=True)
class Input:
    """One input of a generic: the tensor, how it is indexed, what lies outside, its domain."""

    value: SSAValue
    forms: Forms
    fill: Fill
    domain: str


@dataclass
class Inputs:
    """Inputs of a generic in the making; equal ones are merged."""

    entries: list[Input] = field(default_factory=list)

    def add(self, entry: Input) -> int:
        """The position of ``entry``, which is appended unless it is there."""
        if entry not in self.entries:
            self.entries.append(entry)
        return self.entries.index(entry)

    def domains(self, positions: Sequence[int] | None = None) -> str:
        """Domain letters of all inputs, or of those at ``positions``."""
        chosen = range(len(self.entries)) if positions is None else positions
        return "".join(self.entries[position].domain for position in chosen)


def domain_of(attribute: Attribute) -> str:
    """'f' for f32, 'i' for i32."""
    return "f" if attribute == f32 else "i"


def inputs_of(op: GenericOp) -> list[Input]:
    """The inputs of ``op``."""
    space = op.space
    rows = zip(op.inputs, space.forms[:-1], space.fills, op.body.block.args, strict=True)
    return [Input(value, forms, fill, domain_of(arg.type)) for value, forms, fill, arg in rows]


def substituted(forms: Forms, rank: int, of_dim: dict[int, IndexForm]) -> Forms:
    """``forms`` with each dimension d replaced by ``of_dim[d]`` (0 where absent), over ``rank``."""
    return tuple(_combined(form, rank, of_dim) for form in forms)


def _combined(form: IndexForm, rank: int, of_dim: dict[int, IndexForm]) -> IndexForm:
    coefficients, constant = [0] * rank, form.constant
    for dim in form.dims:
        inner = of_dim.get(dim, constant_form(rank))
        factor = form.coefficients[dim]
        constant += factor * inner.constant
        coefficients = [
            c + factor * i for c, i in zip(coefficients, inner.coefficients, strict=True)
        ]
    return IndexForm(tuple(coefficients), constant)


def inlined(body: Body, block: Block, arguments: Sequence[SSAValue | None]) -> list[SSAValue]:
    """Copy ``block`` into ``body`` with these arguments; what it yields there.

    An argument may be None when nothing in ``block`` uses it.
    """
    mapper: dict[SSAValue, SSAValue] = {
        old: new for old, new in zip(block.args, arguments, strict=True) if new is not None
    }
    for op in block.ops:
        if isinstance(op, YieldOp):
            return [mapper[value] for value in op.values]
        copy = op.clone(value_mapper=mapper)
        copy.location = op.location
        body.block.add_op(copy)
    raise AssertionError("a verified block ends in nn.yield")


def through_memory(body: Body, value: SSAValue, stored: DType, domain: str) -> SSAValue:
    """What a load into ``domain`` gives of ``value`` after a store as ``stored``."""
    if stored is DType.f32:
        as_float = value if domain_of(value.type) == "f" else body("i2f", value)
        return as_float if domain == "f" else body("f2i", as_float)
    as_integer = value if domain_of(value.type) == "i" else body("f2i", value)
    if stored is not DType.i32:
        low, high = INTEGER_BOUNDS[stored]
        as_integer = body("maxi", as_integer, body.number(low))
        as_integer = body("mini", as_integer, body.number(high))
    return as_integer if domain == "i" else body("i2f", as_integer)


def can_pass_through(stored: DType) -> bool:
    """Whether ``through_memory`` knows how values of this element type are stored."""
    return stored is DType.f32 or stored in INTEGER_BOUNDS


def used_arguments(block: Block | None) -> tuple[bool, ...]:
    """Which arguments of ``block`` something uses."""
    return () if block is None else tuple(bool(list(arg.uses)) for arg in block.args)


def moved_region(region: Region) -> Region | None:
    """A copy of ``region``; None where it is empty."""
    return None if region.first_block is None else region.clone()


@dataclass(frozen=True)
class Frame:
    """What stays of the generic that hosts the fusion: space without inputs, result, reduction."""

    extents: tuple[int, ...]
    parallel: int
    result_forms: Forms
    result_type: Attribute
    reduction: str | None

    @staticmethod
    def of(op: GenericOp) -> "Frame":
        """The frame of ``op``."""
        space = op.space
        result_type = tensor_of(op.result)
        return Frame(
            space.extents, space.parallel, space.result_forms, result_type, op.reduction_name
        )

    def epilogue_positions(self, inputs: Inputs) -> list[int]:
        """Inputs that the epilogue sees."""
        return [
            i
            for i, entry in enumerate(inputs.entries)
            if all(d < self.parallel for form in entry.forms for d in form.dims)
        ]

    def build(self, inputs: Inputs, body: Region, epilogue: Region | None) -> GenericOp:
        """The generic of these inputs and regions."""
        entries = inputs.entries
        space = Space(
            self.extents,
            self.parallel,
            (*(entry.forms for entry in entries), self.result_forms),
            tuple(entry.fill for entry in entries),
        )
        scalars = Scalars(body, self.reduction, epilogue)
        return GenericOp([e.value for e in entries], self.result_type, space, scalars)


def point_count(op: GenericOp) -> int:
    """Points of the whole iteration space."""
    total = 1
    for extent in op.space.extents:
        total *= extent
    return total


def element_count(value: SSAValue) -> int:
    """Elements of a tensor."""
    total = 1
    for size in shape_of(value):
        total *= size
    return total
