"""Groups of a program: which group each command belongs to and which wall cycles are its own.

Groups come from the debug table in order of first appearance; commands outside every range
form one last group. Each wall cycle belongs to the oldest group that has not ended, so that the
groups' cycles sum to the wall time whatever overlaps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npuc.emulator.stream import CommandStream
from npuc.isa.cost import Int64s
from npuc.isa.program import Program

UNNAMED = "(outside any group)"


@dataclass(frozen=True)
class Groups:
    """Names and nodes of groups in order; ``of_command``: per core, each command's group."""

    names: tuple[str, ...]
    nodes: tuple[tuple[str, ...], ...]
    of_command: tuple[Int64s, ...]


def groups_of(program: Program, streams: Sequence[CommandStream]) -> Groups:
    """The groups that have commands or a source range."""
    nodes: dict[str, dict[str, None]] = {}
    for source in program.debug.sources:
        nodes.setdefault(source.group, {}).update(dict.fromkeys(source.nodes))
    number = {name: i for i, name in enumerate(nodes)}
    rest = len(number)
    of_command = []
    for core, stream in enumerate(streams):
        of_row = np.full(len(program.code[core]), rest, np.int64)
        for source in program.debug.sources:
            if source.core == core:
                of_row[source.start : source.stop] = number[source.group]
        of_command.append(of_row[stream.instruction])
    names, lists = list(nodes), [tuple(found) for found in nodes.values()]
    if any((group == rest).any() for group in of_command):
        names, lists = [*names, UNNAMED], [*lists, ()]
    return Groups(tuple(names), tuple(lists), tuple(of_command))


def group_cycles(groups: Groups, ends: Sequence[Int64s]) -> Int64s:
    """Wall cycles of each group, from the ``end`` of every core's commands; they sum to the wall.

    A group owns the cycles from the end of all older groups to its own end.
    """
    last = np.zeros(len(groups.names), np.int64)
    for of_command, end in zip(groups.of_command, ends, strict=True):
        np.maximum.at(last, of_command, end)
    return np.diff(np.maximum.accumulate(last), prepend=0)


def group_sum(groups: Groups, values: Sequence[Int64s]) -> Int64s:
    """Sum of ``values`` (per core, per command) over the commands of each group."""
    total = np.zeros(len(groups.names), np.int64)
    for of_command, value in zip(groups.of_command, values, strict=True):
        np.add.at(total, of_command, value)
    return total
