"""Where the bytes of every tensor of a graph lie: views, and pieces written into their whole.

A reshape and a slice show the bytes of what they read. A piece of a concatenation is written into
the whole at once, where one work operation makes it for this place alone; every other reader sees
it there through its strides. What cannot be so needs a copy: ``Layouts.copies`` names it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.nn import ConcatOp, ConstantOp, GraphOp, ReshapeOp, ReturnOp, SliceOp
from npuc.compiler.xdsl_api import BlockArgument, Operation, SSAValue

VIEWS = (ReshapeOp, SliceOp, ConcatOp)


@dataclass(frozen=True)
class Location:
    """A tensor inside another: ``base`` owns the bytes; offset and strides are in bytes."""

    base: SSAValue
    offset: int
    strides: tuple[int, ...]


@dataclass
class Layouts:
    """Locations by value; ``copies`` are the operands (operation, index) that need a copy."""

    of: dict[SSAValue, Location] = field(default_factory=dict)
    copies: list[tuple[Operation, int]] = field(default_factory=list)


def packed(shape: Sequence[int], element_bytes: int) -> tuple[int, ...]:
    """Byte strides of a row-major tensor."""
    strides, step = [], element_bytes
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def own_location(value: SSAValue) -> Location:
    """``value`` as a tensor of its own."""
    return Location(value, 0, packed(shape_of(value), dtype_of(value).bytes))


def reshaped(
    shape: Sequence[int], strides: Sequence[int], wanted: Sequence[int]
) -> tuple[int, ...] | None:
    """Strides of the same bytes under shape ``wanted``, or None where a copy is needed."""
    runs = _runs(shape, strides)
    result: list[int] = []
    remaining = [n for n in wanted if n > 1]
    for size, step in reversed(runs):
        covered = 1
        while covered < size and remaining:
            result.append(step * covered)
            covered *= remaining.pop()
        if covered != size:
            return None
    inner = iter(reversed(result))
    return tuple(next(inner) if n > 1 else 0 for n in wanted)


def _runs(shape: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """Size and step of the longest stretches of axes that one step describes."""
    runs: list[tuple[int, int]] = []
    for size, step in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if runs and runs[-1][1] == size * step:
            runs[-1] = (runs[-1][0] * size, step)
        else:
            runs.append((size, step))
    return runs


def layouts_of(graph: GraphOp) -> Layouts:
    """Where every tensor of ``graph`` lies, and what must be copied before that holds."""
    found = Layouts()
    homes, slots = _homes(graph, found)
    for argument in graph.block.args:
        found.of[argument] = own_location(argument)
    for op in graph.block.ops:
        for result in op.results:
            location = _location(op, result, found, homes)
            if location is None:
                found.copies.append(_to_copy(op, slots))
                location = own_location(result)
            found.of[result] = location
    return found


def _location(
    op: Operation, result: SSAValue, found: Layouts, homes: dict[SSAValue, Location]
) -> Location | None:
    if isinstance(op, SliceOp):
        source, (starts, steps) = found.of[op.x], op.places
        offset = sum(n * step for n, step in zip(starts, source.strides, strict=True))
        strides = tuple(n * step for n, step in zip(steps, source.strides, strict=True))
        return Location(source.base, source.offset + offset, strides)
    if isinstance(op, ReshapeOp):
        source = found.of[op.x]
        shown = reshaped(shape_of(op.x), source.strides, shape_of(op.result))
        return None if shown is None else replace(source, strides=shown)
    return homes.get(result) or own_location(result)


def _to_copy(op: Operation, slots: dict[SSAValue, tuple[Operation, int]]) -> tuple[Operation, int]:
    """What to copy when the reshape ``op`` cannot show its operand."""
    source: Operation | None = op
    user = op
    while isinstance(source, ReshapeOp):
        user = source
        value = source.x
        source = None if isinstance(value, BlockArgument) else value.owner  # type: ignore[assignment]
    root = user.operands[0]
    return slots.get(root, (user, 0))


def _homes(
    graph: GraphOp, found: Layouts
) -> tuple[dict[SSAValue, Location], dict[SSAValue, tuple[Operation, int]]]:
    """Places of pieces in their wholes, and the operand through which each got there."""
    homes: dict[SSAValue, Location] = {}
    slots: dict[SSAValue, tuple[Operation, int]] = {}
    kept = _returned(graph)
    for op in reversed(list(graph.block.ops)):
        if not isinstance(op, ConcatOp):
            continue
        whole, start = homes.get(op.result) or own_location(op.result), 0
        for index, piece in enumerate(op.pieces):
            offset = whole.offset + start * whole.strides[op.axis_number]
            start += shape_of(piece)[op.axis_number]
            root, location = _root(piece, replace(whole, offset=offset))
            if location is None or root in homes or root in kept or not _is_made(root):
                found.copies.append((op, index))
                continue
            homes[root], slots[root] = location, (op, index)
    return homes, slots


def _root(value: SSAValue, location: Location) -> tuple[SSAValue, Location | None]:
    """What ``value`` is a reshape of, and where that lies when ``value`` lies at ``location``."""
    current: Location | None = location
    while current is not None and isinstance(value.owner, ReshapeOp):
        source = value.owner.x
        shown = reshaped(shape_of(value), current.strides, shape_of(source))
        current = None if shown is None else replace(current, strides=shown)
        value = source
    return value, current


def _is_made(value: SSAValue) -> bool:
    """Whether work, or another concatenation, makes ``value``."""
    is_given = isinstance(value, BlockArgument) or isinstance(value.owner, ConstantOp)
    return not is_given and not isinstance(value.owner, SliceOp)


def _returned(graph: GraphOp) -> set[SSAValue]:
    last = graph.block.last_op
    values: Iterable[SSAValue] = last.operands if isinstance(last, ReturnOp) else ()
    return {root_of(value) for value in values}


def root_of(value: SSAValue) -> SSAValue:
    """What ``value`` is a view of, through reshapes and slices."""
    while isinstance(value.owner, ReshapeOp | SliceOp):
        value = value.owner.x
    return value
