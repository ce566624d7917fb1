"""Transfers cut in halves: nothing is lost, both queues work, and only where that is a gain."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from npuc.compiler.dialects.tile import LoadOp
from npuc.compiler.dialects.tile_text import Place
from npuc.compiler.schedule.estimate import cut_operands, estimate
from npuc.compiler.schedule.problem import GroupProblem, Home
from npuc.compiler.schedule.queues import both_may_bring, cut_axis, in_halves
from npuc.compiler.schedule.search import SearchOptions, choose_tiling
from npuc.compiler.schedule.tiling import OUTER_M, OUTER_N, Candidates, Tiling
from npuc.isa.descriptors import Segment, TensorMap
from npuc.isa.dtypes import DType
from npuc.isa.target import Target, load_target
from tests.compiler.schedule.problems import (
    TINY,
    conv,
    elementwise,
    matmul,
    random_inputs,
    tiled_problems,
    value_of,
)
from tests.compiler.schedule.test_build import built, result_of
from tests.compiler.schedule.tile_evaluation import GARBAGE, evaluate

SERVER = load_target("server")
WIDE = replace(TINY, dram=replace(TINY.dram, bytes_per_cycle=400.0))  # one queue: 6.4 of them
HEAVY = matmul(1, (64, 2048, 1024))  # W takes longer to load than to multiply with


def points(transfer: tuple[TensorMap, Place]) -> Counter[tuple[tuple[int, ...], int]]:
    """How often each element is moved: its indices in DRAM, its byte in the slot."""
    box, place = transfer
    corner = [constant for _, constant in place.coordinates]
    moved: Counter[tuple[tuple[int, ...], int]] = Counter()
    for at in product(*map(range, box.box)):
        index = tuple(c + i for c, i in zip(corner, at, strict=True))
        offset = sum(i * s for i, s in zip(at, box.spm_strides, strict=True))
        moved[index, place.offset[1] + offset] += 1
    return moved


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_two_halves_are_the_whole(box: list[int], data: st.DataObject) -> None:
    assume(cut_axis(tuple(box)) is not None)
    strides = [int(np.prod(box[d + 1 :])) for d in range(len(box))]
    corner = tuple((0, data.draw(st.integers(-2, 9))) for _ in box)
    extents = tuple(e + 9 for e in box)
    whole = TensorMap(
        Segment.constant, DType.i8, 0, extents, tuple(strides), tuple(box), tuple(strides)
    )
    transfer = whole, Place(corner, (0, 64))
    halves = in_halves(transfer)
    assert {queue for queue, _ in halves} == {"ld0", "ld1"}
    assert points(halves[0][1]) + points(halves[1][1]) == points(transfer)
    sizes = [int(np.prod(half.box)) for _, (half, _) in halves]
    assert sizes[1] <= sizes[0] <= 2 * sizes[1]


@given(tiled_problems(), st.integers(0, 99))
def test_halves_compute_the_problem(case: tuple[GroupProblem, Tiling], seed: int) -> None:
    problem, tiling = case
    inputs = random_inputs(problem, seed)
    result = problem.operands[problem.vector.outputs[0]]
    garbage = np.full(result.shape, GARBAGE).astype(result.dtype.numpy)
    evaluation = evaluate(built(problem, tiling, WIDE)[1], [*inputs, garbage])
    np.testing.assert_array_equal(result_of(problem, evaluation), value_of(problem, inputs))


@given(tiled_problems())
def test_what_is_cut_is_loaded_by_both_queues(case: tuple[GroupProblem, Tiling]) -> None:
    problem, tiling = case
    cut = cut_operands(problem, tiling, WIDE)
    loads = [op for op in built(problem, tiling, WIDE)[1].walk() if isinstance(op, LoadOp)]
    queues = Counter(op.slot.owner.buffer.owner.buffer_name.data for op in loads)  # type: ignore[union-attr]
    for number in problem.inputs:
        assert queues[problem.operands[number].name] == 1 + (number in cut)


@pytest.mark.parametrize("name", ["tiny", "edge", "ref-512", "ref-2048"])
def test_nothing_is_cut_where_one_queue_has_all_of_dram(name: str) -> None:
    assert not both_may_bring(HEAVY, load_target(name))
    assert both_may_bring(HEAVY, SERVER)


def chosen(problem: GroupProblem, target: Target) -> tuple[Tiling, int]:
    choice = choose_tiling(problem, target, SearchOptions(uncrowded=True))
    return choice.tiling, choice.estimate.overlapped_cycles


def without_a(problem: GroupProblem) -> GroupProblem:
    """The activations are in SPM, so that one queue has nothing to do."""
    operands = (replace(problem.operands[0], home=Home.spm), *problem.operands[1:])
    return replace(problem, operands=operands)


def test_the_search_reckons_with_both_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = without_a(HEAVY)
    tiling, cycles = chosen(problem, SERVER)
    assert 1 in cut_operands(problem, tiling, SERVER)
    one_queue = replace(SERVER, dram=replace(SERVER.dram, bytes_per_cycle=400.0))  # its share
    assert cycles < 0.7 * chosen(problem, one_queue)[1]


def test_a_queue_that_has_enough_to_do_is_left_alone() -> None:
    """A and W of one size on two queues: halves would only add latency."""
    problem = matmul(1, (512, 512, 512))
    tiling = Tiling((1, 1, 512, 512, 1, 1, 128), OUTER_M, 2, 2)
    assert not cut_operands(problem, tiling, SERVER)
    assert cut_operands(without_a(problem), tiling, SERVER) == {1}


def waiting(problem: GroupProblem, cycles_before: int) -> GroupProblem:
    """Other cores make A."""
    operands = (replace(problem.operands[0], waits=True), *problem.operands[1:])
    return replace(problem, operands=operands, cycles_before=cycles_before)


def test_what_other_cores_make_keeps_to_its_queue() -> None:
    problem = elementwise((1, 64, 64, 256), (True,) * 4)
    tiling = Tiling((1, 16, 64, 256, 1, 1, 1), OUTER_M, 2, 2)
    assert cut_operands(problem, tiling, SERVER)
    assert 0 not in cut_operands(waiting(problem, 0), tiling, SERVER)


@pytest.mark.parametrize("order", [OUTER_M, OUTER_N])
def test_loads_ahead_of_a_wait_take_the_time_of_the_groups_before(order: tuple[int, ...]) -> None:
    problem = conv((4, 7, 7, 512), (3, 3, 128), (1, 1, 1))
    tiles = np.array([(1, 7, 7, 128, 3, 3, 512), (4, 7, 7, 128, 3, 3, 512)])
    family = Candidates(tiles, order, 2, 2)
    cycles = [
        estimate(waiting(problem, before), SERVER, family).overlapped_cycles
        for before in (0, 4000, 100_000)
    ]
    assert (cycles[0] > cycles[1]).all()
    assert (cycles[1] >= cycles[2]).all()
    assert cycles[2][0] < cycles[2][1]  # images one by one: the first product begins sooner


def test_a_wait_is_behind_nothing() -> None:
    """The first tile's way counts in full, as in a group alone on an idle machine."""
    problem = conv((4, 7, 7, 512), (3, 3, 128), (1, 1, 1))
    tiles = np.array([(1, 7, 7, 128, 3, 3, 512)])
    family = Candidates(tiles, OUTER_M, 2, 2)
    alone = estimate(problem, SERVER, family)
    found = estimate(waiting(problem, 0), SERVER, family)
    assert found.overlapped_cycles == found.cycles
    assert found.overlapped_cycles > alone.overlapped_cycles
