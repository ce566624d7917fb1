"""Plans memory: first fit, repairs of it, dives, then branch and bound; it always has a plan.

Everything is counted in tried candidates ("nodes"), never in seconds: same input, same plan.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from npuc.compiler.planning.blocks import Block, blocks_of
from npuc.compiler.planning.buffers import Buffer, check_buffers
from npuc.compiler.planning.greedy import by_size, first_fit
from npuc.compiler.planning.problem import Int64s, Problem, problem_of
from npuc.compiler.planning.ranks import Ranks
from npuc.isa.errors import InputError

Progress = Callable[[str], None]
REPAIRS = 8
PROMOTED_SHARE = 0.02  # of the order, by which an item that does not fit moves forward
DIVES_PER_ITEM = 4
FIRST_SEARCH_NODES = 5_000
MINIMISING_SEARCHES = 40


def _silent(_: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class PlanOptions:
    """How hard to try, in nodes: 0 for first fit alone. ``progress`` hears what is being tried."""

    max_nodes: int = 4_000_000
    progress: Progress = field(default=_silent, compare=False)


@dataclass(frozen=True)
class PlanStats:
    """What it took. ``stopped_early``: the nodes ran out before the answer was certain."""

    blocks: int
    sections: int
    nodes: int
    attempts: int
    method: str
    stopped_early: bool


@dataclass(frozen=True)
class Plan:
    """Offsets in bytes by buffer, the highest byte used, and what no plan can go below."""

    offsets: dict[str, int]
    peak_bytes: int
    lower_bound_bytes: int
    capacity_bytes: int | None
    stats: PlanStats

    @property
    def fits(self) -> bool:
        """Whether the plan keeps to the capacity that was asked for."""
        return self.capacity_bytes is None or self.peak_bytes <= self.capacity_bytes

    @property
    def proven(self) -> bool:
        """Whether no plan has a lower peak."""
        return self.peak_bytes == self.lower_bound_bytes

    @property
    def impossible(self) -> bool:
        """Whether no plan can keep to the capacity."""
        return self.capacity_bytes is not None and self.lower_bound_bytes > self.capacity_bytes

    @property
    def gap(self) -> float:
        """How far the peak is above the bound, as a share of the bound."""
        return self.peak_bytes / self.lower_bound_bytes - 1 if self.lower_bound_bytes else 0.0


def overlapping(buffers: Sequence[Buffer]) -> tuple[Buffer, Buffer] | None:
    """Two buffers that are fixed in the same bytes at the same time, and may not share them."""
    fixed = sorted(
        (b for b in buffers if b.fixed_offset is not None), key=lambda b: (b.fixed_offset, b.id)
    )
    for number, one in enumerate(fixed):
        end = (one.fixed_offset or 0) + one.size_bytes
        for other in fixed[number + 1 :]:
            if (other.fixed_offset or 0) >= end:
                break
            is_shared = one.group is not None and one.group == other.group
            is_shared |= other.id == one.in_place_of or one.id == other.in_place_of
            windows = product(one.windows, other.windows)
            if not is_shared and any(a.lower < b.upper and b.lower < a.upper for a, b in windows):
                return one, other
    return None


def plan(
    buffers: Sequence[Buffer], capacity: int | None, options: PlanOptions | None = None
) -> Plan:
    """Addresses for ``buffers`` within ``capacity`` bytes, or as low as found where it is None.

    The best plan that was found, though it be above the capacity: see ``Plan.fits``.
    Raises: InputError where a buffer contradicts itself or another one.
    """
    if capacity is not None and capacity < 1:
        raise InputError(
            "the capacity is no memory",
            given=str(capacity),
            allowed="1 or more bytes",
            next_step="give the bytes of the memory, or none to use as few as possible",
        )
    check_buffers(buffers)
    pair = overlapping(buffers)
    if pair is not None:
        raise InputError(
            "two buffers have fixed offsets in the same bytes at the same time",
            where=f"buffers {pair[0].id} and {pair[1].id}",
            given=f"{pair[0].fixed_offset} and {pair[1].fixed_offset}",
            allowed="fixed offsets that are apart",
            next_step="mend one of them, or leave it out",
        )
    blocks = blocks_of(buffers)
    planner = _Planner(blocks, capacity, options or PlanOptions())
    if blocks:
        planner.run()
    return planner.result()


class _Planner:
    """The best plan so far, the bound so far, and what may still be spent; in bytes."""

    def __init__(self, blocks: Sequence[Block], capacity: int | None, options: PlanOptions) -> None:
        self.blocks = blocks
        self.problem: Problem = problem_of(blocks)
        self.capacity = capacity
        self.options = options
        self.bound = self.problem.bound_bytes
        self.offsets: Int64s = self.problem.items.fixed
        self.peak = 0
        self.method = "nothing to place"
        self.nodes = self.attempts = 0

    @property
    def goal(self) -> int:
        """The peak at which there is nothing left to do."""
        return max(self.bound, self.capacity or 0)

    @property
    def is_done(self) -> bool:
        return self.peak <= self.goal

    @property
    def is_refuted(self) -> bool:
        """No plan keeps to the capacity, which the sizes alone did not tell."""
        asked = self.capacity is not None and self.bound > self.capacity
        return asked and self.bound > self.problem.bound_bytes

    def run(self) -> None:
        """First fit, repaired; then searches if it is above the goal."""
        order = self.first_order()
        offsets = first_fit(self.problem.items, order)
        self.take(offsets, "first fit")
        if self.options.max_nodes:
            self.repair(order, offsets)
            self.search()

    def search(self) -> None:
        """Dives at the goal and between goal and peak; then deeper searches."""
        if self.is_done:
            return
        self.ranks = Ranks(self.problem)
        dive = DIVES_PER_ITEM * len(self.problem.items.size)
        self.deepen(min(dive * len(self.ranks.fixed), self.left), dive)
        self.bisect(dive)
        share = self.left if self.capacity is not None else self.left // 2
        self.deepen(share, FIRST_SEARCH_NODES)
        if not self.is_refuted:
            self.bisect(self.left // MINIMISING_SEARCHES)

    @property
    def left(self) -> int:
        """Nodes that may still be tried."""
        return max(self.options.max_nodes - self.nodes, 0)

    def first_order(self) -> list[int]:
        """By hint where there are any, the largest first among the rest."""
        hints = [self.blocks[b].hint for b in self.problem.order]
        largest = by_size(self.problem.items)
        if hints.count(None) == len(hints):
            return largest
        return sorted(largest, key=lambda i: _later_if_none(hints[i]))

    def repair(self, order: Sequence[int], offsets: Int64s) -> None:
        """First fit again, each time with those earlier in the order that lay above the goal.

        Source: D. E. Joslin and D. P. Clements, "Squeaky Wheel Optimization", JAIR 10, 1999.
        """
        place = np.empty(len(order))
        place[order] = np.arange(len(order))
        for _ in range(REPAIRS):
            if self.is_done:
                return
            place[self.problem.ends(offsets) > self.goal] -= len(order) * PROMOTED_SHARE
            offsets = first_fit(self.problem.items, np.argsort(place, kind="stable").tolist())
            self.take(offsets, "repaired first fit")

    def deepen(self, n_nodes: int, limit: int) -> None:
        """Look for a plan at the goal with each ranking in turn, allowing more nodes each round."""
        end = self.nodes + n_nodes
        while not self.is_done and not self.is_refuted and self.nodes < end:
            for rank in self.ranks.one_round():
                self.attempt_tightest(rank, min(limit, end - self.nodes))
            limit *= 2

    def attempt_tightest(self, rank: Int64s, limit: int) -> None:
        """Look for a plan at the bound, then at the goal: the tightest prunes most."""
        for capacity in sorted({self.bound, self.goal}):
            if not self.is_done and not self.is_refuted:
                self.attempt(capacity, rank, limit)

    def bisect(self, limit: int) -> None:
        """Lower the peak by halves towards the goal, at most ``limit`` nodes each."""
        low = self.goal
        while low < self.peak - 1 and not self.is_done and self.left:
            middle = (low + self.peak - 1) // 2
            for rank in self.ranks.fixed:
                if self.peak > middle >= self.bound:
                    self.attempt(middle, rank, min(limit, self.left))
            if self.peak > middle:
                low = middle + 1

    def attempt(self, capacity: int, rank: Int64s, limit: int) -> None:
        """One search; a plan is taken, a refutation raises the bound."""
        if limit < 1:
            return
        # Only who searches pays for loading compiled code.
        from npuc.compiler.planning.search import FOUND, NONE, search  # noqa: PLC0415

        self.options.progress(f"{capacity:,} bytes, {limit:,} candidates at most")
        outcome = search(self.problem, rank, capacity, limit)
        self.nodes += outcome.nodes
        self.attempts += 1
        self.ranks.learn(outcome.failures)
        if outcome.verdict == FOUND:
            self.take(outcome.offsets, "branch and bound")
        elif outcome.verdict == NONE and capacity >= self.bound:
            self.bound = self.problem.next_peak(capacity)

    def take(self, offsets: Int64s, method: str) -> None:
        """Keep ``offsets`` if they are the best so far."""
        peak = self.problem.peak_bytes(offsets)
        if not self.peak or peak < self.peak:
            self.offsets, self.peak, self.method = offsets, peak, method

    def result(self) -> Plan:
        """What is known now."""
        items, granule = self.problem.items, self.problem.granule_bytes
        offsets: dict[str, int] = {}
        for block, start in zip(self.problem.order, self.offsets.tolist(), strict=True):
            for name, shift in self.blocks[block].members:
                offsets[name] = start * granule + shift
        stats = PlanStats(
            blocks=len(self.blocks),
            sections=len(items.item_starts) - 1,
            nodes=self.nodes,
            attempts=self.attempts,
            method=self.method,
            stopped_early=not self.is_done and not self.is_refuted,
        )
        return Plan(offsets, self.peak, min(self.bound, self.peak), self.capacity, stats)


def _later_if_none(hint: int | None) -> tuple[bool, int]:
    return (True, 0) if hint is None else (False, hint)
