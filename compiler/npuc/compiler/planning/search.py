"""Branch and bound: is there a plan within a capacity?

Items are placed in the order of their addresses, each at the lowest one that is left: every plan in
which nothing can sink is reached once. What remains is split where time has no item in common, and
the parts are solved apart. Source: M. D. Moffitt, "MiniMalloc", ASPLOS 2023, for the ideas of
canonical order, dominance, section inference and decomposition; the stacking bound is our own.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from npuc.compiler.planning.kernels import (
    State,
    dirty_sections_fit,
    lift,
    place,
    start_state,
    undo,
)
from npuc.compiler.planning.problem import Int64s, Items, Problem
from npuc.isa.jit import njit

FOUND, NONE, STOPPED = 1, 0, -1
_DEEP_TRAIL = 1 << 22
_FAILED_KEYS = 1 << 20


@dataclass(frozen=True)
class Outcome:
    """``verdict`` FOUND, NONE (there is no such plan) or STOPPED; offsets by item when found.

    ``failures``: by section, how often it was the one that could not be stacked.
    """

    verdict: int
    nodes: int
    offsets: Int64s
    failures: Int64s


class Frames(NamedTuple):
    """The stack: each frame is one part, its items a stretch of ``lists``.

    ``tried_low`` and ``tried_rank`` are the last candidate. The parts that it left are ``part`` up
    to ``last_part``, each from ``first`` to ``end_of`` in ``lists``, which is used up to ``top``.
    ``key`` tells items and lowest addresses of a frame in 64 bits, ``salt`` is what an item adds
    to it, and ``failed`` is a table of the keys that have no plan: what happens elsewhere in time
    brings the same part up again and again.
    """

    begin: Int64s
    end: Int64s
    tried_low: Int64s
    tried_rank: Int64s
    mark: Int64s
    part: Int64s
    last_part: Int64s
    top: Int64s
    first: Int64s
    end_of: Int64s
    lists: Int64s
    key: Int64s
    salt: Int64s
    failed: Int64s


def search(problem: Problem, rank: Int64s, capacity_bytes: int, max_nodes: int) -> Outcome:
    """Look for a plan of at most ``capacity_bytes``; ties of address go to the lower ``rank``."""
    items = problem.items
    n = len(items.size)
    trail = min(_DEEP_TRAIL, 4 * n * (n + len(items.item_starts)) + 16)
    state = start_state(items, problem.ceilings(capacity_bytes), trail)
    deep, wide = n + 2, n * (n + 3) // 2 + 4
    begin, end, low, tie, mark, part, last, top, key = np.zeros((9, deep), np.int64)
    first, end_of, lists = np.zeros((3, wide), np.int64)
    salt = np.random.default_rng(0).integers(1, 1 << 62, n) | 1
    failed = np.zeros(_FAILED_KEYS, np.int64)
    frames = Frames(
        begin, end, low, tie, mark, part, last, top, first, end_of, lists, key, salt, failed
    )
    verdict, nodes = _search(items, state, frames, rank, max_nodes)
    return Outcome(int(verdict), int(nodes), state.offset.copy(), state.failures)


@njit
def _search(
    items: Items, state: State, frames: Frames, rank: Int64s, max_nodes: int
) -> tuple[int, int]:
    """The verdict and the number of candidates that were tried."""
    if not _prepare(items, state, frames):
        return NONE, 0
    room = len(state.trail_index) - 2 * len(state.values)
    depth, nodes = _next_part(state, frames, 0), 0
    while depth > 0:
        key = frames.key[depth]
        if frames.failed[key % _FAILED_KEYS] == key or not _has_candidate(
            items, state, frames, rank, depth
        ):
            frames.failed[key % _FAILED_KEYS] = key
            depth -= 1
            undo(state, frames.mark[depth])
            continue
        if nodes == max_nodes or state.counts[0] > room:
            return STOPPED, nodes
        nodes += 1
        frames.mark[depth] = state.counts[0]
        if not _try(items, state, frames, rank, depth):
            undo(state, frames.mark[depth])
            continue
        _split(items, state, frames, depth)
        depth = _next_part(state, frames, depth)
        if depth == 0:
            return FOUND, nodes
    return NONE, nodes


@njit(inner=True)
def _prepare(items: Items, state: State, frames: Frames) -> bool:
    """Frame 0: everything, already split."""
    n = len(items.size)
    for i in range(n):
        frames.lists[i] = i
    frames.end[0] = n
    _split(items, state, frames, 0)
    for section in range(len(state.dirty)):
        state.dirty[section] = section
    state.counts[1] = len(state.dirty)
    return dirty_sections_fit(items, state)


@njit(inner=True)
def _next_part(state: State, frames: Frames, depth: int) -> int:
    """Go to the next part that ``depth`` left, or that a frame below it left; its depth or 0."""
    while frames.part[depth] == frames.last_part[depth]:
        if depth == 0:
            return 0
        depth -= 1
    part = frames.part[depth]
    frames.part[depth] = part + 1
    frames.begin[depth + 1] = frames.first[part]
    frames.end[depth + 1] = frames.end_of[part]
    frames.tried_low[depth + 1] = -1
    frames.tried_rank[depth + 1] = -1
    key = np.int64(0)
    for k in range(frames.begin[depth + 1], frames.end[depth + 1]):
        item = frames.lists[k]
        mixed = (state.low[item] * 2 + 1) * frames.salt[item]
        key += (mixed ^ (mixed >> 29)) * frames.salt[item]
    frames.key[depth + 1] = key
    return depth + 1


@njit(inner=True)
def _has_candidate(items: Items, state: State, frames: Frames, rank: Int64s, depth: int) -> bool:
    """Go on to the item after the last one tried by (low, rank), and note it as tried.

    One that could only lie above another item that fits wholly beneath it is dominated.
    """
    after, after_rank = frames.tried_low[depth], frames.tried_rank[depth]
    ceiling = best_low = np.iinfo(np.int64).max
    best = -1
    for k in range(frames.begin[depth], frames.end[depth]):
        item = frames.lists[k]
        low = state.low[item]
        ceiling = min(ceiling, low + items.size[item])
        if low < after or (low == after and rank[item] <= after_rank):
            continue
        if low < best_low or (low == best_low and rank[item] < rank[best]):
            best, best_low = item, low
    if best < 0 or best_low >= ceiling:
        return False
    frames.tried_low[depth] = best_low
    frames.tried_rank[depth] = rank[best]
    return True


@njit(inner=True)
def _try(items: Items, state: State, frames: Frames, rank: Int64s, depth: int) -> bool:
    """Place the candidate of ``depth``; false where something can no longer fit."""
    low, tie = frames.tried_low[depth], frames.tried_rank[depth]
    chosen = -1
    for k in range(frames.begin[depth], frames.end[depth]):
        if rank[frames.lists[k]] == tie:
            chosen = frames.lists[k]
    if not place(items, state, chosen):
        return False
    for k in range(frames.begin[depth], frames.end[depth]):
        item = frames.lists[k]
        if state.offset[item] >= 0:
            continue
        is_over = state.low[item] < low or (state.low[item] == low and rank[item] < tie)
        if is_over and not lift(items, state, item, chosen):
            return False
    return dirty_sections_fit(items, state)


@njit(inner=True)
def _split(items: Items, state: State, frames: Frames, depth: int) -> None:
    """Note the parts of what ``depth`` has not placed: stretches of time without a common item."""
    part = 0 if depth == 0 else frames.last_part[depth - 1]
    top = frames.end[0] if depth == 0 else frames.top[depth - 1]
    frames.part[depth] = part
    frames.first[part] = top
    reach = np.int64(-1)
    for k in range(frames.begin[depth], frames.end[depth]):
        item = frames.lists[k]
        if state.offset[item] >= 0:
            continue
        if items.sections[items.section_starts[item]] > reach >= 0:
            _close_part(frames, depth, part, top)
            part += 1
            frames.first[part] = top
        reach = max(reach, items.sections[items.section_starts[item + 1] - 1])
        frames.lists[top] = item
        top += 1
    if reach >= 0:
        _close_part(frames, depth, part, top)
        part += 1
    frames.top[depth] = top
    frames.last_part[depth] = part


@njit(inner=True)
def _close_part(frames: Frames, depth: int, part: int, top: int) -> None:
    """``part`` ends at ``top``; it goes before the larger ones: small ones fail quickly."""
    first = frames.first[part]
    k = part
    while k > frames.part[depth] and frames.end_of[k - 1] - frames.first[k - 1] > top - first:
        frames.first[k] = frames.first[k - 1]
        frames.end_of[k] = frames.end_of[k - 1]
        k -= 1
    frames.first[k] = first
    frames.end_of[k] = top
