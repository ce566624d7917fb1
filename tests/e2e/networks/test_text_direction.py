"""A trained classifier of text direction from a pip package: every decision as ONNX Runtime's."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import pytest

from models.text_direction import (
    COUNT,
    SHAPE,
    model_path,
    quantised_classifier,
    rendered_lines,
    with_fixed_shape,
)
from npuc.compiler.options import CompileOptions
from npuc.emulator.machine import load
from npuc.isa.program import Program
from npuc.runtime.verification import VerifyOptions, verify_model
from tests.e2e.whole_path import Tensor, compile_watched, onnx_runtime

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: extra 'verify'")
pytest.importorskip("PIL", reason="Pillow is not installed: extra 'test'")
if model_path() is None:
    pytest.skip(
        "rapidocr-onnxruntime is not installed: pip install --no-deps rapidocr-onnxruntime==1.4.4",
        allow_module_level=True,
    )

PRECISIONS = ("fp32", "int8")
TARGETS = ("edge", "ref-2048")
SOME = 8
CALIBRATION = 16
LARGEST = {"fp32": 1e-5, "int8": 0.1}  # difference of a probability
MIN_MARGIN = 0.5  # between the two probabilities: no decision hangs on rounding


@cache
def model(precision: str) -> onnx.ModelProto:
    path = model_path()
    assert path is not None
    trained = onnx.load(path)
    if precision == "fp32":
        return with_fixed_shape(trained)
    calibration, _ = rendered_lines(CALIBRATION, seed=1)
    return quantised_classifier(trained, calibration)


@cache
def lines() -> tuple[list[dict[str, Tensor]], Tensor]:
    rendered, labels = rendered_lines()
    return [{"x": line} for line in rendered], labels


@cache
def judged(precision: str) -> Tensor:
    outputs = [onnx_runtime(model(precision), line) for line in lines()[0]]
    return np.concatenate([value for each in outputs for value in each.values()])


@cache
def program(precision: str, target: str) -> Program:
    data = model(precision).SerializeToString()
    return compile_watched(data, CompileOptions(target=target)).program


def test_the_lines_are_forty_different_ones_half_of_them_turned() -> None:
    inputs, labels = lines()
    assert len({line["x"].tobytes() for line in inputs}) == COUNT
    assert all(line["x"].shape == SHAPE and line["x"].std() > 0.1 for line in inputs)
    assert labels.sum() * 2 == COUNT


@pytest.mark.parametrize("precision", PRECISIONS)
def test_onnx_runtime_tells_every_line_with_a_margin(precision: str) -> None:
    np.testing.assert_array_equal(judged(precision).argmax(axis=1), lines()[1])
    assert np.abs(np.diff(judged(precision), axis=1)).min() > MIN_MARGIN


def check_decisions(precision: str, target: str, count: int) -> None:
    """The machine decides on the first ``count`` lines as ONNX Runtime does."""
    loaded = load(program(precision, target))
    outputs = [loaded.run(line).outputs for line in lines()[0][:count]]
    got = np.concatenate([value for each in outputs for value in each.values()])
    want = judged(precision)[:count]
    np.testing.assert_array_equal(got.argmax(axis=1), want.argmax(axis=1))
    np.testing.assert_allclose(got, want, rtol=0, atol=LARGEST[precision])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_machine_decides_as_onnx_runtime_on_some(precision: str) -> None:
    check_decisions(precision, "edge", SOME)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_machine_decides_as_onnx_runtime_on_all(precision: str, target: str) -> None:
    check_decisions(precision, target, COUNT)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_level_is_verified(precision: str, target: str) -> None:
    (line, *_), _ = lines()
    data = model(precision).SerializeToString()
    report = verify_model(data, CompileOptions(target=target), VerifyOptions(inputs=line))
    assert report.passed, report.first_failure
