"""Every operator case from ONNX to the emulator: the bits of the graph after partition."""

from __future__ import annotations

import pytest

from npuc.compiler.driver import compile_model
from npuc.compiler.interpreter import evaluate
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Observers
from npuc.compiler.xdsl_api import ModuleOp
from npuc.emulator.machine import run
from tests.compiler.ops.cases import CASES, Case


@pytest.mark.parametrize("target", ["tiny", pytest.param("edge", marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_emulated_bits(case: Case, target: str) -> None:
    partitioned: list[ModuleOp] = []

    def keep(stage: str, module: ModuleOp) -> None:
        if stage == "partition":
            partitioned.append(module.clone())

    model = case.model.SerializeToString()
    compiled = compile_model(
        model, CompileOptions(target=target), observers=Observers(after_stage=keep)
    )
    want = evaluate(partitioned[0], case.inputs, compiled.ctx.consts)
    program = compiled.program
    assert program is not None
    got = run(program, case.inputs).outputs
    assert list(got) == list(want)
    for name, value in want.items():
        assert got[name].dtype == value.dtype
        assert got[name].shape == value.shape
        assert got[name].tobytes() == value.tobytes(), name
