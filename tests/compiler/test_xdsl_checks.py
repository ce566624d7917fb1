"""Quick checks of operations' structure come to xDSL's verdict, whatever is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from xdsl.irdl import OpDef
from xdsl.irdl.operations import BaseAccessor, BaseAttrAccessor, get_accessors_from_op_def

from npuc.compiler.dialects.tile import CoreOp, ForOp, GroupOp, MinOp
from npuc.compiler.driver import compile_model
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Observers
from npuc.compiler.xdsl_api import (
    ArrayAttr,
    Attribute,
    Block,
    FloatAttr,
    IndexType,
    IntAttr,
    IntegerAttr,
    IRDLOperation,
    IsolatedFromAbove,
    IsTerminator,
    ModuleOp,
    Region,
    SSAValue,
    StringAttr,
    UnitAttr,
    VerifyException,
    arith,
    f32,
    i32,
)
from npuc.compiler.xdsl_checks import Structure, verify_inside
from tests.compiler.ops.cases import Builder, qlinear_conv

STRANGE = (UnitAttr(), IntAttr(-1), StringAttr("?"), ArrayAttr([UnitAttr()]), ArrayAttr([]))


@dataclass(frozen=True)
class Parts:
    """What an operation is made of; ``blocks`` by region."""

    operands: tuple[SSAValue, ...]
    result_types: tuple[Attribute, ...]
    properties: dict[str, Attribute]
    blocks: tuple[int, ...] = ()
    attributes: dict[str, Attribute] = field(default_factory=dict)

    def build(self, kind: type[IRDLOperation]) -> IRDLOperation:
        """An operation of ``kind`` that stands nowhere."""
        return kind.create(
            operands=self.operands,
            result_types=self.result_types,
            properties=dict(self.properties),
            attributes=dict(self.attributes),
            regions=[Region([Block() for _ in range(count)]) for count in self.blocks],
        )

    def mutants(self) -> Iterator[Parts]:
        """These parts, then one after another of them missing, strange or too many."""
        yield self
        stranger = Block(arg_types=[UnitAttr()]).args[0]
        for n in range(len(self.operands)):
            before, after = self.operands[:n], self.operands[n + 1 :]
            for instead in ((), (stranger,), (self.operands[n], self.operands[n])):
                yield replace(self, operands=(*before, *instead, *after))
        yield replace(self, operands=(*self.operands, stranger))
        for n, kind in enumerate(self.result_types):
            for others in ((), (UnitAttr(),), (kind, kind)):
                types = (*self.result_types[:n], *others, *self.result_types[n + 1 :])
                yield replace(self, result_types=types)
        yield replace(self, result_types=(*self.result_types, UnitAttr()))
        for name in (*self.properties, "stray"):
            rest = {key: value for key, value in self.properties.items() if key != name}
            yield replace(self, properties=rest)
            for strange in STRANGE:
                yield replace(self, properties={**rest, name: strange})
        for n, count in enumerate(self.blocks):
            for other in (0, count + 1):
                yield replace(self, blocks=(*self.blocks[:n], other, *self.blocks[n + 1 :]))
            yield replace(self, blocks=(*self.blocks[:n], *self.blocks[n + 1 :]))
        yield replace(self, blocks=(*self.blocks, 1))
        yield replace(self, attributes={"more": UnitAttr()})


def complaint(check: Structure | OpDef, op: IRDLOperation) -> str | None:
    """What is said against ``op``, in whole."""
    try:
        check.verify(op)
    except VerifyException as error:
        return str(error)
    return None


def parts_of(op: IRDLOperation) -> Parts:
    return Parts(
        tuple(op.operands),
        tuple(result.type for result in op.results),
        dict(op.properties),
        tuple(len(region.blocks) for region in op.regions),
    )


@pytest.fixture(scope="module")
def operations() -> dict[type[IRDLOperation], list[Parts]]:
    """Parts of the first operations of every kind that two small models have after any stage."""
    found: dict[type[IRDLOperation], list[Parts]] = {}

    def keep(_: str, module: ModuleOp) -> None:
        for op in module.walk():
            if isinstance(op, IRDLOperation) and type(op).__module__.startswith("npuc."):
                of_kind = found.setdefault(type(op), [])
                if len(of_kind) < 3:
                    of_kind.append(parts_of(op))

    b = Builder()
    pooled = b.node("MaxPool", b.input((1, 4, 9, 9)), kernel_shape=[3, 3])
    nets = (qlinear_conv("QLinearConv").model, b.model(b.node("Softmax", b.node("Relu", pooled))))
    for model in nets:
        options = CompileOptions(target="tiny")
        compile_model(model.SerializeToString(), options, observers=Observers(keep, keep))
    return found


def test_every_mutant_gets_the_verdict_of_xdsl(
    operations: dict[type[IRDLOperation], list[Parts]],
) -> None:
    assert len(operations) > 30
    verdicts = set()
    for kind, examples in operations.items():
        definition = kind.get_irdl_definition()
        structure = Structure(definition)
        for parts in examples:
            for mutant in parts.mutants():
                op = mutant.build(kind)
                said = complaint(definition, op)
                assert complaint(structure, op) == said, (kind.name, mutant)
                verdicts.add(said is None)
    assert verdicts == {True, False}


def test_what_is_well_formed_needs_no_second_reading(
    operations: dict[type[IRDLOperation], list[Parts]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the quick way is no way at all."""
    read: list[str] = []
    monkeypatch.setattr(OpDef, "verify", lambda definition, _: read.append(definition.name))
    for kind, examples in operations.items():
        structure = Structure(kind.get_irdl_definition())
        for parts in examples:
            complaint(structure, parts.build(kind))
    assert set(read) <= {"nn.generic"}


