"""Families: values of a graph that views join, so that they must have one element type."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from npuc.compiler.dialects.nn import ConcatOp, GatherOp, GraphOp, ReshapeOp, SliceOp, TransposeOp
from npuc.compiler.xdsl_api import Operation, SSAValue

VIEWS = (ReshapeOp, SliceOp, ConcatOp, TransposeOp, GatherOp)


@dataclass
class Family:
    """Values in program order, and the operations other than views that read any of them."""

    values: list[SSAValue] = field(default_factory=list)
    readers: list[Operation] = field(default_factory=list)

    @property
    def made(self) -> Iterator[SSAValue]:
        """The values that no view makes: results of work, constants, arguments."""
        return (value for value in self.values if not isinstance(value.owner, VIEWS))

    @property
    def has_views(self) -> bool:
        """Whether a view makes one of the values."""
        return any(isinstance(value.owner, VIEWS) for value in self.values)


def families_of(graph: GraphOp) -> dict[SSAValue, Family]:
    """The family of every value of ``graph`` outside groups; each family object stands once."""
    found: dict[SSAValue, Family] = {value: Family([value]) for value in graph.block.args}
    for op in graph.block.ops:
        found.update((result, Family([result])) for result in op.results)
        for operand in dict.fromkeys(op.operands):
            is_list = isinstance(op, GatherOp) and operand is op.indices
            if isinstance(op, VIEWS) and not is_list:
                _join(found, found[operand], found[op.results[0]])
            else:
                found[operand].readers.append(op)
    return found


def _join(found: dict[SSAValue, Family], left: Family, right: Family) -> None:
    """The smaller family goes into the larger one, so that long chains cost little."""
    if left is right:
        return
    large, small = (left, right) if len(left.values) >= len(right.values) else (right, left)
    large.values += small.values
    large.readers += small.readers
    found.update((value, large) for value in small.values)
