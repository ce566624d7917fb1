"""Plans: nothing overlaps, the bound is honest, more work is never worse, brute force agrees."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from math import gcd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.compiler.planning import greedy
from npuc.compiler.planning.buffers import Buffer, Window
from npuc.compiler.planning.plan import Plan, PlanOptions, plan
from npuc.isa.errors import InputError
from tests.compiler.planning.checking import faults, fullest, live

LIVES = st.tuples(st.integers(0, 9), st.integers(1, 5))


@st.composite
def buffer_lists(draw: st.DrawFn, most: int = 14) -> list[Buffer]:
    buffers = []
    for i in range(draw(st.integers(0, most))):
        lower, length = draw(LIVES)
        alignment = draw(st.sampled_from([1, 1, 4, 16]))
        gaps = ()
        if length > 2 and draw(st.booleans()):
            gaps = (Window(lower + 1, lower + draw(st.integers(2, length - 1))),)
        size = draw(st.integers(1, 40))
        buffers.append(Buffer(f"b{i}", lower, lower + length, size, alignment, gaps))
    return buffers


@given(buffer_lists(), st.sampled_from([None, 30, 60, 100]))
def test_plans_are_legal_and_bounds_honest(buffers: list[Buffer], capacity: int | None) -> None:
    found = plan(buffers, capacity, PlanOptions(max_nodes=500))
    assert faults(buffers, found.offsets, capacity if found.fits else None) == []
    ends = [found.offsets[b.id] + b.size_bytes for b in buffers]
    assert found.peak_bytes == max(ends, default=0)
    assert fullest(buffers) <= found.lower_bound_bytes <= found.peak_bytes


@given(buffer_lists())
def test_more_nodes_are_never_worse_and_the_same_twice(buffers: list[Buffer]) -> None:
    found = [plan(buffers, None, PlanOptions(n)) for n in (0, 20, 200, 2000, 2000)]
    peaks = [p.peak_bytes for p in found]
    assert peaks == sorted(peaks, reverse=True)
    assert found[-1] == found[-2]


def _lowest_peak(buffers: list[Buffer]) -> int:
    """Brute force: every order, each buffer at the lowest place above those before it it meets."""
    best = sum(b.size_bytes + b.alignment for b in buffers)
    times = range(16)
    for order in permutations(buffers):
        tops = dict.fromkeys(times, 0)
        for b in order:
            mine = [t for t in times if live(b, t)]
            floor = max(tops[t] for t in mine)
            offset = -(-floor // b.alignment) * b.alignment
            tops.update(dict.fromkeys(mine, offset + b.size_bytes))
        best = min(best, max(tops.values()))
    return best


@given(buffer_lists(most=5))
def test_small_problems_are_solved_to_the_lowest_peak(buffers: list[Buffer]) -> None:
    found = plan(buffers, None)
    expected = _lowest_peak(buffers) if buffers else 0
    assert found.peak_bytes == expected
    assert not found.stats.stopped_early


@given(buffer_lists(most=5), st.integers(1, 90))
def test_a_capacity_is_met_exactly_where_it_can_be(buffers: list[Buffer], capacity: int) -> None:
    found = plan(buffers, capacity)
    assert found.fits == (not buffers or _lowest_peak(buffers) <= capacity)
    assert found.impossible != found.fits


@pytest.mark.parametrize("many_sections", [0, 99], ids=["bits", "ranges"])
@given(buffer_lists(), st.data())
def test_first_fit_takes_the_lowest_free_bytes(
    many_sections: int, buffers: list[Buffer], data: st.DataObject
) -> None:
    """In the order of the hints, byte by byte, however what is taken is kept."""
    hints = data.draw(st.permutations(range(len(buffers))))
    hinted = [replace(b, hint=hint) for b, hint in zip(buffers, hints, strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(greedy, "MANY_SECTIONS", many_sections)
        found = plan(hinted, None, PlanOptions(max_nodes=0)).offsets
    taken: set[tuple[int, int]] = set()  # time and byte
    granule = gcd(*(b.alignment for b in buffers)) or 1
    for b in sorted(hinted, key=lambda b: b.hint or 0):
        size = -(-b.size_bytes // granule) * granule
        mine = [t for t in range(b.lower, b.upper) if live(b, t)]
        places = (
            {(t, start + n) for t in mine for n in range(size)}
            for start in range(0, 99 * 40, b.alignment)
        )
        place = next(place for place in places if not place & taken)
        assert found[b.id] == min(byte for _, byte in place)
        taken |= place


def test_blocks_apart_in_time_share_bytes() -> None:
    found = plan([Buffer("a", 0, 1, 100, 64), Buffer("b", 1, 2, 100, 64)], None)
    assert found.offsets == {"a": 0, "b": 0} and found.proven


def test_fixed_buffers_stay_and_others_go_around() -> None:
    buffers = [
        Buffer("fixed", 0, 4, 10, fixed_offset=20),
        Buffer("low", 0, 2, 20),
        Buffer("high", 1, 4, 15),
    ]
    found = plan(buffers, 45)
    assert found.fits and faults(buffers, found.offsets, 45) == []
    assert found.offsets["low"] == 0 and found.offsets["high"] == 30


def test_hints_are_taken_where_they_order_well() -> None:
    buffers = [Buffer("a", 0, 2, 10, hint=10), Buffer("b", 0, 2, 10, hint=0)]
    assert plan(buffers, 20).offsets == {"b": 0, "a": 10}


def test_in_place_takes_over_the_bytes() -> None:
    source = Buffer("src", 0, 3, 64)
    heir = Buffer("dst", 2, 5, 64, in_place_of="src")
    assert plan([source, heir], 64).fits
    for too_demanding in (replace(heir, size_bytes=65), replace(heir, lower=1)):
        apart = plan([source, too_demanding], None)
        assert abs(apart.offsets["src"] - apart.offsets["dst"]) >= 64


def test_only_one_heir_takes_over() -> None:
    heirs = [Buffer(name, 2, 5, 64, in_place_of="src") for name in ("x", "y")]
    found = plan([Buffer("src", 0, 3, 64), *heirs], None)
    assert found.peak_bytes == 128 and found.offsets["x"] != found.offsets["y"]


def test_groups_keep_their_distances() -> None:
    pieces = [Buffer(f"p{i}", i, 6, 16, group="cat", group_offset_bytes=16 * i) for i in range(3)]
    found = plan([*pieces, Buffer("other", 0, 6, 8)], None)
    start = found.offsets["p0"]
    assert [found.offsets[p.id] - start for p in pieces] == [0, 16, 32]
    assert found.peak_bytes == 56


GOOD = Buffer("good", 0, 4, 8)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (Buffer("good", 1, 2, 3), "two buffers have one id"),
        (replace(GOOD, id="x", upper=0), "its life is empty"),
        (replace(GOOD, id="x", size_bytes=0), "it has no size"),
        (replace(GOOD, id="x", alignment=0), "bad alignment"),
        (replace(GOOD, id="x", hint=-1), "an offset is negative"),
        (replace(GOOD, id="x", fixed_offset=2, alignment=4), "not aligned"),
        (replace(GOOD, id="x", gaps=(Window(3, 5),)), "no gaps in its life"),
        (replace(GOOD, id="x", gaps=(Window(0, 4),)), "no gaps in its life"),
        (replace(GOOD, id="x", in_place_of="nobody"), "partner is unknown"),
    ],
)
def test_contradictions_name_the_buffer(bad: Buffer, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        plan([GOOD, bad], 100)
    assert bad.id in error.value.where and error.value.allowed


def test_groups_that_exclude_each_other_are_refused() -> None:
    a = Buffer("a", 0, 1, 8, fixed_offset=0, group="g")
    b = Buffer("b", 0, 1, 8, fixed_offset=4, group="g")
    with pytest.raises(InputError, match="exclude each other") as error:
        plan([a, b], 100)
    assert "a, b" in error.value.where


def test_no_capacity_is_refused() -> None:
    with pytest.raises(InputError, match="capacity"):
        plan([GOOD], 0)


def test_nothing_to_plan() -> None:
    found = plan([], 10)
    assert found.fits and found.proven and found.gap == 0.0


def test_below_the_bound_the_plan_says_so() -> None:
    found: Plan = plan([Buffer("a", 0, 1, 60), Buffer("b", 0, 1, 60)], 100)
    assert found.impossible and not found.fits
    assert found.lower_bound_bytes == 120 and found.stats.nodes == 0