def test_parts_by_name_are_those_of_xdsl(
    operations: dict[type[IRDLOperation], list[Parts]],
) -> None:
    quick = 0
    for kind, examples in operations.items():
        found = get_accessors_from_op_def(kind.get_irdl_definition(), None)
        kinds = BaseAccessor | BaseAttrAccessor
        accessors = {n: a for n, a in found.items() if isinstance(a, kinds)}
        quick += sum(isinstance(vars(kind)[name], property) for name in accessors)
        for op in [parts.build(kind) for parts in examples]:
            for name, accessor in accessors.items():
                mine, wanted = getattr(op, name), accessor.__get__(op)
                if isinstance(wanted, Sequence):
                    mine, wanted = tuple(mine), tuple(wanted)
                assert mine == wanted, (kind.name, name)
    assert quick > 30


def test_an_end_that_is_missing_or_not_the_last_is_found() -> None:
    options = CompileOptions(target="tiny", stop_after="fuse")
    module = compile_model(qlinear_conv("QLinearConv").model.SerializeToString(), options).module
    ends = [op for op in module.walk() if op.has_trait(IsTerminator) and op.prev_op is not None]
    assert ends
    for end in ends:
        block = end.parent
        assert block is not None and block.first_op is not None
        end.detach()
        with pytest.raises(VerifyException, match="not a terminator"):
            verify_inside(module)
        block.insert_op_before(end, block.first_op)
        with pytest.raises(VerifyException, match="must be the last operation"):
            verify_inside(module)
        end.detach()
        block.add_op(end)
        verify_inside(module)


def two_bounds() -> tuple[ForOp, MinOp]:
    """A loop with two operations, and the first of them."""
    loop = ForOp(0, 4)
    first = MinOp(loop.induction, 3)
    loop.body.block.add_ops([first, MinOp(first.result, 2)])
    loop.verify()
    return loop, first


def test_what_stands_amid_a_block_is_verified_with_it() -> None:
    loop, first = two_bounds()
    first.properties["limit"] = StringAttr("?")
    with pytest.raises(VerifyException, match="should be of base attribute"):
        loop.verify()
    loop, first = two_bounds()
    del first.properties["limit"]
    with pytest.raises(VerifyException, match="'limit' expected"):
        loop.verify()


def test_scalar_operations_get_their_verdict_whatever_was_verified_before() -> None:
    one, two = (arith.ConstantOp(FloatAttr(value, f32)) for value in (1.0, 2.0))
    number = arith.ConstantOp(IntegerAttr(1, i32))
    good = ModuleOp([one, two, added := arith.AddfOp(one.result, two.result)])
    changes: list[dict[str, object]] = [
        {"operands": [one.result, number.result]},
        {"result_types": [i32]},
        {"properties": {"fastmath": UnitAttr()}},
    ]
    for _ in range(2):
        verify_inside(good)
        for change in changes:
            parts = {"operands": [one.result, two.result], "result_types": [f32]} | change
            parts = {"properties": added.properties} | parts
            with pytest.raises(VerifyException):
                verify_inside(ModuleOp([arith.AddfOp.create(**parts)]))  # type: ignore[arg-type]


def test_an_operand_that_was_erased_is_found_amid_a_block() -> None:
    loop, first = two_bounds()
    loop.body.block.insert_op_before(made := MinOp(loop.induction, 1), first)
    first.operands[0] = made.result
    made.detach()
    made.erase(safe_erase=False)
    with pytest.raises(ValueError, match="erased"):
        loop.verify()


def test_a_value_from_above_is_found_in_what_is_isolated() -> None:
    outside = Block(arg_types=[IndexType()]).args[0]
    for is_nested in (False, True):
        group = GroupOp("g", [])
        loop = ForOp(0, 4)
        group.body.block.add_op(loop)
        loop.body.block.add_op(MinOp(loop.induction, 3))
        structure = Structure(GroupOp.get_irdl_definition())
        found = complaint(structure, group)
        assert "IsolatedFromAbove" not in (found or "")
        (loop.body.block if is_nested else group.body.block).add_op(MinOp(outside, 3))
        definition = GroupOp.get_irdl_definition()
        with pytest.raises(VerifyException, match="IsolatedFromAbove"):
            next(t for t in definition.traits if isinstance(t, IsolatedFromAbove)).verify(group)
        core = CoreOp(0)
        core.body.block.add_op(group)
        with pytest.raises(VerifyException, match="IsolatedFromAbove"):
            structure.verify(group)
