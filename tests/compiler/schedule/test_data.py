"""Schedules as data: text round trips, and every message about a file that does not suit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.compiler.schedule.data import (
    GroupSchedule,
    Resident,
    RunSchedule,
    Schedule,
    parse_schedule,
    shape_hash,
)
from npuc.compiler.schedule.legal import check_tiling
from npuc.compiler.schedule.problem import DIM_NAMES, GroupProblem
from npuc.compiler.schedule.search import SearchOptions, choose_tiling
from npuc.compiler.schedule.split.division import Division
from npuc.compiler.schedule.tiling import OUTER_M, Tiling
from npuc.isa.errors import CompileError
from npuc.isa.target import Target
from tests.compiler.schedule.problems import (
    EDGE,
    PROBLEMS,
    TINY,
    conv,
    depthwise,
    elementwise,
    matmul,
    tiled_problems,
)

Entry = dict[str, object]

TILINGS = st.builds(
    Tiling,
    st.tuples(*[st.integers(1, 10**6)] * 7),
    st.permutations(range(4)).map(tuple),
    st.integers(1, 3),
    st.integers(1, 3),
)
NODES = st.lists(st.text()).map(tuple)
TURNS = st.integers(2, 9).flatmap(lambda n: st.permutations(range(n))).map(tuple)
RUN = st.builds(
    RunSchedule,
    NODES,
    NODES,
    st.integers(2, 99),
    st.none() | TURNS,
    st.none() | st.integers(0, 9),
    occurrence=st.integers(0, 9),
)
GROUP = st.builds(GroupSchedule, NODES, st.text(), TILINGS)
RUNS = st.lists(RUN).map(tuple)
SCHEDULES = st.builds(
    Schedule,
    st.lists(GROUP, unique_by=lambda group: (group.nodes, group.shape)).map(tuple),
    st.none() | st.lists(st.builds(Resident, st.text(), st.none() | st.integers(0, 9))).map(tuple),
    st.none() | RUNS,
    st.none() | st.builds(Division, st.integers(1, 99), st.integers(1, 99), st.booleans()),
)


@given(SCHEDULES)
def test_text_round_trips(schedule: Schedule) -> None:
    assert parse_schedule(schedule.to_json(), "s.json") == schedule


@given(SCHEDULES)
def test_text_has_one_line_per_group(schedule: Schedule) -> None:
    assert sum('"nodes"' in line for line in schedule.to_json().split("\n")) == len(schedule.groups)


def test_find_needs_nodes_and_shape() -> None:
    tiling = Tiling((1,) * 7, OUTER_M, 1, 1)
    group = GroupSchedule(("conv1", "relu1"), "abc", tiling)
    schedule = Schedule((group,))
    assert schedule.find(("conv1", "relu1"), "abc") is group
    assert schedule.find(("conv1",), "abc") is None
    assert schedule.find(("conv1", "relu1"), "abd") is None


@given(PROBLEMS, PROBLEMS)
def test_hashes_tell_problems_apart(one: GroupProblem, other: GroupProblem) -> None:
    assert (shape_hash(one) == shape_hash(other)) == (one == other)
    assert len(shape_hash(one)) == 12
    assert shape_hash(replace(one, name="renamed")) == shape_hash(one)


def test_groups_of_one_node_and_shape_but_other_work_have_other_hashes() -> None:
    """A node that falls apart into several groups must not replay one group's tiling for all."""
    problem = elementwise((1, 2, 3, 4), (True,) * 4)
    swapped = replace(problem, vector=replace(problem.vector, inputs=(1, 0)))
    assert shape_hash(swapped) != shape_hash(problem)


def entry(**changes: object) -> Entry:
    good: Entry = {
        "nodes": ["a"], "shape": "0123", "tile": dict.fromkeys(DIM_NAMES, 1),
        "order": ["n", "m0", "m1", "m2"], "depth": 2, "acc_depth": 1,
    }  # fmt: skip
    return good | changes


def text_of(*groups: object) -> str:
    return json.dumps({"version": 2, "groups": list(groups)})


def without(name: str) -> Entry:
    return {key: value for key, value in entry().items() if key != name}


def test_the_entry_of_these_tests_is_right() -> None:
    (group,) = parse_schedule(text_of(entry()), "s.json").groups
    assert group.tiling == Tiling((1,) * 7, (3, 0, 1, 2), 2, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["not JSON", "s.json", "line 1", "--dump-schedule"]),
        ("", ["not JSON"]),
        ("9" * 5000, ["not JSON", "s.json"]),
        ("[" * 100_000, ["not JSON", "s.json"]),
        ("[]", ["another version", "list", "2"]),
        ("{}", ["another version", "None"]),
        ('{"version": 1, "groups": []}', ["another version", "given: 1", "allowed: 2"]),
        ('{"version": true, "groups": []}', ["another version", "True"]),
        ('{"version": 2}', ["no list of groups", "s.json", '"groups": [...]']),
        ('{"version": 2, "groups": {}}', ["no list of groups"]),
        ('{"version": 2, "group": []}', ["other parts", "given: group", "mend the entry"]),
        (
            '{"version": 2, "groups": [], "groups": []}',
            ["twice", "given: groups"],
        ),
    ],
    ids=lambda v: v[:20] if isinstance(v, str) else None,
)
def test_files_that_are_no_schedule(text: str, words: list[str]) -> None:
    with pytest.raises(CompileError) as caught:
        parse_schedule(text, "s.json")
    assert_says(caught.value, words)


