"""How cores share the work: in the way that is expected to take the least time, or not at all.

A few divisions are planned, with stripes, residency and tilings. The closed form says what the
largest share takes by that, and every job that waits for other cores is charged for it. The level
alone has a say in this, so that re-ranking finds the same shares again.
Source of the charges: docs/decisions/0015-cores-share-where-it-gains.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from npuc.compiler.context import NpuContext
from npuc.compiler.options import CompileOptions
from npuc.compiler.schedule.decide import SOURCE
from npuc.compiler.schedule.decisions import STOPPED_EARLY, Decisions
from npuc.compiler.schedule.program import Work
from npuc.compiler.schedule.split.cores import Share, parts_of_rows, split_work, whole_share
from npuc.compiler.schedule.split.division import Division
from npuc.isa.errors import CompileError
from npuc.isa.target import Target

WAIT_CYCLES = 1500  # for each job that waits for other cores
WAITING_FACTOR = 1.1  # on the cycles of a share with such jobs: its groups overlap less


@dataclass(frozen=True)
class _Planned:
    """What a core's work is expected to take."""

    cycles: int
    stopped_early: bool


@dataclass(frozen=True)
class Sharing:
    """Shares by a division, one for each core."""

    shares: Sequence[Share]
    division: Division


@dataclass(frozen=True)
class _Expected(Sharing):
    """What is expected of the largest share; ``waits``: how many of its jobs wait for others."""

    planned: _Planned
    waits: int

    @property
    def cycles(self) -> float:
        """All of it, waits included."""
        factor = WAITING_FACTOR if self.waits else 1
        return factor * self.planned.cycles + WAIT_CYCLES * self.waits


def share_by(work: Work, alone: Work, division: Division, ctx: NpuContext) -> Sharing:
    """``work`` by a division that a schedule gives; ``alone``: see ``share_work``."""
    origin = "re-ranking" if ctx.options.schedule is None else "the file"
    ctx.remarks.applied(SOURCE, f"division over {division.cores} cores replayed from {origin}")
    if division.cores == 1:
        return Sharing([whole_share(alone)], division)
    if parts_of_rows(work) % division.parts:
        text = f"rows of some groups are not {division.parts} equal parts: they are cut anywhere"
        ctx.remarks.missed(SOURCE, text)
    return Sharing(split_work(work, ctx.target, division), division)


def share_work(work: Work, alone: Work, cores: int, ctx: NpuContext) -> Sharing:
    """The shares of at most ``cores`` cores of ``work``, or one that has all of it.

    ``alone`` is the same work as one core has it by itself.
    """
    one = Sharing([whole_share(alone)], Division(1))
    if cores == 1:
        return one
    place = ctx.target, ctx.options.level
    tried = [_expected(work, division, place) for division in divisions(work, cores)]
    fitting = [sharing for sharing in tried if sharing is not None]
    planned = _planned(alone, *place)
    if planned is not None:
        fitting.append(_Expected(one.shares, one.division, planned, 0))
    while fitting:
        best = min(fitting, key=lambda sharing: (sharing.cycles, len(sharing.shares)))
        if not best.shares[0].work.multicasts or all(_planned(s.work, *place) for s in best.shares):
            _tell(ctx, best, fitting)
            return best
        fitting.remove(best)
        without = _expected(work, replace(best.division, multicasts=False), place)
        fitting += [] if without is None else [without]
    return one


def divisions(work: Work, cores: int) -> list[Division]:
    """What is tried: equal parts, on as few cores as take as long; all cores, half, and so on."""
    parts, found = parts_of_rows(work), []
    if parts > 1:
        found.append(Division(-(-parts // -(-parts // cores)), parts))
    while parts % cores and cores > 1:
        found.append(Division(cores))
        cores = -(-cores // 2)
    return found


def _expected(work: Work, division: Division, place: tuple[Target, int]) -> _Expected | None:
    """With multicast weights where the largest share fits beside them; None: none fits."""
    shares = split_work(work, place[0], division)
    planned = _planned(shares[0].work, *place)
    if planned is None and shares[0].work.multicasts:
        return _expected(work, replace(division, multicasts=False), place)
    waits = max(share.waits for share in shares)
    return None if planned is None else _Expected(shares, division, planned, waits)


@lru_cache(maxsize=64)
def _planned(work: Work, target: Target, level: int) -> _Planned | None:
    """The sum over all steps, each alone, as at the level; None where a group does not fit."""
    ctx = NpuContext(target=target, target_toml="", options=CompileOptions(level=level))
    decisions = Decisions(ctx, None)
    try:
        decisions.of(work)
    except CompileError:
        return None
    stopped_early = any(remark.message == STOPPED_EARLY for remark in ctx.remarks)
    return _Planned(decisions.expected_cycles, stopped_early)


def _tell(ctx: NpuContext, best: _Expected, tried: Sequence[_Expected]) -> None:
    """Remarks: who shares the work, and what was expected of that and of the others."""
    count = best.division.cores
    text = f"{count} cores share the work" if count > 1 else "one core has all the work"
    figures: dict[str, int] = {}
    for sharing in sorted(tried, key=lambda sharing: sharing.cycles):
        figures.setdefault(f"estimated_cycles_of_{sharing.division.cores}", round(sharing.cycles))
    ctx.remarks.note(SOURCE, text, (), **figures)
    if not best.division.multicasts:
        text = "too little SPM beside multicast weights: each core loads all of them"
        ctx.remarks.missed(SOURCE, text)
    if any(sharing.planned.stopped_early for sharing in tried):
        ctx.remarks.missed(SOURCE, f"{STOPPED_EARLY}, of shares that were not taken, too")
