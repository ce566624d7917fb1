"""Blocks as arrays in granules: sections of time, what lives in each, and the lower bound.

A section is a stretch of time whose set of live blocks no other stretch contains; two blocks may
not share an address exactly if they share a section. Items are the blocks by first section.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from npuc.compiler.planning.blocks import Block
from npuc.compiler.planning.buffers import Window

Int64s: TypeAlias = npt.NDArray[np.int64]
FREE = -1


class Items(NamedTuple):
    """Sizes in granules, and sparse tables: item to its sections, section to its items."""

    size: Int64s
    alignment: Int64s
    fixed: Int64s  # FREE where the planner chooses
    section_starts: Int64s
    sections: Int64s
    item_starts: Int64s
    items: Int64s


class Problem(NamedTuple):
    """``items`` and how to get back to bytes: item ``i`` is the block ``order[i]``.

    ``waste_bytes`` is by item what rounding to granules added to its size, ``life`` its time.
    """

    items: Items
    order: tuple[int, ...]
    granule_bytes: int
    waste_bytes: Int64s
    life: Int64s
    bound_bytes: int
    section_bytes: Int64s
    section_times: Int64s

    def ceilings(self, capacity_bytes: int) -> Int64s:
        """The highest rounded end, in granules, of each item within ``capacity_bytes``."""
        return (capacity_bytes + self.waste_bytes) // self.granule_bytes

    def next_peak(self, n_bytes: int) -> int:
        """The lowest peak above ``n_bytes`` that the sizes admit."""
        ends = self.ceilings(n_bytes + self.granule_bytes) * self.granule_bytes - self.waste_bytes
        return int(ends[ends > n_bytes].min())

    def ends(self, offsets: Int64s) -> Int64s:
        """By item, the byte after its last one; ``offsets`` in granules."""
        return (offsets + self.items.size) * self.granule_bytes - self.waste_bytes

    def peak_bytes(self, offsets: Int64s) -> int:
        """The highest byte used by ``offsets``, in granules by item."""
        return int(self.ends(offsets).max(initial=0))


def problem_of(blocks: Sequence[Block]) -> Problem:
    """The arrays of ``blocks``."""
    step = math.gcd(*(b.alignment for b in blocks), *(b.fixed_offset or 0 for b in blocks))
    sizes = np.array([b.size_bytes for b in blocks], np.int64)
    alignments = np.array([b.alignment for b in blocks], np.int64)
    rounded = -(-sizes // (step or 1)) * step
    granule = _granule(blocks, rounded.tolist())
    times = section_times([b.windows for b in blocks])
    order, owners, sections = _by_first_section(blocks, times)
    in_each = np.bincount(owners, minlength=len(blocks))
    by_section = np.argsort(sections, kind="stable")
    counts = np.bincount(sections, minlength=len(times))
    size, waste = rounded[order] // granule, (rounded - sizes)[order]
    steps = np.where(granule % alignments == 0, 1, alignments // np.gcd(alignments, granule))
    fixed = [b.fixed_offset for b in blocks]
    life = np.array([sum([b - a for a, b in block.windows]) for block in blocks], np.int64)[order]
    items = Items(
        size=size,
        alignment=steps[order],
        fixed=np.array([FREE if at is None else at // granule for at in fixed], np.int64)[order],
        section_starts=_starts(in_each),
        sections=sections,
        item_starts=_starts(counts),
        items=owners[by_section].astype(np.int64),
    )
    live = np.zeros(len(times), np.int64)
    np.add.at(live, sections, size[owners] * granule)
    spare = np.zeros(len(times), np.int64)
    np.maximum.at(spare, sections, waste[owners])
    section_bytes = live - spare
    ends = [b.size_bytes + (b.fixed_offset or 0) for b in blocks]
    bound = max([int(section_bytes.max(initial=0)), *ends])
    return Problem(items, tuple(order.tolist()), granule, waste, life, bound, section_bytes, times)


def section_times(lives: Sequence[Sequence[Window]]) -> Int64s:
    """The first time of each section, ascending: where a start is followed by an end."""
    begins = {lower for windows in lives for lower, _ in windows}
    ends = {upper for windows in lives for _, upper in windows}
    times = sorted(begins | ends)
    kept = [a for a, b in pairwise(times) if a in begins and b in ends]
    return np.array(kept, np.int64)


def _by_first_section(blocks: Sequence[Block], times: Int64s) -> tuple[Int64s, Int64s, Int64s]:
    """The blocks by first section, then by last; all their sections, and which of them has each."""
    counts = np.array([len(b.windows) for b in blocks], np.int64)
    windows = np.array([w for b in blocks for w in b.windows], np.int64).reshape(-1, 2)
    edges, starts = np.searchsorted(times, windows), _starts(counts)
    order = np.lexsort((edges[starts[1:] - 1, 1], edges[starts[:-1], 0]))
    place = np.empty(len(blocks), np.int64)
    place[order] = np.arange(len(blocks))
    of_window = np.repeat(place, counts)
    by_place = np.argsort(of_window, kind="stable")
    firsts, ends = edges[by_place].T
    lengths = ends - firsts
    sections = np.arange(lengths.sum()) + np.repeat(firsts - _starts(lengths)[:-1], lengths)
    return order, np.repeat(of_window[by_place], lengths), sections


def _starts(counts: Int64s) -> Int64s:
    """Where each of the parts begins that are so long, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _granule(blocks: Sequence[Block], rounded: Sequence[int]) -> int:
    """The largest unit of which all rounded sizes, fixed offsets and aligned offsets are multiples.

    An alignment that divides it holds by itself.
    """
    granule = math.gcd(*rounded, *(b.fixed_offset or 0 for b in blocks)) or 1
    while odd := [b.alignment for b in blocks if granule % b.alignment]:
        reduced = math.gcd(granule, *odd)
        if reduced == granule:
            break
        granule = reduced
    return granule