@pytest.mark.parametrize(
    ("group", "words"),
    [
        (7, ["other fields", "given: int", "nodes, shape, tile", "perhaps product", "mend"]),
        (without("depth"), ["other fields", "acc_depth", "allowed: nodes, shape, tile"]),
        (entry(colour=1), ["other fields", "colour"]),
        (entry(nodes="a"), ["nodes", 'given: "a"', "a list of node names"]),
        (entry(nodes=["a", 1]), ["nodes", "a list of node names"]),
        (entry(shape=123), ["shape", "given: 123", "as text"]),
        (entry(tile=[1] * 7), ["tile", "one number for each of m0, m1, m2, n, k0, k1, k2"]),
        (entry(tile={"m0": 1}), ["tile", "one number for each"]),
        (entry(tile=dict.fromkeys(DIM_NAMES, 1) | {"k1": 1.5}),
         ["tile.k1", "given: 1.5", "a whole number"]),
        (entry(tile=dict.fromkeys(DIM_NAMES, 1) | {"n": True}), ["tile.n", "given: true"]),
        (entry(order=["m0", "m1", "m2"]), ["order", "a permutation of m0, m1, m2, n"]),
        (entry(order=["m0", "m0", "m2", "n"]), ["order", "a permutation"]),
        (entry(order="m0m1"), ["order", "a permutation"]),
        (entry(order=["m0", "m1", "m2", None]), ["order", "a permutation"]),
        (entry(depth=0), ["depth", "given: 0", "1 to 3"]),
        (entry(depth=4), ["depth", "given: 4", "1 to 3"]),
        (entry(depth="2"), ["depth", "a whole number"]),
        (entry(acc_depth=9), ["acc_depth", "given: 9", "1 to 3"]),
        (entry(acc_depth=None), ["acc_depth", "a whole number"]),
    ],
    ids=str,
)  # fmt: skip
def test_entries_with_mistakes(group: object, words: list[str]) -> None:
    with pytest.raises(CompileError) as caught:
        parse_schedule(text_of(entry(), group), "s.json")
    assert_says(caught.value, ["s.json, group 1", *words])


def test_two_tilings_for_one_group_are_refused() -> None:
    with pytest.raises(CompileError) as caught:
        parse_schedule(text_of(entry(), entry(depth=1)), "s.json")
    assert_says(caught.value, ["s.json, group 1", "nodes and shape", "one tiling for each"])
    assert len(parse_schedule(text_of(entry(), entry()), "s.json").groups) == 2


def test_no_core_may_be_said() -> None:
    resident = ["a", {"tensor": "b", "core": None}, {"tensor": "c"}]
    text = json.dumps({"version": 2, "groups": [], "resident": resident})
    assert parse_schedule(text, "s.json").resident == (Resident("a"), Resident("b"), Resident("c"))


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ({"recomputes": 1}, ["recomputes", "given: 1", "a list of numbers of groups"]),
        ({"recomputes": ["a"]}, ["recomputes", "a whole number"]),
        ({"recomputes": [-1]}, ["recomputes", "[-1]", "from 0"]),
        ({"recomputes": [1, 1]}, ["recomputes", "[1, 1]", "different numbers"]),
        ({"occurrence": -1}, ["occurrence", "given: -1", "0 or more"]),
        ({"again": []}, ["other fields", "again", "turns, core, recomputes"]),
    ],
    ids=str,
)
def test_runs_with_mistakes(run: Entry, words: list[str]) -> None:
    stripes = [{"first": ["a"], "last": ["b"], "stripes": 2} | run]
    text = json.dumps({"version": 2, "groups": [], "stripes": stripes})
    with pytest.raises(CompileError) as caught:
        parse_schedule(text, "s.json")
    assert_says(caught.value, ["s.json, stripes 0", *words])


