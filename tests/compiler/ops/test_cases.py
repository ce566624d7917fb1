"""Every operator case: against ONNX Runtime, across stages, optimisation levels and kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from npuc.compiler.dialects.nn import GenericOp
from npuc.compiler.driver import CompileResult, compile_model
from npuc.compiler.interpreter import Memo, evaluate
from npuc.compiler.legality import NN_STAGES
from npuc.compiler.ops import has_interface, infer
from npuc.compiler.ops.scalar_ops import kernel_of
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Observers
from npuc.isa.descriptors import Kernel
from tests.compiler.ops.cases import CASES, Case

ort = pytest.importorskip("onnxruntime")
FIXED_FROM = NN_STAGES.index("quantize")


def runtime_outputs(case: Case) -> list[Any]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(case.model.SerializeToString(), options)
    return session.run(None, case.inputs)


def stage_outputs(case: Case, level: int) -> tuple[CompileResult, dict[str, list[Any]]]:
    """Outputs of the graph after each nn stage."""
    values: dict[str, list[Any]] = {}
    modules = {}
    observers = Observers(after_stage=lambda name, m: modules.__setitem__(name, m.clone()))
    options = CompileOptions(level=level, stop_after="partition", verify_each_pass=True)
    result = compile_model(case.model.SerializeToString(), options, observers=observers)
    memo = Memo()
    for name, module in modules.items():
        outputs = evaluate(module, case.inputs, result.ctx.consts, memo)
        values[name] = list(outputs.values())
    return result, values


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    expected = runtime_outputs(case)
    result, values = stage_outputs(case, level=2)
    assert list(values) == list(NN_STAGES)
    for stage in NN_STAGES:
        for got, want in zip(values[stage], expected, strict=True):
            check_close(case, stage, got, want)
    for stage in NN_STAGES[FIXED_FROM + 1 :]:
        assert_same_bits(values[stage], values["quantize"], stage)
    _, plain = stage_outputs(case, level=0)
    assert_same_bits(plain["partition"], values["partition"], "optimisation level 0")
    for op in result.module.walk():
        if isinstance(op, GenericOp):
            assert isinstance(kernel_of(op)[0], Kernel)
        if has_interface(op):
            assert infer(op) == tuple(r.type for r in op.results)


def check_close(case: Case, stage: str, got: Any, want: Any) -> None:
    assert got.shape == want.shape and got.dtype == want.dtype, stage
    if case.exact:
        np.testing.assert_array_equal(got, want, err_msg=stage)
        return
    distance = np.abs(got.astype(np.float64) - want.astype(np.float64))
    if case.steps is not None:
        step = 1.0 if got.dtype != np.float32 else case.tolerance
        assert distance.max() <= case.steps * step * 1.0001, stage
        assert np.sum(distance > step / 2) <= max(1, 0.01 * distance.size), stage
        return
    np.testing.assert_allclose(got, want, rtol=case.tolerance, atol=case.tolerance, err_msg=stage)


def assert_same_bits(a: list[Any], b: list[Any], what: str) -> None:
    for x, y in zip(a, b, strict=True):
        assert x.tobytes() == y.tobytes(), f"{what} changes bits"


def test_case_names_differ() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
