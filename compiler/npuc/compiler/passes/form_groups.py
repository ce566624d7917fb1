"""form-groups: every operation that does work goes into a group, one piece of machine work each.

A contraction takes the structured operation that alone reads its accumulators with it, as its
epilogue; any other work is a group of its own. Constants and views stay outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from npuc.compiler.context import NpuContext, npu_context
from npuc.compiler.dialects.element_types import shape_of
from npuc.compiler.dialects.nn import (
    ConcatOp,
    ConstantOp,
    Conv2dOp,
    GenericOp,
    GraphOp,
    GroupOp,
    MatmulOp,
    ReshapeOp,
    ReturnOp,
    SliceOp,
    YieldOp,
)
from npuc.compiler.interpreter import graph_of
from npuc.compiler.locations import describe, fused, node_names
from npuc.compiler.passes.rewriting import users
from npuc.compiler.xdsl_api import (
    Block,
    Context,
    ModuleOp,
    ModulePass,
    Operation,
    Region,
    SSAValue,
)

NOT_WORK = (ConstantOp, ReshapeOp, SliceOp, ConcatOp, ReturnOp, GroupOp)


def is_epilogue_of(contraction: Operation, op: Operation) -> bool:
    """Whether ``op`` reads each accumulator of ``contraction`` once and gives one result for it."""
    if not isinstance(op, GenericOp) or op.reduction_name is not None:
        return False
    acc = contraction.results[0]
    positions = [i for i, value in enumerate(op.inputs) if value is acc]
    if len(positions) != 1 or len(users(acc)) != 1:
        return False
    space = op.space
    dims = [form.single_dim for form in space.forms[positions[0]]]
    if any(d is None for d, size in zip(dims, shape_of(acc), strict=True) if size > 1):
        return False
    named = [d for d in dims if d is not None]
    covered = {d for d in range(space.parallel) if space.extents[d] > 1}
    return len(set(named)) == len(named) and covered <= set(named)


@dataclass
class _Grouping:
    """Names in use, inputs and outputs among them: every group gets one of its own."""

    ctx: NpuContext
    source: str
    taken: set[str] = field(default_factory=set)

    def run(self, graph: GraphOp) -> None:
        """Group all work of ``graph``."""
        self.taken = {name.data for name in (*graph.arg_names, *graph.result_names)}
        for op in list(graph.block.ops):
            if op.parent is not graph.block or isinstance(op, NOT_WORK):
                continue
            if isinstance(op, Conv2dOp | MatmulOp):
                followers = [u for u in users(op.results[0]) if is_epilogue_of(op, u)]
                if followers and not _has_contraction_before(followers[0], op):
                    continue  # the group is made where the epilogue stands
                self._explain(op, followers)
            self._group(self._members(op))

    def _members(self, op: Operation) -> list[Operation]:
        contractions = [
            value.owner
            for value in op.operands
            if isinstance(value.owner, Conv2dOp | MatmulOp) and is_epilogue_of(value.owner, op)
        ]
        return [*contractions[:1], op]

    def _explain(self, op: Operation, followers: Sequence[Operation]) -> None:
        reason = (
            "its epilogue belongs to another contraction"
            if followers
            else "no single elementwise operation reads its accumulators"
        )
        self.ctx.remarks.missed(self.source, f"no epilogue: {reason}", node_names(op))

    def _group(self, members: list[Operation]) -> None:
        last = members[-1]
        results = set(members[0].results) if len(members) > 1 else set()
        inputs = [
            v for v in dict.fromkeys(v for m in members for v in m.operands) if v not in results
        ]
        block = Block(arg_types=[value.type for value in inputs])
        for argument, value in zip(block.args, inputs, strict=True):
            argument.name_hint = value.name_hint
        group = GroupOp(self._name(members), inputs, [r.type for r in last.results], Region(block))
        group.location = fused(*members)
        parent = last.parent
        assert parent is not None
        parent.insert_op_before(group, last)
        for old, new in zip(last.results, group.outputs, strict=True):
            old.replace_all_uses_with(new)
        inside: dict[SSAValue, SSAValue] = dict(zip(inputs, block.args, strict=True))
        for member in members:
            member.detach()  # type: ignore[no-untyped-call]  # xDSL
            for i, value in enumerate(member.operands):
                member.operands[i] = inside.get(value, value)
            block.add_op(member)
        block.add_op(YieldOp(list(last.results)))
        kinds = " + ".join(member.name for member in members)
        self.ctx.remarks.applied(self.source, f"one group of {kinds}", node_names(group))

    def _name(self, members: Sequence[Operation]) -> str:
        names = node_names(members[0]) or (describe(members[0]),)
        name, number = names[0], 1
        while name in self.taken:
            number += 1
            name = f"{names[0]}.{number}"
        self.taken.add(name)
        return name


def _has_contraction_before(epilogue: Operation, contraction: Operation) -> bool:
    """Whether another contraction comes first among the operands of ``epilogue``."""
    firsts = (
        value.owner
        for value in epilogue.operands
        if isinstance(value.owner, Conv2dOp | MatmulOp) and is_epilogue_of(value.owner, epilogue)
    )
    return next(firsts, contraction) is not contraction


@dataclass(frozen=True)
class FormGroups(ModulePass):
    """Put all work into nn.group."""

    name = "form-groups"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        _Grouping(npu_context(ctx), self.name).run(graph_of(op))
