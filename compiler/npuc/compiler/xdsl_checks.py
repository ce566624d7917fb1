"""An operation's definition as predicates and accessors, made once: xDSL reads it at every use.

With ``xdsl_api``, through which it is used, the only file that knows xDSL. The predicates only ever
accept: what they do not know or do not like is left to xDSL, which words the complaint.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from operator import attrgetter
from typing import TypeVar

from xdsl import irdl
from xdsl.dialects.builtin import ArrayAttr, ArrayOfConstraint, DenseArrayBase, i32
from xdsl.ir import Attribute, Block, ErasedSSAValue, Operation, Region, SSAValue
from xdsl.irdl.constraints import VerificationContext
from xdsl.irdl.operations import (
    BaseAccessor,
    BaseAttrAccessor,
    BeforeVariadicSingleAccessor,
    OptionalDef,
    OptPropertyDef,
    UniqueVariadicAccessor,
    VariadicDef,
)
from xdsl.traits import IsolatedFromAbove, IsTerminator, NoTerminator, OpTrait
from xdsl.utils.exceptions import VerifyException

MOST_VALUES = 1 << 31
MOST_REMEMBERED = 4096
_PARTS = {  # where an operation has them, as tuples
    irdl.VarIRConstruct.OPERAND: "_operands",
    irdl.VarIRConstruct.RESULT: "results",
    irdl.VarIRConstruct.REGION: "regions",
}
_READ_OPTIONS = (irdl.ParsePropInAttrDict, irdl.AttrSizedOperandSegments)

Accepts = Callable[[Attribute], bool]
Expected = tuple[type[Attribute] | None, Accepts]  # a kind of which all are accepted; what else is
_NOTHING: Expected = (None, lambda _: False)
_verified: set[tuple[object, ...]] = set()  # what ``_verify_alone`` accepted
_Operation = TypeVar("_Operation", bound=irdl.IRDLOperation)


def irdl_op_definition(cls: type[_Operation]) -> type[_Operation]:
    """The decorator of xDSL, with quick ways to the same parts and verdict of each operation."""
    own_check = cls.verify_
    defined = irdl.irdl_op_definition(cls)
    structure = Structure(defined.get_irdl_definition())
    for name, accessor in vars(defined).copy().items():
        quick = None
        if isinstance(accessor, BaseAccessor):
            quick = _quick_access(accessor)
        elif isinstance(accessor, BaseAttrAccessor):
            quick = _quick_access_by_sizes(accessor)
        if quick is not None:
            setattr(defined, name, quick)

    def verify_(self: _Operation) -> None:
        structure.verify(self)
        own_check(self)

    setattr(defined, "verify_", verify_)  # noqa: B010  # as xDSL does: it has no name for the type
    setattr(defined, "verify", _verify)  # noqa: B010  # likewise
    return defined


def _verify(op: Operation, verify_nested_ops: bool = True) -> None:
    """As xDSL does, in fewer steps where ``op`` branches nowhere and may stand where it does."""
    block = op.parent
    if block is None or op._successors or (block.last_op is op and not _may_end(op, block)):
        Operation.verify(op, verify_nested_ops)
        return
    if op._operands and ErasedSSAValue in map(type, op._operands):
        raise ValueError("an operand was erased")
    if verify_nested_ops:
        verify_inside(op)
    try:
        if type(op).verify is _verify or op.regions:
            op.verify_()
        else:
            _verify_alone(op)
    except VerifyException as error:
        op.emit_error(f"Operation does not verify: {error}", error)


def _verify_alone(op: Operation) -> None:
    """Verify one of xDSL's own operations, which do not look around: equal ones only once."""
    operands, results = [v.type for v in op.operands], [v.type for v in op.results]
    parts = tuple(operands), tuple(results), *op.properties.items(), *op.attributes.items()
    said = type(op), len(op.properties), *parts
    if said not in _verified:
        op.verify_()
        if len(_verified) == MOST_REMEMBERED:
            _verified.clear()
        _verified.add(said)


def verify_inside(op: Operation) -> None:
    """Verify all that is inside ``op``, as xDSL does.

    Raises: VerifyException, or ValueError where the operations do not hang together.
    """
    for region in op.regions:
        _verify_region(region)


def _verify_region(region: Region) -> None:
    block = region.first_block
    if block is None or block is not region.last_block or block.first_op is None:
        region.verify()
        return
    if block.parent is not region:
        raise ValueError("a block does not know the region that it is in")
    op: Operation | None = block.first_op
    while op is not None:
        if op.parent is not block:
            raise ValueError("an operation does not know the block that it is in")
        if type(op).verify is Operation.verify:
            _verify(op)
        else:
            op.verify()
        op = op._next_op


def _may_end(op: Operation, block: Block) -> bool:
    """Whether ``op`` may be the last of ``block``, the only one of its region."""
    region, outside = block.parent, block.parent_op()
    is_only = region is None or region.first_block is region.last_block
    needs_no_end = outside is None or _has(type(outside), NoTerminator)
    return is_only and (needs_no_end or _has(type(op), IsTerminator))


