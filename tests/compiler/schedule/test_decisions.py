"""Decisions that do not fit together: what stays gives way to the rings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from npuc.compiler.driver import compile_model
from npuc.compiler.options import CompileOptions
from npuc.compiler.schedule import decisions
from npuc.compiler.schedule.plan import PlanOptions, plan_program
from npuc.compiler.schedule.program import Buffer, ProgramPlan, Work
from npuc.emulator.machine import run
from npuc.isa.target import Target
from tests.e2e.whole_path import MNIST

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
