"""The judges of a model's values: who speaks, and what is said when nobody can."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from npuc.isa.errors import ModelError
from npuc.runtime.sample_data import FP32, QDQ_INT8, QOPERATOR_INT8, load_digits, sample_model
from npuc.runtime.verification import referee
from tests.command_line import npuc


def digit() -> dict[str, np.ndarray]:
    return {"x": load_digits().as_input_NCHW()[:1]}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if ONNX Runtime were not installed."""
    monkeypatch.setattr(referee, "has_onnx_runtime", lambda: False)


def test_onnx_runtime_speaks_where_it_is_installed() -> None:
    pytest.importorskip("onnxruntime", reason="extra 'verify'")
    judgement = referee.judge(onnx.load(sample_model(FP32)), digit())
    assert judgement.judge == "ONNX Runtime"
    assert judgement.outputs["logits"].shape == (1, 10)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("name", [FP32, QDQ_INT8])
def test_onnx_itself_speaks_otherwise(name: str) -> None:
    outcome = npuc("verify", sample_model(name), "--dim", "batch=1")
    assert outcome.code == 0, outcome.out + outcome.err
    assert "onnx reference" in outcome.out


@pytest.mark.usefixtures("alone")
def test_operators_that_nobody_knows_are_told_with_the_remedy() -> None:
    command = ["verify", sample_model(QOPERATOR_INT8), "--dim", "batch=1"]
    outcome = npuc(*command)
    assert outcome.code == 2
    assert "pip install 'npuc[verify]'" in outcome.err
    assert npuc(*command, "--no-onnx").code == 0


def test_a_model_that_onnx_runtime_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="extra 'verify'")
    with pytest.raises(ModelError, match="ONNX Runtime cannot evaluate"):
        referee.judge(onnx.load(sample_model(FP32)), {"x": np.zeros((1, 2), np.float32)})


def test_the_evaluator_judges_what_onnx_runtime_refuses() -> None:
    """A file of a newer IR version than the installed ONNX Runtime reads still has a judge."""
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime (pip install 'npuc[verify]')")
    model = onnx.load(sample_model(FP32))
    model.ir_version = onnx.IR_VERSION + 1
    judgement = referee.judge(model, digit())
    assert judgement.judge == "onnx reference"
    assert judgement.outputs["logits"].shape == (1, 10)
