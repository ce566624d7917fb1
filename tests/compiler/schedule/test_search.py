"""The search: its choice fits, is the best by its own measure, and respects what is physical."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product
from math import ceil
from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from npuc.compiler.dialects.tile_structure import MAX_LOOP_NEST
from npuc.compiler.schedule.estimate import (
    Estimate,
    _slowed,
    estimate,
    slot_strides,
)
from npuc.compiler.schedule.problem import K_DIMS, PARALLEL, GroupProblem
from npuc.compiler.schedule.search import (
    CROWD_TOLERANCE,
    CYCLE_TOLERANCE,
    Choice,
    Preference,
    SearchOptions,
    _quotients,
    _reduction_tiles,
    _sizes,
    _suits_machine,
    choose_tiling,
    search_tilings,
)
from npuc.compiler.schedule.tiling import (
    OUTER_M,
    OUTER_N,
    Candidates,
    Tiling,
    boxes,
    fits,
    spm_bytes,
    transfer_counts,
)
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
    operand,
    tiled_problems,
)

OPTIONS = st.builds(SearchOptions)
SMALL = replace(
    TINY,
    spm=replace(TINY.spm, capacity_bytes=1024),
    acc=replace(TINY.acc, capacity_bytes=256),
)
TARGETS = st.sampled_from([SMALL, TINY, EDGE])
LAYERS = [
    conv((1, 224, 224, 3), (7, 7, 64), (2, 1, 3)),
    conv((1, 7, 7, 512), (3, 3, 512), (1, 1, 1)),
    conv((2, 28, 28, 130), (3, 3, 97), (1, 1, 1), True),
    matmul(1, (1, 4096, 4096)),
    matmul(12, (512, 64, 512), True),
    depthwise((1, 112, 112, 96), 3, (1, 1, 1)),
    elementwise((4, 60, 60, 60), (True,) * 4),
]


def name_of(value: object) -> str:
    return f"{value.name} {value.extents}" if isinstance(value, GroupProblem) else ""


def cost(problem: GroupProblem, tiling: Tiling, target: Target) -> Estimate:
    tiles = np.array([tiling.tile], np.int64)
    one = Candidates(tiles, tiling.order, tiling.depth, tiling.acc_depth)
    return estimate(problem, target, one).row(0)


def every_tiling(problem: GroupProblem, target: Target) -> Iterator[Tiling]:
    """What the search may choose for a problem so small that no size is skipped."""
    sizes = [sorted({-(-e // p) for p in range(1, e + 1)}) for e in problem.extents]
    if problem.contraction is None:
        sizes[PARALLEL:] = [[e] for e in problem.extents[PARALLEL:]]
    else:
        for dim in problem.operands[problem.contraction.w].dims & {0, 1, 2}:
            sizes[dim] = [1]
    for tile in product(*sizes):
        if not is_contiguous(problem, tile):
            continue
        for order, depth in product((OUTER_M, OUTER_N), (1, 2)):
            yield Tiling(tile, order, depth, depth)


def is_contiguous(problem: GroupProblem, tile: tuple[int, ...]) -> bool:
    """Whether the flattened reduction indices of each command are one ascending range."""
    whole = problem.extents[PARALLEL:]
    steps = (whole[1] * whole[2], whole[2], 1)
    at = [
        sum(i * s for i, s in zip(point, steps, strict=True))
        for point in product(*(range(t) for t in tile[PARALLEL:]))
    ]
    return at == list(range(len(at)))


@given(PROBLEMS, TARGETS, OPTIONS)
def test_choices_fit(problem: GroupProblem, target: Target, options: SearchOptions) -> None:
    choice = chosen(problem, target, options)
    assert fits(problem, choice.tiling, target)
    assert sum(t > 1 for t in choice.tiling.trips(problem)) <= MAX_LOOP_NEST
    assert all(1 <= t <= e for t, e in zip(choice.tiling.tile, problem.extents, strict=True))
    assert options.double_buffer or choice.tiling.depth == choice.tiling.acc_depth == 1
    assert choice.estimate == cost(problem, choice.tiling, target)


def chosen(problem: GroupProblem, target: Target, options: SearchOptions) -> Choice:
    """The choice; problems that no tile of the target holds are left out."""
    try:
        return choose_tiling(problem, target, options)
    except CompileError:
        assume(False)
        raise


@given(PROBLEMS, TARGETS)
def test_reductions_are_cut_into_contiguous_ranges(problem: GroupProblem, target: Target) -> None:
    tile = chosen(problem, target, SearchOptions()).tiling.tile
    assert is_contiguous(problem, tile)
    assert problem.contraction or tile[PARALLEL:] == problem.extents[PARALLEL:]


@given(PROBLEMS, TARGETS, OPTIONS)
def test_choices_are_deterministic(
    problem: GroupProblem, target: Target, options: SearchOptions
) -> None:
    first = chosen(problem, target, options)
    again = search_tilings.__wrapped__(replace(problem, name="again"), target, options)
    assert again == first


SMALL_PROBLEMS = [
    conv((1, 6, 6, 8), (2, 2, 16), (1, 1, 0)),
    conv((1, 5, 7, 3), (3, 3, 24), (1, 1, 1), True),
    conv((2, 4, 4, 16), (1, 1, 8), (1, 1, 0)),
    matmul(1, (16, 40, 24)),
    matmul(2, (9, 17, 10), True),
    depthwise((1, 8, 8, 8), 3, (1, 1, 1)),
    elementwise((2, 6, 8, 10), (False, False, True, True)),
]


@pytest.mark.parametrize("target", [SMALL, TINY], ids=["1 KiB", "tiny"])
@pytest.mark.parametrize("problem", SMALL_PROBLEMS, ids=name_of)
@pytest.mark.parametrize("uncrowded", [False, True])
def test_no_tiling_is_much_faster(problem: GroupProblem, target: Target, uncrowded: bool) -> None:
    """Against plain enumeration of every size, order and depth, one by one."""
    choice = choose_tiling(problem, target, SearchOptions(uncrowded=uncrowded))
    families: dict[tuple[tuple[int, ...], int], list[tuple[int, ...]]] = {}
    for tiling in every_tiling(problem, target):
        if fits(problem, tiling, target):
            families.setdefault((tiling.order, tiling.depth), []).append(tiling.tile)
    costs = [
        estimate(problem, target, Candidates(np.array(tiles), order, depth, depth))
        for (order, depth), tiles in families.items()
    ]
    crowded = np.concatenate([c.crowded_cycles for c in costs])
    cycles = np.concatenate([c.overlapped_cycles for c in costs])
    if uncrowded:
        cycles = cycles[crowded <= crowded.min() * (1 + CROWD_TOLERANCE)]
    fewest = cycles.min()
    assert choice.estimate.overlapped_cycles <= fewest * (1 + CYCLE_TOLERANCE)


@given(PROBLEMS, TARGETS, OPTIONS)
def test_a_third_slot_is_taken_where_it_fits_alone(
    problem: GroupProblem, target: Target, options: SearchOptions
) -> None:
    two = chosen(problem, target, options).tiling
    three = chosen(problem, target, replace(options, three_slots=True)).tiling
    deeper = replace(two, depth=3)
    fits = spm_bytes(problem, deeper, target) <= options.limits(target)[0]
    assert three == (deeper if two.depth == 2 and fits else two)


@given(PROBLEMS, TARGETS, OPTIONS)
def test_what_is_preferred_orders_tilings_of_about_the_same_cost(
    problem: GroupProblem, target: Target, options: SearchOptions
) -> None:
    """Each preference is the best of all in its own figure; all are within the tolerance."""
    assume(options.by_cost)
    by_name = {
        p: chosen(problem, target, replace(options, prefers=p)) for p in get_args(Preference)
    }
    ranked = [chosen(problem, target, replace(options, rank=rank)) for rank in range(3)]
    found = [*by_name.values(), *ranked]
    traffic = [c.estimate.dram_bytes for c in found]
    cycles = [c.estimate.overlapped_cycles for c in found]
    assert by_name["little traffic"] == ranked[0]
    assert traffic[0] == min(traffic)
    assert traffic[-3:] == sorted(traffic[-3:])
    assert by_name["fewest cycles"].estimate.overlapped_cycles == min(cycles)
    alone = by_name["fewest cycles alone"].estimate.cycles
    assert alone == min(c.estimate.cycles for c in found)
    assert max(cycles) <= min(cycles) * (1 + CYCLE_TOLERANCE)
    few, many = (by_name[p].estimate.dram_bytes for p in ("few tiles", "many tiles"))
    assert few == many == traffic[0], "tiles are counted where traffic is equal"


def test_queues_that_move_at_once_slow_each_other() -> None:
    """Two queues move 100 of their 150 cycles each, each two thirds of the time beside the other.

    One that has DRAM for itself is not slowed.
    """
    two, one = np.array([100.0]), np.array([0.0])
    busy = np.array([150])
    assert _slowed(busy, (two, two + two), busy).tolist() == [150 + 100 * 100 // 150]
    assert _slowed(busy, (two, two + one), busy).tolist() == [150]


@given(PROBLEMS, TARGETS)
def test_crowded_cycles_are_never_fewer(problem: GroupProblem, target: Target) -> None:
    tilings = list(islice(every_tiling(problem, target), 200))
    families = Candidates(np.array([t.tile for t in tilings]), OUTER_M, 2, 2)
    costs = estimate(problem, target, families)
    assert (costs.crowded_cycles >= costs.overlapped_cycles).all()


@pytest.mark.parametrize("target", [TINY, EDGE], ids=lambda t: t.name)
@pytest.mark.parametrize("problem", LAYERS, ids=name_of)
def test_choices_of_layers_stay_near_the_fewest_cycles(
    problem: GroupProblem, target: Target
) -> None:
    """The tolerance is measured once, from the best of all orders and depths."""
    choice = choose_tiling(problem, target, SearchOptions())
    size = [_sizes(e, 1)[:6] for e in problem.extents[:PARALLEL]]
    if problem.contraction and problem.operands[1].dims & {1}:
        size[1] = (1,)
    cut = choice.tiling.tile[PARALLEL:]
    for order, depth in product((OUTER_M, OUTER_N), (1, 2)):
        tilings = [Tiling((*tile, *cut), order, depth, depth) for tile in product(*size)]
        tiles = [t.tile for t in tilings if fits(problem, t, target)]
        if not tiles:
            continue
        costs = estimate(problem, target, Candidates(np.array(tiles), order, depth, depth))
        slowest = int(costs.cycles.min()) * (1 + CYCLE_TOLERANCE) * 1.05  # other granules
        assert choice.estimate.cycles <= slowest


def test_the_bound_never_exceeds_the_cost() -> None:
    """Two image rows 64 bytes apart share a bank of tiny: a row of A takes two cycles."""
    problem = conv((1, 4, 32, 2), (3, 3, 8), (1, 1, 0))
    tiles = np.array([t.tile for t in every_tiling(problem, TINY)], np.int64)
    family = Candidates(tiles, OUTER_M, 2, 2)
    bound = estimate(problem, TINY, family, row_cycles=1)
    true = estimate(problem, TINY, family)
    assert (bound.cycles <= true.cycles).all()
    assert (bound.mxu_cycles < true.mxu_cycles).any()
    assert (bound.dram_bytes == true.dram_bytes).all()


def test_equal_rows_of_a_share_one_look() -> None:
    """Costs of many tiles at once are those of each tile alone."""
    problem = conv((1, 4, 32, 2), (3, 3, 8), (1, 1, 0))
    tiles = np.array([t.tile for t in every_tiling(problem, TINY)][::37], np.int64)
    together = estimate(problem, TINY, Candidates(tiles, OUTER_N, 2, 2))
    for row, tile in enumerate(tiles.tolist()):
        assert cost(problem, Tiling(tuple(tile), OUTER_N, 2, 2), TINY) == together.row(row)


@given(tiled_problems(), st.sampled_from([TINY, EDGE]))
def test_estimates_respect_the_machine(case: tuple[GroupProblem, Tiling], target: Target) -> None:
    problem, tiling = case
    costs = cost(problem, tiling, target)
    rate = target.dram.bytes_per_cycle * target.dram.efficiency
    assert costs.cycles >= problem.macs / target.mxu.macs_per_cycle
    assert costs.cycles >= costs.dram_bytes / rate
    assert costs.cycles >= max(costs.mxu_cycles, costs.vpu_cycles, costs.dma_cycles)


@given(tiled_problems())
def test_dram_bytes_are_at_least_what_is_moved(case: tuple[GroupProblem, Tiling]) -> None:
    """Every transfer's box, clipped to the tensor at its widest, in bytes."""
    problem, tiling = case
    family = Candidates(np.array([tiling.tile]), tiling.order, tiling.depth, tiling.acc_depth)
    moved = 0
    for o in problem.operands:
        clipped = [min(b, e) for b, e in zip(o.box(tiling.tile), o.shape, strict=True)]
        n_bytes = int(np.prod(clipped)) * o.dtype.bytes
        moved += n_bytes * int(transfer_counts(problem, family, o)[0])
    burst = TINY.dram.burst_bytes
    assert cost(problem, tiling, TINY).dram_bytes >= moved
    assert cost(problem, tiling, TINY).dram_bytes % burst == 0


