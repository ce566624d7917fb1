"""Every operator case from ONNX to the emulator: the bits of the graph after partition."""

from __future__ import annotations

import pytest

from npuc.compiler.driver import compile_model
from npuc.compiler.interpreter import evaluate
from npuc.compiler.options import CompileOptions
from npuc.emulator.machine import run
from tests.compiler.ops.cases import CASES, Case


@pytest.mark.parametrize("target", ["tiny", "edge"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_emulated_bits(case: Case, target: str) -> None:
    model = case.model.SerializeToString()
    graph = compile_model(model, CompileOptions(stop_after="partition"))
    want = evaluate(graph.module, case.inputs, graph.ctx.consts)
    program = compile_model(model, CompileOptions(target=target)).program
    assert program is not None
    got = run(program, case.inputs).outputs
    assert list(got) == list(want)
    for name, value in want.items():
        assert got[name].dtype == value.dtype
        assert got[name].shape == value.shape
        assert got[name].tobytes() == value.tobytes(), name
