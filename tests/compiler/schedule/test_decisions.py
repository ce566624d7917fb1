"""Decisions that do not fit together give way; those of a file are found in the program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from npuc.compiler.driver import compile_model
from npuc.compiler.options import CompileOptions
from npuc.compiler.schedule import decisions
from npuc.compiler.schedule.data import Resident, RunSchedule, Schedule
from npuc.compiler.schedule.plan import PlanOptions, plan_program
from npuc.compiler.schedule.program import (
    Buffer,
    Job,
    ProgramPlan,
    StripedRun,
    TensorFacts,
    Work,
)
from npuc.compiler.schedule.replay import Replay
from npuc.emulator.machine import run
from npuc.isa.errors import CompileError
from npuc.isa.target import Target
from tests.compiler.schedule.problems import elementwise
from tests.e2e.whole_path import MNIST

A, B = ("a",), ("b",)
MODEL = MNIST / "mnist_cnn_qdq_int8.onnx"


def test_nothing_stays_where_rings_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def crowded(work: Work, target: Target, options: PlanOptions) -> ProgramPlan:
        """A plan that leaves no byte to the rings as long as anything may stay."""
        plan = plan_program(work, target, options)
        if options.resident:
            plan.buffers = [replace(b, n_bytes=target.spm.capacity_bytes) for b in plan.buffers]
            assert plan.buffers and isinstance(plan.buffers[0], Buffer)
        return plan

    options = CompileOptions("edge", 2, {"batch": 1})
    want = compile_model(MODEL, options).program
    monkeypatch.setattr(decisions, "plan_program", crowded)
    result = compile_model(MODEL, options)
    assert any("too little SPM for tensors that stay" in r.message for r in result.remarks)
    assert want is not None and result.program is not None
    x = {"x": np.random.default_rng(0).standard_normal((1, 1, 28, 28)).astype(np.float32)}
    for name, value in run(want, x).outputs.items():
        np.testing.assert_array_equal(run(result.program, x).outputs[name], value)


def test_runs_are_found_by_nodes_length_and_core() -> None:
    """One node can be several groups: the first of them begins the run unless turns say else."""
    problem = elementwise((1, 1, 4, 8), [True] * 4)
    jobs = tuple(Job(problem, (n, n, n + 1), nodes) for n, nodes in enumerate((A, A, B)))
    tensors = tuple(TensorFacts(f"t{n}", 32, "scratch") for n in range(4))

    def runs(core: int | None, *given: RunSchedule) -> tuple[StripedRun, ...] | None:
        return Replay(Schedule(stripes=given), Work(jobs, tensors, core=core), "text").runs()

    assert runs(None, RunSchedule(A, B, 2)) == (StripedRun(0, 2, 2),)
    assert runs(None, RunSchedule(A, B, 2, (2, 0, 1))) == (StripedRun(0, 2, 2, (2, 0, 1)),)
    assert runs(None, RunSchedule(A, B, 2, (1, 0))) == (StripedRun(1, 2, 2, (1, 0)),)
    own, other = RunSchedule(A, B, 2, (1, 0), 1), RunSchedule(A, B, 3, (0, 1), 0)
    assert runs(1, own, other) == (StripedRun(1, 2, 2, (1, 0)),)
    assert runs(None, own, other) == ()
    with pytest.raises(CompileError, match="permutation of 0 to 2"):
        runs(None, RunSchedule(A, B, 2, (0, 1, 2, 3)))


def test_entries_for_a_core_without_that_work_are_not_used() -> None:
    """One for all cores may be for others; one for this core has to be of a tensor it touches."""
    problem = elementwise((1, 1, 4, 8), [True] * 4)
    jobs = tuple(Job(problem, (n, n, n + 1), nodes) for n, nodes in enumerate((A, B)))
    tensors = tuple(TensorFacts(f"t{n}", 32, "scratch") for n in range(4))
    own, foreign, shared = Resident("t1", 1), Resident("t3", 1), Resident("t1")
    replay = Replay(Schedule(resident=(own, foreign, shared)), Work(jobs, tensors, core=1), "text")
    assert replay.resident() == {1}
    assert replay.used == {own, shared}


def test_what_is_of_no_use_is_told_once_with_its_core(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    residents = Resident("nothing"), Resident("nothing", 3), Resident("nothing", 3)
    runs = RunSchedule(A, B, 2), RunSchedule(A, B, 3), RunSchedule(A, B, 2, core=3)
    path.write_text(Schedule((), residents, runs).to_json(), encoding="utf-8")
    result = compile_model(MODEL, CompileOptions("edge", 2, {"batch": 1}, schedule=path))
    told = [(r.message, r.nodes) for r in result.remarks if "it is ignored" in r.message]
    nothing, core = (
        "suits nothing in the model",
        "core 3 in the schedule file, but one core has all the work",
    )
    want = [(nothing, (*A, *B)), (core, (*A, *B)), (nothing, ("nothing",)), (core, ("nothing",))]
    assert [nodes for _, nodes in told] == [nodes for _, nodes in want]
    for (message, _), (words, _) in zip(told, want, strict=True):
        assert words in message


@pytest.mark.parametrize("core", [None, 0])
def test_a_misfit_that_may_be_for_other_cores_says_so(tmp_path: Path, core: int | None) -> None:
    path = tmp_path / "s.json"
    nobody = Resident("nothing", core)
    path.write_text(Schedule((), (nobody, Resident("x")), ()).to_json(), encoding="utf-8")
    with pytest.raises(CompileError) as caught:
        compile_model(MODEL, CompileOptions("edge", 2, {"batch": 1}, schedule=path))
    assert ("--cores that it was dumped with" in str(caught.value)) == (core is not None)
