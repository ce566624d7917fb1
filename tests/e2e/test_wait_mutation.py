"""Every single wait of whole programs: taking it out is a race, or changes nothing."""

from pathlib import Path

import numpy as np
import pytest

from npuc.compiler.driver import compile_model
from npuc.compiler.options import CompileOptions
from npuc.emulator.machine import RunOptions, run
from npuc.emulator.strict import check, wait_fields, without_wait
from tests.e2e.tile_files import SHAPES, compile_wall, expected, random_case

MODEL = Path(__file__).parents[2] / "models" / "mnist" / "mnist_cnn_qop_s8s8.onnx"


@pytest.mark.parametrize("target", ["tiny", "edge"])
def test_each_wait_of_a_compiled_model_is_needed_or_shown_redundant(target: str) -> None:
    program = compile_model(MODEL, CompileOptions(target=target, dims={"batch": 1})).program
    assert program is not None
    assert check(program) == ()
    fields = list(wait_fields(program))
    kinds = [{finding.kind for finding in check(without_wait(program, field))} for field in fields]
    assert all("race" in found or not found for found in kinds)
    caught = sum("race" in found for found in kinds)
    assert caught > 0.8 * len(fields), f"{caught} of {len(fields)} waits are needed"


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_each_wait_is_needed_or_shown_redundant(name: str) -> None:
    x, weights = random_case(name)
    program = compile_wall(name, weights)
    want = expected(name, x, weights)
    fields = list(wait_fields(program))
    assert fields
    redundant = []
    for field in fields:
        mutant = without_wait(program, field)
        findings = check(mutant)
        assert {f.kind for f in findings} <= {"race", "uninitialised"}, findings[0]
        if not findings:
            redundant.append(field)
            result = run(mutant, {"x": x}, RunOptions(strict=True))
            np.testing.assert_array_equal(result.outputs["y"], want)
    assert len(redundant) < len(fields) / 2, f"mostly needless waits: {redundant}"