@given(tiled_problems())
def test_overlap_never_costs_more(case: tuple[GroupProblem, Tiling]) -> None:
    """Two slots against one: at most one tile's way through all engines longer."""
    problem, tiling = case
    single = cost(problem, replace(tiling, depth=1, acc_depth=1), TINY)
    double = cost(problem, replace(tiling, depth=2, acc_depth=2), TINY)
    assert double.cycles <= 2 * single.cycles
    assert double.dram_bytes == single.dram_bytes


@given(tiled_problems())
def test_slot_strides_are_row_major(case: tuple[GroupProblem, Tiling]) -> None:
    problem, tiling = case
    tiles = np.array([tiling.tile])
    for o in problem.operands:
        packed = np.zeros(o.box(tiling.tile), o.dtype.numpy).strides
        expected = [
            sum(f.coefficients[d] * s for f, s in zip(o.forms, packed, strict=True))
            for d in range(7)
        ]
        assert slot_strides(o, boxes(o, tiles))[0].tolist() == expected


def test_transposed_weights_cost_more() -> None:
    """W as N x K in DRAM: its n dimension does not lie side by side in SPM."""
    problem = matmul(1, (8, 64, 64))
    a, w, y = problem.operands
    flipped = operand(1, "w", (w.forms[1], w.forms[0]), (64, 64), queue="ld1")
    turned = replace(problem, operands=(a, flipped, y))
    tiling = Tiling((1, 1, 8, 64, 1, 1, 64), OUTER_M, 2, 1)
    assert cost(turned, tiling, TINY).mxu_cycles > cost(problem, tiling, TINY).mxu_cycles


