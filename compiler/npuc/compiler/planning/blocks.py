"""From buffers to blocks: what shares bytes is merged before anything is placed."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from npuc.compiler.planning.buffers import Buffer, Window, united
from npuc.isa.errors import InputError


class Block(NamedTuple):
    """Bytes that are placed as one: the buffers in it and how far into it each begins."""

    members: tuple[tuple[str, int], ...]  # id, bytes from the start of the block
    windows: tuple[Window, ...]
    size_bytes: int
    alignment: int
    fixed_offset: int | None
    hint: int | None


def blocks_of(buffers: Sequence[Buffer]) -> tuple[Block, ...]:
    """One block for each set of buffers that share bytes, in the order of their first buffers.

    Raises: InputError where members of a group demand addresses that exclude each other.
    """
    pairs = in_place_pairs(buffers)
    root = _roots(buffers, pairs)
    members: dict[str, list[Buffer]] = {}
    for buffer in buffers:
        members.setdefault(root[buffer.id], []).append(buffer)
    return tuple(
        _alone(group[0]) if len(group) == 1 and group[0].group is None else _block(group, pairs)
        for group in members.values()
    )


def _alone(buffer: Buffer) -> Block:
    members = ((buffer.id, 0),)
    size, alignment = buffer.size_bytes, buffer.alignment
    return Block(members, buffer.windows, size, alignment, buffer.fixed_offset, buffer.hint)


def in_place_pairs(buffers: Sequence[Buffer]) -> dict[str, str]:
    """The partner by id of each buffer that takes over its partner's bytes.

    It must be born as the partner, and all that share the partner's bytes, die (at their last step
    at the earliest), be no larger, and ask for no address that theirs excludes. Of those that want
    the same partner the earliest gets it.
    """
    by_id = {buffer.id: buffer for buffer in buffers}
    groups: dict[str, list[Buffer]] = {}
    for buffer in buffers:
        groups.setdefault(buffer.group or "", []).append(buffer)
    taken: set[str] = set()
    pairs: dict[str, str] = {}
    for buffer in sorted(buffers, key=lambda b: b.lower):
        if buffer.in_place_of is None or buffer.in_place_of in taken:
            continue
        partner = by_id[buffer.in_place_of]
        root = by_id[_top(pairs, partner.id)]
        sharers = [partner, *(groups[root.group] if root.group else [root])]
        if _can_take_over(buffer, partner, sharers):
            pairs[buffer.id] = partner.id
            taken.add(partner.id)
    return pairs


def _can_take_over(buffer: Buffer, partner: Buffer, sharers: Sequence[Buffer]) -> bool:
    if buffer.group is not None or buffer.fixed_offset is not None:
        return False
    if buffer.size_bytes > partner.size_bytes or partner.lower >= buffer.lower:
        return False
    demands = [n for b in sharers for n in (b.group_offset_bytes, b.fixed_offset or 0)]
    aligned = all(n % buffer.alignment == 0 for n in demands)
    return aligned and max(b.upper for b in sharers) - 1 <= buffer.lower


def _roots(buffers: Sequence[Buffer], pairs: Mapping[str, str]) -> dict[str, str]:
    """By id, the id of one buffer that stands for all that share its bytes."""
    first_of_group: dict[str, str] = {}
    parent = dict(pairs)
    for buffer in buffers:
        if buffer.group is not None:
            parent[buffer.id] = first_of_group.setdefault(buffer.group, buffer.id)
    return {buffer.id: _top(parent, buffer.id) for buffer in buffers}


def _top(parent: Mapping[str, str], name: str) -> str:
    while parent.get(name, name) != name:
        name = parent[name]
    return name


def _block(group: Sequence[Buffer], pairs: Mapping[str, str]) -> Block:
    by_id = {b.id: b for b in group}
    # A member that took over another's bytes begins where that one begins.
    shifts = {b.id: by_id[_top(pairs, b.id)].group_offset_bytes for b in group}
    starts = {b.fixed_offset - shifts[b.id] for b in group if b.fixed_offset is not None}
    hints = [b.hint - shifts[b.id] for b in group if b.hint is not None]
    alignment = math.lcm(*(b.alignment for b in group))
    start = min(starts, default=None)
    aligned = all(shifts[b.id] % b.alignment == 0 for b in group) and (start or 0) % alignment == 0
    if len(starts) > 1 or (start or 0) < 0 or not aligned:
        raise InputError(
            "buffers that share bytes demand addresses that exclude each other",
            where="buffers " + ", ".join(b.id for b in group),
            given=f"block starts {sorted(starts)}, alignment {alignment}",
            allowed="one aligned start for all of them",
            next_step="correct their group offsets, fixed offsets or alignments",
        )
    return Block(
        members=tuple(shifts.items()),
        windows=united(window for b in group for window in b.windows),
        size_bytes=max(shifts[b.id] + b.size_bytes for b in group),
        alignment=alignment,
        fixed_offset=start,
        hint=max(hints[0], 0) if hints else None,
    )
