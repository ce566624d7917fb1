"""What a group takes alone: within physical bounds, and close to the emulator over a network."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc import api
from npuc.compiler.schedule.estimate import Estimate, estimate
from npuc.compiler.schedule.expectation import expected_cycles
from npuc.compiler.schedule.problem import GroupProblem, Home
from npuc.compiler.schedule.search import without_origin
from npuc.compiler.schedule.tiling import OUTER_M, Candidates, Tiling
from npuc.isa.target import Target
from npuc.runtime.layer_activity import estimates
from npuc.runtime.profiling import profile_program
from npuc.runtime.sample_data import QDQ_INT8, sample_model
from tests.compiler.schedule.problems import EDGE, TINY, conv, tiled_problems

MIDDLE, WORST = 0.05, 0.25  # relative errors that no set below exceeds


@given(tiled_problems(), st.sampled_from([TINY, EDGE]))
def test_no_engine_takes_longer_and_less_than_all_in_turn(
    case: tuple[GroupProblem, Tiling], target: Target
) -> None:
    problem, tiling = case
    found = expected_cycles(without_origin(problem), tiling, target)
    in_turn = cost(problem, replace(tiling, depth=1, acc_depth=1), target)
    assert max(in_turn.mxu_cycles, in_turn.vpu_cycles) <= found
    assert found <= in_turn.cycles + target.dram.latency_cycles


def test_what_lies_in_spm_takes_no_time_and_two_slots_overlap() -> None:
    problem = without_origin(conv((1, 14, 14, 64), (3, 3, 64), (1, 1, 1)))
    tiling = Tiling((1, 7, 14, 32, 3, 3, 64), OUTER_M, 2, 2)
    resident = tuple(replace(o, home=Home.spm) for o in problem.operands)
    at_best = expected_cycles(replace(problem, operands=resident), tiling, EDGE)
    in_turns = expected_cycles(problem, replace(tiling, depth=1, acc_depth=1), EDGE)
    assert at_best < expected_cycles(problem, tiling, EDGE) < in_turns


def cost(problem: GroupProblem, tiling: Tiling, target: Target) -> Estimate:
    tiles = np.array([tiling.tile], np.int64)
    candidates = Candidates(tiles, tiling.order, tiling.depth, tiling.acc_depth)
    return estimate(problem, target, candidates).row(0)


@pytest.mark.parametrize("target", ["tiny", "edge", "ref-2048"])
@pytest.mark.parametrize("level", [1, 2])
def test_layers_of_a_network_take_alone_what_is_expected(target: str, level: int) -> None:
    result = api.compile(sample_model(QDQ_INT8), target, level=level, dims={"batch": 1})
    assert result.program is not None
    expected = estimates(result.remarks)
    report = profile_program(result.program)
    errors = [abs(expected[a.group] / a.alone_cycles - 1) for a in report.activities]
    assert median(errors) <= MIDDLE
    assert max(errors) <= WORST