@cache
def _has(kind: type[Operation], trait: type[OpTrait]) -> bool:
    """Whether operations of ``kind`` have ``trait``: xDSL looks through all traits each time."""
    return kind.has_trait(trait)


def _quick_access(accessor: BaseAccessor) -> property | None:
    """Another accessor of the same part of an operation; None where there is no quick one."""
    kind, first = _PARTS.get(accessor.construct), accessor.idx
    if kind is None:
        return None
    if type(accessor) is BeforeVariadicSingleAccessor:
        return property(lambda op: tuple.__getitem__(getattr(op, kind), first))
    if type(accessor) is UniqueVariadicAccessor:
        several = slice(first or None, (first + 1 - accessor.num_defs) or None)
        if several == slice(None):
            return property(attrgetter(kind))
        return property(lambda op: getattr(op, kind)[several])
    return None


def _quick_access_by_sizes(accessor: BaseAttrAccessor) -> property | None:
    """Likewise, where a property tells how many values each part has."""
    kind, option = _PARTS.get(accessor.construct), accessor.option
    if kind is None or not option.as_property:
        return None
    name, known = option.attribute_name, dict[bytes, tuple[int, ...]]()

    def part(op: Operation) -> object:
        sizes = op.properties[name]
        if not isinstance(sizes, DenseArrayBase) or sizes.elt_type is not i32:
            return accessor.__get__(op)
        counts = known.get(sizes.data.data)
        if counts is None:
            counts = known[sizes.data.data] = tuple(map(int, sizes.get_values()))
        return accessor.index(counts, getattr(op, kind))

    return property(part)


@dataclass
class Structure:
    """What a definition says of an operation's parts; read when the first one is verified."""

    definition: irdl.OpDef

    def verify(self, op: Operation) -> None:
        """Raise VerifyException where ``op`` is not as defined."""
        if not self._is_plain or not self._accepts(op):
            self.definition.verify(op)
            return
        for trait in self._traits:
            if not isinstance(trait, IsolatedFromAbove) or not _is_isolated(op):
                trait.verify(op)

    def _accepts(self, op: Operation) -> bool:
        return (
            not op._successors
            and self._operands.accepts(op._operands, op.properties)  # a plain tuple
            and self._results.accepts(op.results, op.properties)
            and self._properties.accepts(op.properties)
            and self._accepts_regions(op.regions)
        )

    def _accepts_regions(self, regions: Sequence[Region]) -> bool:
        if len(regions) != len(self.definition.regions):
            return False
        for region in regions:
            if region.first_block is None or region.first_block is not region.last_block:
                return False
        return True

    @cached_property
    def _is_plain(self) -> bool:
        """Whether the predicates say all there is to say."""
        definition = self.definition
        any_arguments = irdl.RangeOf(irdl.AnyAttr())
        variables = [
            *(part.constr.variables() for _, part in definition.operands),
            *(part.constr.variables() for _, part in definition.results),
            *(part.constr.variables() for part in definition.properties.values()),
        ]
        return (
            all(isinstance(option, _READ_OPTIONS) for option in definition.options)
            and not definition.successors
            and not definition.attributes
            and not any(variables)
            and all(
                type(region) is irdl.SingleBlockRegionDef and region.entry_args == any_arguments
                for _, region in definition.regions
            )
            and self._operands.is_known
            and self._results.is_known
        )

    @cached_property
    def _operands(self) -> "_Values":
        options = self.definition.options
        sized = [o for o in options if isinstance(o, irdl.AttrSizedOperandSegments)]
        name = sized[0].attribute_name if sized and sized[0].as_property else None
        return _Values([part for _, part in self.definition.operands], name)

    @cached_property
    def _results(self) -> "_Values":
        return _Values([part for _, part in self.definition.results])

    @cached_property
    def _properties(self) -> "_Properties":
        return _Properties(self.definition.properties)

    @cached_property
    def _traits(self) -> list[OpTrait]:
        """Those that check anything."""
        return [t for t in self.definition.traits if type(t).verify is not OpTrait.verify]


