"""copy-outputs: every graph output gets work of its own that writes it.

An output that is an input, a constant, a view of either, a part of a tensor, or the same value as
another output has none; a copy is made for it.
"""

from dataclasses import dataclass

from npuc.compiler.context import npu_context
from npuc.compiler.dialects.nn import ConstantOp, ReshapeOp, ReturnOp, SliceOp
from npuc.compiler.interpreter import graph_of
from npuc.compiler.locations import named
from npuc.compiler.ops.structured import make_copy
from npuc.compiler.xdsl_api import (
    Block,
    BlockArgument,
    Context,
    ModuleOp,
    ModulePass,
    SSAValue,
)


def source_of(value: SSAValue) -> SSAValue:
    """What ``value`` is a view of, through any number of reshapes."""
    while isinstance(value.owner, ReshapeOp):
        value = value.owner.x
    return value


@dataclass(frozen=True)
class CopyOutputs(ModulePass):
    """Copy the outputs that no operation writes for themselves alone."""

    name = "copy-outputs"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        graph = graph_of(op)
        last = graph.block.last_op
        assert isinstance(last, ReturnOp)
        written: set[SSAValue] = set()
        for position, name in enumerate(graph.result_names.data):
            source = source_of(last.values[position])
            is_given = isinstance(source, BlockArgument) or isinstance(
                source.owner, ConstantOp | SliceOp
            )
            if is_given or source in written:
                self._copy(graph.block, last, position, name.data)
                npu_context(ctx).remarks.applied(self.name, "an output is copied", (name.data,))
            written.add(source)

    def _copy(self, block: Block, last: ReturnOp, position: int, name: str) -> None:
        made = make_copy(last.values[position])
        for new in made.ops:
            new.location = named(name)
            block.insert_op_before(new, last)
        last.operands[position] = made.result