@pytest.mark.parametrize(
    ("division", "words"),
    [
        (4, ["other fields", "division", "int", "cores, parts, multicasts"]),
        ({"cores": 4}, ["other fields", "division", "cores, parts, multicasts"]),
        ({"cores": 0, "parts": 1, "multicasts": True}, ["division", "cores", "0", "1 or more"]),
        ({"cores": 2, "parts": 0, "multicasts": True}, ["division", "parts", "0", "1 or more"]),
        ({"cores": "2", "parts": 1, "multicasts": True}, ["cores", "a whole number"]),
        ({"cores": 2, "parts": 1, "multicasts": 1}, ["multicasts", "true or false"]),
    ],
    ids=str,
)
def test_divisions_with_mistakes(division: object, words: list[str]) -> None:
    text = json.dumps({"version": 2, "groups": [], "division": division})
    with pytest.raises(CompileError) as caught:
        parse_schedule(text, "s.json")
    assert_says(caught.value, ["s.json", *words])


@pytest.mark.parametrize(
    ("resident", "words"),
    [
        ("a", ["s.json", 'given: "a"', "a list of tensor names"]),
        ([1], ["resident 0", "given: 1", '"core": N']),
        (["a", {"core": 1}], ["s.json, resident 1, tensor and core", '"core": N']),
        ([{"tensor": "b", "core": 0, "bytes": 1}], ["resident 0", "bytes"]),
        ([{"tensor": "b", "core": -1}], ["resident 0", "core", "given: -1", "0 or more"]),
        ([{"tensor": "b", "core": "1"}], ["resident 0, core", 'given: "1"', "a whole number"]),
    ],
    ids=str,
)
def test_residents_with_mistakes(resident: object, words: list[str]) -> None:
    text = json.dumps({"version": 2, "groups": [], "resident": resident})
    with pytest.raises(CompileError) as caught:
        parse_schedule(text, "s.json")
    assert_says(caught.value, words)


def assert_says(error: CompileError, words: list[str]) -> None:
    missing = [word for word in words if word not in str(error)]
    assert not missing, str(error)


@given(tiled_problems())
def test_legal_tilings_pass(case: tuple[GroupProblem, Tiling]) -> None:
    check_tiling(*case, EDGE, "group g")


@given(PROBLEMS, st.sampled_from([TINY, EDGE]), st.builds(SearchOptions))
def test_chosen_tilings_pass(problem: GroupProblem, target: Target, options: SearchOptions) -> None:
    choice = choose_tiling(problem, target, options)
    check_tiling(problem, choice.tiling, target, "group g")


def changed(**tile: int) -> Callable[[GroupProblem], Tiling]:
    """The whole problem as one tile, but for the dimensions named."""

    def tiling(problem: GroupProblem) -> Tiling:
        sizes = zip(DIM_NAMES, problem.extents, strict=True)
        return Tiling(tuple(tile.get(name, e) for name, e in sizes), OUTER_M, 2, 2)

    return tiling


CONV = conv((1, 12, 12, 8), (3, 3, 16), (1, 1, 1))
LARGE = conv((1, 64, 64, 64), (3, 3, 64), (1, 1, 1))


@pytest.mark.parametrize(
    ("problem", "tiling", "words"),
    [
        (CONV, changed(m1=13), ["tile.m1", "given: 13", "1 to 12"]),
        (CONV, changed(n=0), ["tile.n", "given: 0", "1 to 16"]),
        (CONV, changed(k1=2), ["k0, k1, k2", "[3, 2, 8]", "a cut of k1 needs k0 = 1"]),
        (CONV, changed(k0=1, k2=4), ["k0, k1, k2", "[1, 3, 4]", "k0 = k1 = 1"]),
        (CONV, changed(k0=3, k1=1, k2=4), ["k0, k1, k2", "[3, 1, 4]"]),
        (depthwise((1, 6, 6, 4), 3, (1, 1, 1)), changed(k1=1),
         ["k0, k1, k2", "[1, 1, 3]", "vector reductions are not cut"]),
        (matmul(4, (3, 5, 7), True), changed(m1=2),
         ["tile.m1", "given: 2", "1, because W depends on this dimension"]),
        (conv((2, 6, 6, 4), (3, 3, 4), (1, 1, 1)),
         changed(m0=1, m1=2, m2=2, n=2, k0=1, k1=1, k2=2),
         ["tile", "7 dimensions cut", "at most 6"]),
        (LARGE, changed(), ["tile and depth", "bytes of SPM", "65536 bytes (tiny)"]),
        (LARGE, changed(m1=8, m2=8, k0=1, k1=1),
         ["tile and acc_depth", "32768 bytes of ACC", "8192 bytes, 4 per output"]),
    ],
    ids=lambda v: "-".join(v[:1]) if isinstance(v, list) else None,
)  # fmt: skip
def test_tilings_that_do_not_suit(
    problem: GroupProblem, tiling: Callable[[GroupProblem], Tiling], words: list[str]
) -> None:
    with pytest.raises(CompileError) as caught:
        check_tiling(problem, tiling(problem), TINY, "group conv1")
    assert_says(caught.value, ["group conv1", *words, "drop the group from the file"])
