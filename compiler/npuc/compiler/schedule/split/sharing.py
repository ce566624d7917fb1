"""Whether several cores share the work: where that is expected to take clearly less time.

The longest share is laid beside all of the work on one core, by the closed form, after stripes,
residency and tilings are decided for each. The level alone has a say in this, so that re-ranking
and schedule files find the same shares again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf

from npuc.compiler.context import NpuContext
from npuc.compiler.options import CompileOptions
from npuc.compiler.schedule.decide import SOURCE
from npuc.compiler.schedule.decisions import Decisions
from npuc.compiler.schedule.program import Work
from npuc.compiler.schedule.split.cores import Share, split_work, whole_share
from npuc.isa.errors import CompileError
from npuc.isa.target import Target

# Of what one core is expected to take. Waits for other cores are in no share's cycles, and groups
# overlap better on one core. Source: docs/decisions/0015-cores-share-where-it-gains.md.
SHARED_BELOW = 0.75


@dataclass(frozen=True)
class _Split:
    """Shares of several cores; ``cycles``: what the longest is expected to take."""

    shares: list[Share]
    cycles: float
    without_multicasts: bool = False


def share_work(ctx: NpuContext, alone: Work, cores: int, whole: Work) -> list[Share]:
    """The shares of at most ``cores`` cores of ``whole``; one with ``alone`` where none gain.

    ``alone`` is the same work as one core would have it.
    """
    one = [whole_share(alone)]
    splits = [_split(ctx, whole, count) for count in _counts(cores)]
    if not splits:
        return one
    best = min(splits, key=lambda split: (split.cycles, len(split.shares)))
    one_cycles = _longest(ctx, one)
    if best.cycles >= SHARED_BELOW * one_cycles:
        if best.cycles < inf:
            ctx.remarks.missed(
                SOURCE,
                f"one core has all the work: no split over at most {cores} cores is expected to "
                f"take less than {SHARED_BELOW} of its cycles",
                estimated_cycles=one_cycles,
                estimated_cycles_of_longest_share=best.cycles,
            )
        return one
    if len(best.shares) < cores:
        text = f"{len(best.shares)} cores share the work: more are not expected to gain"
        ctx.remarks.missed(SOURCE, text, estimated_cycles_of_longest_share=best.cycles)
    if best.without_multicasts:
        text = "too little SPM beside multicast weights: each core loads all of them"
        ctx.remarks.missed(SOURCE, text)
    return best.shares


def _counts(cores: int) -> list[int]:
    """Numbers of cores to try: all, half of them, and so on to two."""
    return [] if cores == 1 else [cores, *_counts(-(-cores // 2))]


def _split(ctx: NpuContext, whole: Work, cores: int) -> _Split:
    """The split over ``cores``; weights are multicast where the groups of each fit beside them."""
    shares = split_work(whole, ctx.target, cores)
    found = _Split(shares, _longest(ctx, shares))
    if found.cycles < inf or not shares[0].work.multicasts:
        return found
    shares = split_work(whole, ctx.target, cores, with_multicasts=False)
    return _Split(shares, _longest(ctx, shares), without_multicasts=True)


def _longest(ctx: NpuContext, shares: Sequence[Share]) -> float:
    """What the share takes that is expected to take longest; infinite where one does not fit."""
    level = ctx.options.level
    return max(_expected(share.work, ctx.target, level) for share in shares)


@lru_cache(maxsize=16)
def _expected(work: Work, target: Target, level: int) -> float:
    """Cycles of all steps of ``work``, each expected alone; infinite where one does not fit."""
    ctx = NpuContext(target=target, target_toml="", options=CompileOptions(level=level))
    decisions = Decisions(ctx, None)
    try:
        decisions.of(work)
    except CompileError:
        return inf
    return float(decisions.expected_cycles)