@pytest.mark.parametrize("double_buffer", [True, False])
def test_level_0_takes_the_largest_tile(double_buffer: bool) -> None:
    problem = matmul(1, (64, 128, 200))
    options = SearchOptions(double_buffer, by_cost=False)
    largest = choose_tiling(problem, TINY, options)
    searched = choose_tiling(problem, TINY, SearchOptions(double_buffer))
    assert np.prod(largest.tiling.tile) >= np.prod(searched.tiling.tile)
    assert largest.considered == searched.considered


def test_nests_are_never_too_deep() -> None:
    """All seven dimensions would be cut by the smallest tiles alone."""
    target = replace(TINY, acc=replace(TINY.acc, capacity_bytes=256))
    target = replace(target, spm=replace(TINY.spm, capacity_bytes=2048))
    problem = conv((4, 40, 40, 1024), (3, 3, 512), (1, 1, 1))
    tiling = choose_tiling(problem, target, SearchOptions()).tiling
    assert sum(t > 1 for t in tiling.trips(problem)) <= MAX_LOOP_NEST


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (depthwise((1, 400, 400, 8), 300, (1, 1, 0)),
         ["depthwise", "180016 bytes of SPM", "90000 of them for tensor",
          "65536 bytes of SPM, 8192 of ACC (tiny)", "larger target"]),
    ],
)  # fmt: skip
def test_groups_that_fit_no_tile_say_why(problem: GroupProblem, words: list[str]) -> None:
    with pytest.raises(CompileError) as caught:
        choose_tiling(problem, TINY, SearchOptions())
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, str(caught.value)


