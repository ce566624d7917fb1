"""Interval planner: addresses for blocks of memory with lifetimes.

First fit by size: the largest block first, at the lowest aligned address that is free during its
whole life. It reports the peak reached and the lower bound (the largest sum of live bytes).
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """``n_bytes`` needed from step ``first`` to step ``last``, inclusive."""

    name: str
    n_bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """Offsets by name, the highest byte used, and what no plan can go below."""

    offsets: dict[str, int]
    peak_bytes: int
    bound_bytes: int


def plan(blocks: Sequence[Block], alignment: int) -> Plan:
    """Place all ``blocks`` at multiples of ``alignment``, as low as first fit finds."""
    placed: list[tuple[Block, int, int]] = []
    ordered = sorted(blocks, key=lambda b: (-b.n_bytes, b.first, b.name))
    for block in ordered:
        taken = sorted((low, high) for other, low, high in placed if _overlap(block, other))
        low = _first_gap(taken, block.n_bytes, alignment)
        placed.append((block, low, low + block.n_bytes))
    return Plan(
        {block.name: low for block, low, _ in placed},
        max((high for _, _, high in placed), default=0),
        lower_bound(blocks),
    )


def lower_bound(blocks: Sequence[Block]) -> int:
    """The largest sum of bytes that live at one time."""
    changes: dict[int, int] = {}
    for block in blocks:
        changes[block.first] = changes.get(block.first, 0) + block.n_bytes
        changes[block.last + 1] = changes.get(block.last + 1, 0) - block.n_bytes
    highest = live = 0
    for step in sorted(changes):
        live += changes[step]
        highest = max(highest, live)
    return highest


def _overlap(a: Block, b: Block) -> bool:
    return a.first <= b.last and b.first <= a.last


def _first_gap(taken: list[tuple[int, int]], n_bytes: int, alignment: int) -> int:
    low = 0
    for start, stop in taken:
        if low + n_bytes <= start:
            break
        low = max(low, -(-stop // alignment) * alignment)
    return low