class _Values:
    """Operands or results: one part of their definition may be of any number.

    ``sizes_name``: the property that tells how many values each part has, where there is one.
    """

    def __init__(
        self, parts: Sequence[irdl.OperandDef | irdl.ResultDef], sizes_name: str | None = None
    ) -> None:
        each = [constraint for part in parts if (constraint := _of_each(part)) is not None]
        several = [n for n, part in enumerate(parts) if isinstance(part, VariadicDef)]
        self.is_known = len(each) == len(parts) and (len(several) <= 1 or sizes_name is not None)
        self._sizes_name = sizes_name
        self._accepted = [_expected(constraint) for constraint in each]
        self._several = several[0] if several else None
        self._ranges = [_range_of(part) for part in parts]
        self._expanded: dict[Attribute | int, list[Expected] | None] = {}

    def accepts(self, values: Sequence[SSAValue], properties: Mapping[str, Attribute]) -> bool:
        """Whether number and types of ``values`` are as defined."""
        if not values and not self._accepted:
            return True
        known: Attribute | int | None = len(values)
        if self._sizes_name is not None:
            known = properties.get(self._sizes_name)
        if known is None:
            return False
        if known not in self._expanded:
            self._expanded[known] = self._expand(known)
        accepted = self._expanded[known]
        if accepted is None or len(values) != len(accepted):
            return False
        for (kind, accepts), value in zip(accepted, values, strict=True):
            if type(value._type) is not kind and not accepts(value._type):
                return False
        return True

    def _expand(self, known: Attribute | int) -> list[Expected] | None:
        """What each value must be, by their number or the numbers of each part; None: invalid."""
        if isinstance(known, int):
            counts = [1] * len(self._accepted)
            if self._several is not None:
                counts[self._several] = known - len(counts) + 1
        elif isinstance(known, DenseArrayBase) and known.elt_type == i32:
            counts = [int(count) for count in known.get_values()]
        else:
            return None
        if len(counts) != len(self._ranges):
            return None
        if any(count not in allowed for count, allowed in zip(counts, self._ranges, strict=True)):
            return None
        pairs = zip(self._accepted, counts, strict=True)
        return [expected for expected, count in pairs for _ in range(count)]


class _Properties:
    """Properties by name; the sizes of operand segments are looked at with the operands."""

    def __init__(self, definitions: Mapping[str, irdl.PropertyDef]) -> None:
        self._accepted = {name: _expected(part.constr) for name, part in definitions.items()}
        self._needed = {
            name for name, part in definitions.items() if not isinstance(part, OptPropertyDef)
        }

    def accepts(self, properties: Mapping[str, Attribute]) -> bool:
        """Whether those that are needed are there, and all as defined."""
        if not self._needed <= properties.keys():
            return False
        for name, value in properties.items():
            kind, accepts = self._accepted.get(name, _NOTHING)
            if type(value) is not kind and not accepts(value):
                return False
        return True


def inside(op: Operation) -> list[Operation]:
    """The operations of the blocks of ``op``, in order, as they are now."""
    found = []
    for region in op.regions:
        for block in region.blocks:
            inner = block.first_op
            while inner is not None:
                found.append(inner)
                inner = inner._next_op
    return found


def _is_isolated(op: Operation) -> bool:
    """Whether all that is used inside ``op`` is made inside it.

    Operations inside that are isolated themselves have been looked at: inner ones come first.
    """
    homes: set[int] = set()
    used: list[SSAValue] = []
    around = [op]
    for outer in around:  # which grows
        homes.update(id(block) for region in outer.regions for block in region.blocks)
        for inner in inside(outer):
            used += inner._operands
            if inner.regions and not _has(type(inner), IsolatedFromAbove):
                around.append(inner)
    return all(id(_home(value)) in homes for value in used)


def _home(value: SSAValue) -> Block | None:
    """The block in which ``value`` is made."""
    owner = value.owner
    return owner if isinstance(owner, Block) else owner.parent


def _range_of(part: irdl.OperandDef | irdl.ResultDef) -> range:
    """How many values ``part`` may have."""
    if isinstance(part, OptionalDef):
        return range(2)
    return range(MOST_VALUES) if isinstance(part, VariadicDef) else range(1, 2)


def _of_each(part: irdl.OperandDef | irdl.ResultDef) -> irdl.AttrConstraint | None:
    """What every value of ``part`` must satisfy; None where there is more to it."""
    constraint = part.constr
    is_single = not isinstance(part, VariadicDef)
    if is_single and isinstance(constraint, irdl.RangeLengthConstraint):
        if constraint.length != irdl.EqIntConstraint(1):
            return None
        constraint = constraint.constraint
    return constraint.constr if isinstance(constraint, irdl.RangeOf) else None


def _expected(constraint: irdl.AttrConstraint) -> Expected:
    """``constraint``, which names no variables, as the kind that it asks for and a predicate."""
    kind = constraint.attr if isinstance(constraint, irdl.BaseAttr) else None
    return kind, _accepts(constraint)


def _accepts(constraint: irdl.AttrConstraint) -> Accepts:
    """``constraint``, which names no variables, as a predicate."""
    if type(constraint) is irdl.AnyAttr:
        return lambda _: True
    if type(constraint) is irdl.BaseAttr:
        return lambda attribute: isinstance(attribute, constraint.attr)
    if type(constraint) is irdl.EqAttrConstraint:
        only = constraint.attr
        return lambda attribute: bool(attribute == only)
    if type(constraint) is irdl.AnyOf:
        choices = [_accepts(choice) for choice in constraint.attr_constrs]
        return lambda attribute: any(accepts(attribute) for accepts in choices)
    if type(constraint) is ArrayOfConstraint and isinstance(
        constraint.elem_range_constraint, irdl.RangeOf
    ):
        of_each = _accepts(constraint.elem_range_constraint.constr)
        return lambda attribute: type(attribute) is ArrayAttr and all(map(of_each, attribute.data))

    def accepts_slowly(attribute: Attribute) -> bool:
        try:
            constraint.verify(attribute, VerificationContext())
        except VerifyException:
            return False
        return True

    return accepts_slowly