@given(st.integers(1, 3000))
def test_quotients_are_all_of_them(extent: int) -> None:
    assert _quotients(extent) == {ceil(extent / parts) for parts in range(1, extent + 1)}


@given(st.integers(1, 10**9), st.sampled_from([1, 8, 32, 256]))
def test_sizes_span_the_extent(extent: int, granule: int) -> None:
    sizes = _sizes(extent, granule)
    assert list(sizes) == sorted(set(sizes), reverse=True)
    assert len(sizes) <= 12 + extent.bit_length() * (granule > 1)
    assert sizes[0] == extent and sizes[-1] == 1
    assert all(s <= granule or s % granule == 0 or s == extent for s in sizes)


def test_all_cuts_of_reductions_are_contiguous() -> None:
    problem = conv((1, 9, 9, 24), (3, 4, 8), (1, 1, 0))
    cuts = _reduction_tiles(problem, [1] * 7)
    assert len(cuts) > 8
    assert all(is_contiguous(problem, (1, 1, 1, 1, *cut)) for cut in cuts)


def test_tiles_that_cut_all_dimensions_do_not_suit() -> None:
    problem = conv((2, 9, 9, 24), (3, 4, 8), (1, 1, 0))
    tiles = np.array([(1,) * 7, (2, 1, 1, 1, 1, 1, 1)], np.int64)
    assert _suits_machine(problem, tiles).tolist() == [False, True]


def test_k_dims_are_cut_where_the_whole_reduction_does_not_fit() -> None:
    tiling = choose_tiling(matmul(1, (1, 100_000, 8)), TINY, SearchOptions()).tiling
    assert tiling.tile[K_DIMS[2]] < 100_000
