"""Tilings: the scalar forms by their definition, the vectorised forms against the scalar ones."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.compiler.schedule.problem import GroupProblem, LinearForm
from npuc.compiler.schedule.tiling import (
    OUTER_M,
    OUTER_N,
    Candidates,
    Tiling,
    acc_bytes,
    acc_ring_depth,
    boxes,
    counts_from_trips,
    fits,
    placement,
    ring_depth,
    single_step_dims,
    slot_bytes,
    spm_bytes,
    total_acc_bytes,
    total_spm_bytes,
    transfer_counts,
    trip_counts,
)
from tests.compiler.schedule.problems import (
    PROBLEMS,
    TINY,
    conv,
    depthwise,
    elementwise,
    form,
    matmul,
    tiled_problems,
    tilings,
)

Case = tuple[GroupProblem, Tiling]


@st.composite
def families(draw: st.DrawFn) -> tuple[GroupProblem, Candidates, list[Tiling]]:
    """A problem and several tilings of one order and depth, as candidates and one by one."""
    problem = draw(PROBLEMS)
    chosen = draw(st.lists(tilings(problem), min_size=1, max_size=4))
    first = chosen[0]
    alike = [replace(first, tile=t.tile) for t in chosen]
    tiles = np.array([t.tile for t in alike], np.int64)
    return problem, Candidates(tiles, first.order, first.depth, first.acc_depth), alike


@given(st.integers(0, 3), st.integers(0, 3), st.integers(1, 6), st.integers(1, 6))
def test_a_box_spans_the_lowest_to_the_highest_index(a: int, b: int, p: int, q: int) -> None:
    linear = LinearForm((0, a, 0, 0, b, 0, 0), -2)
    touched = [a * i + b * j - 2 for i in range(p) for j in range(q)]
    assert linear.box((9, p, 9, 9, q, 9, 9)) == max(touched) - min(touched) + 1


@given(tiled_problems())
def test_transfers_stand_in_the_innermost_loop_that_moves_them(case: Case) -> None:
    problem, tiling = case
    trips = tiling.trips(problem)
    for o in problem.operands:
        enclosing = tiling.loops[: placement(problem, tiling, o)]
        inside = tiling.loops[len(enclosing) :]
        assert not any(trips[d] > 1 and d in o.dims for d in inside)
        assert not enclosing or (trips[enclosing[-1]] > 1 and enclosing[-1] in o.dims)


@given(families())
def test_counts_are_the_trips_of_the_enclosing_loops(
    case: tuple[GroupProblem, Candidates, list[Tiling]],
) -> None:
    problem, candidates, single = case
    trips = trip_counts(problem, candidates.tiles)
    for o in problem.operands:
        expected = [
            prod(t.trips(problem)[d] for d in t.loops[: placement(problem, t, o)]) for t in single
        ]
        assert transfer_counts(problem, candidates, o).tolist() == expected
        assert counts_from_trips(trips, candidates.order, o).tolist() == expected


@given(families())
def test_vectorised_forms_equal_the_scalar_ones(
    case: tuple[GroupProblem, Candidates, list[Tiling]],
) -> None:
    problem, candidates, single = case
    assert trip_counts(problem, candidates.tiles).tolist() == [
        list(t.trips(problem)) for t in single
    ]
    for o in problem.operands:
        assert boxes(o, candidates.tiles).tolist() == [list(o.box(t.tile)) for t in single]
    spm = total_spm_bytes(problem, candidates, TINY)
    assert spm.tolist() == [spm_bytes(problem, t, TINY) for t in single]
    acc = total_acc_bytes(problem, candidates)
    assert acc.tolist() == [acc_bytes(problem, t) for t in single]
    fitting = (spm <= TINY.spm.capacity_bytes) & (acc <= TINY.acc.capacity_bytes)
    assert fitting.tolist() == [fits(problem, t, TINY) for t in single]
    assert [candidates.tiling(row) for row in range(len(single))] == single


@given(families())
def test_rows_are_taken_by_number_or_mask(
    case: tuple[GroupProblem, Candidates, list[Tiling]],
) -> None:
    _, candidates, single = case
    last = np.array([len(single) - 1])
    by_mask = np.arange(len(single)) == last
    assert candidates.take(last).tiling(0) == candidates.take(by_mask).tiling(0) == single[-1]


@given(tiled_problems())
def test_buffers_that_fill_once_have_one_slot(case: Case) -> None:
    problem, tiling = case
    for o in problem.operands:
        is_fixed = all(tiling.tile[d] == problem.extents[d] for d in o.dims)
        assert ring_depth(problem, tiling, o) == (1 if is_fixed else tiling.depth)


def test_slots_are_whole_bank_words() -> None:
    problem = matmul(1, (5, 7, 3))
    a, w, y = problem.operands
    tile = (1, 1, 5, 3, 1, 1, 7)
    assert TINY.spm.bank_width_bytes == 16
    assert [slot_bytes(o, tile, TINY) for o in (a, w, y)] == [48, 32, 64]  # 35, 21, 60


def test_scalars_take_a_slot() -> None:
    problem = elementwise((1, 1, 4, 5), (False,) * 4)
    scalar = problem.operands[1]
    assert scalar.box((1, 1, 2, 5, 1, 1, 1)) == ()
    assert slot_bytes(scalar, (1, 1, 2, 5, 1, 1, 1), TINY) == 16
    assert boxes(scalar, np.ones((3, 7), np.int64)).shape == (3, 0)


def test_a_strided_dilated_window_takes_its_whole_span() -> None:
    x = conv((1, 20, 20, 4), (3, 3, 8), (2, 3, 1)).operands[0]
    assert x.box((1, 4, 5, 8, 3, 2, 4)) == (1, 1 + 2 * 3 + 3 * 2, 1 + 2 * 4 + 3 * 1, 4)


def test_order_decides_what_stays() -> None:
    """Rows outside: W moves for each row tile; columns outside: A moves for each column tile."""
    problem = matmul(1, (8, 6, 9))
    tile = (1, 1, 2, 3, 1, 1, 6)
    a, w, _ = problem.operands
    counts = {
        order: [
            int(transfer_counts(problem, Candidates(np.array([tile]), order, 2, 2), o)[0])
            for o in (a, w)
        ]
        for order in (OUTER_M, OUTER_N)
    }
    assert counts == {OUTER_M: [4, 12], OUTER_N: [12, 3]}


def test_a_single_output_tile_needs_one_accumulator() -> None:
    problem = matmul(1, (4, 100, 16))
    whole = Tiling((1, 1, 4, 16, 1, 1, 10), OUTER_M, 2, 2)
    assert acc_ring_depth(problem, whole) == 1
    assert acc_bytes(problem, whole) == 4 * 16 * 4
    halved = replace(whole, tile=(1, 1, 4, 8, 1, 1, 10))
    assert acc_bytes(problem, halved) == 2 * (4 * 8 * 4)


def test_vector_work_takes_no_accumulator() -> None:
    problem = depthwise((1, 6, 6, 4), 3, (1, 1, 1))
    tiling = Tiling((1, 2, 6, 4, 1, 3, 3), OUTER_M, 2, 2)
    assert acc_bytes(problem, tiling) == 0
    assert acc_ring_depth(problem, tiling) == 0


@pytest.mark.parametrize(
    ("problem", "dims"),
    [
        (matmul(3, (4, 5, 6), True), {1}),
        (matmul(3, (4, 5, 6)), set()),
        (conv((1, 5, 5, 2), (2, 2, 3), (1, 1, 0)), set()),
        (elementwise((1, 2, 3, 4), (True,) * 4), set()),
    ],
)
def test_batched_products_step_singly(problem: GroupProblem, dims: set[int]) -> None:
    assert single_step_dims(problem) == dims


def test_macs_count_every_point_of_a_contraction() -> None:
    assert matmul(3, (4, 5, 6)).macs == 3 * 4 * 5 * 6
    assert depthwise((1, 6, 6, 4), 3, (1, 1, 1)).macs == 0


def test_names_do_not_tell_problems_apart() -> None:
    problem = matmul(3, (4, 5, 6))
    assert replace(problem, name="other") == problem
    assert hash(replace(problem, name="other")) == hash(problem)
    assert form(m0=1) != form(m1=1)
