"""The better parts of two schedules: where they can be cut, what is taken, what stays open."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from npuc.compiler.reranking.changes import changes
from npuc.compiler.reranking.merging import Name, Timed, merge, with_given
from npuc.compiler.schedule.data import GroupSchedule, Resident, RunSchedule, Schedule
from npuc.compiler.schedule.tiling import Tiling

NAMES: list[Name] = [(f"g{n}", (f"node{n}",)) for n in range(6)]


def tiling(size: int) -> Tiling:
    return Tiling((size,) * 7, (0, 1, 2, 3), 2, 2)


def run(first: int, last: int, stripes: int) -> RunSchedule:
    turns = tuple(range(last - first + 1))
    return RunSchedule(NAMES[first][1], NAMES[last][1], stripes, turns)


def timed(cycles: list[int], size: int, *runs: RunSchedule, resident: str = "t") -> Timed:
    """A schedule with one size of tiles everywhere."""
    groups = tuple(GroupSchedule(nodes, "shape", tiling(size)) for _, nodes in NAMES)
    by_name = {name: n for (name, _), n in zip(NAMES, cycles, strict=True)}
    return Timed(Schedule(groups, (Resident(resident),), runs), by_name)


def sizes(schedule: Schedule) -> list[int]:
    """The size of the tiles of each group, in order."""
    found = {g.nodes: g.tiling.tile[0] for g in schedule.groups}
    return [found[nodes] for _, nodes in NAMES]


def test_the_better_groups_of_the_other_are_taken() -> None:
    one, other = timed([10, 10, 10, 10, 10, 10], 1), timed([9, 11, 10, 5, 20, 8], 2)
    merged = merge(NAMES, one, other)
    assert merged is not None
    assert sizes(merged.schedule) == [2, 1, 1, 2, 1, 2]
    assert (merged.parts, merged.expected_cycles) == (3, 60 - 1 - 5 - 2)
    assert merged.schedule.resident == (Resident("t"),)


def test_no_run_is_cut() -> None:
    """Groups 1 to 3 are a run in one, 2 to 4 in the other: 1 to 4 are one part."""
    one = timed([10, 10, 10, 10, 10, 10], 1, run(1, 3, 4))
    other = timed([20, 1, 10, 10, 10, 20], 2, run(2, 4, 8), resident="u")
    merged = merge(NAMES, one, other)
    assert merged is not None
    assert sizes(merged.schedule) == [1, 2, 2, 2, 2, 1]
    assert merged.schedule.stripes == (run(2, 4, 8),)
    assert merged.schedule.resident is None, "the two disagree about what stays"
    worse = merge(NAMES, one, timed([1, 50, 10, 10, 10, 20], 2, run(2, 4, 8)))
    assert worse is not None and worse.schedule.stripes == (run(1, 3, 4),)


def test_nothing_is_put_together_where_one_of_the_two_is_the_best_of_both() -> None:
    one = timed([10] * 6, 1)
    assert merge(NAMES, one, timed([10] * 6, 2)) is None, "no part is better"
    assert merge(NAMES, one, timed([9] * 6, 2)) is None, "every part is better"
    assert merge(NAMES, one, timed([9] * 6, 1)) is None, "nothing is decided otherwise"


RUNS = st.lists(st.integers(0, 5), min_size=2, max_size=4, unique=True).map(sorted)


@given(
    st.lists(st.integers(1, 99), min_size=6, max_size=6),
    st.lists(st.integers(1, 99), min_size=6, max_size=6),
    RUNS,
    RUNS,
)
def test_every_group_is_decided_once_and_runs_do_not_overlap(
    cycles: list[int], others: list[int], ends: list[int], other_ends: list[int]
) -> None:
    one = timed(cycles, 1, run(ends[0], ends[1], 2))
    other = timed(others, 2, run(other_ends[0], other_ends[1], 3))
    merged = merge(NAMES, one, other)
    if merged is None:
        return
    assert len(merged.schedule.groups) == len(NAMES)
    assert merged.expected_cycles < one.total
    for begun in merged.schedule.stripes or ():
        first = [nodes for _, nodes in NAMES].index(begun.first)
        decided = set(sizes(merged.schedule)[first : first + len(begun.turns or ())])
        assert decided == {begun.stripes - 1}, "a run comes with the tilings of its schedule"
    assert len(merged.schedule.stripes or ()) <= 2


def test_what_is_given_is_kept() -> None:
    mine = GroupSchedule(NAMES[2][1], "shape", tiling(7))
    found = with_given(timed([1] * 6, 1, run(0, 1, 2)).schedule, Schedule((mine,), None, ()))
    assert sizes(found) == [1, 1, 7, 1, 1, 1]
    assert found.stripes == () and found.resident == (Resident("t"),)


def test_changes_are_told_by_nodes() -> None:
    before = timed([1] * 6, 1, run(0, 1, 2), run(2, 3, 4)).schedule
    after = timed([1] * 6, 1, run(0, 1, 3), run(4, 5, 2), resident="u").schedule
    told = [f"{nodes[0]}: {text}" for nodes, text in changes(before, after)]
    assert told == [
        "node0: 3 stripes from node0 to node1 instead of 2",
        "node4: 2 stripes from node4 to node5",
        "node2: no 4 stripes from node2 to node3",
        "u: stays in SPM",
        "t: stays in SPM no more",
    ]
    on_one = replace(after, resident=(Resident("u", 1),))
    assert list(changes(after, on_one)) == [
        (("u",), "stays in SPM of core 1"),
        (("u",), "stays in SPM no more"),
    ]
    ((nodes, text),) = changes(before, with_given(before, Schedule((other_tile(),))))
    assert nodes == ("node5",)
    assert text.startswith(
        "tile 3x3x3x3x3x3x3 in order 0123 with 2 and 2 slots instead of tile 1x1"
    )


def other_tile() -> GroupSchedule:
    return GroupSchedule(NAMES[5][1], "shape", tiling(3))
