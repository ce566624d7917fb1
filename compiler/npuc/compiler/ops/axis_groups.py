"""Merging of neighbouring axes that behave alike, so that a space fits the machine's dimensions."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

Shape = tuple[int, ...]
Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Axis:
    """Size of an output axis and its kind: how each operand behaves along it."""

    size: int
    kind: Hashable


def merge_axes(axes: Sequence[Axis], is_enough: Callable[[Groups], bool]) -> Groups:
    """Groups of neighbouring axes of one kind, merged from the right only until it is enough.

    An axis of size 1 goes with any neighbour. When nothing can be merged any more the groups are
    returned as they are.
    """
    groups: list[tuple[int, ...]] = [(i,) for i in range(len(axes))]
    kinds: list[Axis] = list(axes)
    while not is_enough(tuple(groups)):
        neighbours = reversed(range(len(groups) - 1))
        pair = next((i for i in neighbours if _alike(*kinds[i : i + 2])), None)
        if pair is None:
            break
        left, right = kinds[pair : pair + 2]
        kinds[pair : pair + 2] = [
            Axis(left.size * right.size, right.kind if left.size == 1 else left.kind)
        ]
        groups[pair : pair + 2] = [groups[pair] + groups[pair + 1]]
    return tuple(groups)


def _alike(left: Axis, right: Axis) -> bool:
    return left.kind == right.kind or 1 in (left.size, right.size)


def regroup(shape: Shape, groups: Groups) -> Shape:
    """``shape`` with each group of axes as one."""
    return tuple(int(np.prod([shape[axis] for axis in group])) for group in groups)
