"""Tile groups compute what their problems say, whatever the tiling: evaluated byte by byte."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.compiler.dialects import tile
from npuc.compiler.schedule.build import GroupMemory, build_group
from npuc.compiler.schedule.problem import GroupProblem
from npuc.compiler.schedule.search import SearchOptions, choose_tiling
from npuc.compiler.schedule.striping.rows import restrict
from npuc.compiler.schedule.tiling import Candidates, Tiling, acc_bytes, spm_bytes, transfer_counts
from npuc.compiler.xdsl_api import Block, Builtin, Context, ModuleOp, Parser, Region
from npuc.isa.descriptors import Space
from npuc.isa.target import Target
from tests.compiler.schedule.problems import (
    TINY,
    Array,
    conv,
    depthwise,
    elementwise,
    matmul,
    pooling,
    random_inputs,
    tiled_problems,
    value_of,
)
from tests.compiler.schedule.tile_evaluation import GARBAGE, Evaluation, evaluate


def built(
    problem: GroupProblem, tiling: Tiling, target: Target = TINY
) -> tuple[ModuleOp, tile.GroupOp]:
    """A verified module with one program, one core and the group."""
    program, core = tile.ProgramOp(), tile.CoreOp(0, Region(Block()))
    tensors = []
    for argument in range(max(o.argument for o in problem.operands) + 1):
        o = next(o for o in problem.operands if o.argument == argument)
        segment = "output" if o.queue == "st" else "input"
        kind = tile.DramType(tile.TensorSpec(o.shape, o.dtype))
        tensor = tile.TensorOp(o.name, segment, kind)
        program.body.block.add_op(tensor)
        tensors.append(tensor.tensor)
    group = build_group(problem, tiling, target, GroupMemory(tensors))
    core.body.block.add_op(group)
    program.body.block.add_op(core)
    module = ModuleOp([program])
    module.verify()
    return module, group


def parsed(text: str) -> ModuleOp:
    ctx = Context()
    ctx.load_dialect(Builtin)
    ctx.load_dialect(tile.Tile)
    return Parser(ctx, text).parse_module()


def run(problem: GroupProblem, tiling: Tiling, inputs: Sequence[Array]) -> Evaluation:
    result = problem.operands[problem.vector.outputs[0]]
    garbage = np.full(result.shape, GARBAGE).astype(result.dtype.numpy)
    return evaluate(built(problem, tiling)[1], [*inputs, garbage])


def result_of(problem: GroupProblem, evaluation: Evaluation) -> Array:
    result = problem.operands[problem.vector.outputs[0]]
    raw = list(evaluation.tensors.values())[result.argument]
    return raw.view(result.dtype.numpy).reshape(result.shape)


@given(tiled_problems(), st.integers(0, 99))
def test_tiles_compute_the_problem(case: tuple[GroupProblem, Tiling], seed: int) -> None:
    problem, tiling = case
    inputs = random_inputs(problem, seed)
    evaluation = run(problem, tiling, inputs)
    np.testing.assert_array_equal(result_of(problem, evaluation), value_of(problem, inputs))


@given(tiled_problems())
def test_tiles_cover_the_output_exactly_once(case: tuple[GroupProblem, Tiling]) -> None:
    problem, tiling = case
    evaluation = run(problem, tiling, random_inputs(problem, 0))
    (counts,) = evaluation.stores.values()
    assert (counts == 1).all()


@given(tiled_problems())
def test_ragged_tiles_do_no_more_than_their_share(case: tuple[GroupProblem, Tiling]) -> None:
    """True extents: every multiply-accumulate and every vector point happens exactly once."""
    problem, tiling = case
    evaluation = run(problem, tiling, random_inputs(problem, 0))
    work = problem.extents if problem.contraction is None else problem.extents[:4]
    assert (evaluation.macs, evaluation.points) == (problem.macs, prod(work))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 0, 1, 2)])
@pytest.mark.parametrize("cut", [(2, 3, 5), (1, 2, 5), (1, 1, 2), (1, 1, 5)])
def test_cut_reductions_add_up(cut: tuple[int, ...], order: tuple[int, ...]) -> None:
    problem = conv((2, 6, 7, 5), (3, 3, 5), (1, 1, 1), True)
    inputs = random_inputs(problem, 5)
    evaluation = run(problem, Tiling((1, 4, 7, 3, *cut), order, 2, 2), inputs)
    np.testing.assert_array_equal(result_of(problem, evaluation), value_of(problem, inputs))


@given(tiled_problems())
def test_text_round_trips(case: tuple[GroupProblem, Tiling]) -> None:
    module, _ = built(*case)
    again = parsed(str(module))
    again.verify()
    assert str(again) == str(module)
    assert module.is_structurally_equivalent(again)


@given(tiled_problems())
def test_groups_move_and_hold_what_the_tiling_says(case: tuple[GroupProblem, Tiling]) -> None:
    problem, tiling = case
    evaluation = run(problem, tiling, random_inputs(problem, 0))
    moves = list(evaluation.moves.values())
    family = Candidates(np.array([tiling.tile]), tiling.order, tiling.depth, tiling.acc_depth)
    expected = [int(transfer_counts(problem, family, o)[0]) for o in problem.operands]
    assert sorted(moves) == sorted(expected)
    held = dict.fromkeys(Space, 0)
    for op in built(problem, tiling)[1].walk():
        if isinstance(op, tile.BufferOp):
            held[op.buffer.type.data.space] += op.buffer.type.data.n_bytes
    assert held == {
        Space.spm: spm_bytes(problem, tiling, TINY),
        Space.acc: acc_bytes(problem, tiling),
    }


@given(tiled_problems())
def test_slots_are_used_in_turn(case: tuple[GroupProblem, Tiling]) -> None:
    evaluation = run(*case, random_inputs(case[0], 0))
    assert all(r.acquired == r.released >= 1 for r in evaluation.rings.values())


@pytest.mark.parametrize("double_buffer", [True, False])
@pytest.mark.parametrize(
    "problem",
    [
        conv((2, 13, 11, 5), (3, 3, 17), (2, 1, 1), True),
        conv((1, 9, 9, 130), (3, 3, 40), (1, 2, 2)),
        matmul(3, (10, 300, 70), True),
        matmul(1, (1, 1111, 190)),
        depthwise((1, 30, 31, 33), 3, (1, 1, 1)),
        pooling((1, 31, 30, 50), 3, (2, 1, 1)),
        elementwise((2, 50, 51, 9), (False, True, False, True)),
    ],
    ids=lambda p: f"{p.name} {p.extents}",
)
def test_chosen_tilings_compute_the_problem(problem: GroupProblem, double_buffer: bool) -> None:
    tiling = choose_tiling(problem, TINY, SearchOptions(double_buffer)).tiling
    inputs = random_inputs(problem, 7)
    evaluation = run(problem, tiling, inputs)
    np.testing.assert_array_equal(result_of(problem, evaluation), value_of(problem, inputs))


def test_definition_agrees_with_a_direct_convolution() -> None:
    """The referee itself, against slices of a padded image."""
    problem = conv((2, 9, 8, 3), (3, 2, 4), (2, 2, 1), True)
    x, w, b = (a.astype(np.int64) for a in random_inputs(problem, 3))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=5)
    _, rows, columns, _ = problem.extents[:4]
    expected = np.zeros(problem.extents[:4], np.int64) + b
    for i in range(3):
        for j in range(2):
            window = padded[:, 2 * i :: 2, 2 * j :: 2][:, :rows, :columns]
            expected += window @ w[i, j]
    np.testing.assert_array_equal(value_of(problem, random_inputs(problem, 3)), expected)


def test_operands_of_one_tensor_share_an_argument() -> None:
    """x + x: two loads of one tensor, which the group names once."""
    problem = elementwise((1, 1, 4, 5), (True,) * 4)
    kind = tile.DramType(tile.TensorSpec((1, 1, 4, 5), problem.operands[0].dtype))
    x = tile.TensorOp("x", "input", kind).tensor
    y = tile.TensorOp("y", "output", kind).tensor
    tiling = Tiling((1, 1, 3, 5, 1, 1, 1), (0, 1, 2, 3), 2, 1)
    group = build_group(problem, tiling, TINY, GroupMemory([x, x, y]))
    assert len(group.arguments) == 2
    values = np.arange(20, dtype=np.int8).reshape(1, 1, 4, 5)
    evaluation = evaluate(group, [values, np.zeros((1, 1, 4, 5), np.int32)])
    np.testing.assert_array_equal(result_of_last(evaluation), 2 * values.ravel())


def result_of_last(evaluation: Evaluation) -> Array:
    return list(evaluation.tensors.values())[-1].view(np.int32)


def test_accumulation_starts_anew_for_each_output_tile() -> None:
    problem = matmul(1, (4, 9, 5))
    tiling = Tiling((1, 1, 3, 2, 1, 1, 4), (0, 1, 2, 3), 2, 2)
    module, _ = built(problem, tiling)
    (loop,) = re.findall(r"tile.for (%\d+) = 0 to 9 step 4", str(module))
    assert f"accumulate_if {loop}" in str(module)


@pytest.mark.parametrize("rows", [(0, 5), (3, 8), (2, 5)])
def test_the_last_tile_of_a_part_stores_nothing_beyond_it(rows: tuple[int, int]) -> None:
    """Beyond it another core may have stored already."""
    whole = elementwise((1, 8, 3, 4), [True] * 4)
    tiling = Tiling((1, 2, 3, 4, 1, 1, 1), (0, 1, 2, 3), 2, 2)
    evaluation = run(restrict(whole, 1, rows), tiling, random_inputs(whole, 0))
    (counts,) = evaluation.stores.values()
    by_row = counts.reshape(8, -1)
    assert (by_row[rows[0] : rows[1]] == 1).all()
    assert not by_row[: rows[0]].any() and not by_row[rows[1] :].any()
