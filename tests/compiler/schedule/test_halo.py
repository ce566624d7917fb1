"""Copies of rows against computing them again: what each costs, and which is chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from npuc.compiler.schedule.program import StripedRun, Work
from npuc.compiler.schedule.search import SearchOptions
from npuc.compiler.schedule.striping.halo import Halos
from npuc.compiler.schedule.striping.interleave import StripeOptions
from npuc.compiler.schedule.striping.rows import Division, Striping, stripe
from npuc.compiler.schedule.striping.segments import Segments
from npuc.isa.target import Target
from tests.compiler.schedule.chains import Chain, add_conv
from tests.compiler.schedule.problems import TINY
from tests.compiler.schedule.test_stripes import internal, row_jobs

ROWS, WIDTH, CHANNELS, STRIPES = 24, 16, 8, 6


def two_convolutions() -> Chain:
    chain = Chain()
    chain.seen.append((chain.tensor(ROWS * WIDTH * CHANNELS, "input"), (1, ROWS, WIDTH, CHANNELS)))
    add_conv(chain, (1, 1, 0), CHANNELS)
    add_conv(chain, (3, 1, 1), CHANNELS)
    return chain.finish()


def halos_of(target: Target, step_cycles: int) -> tuple[Halos, Striping]:
    """The choice for the chain on ``target``, and the chain with all halos copied."""
    chain = two_convolutions()
    work = Work(tuple(chain.jobs), tuple(chain.tensors))
    options = StripeOptions(step_cycles=step_cycles)
    segments = Segments(work, target, SearchOptions(), set(), options)
    copied = segments.given(StripedRun(0, 1, STRIPES, (0, 1))).striping

    def striping_of(recomputes: frozenset[int]) -> Striping | None:
        found = stripe(row_jobs(chain), 0, internal(chain), Division(STRIPES, recomputes))
        return None if found is None else replace(found, turns=copied.turns)

    works = segments._works_of(copied)
    return Halos(target, works, step_cycles, striping_of), copied


def test_every_copy_costs_a_command_and_its_words() -> None:
    halos, copied = halos_of(TINY, 40)
    (ranges,) = copied.kept.values()
    kept = [high - low for low, high in ranges]
    assert sum(size > 0 for size in kept) == STRIPES - 1
    words = 2 * WIDTH * CHANNELS // 4  # of two rows: the window is one higher and one lower
    vpu = TINY.vpu
    each = 40 + vpu.startup_cycles + -(-words // vpu.lanes)
    assert set(halos._copies(copied).values()) == {each}
    assert set(halos._copies(copied)) == {(0, s) for s in range(1, STRIPES)}


@pytest.mark.parametrize(("startup", "chosen"), [(1, set()), (5000, {0})])
def test_the_cheaper_one_is_chosen(startup: int, chosen: set[int]) -> None:
    """A machine whose vector commands begin slowly computes rows again; others copy them."""
    slow = replace(TINY, vpu=replace(TINY.vpu, startup_cycles=startup))
    halos, copied = halos_of(slow, 40)
    found = halos.choose(copied)
    assert found.recomputes == chosen
    if chosen:
        assert halos.cycles(found) < halos.cycles(copied)
        assert found.rows[0][1][0] < copied.rows[0][1][0]


def test_what_does_not_fit_is_not_chosen() -> None:
    slow = replace(TINY, vpu=replace(TINY.vpu, startup_cycles=5000))
    halos, copied = halos_of(slow, 40)
    assert replace(halos, striping_of=lambda _: None).choose(copied) is copied
