"""The demo does what it promises: right digits, right bits, and it says so."""

from __future__ import annotations

import re

import pytest

from npuc.runtime import demo
from npuc.runtime.sample_data import sample_folder
from npuc.runtime.verification import referee


def digits_right(out: str, who: str) -> int:
    (count,) = re.findall(rf"{who}: (\d+) of 200 digits right", out)
    return int(count)


def test_the_demo_classifies_verifies_and_shows_cycles(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime", reason="the demo compares with it: extra 'verify'")
    assert demo.main() == 0
    out = capsys.readouterr().out
    assert digits_right(out, "emulated NPU") == digits_right(out, "ONNX Runtime") >= 190
    assert "verified: mnist_cnn_qdq_int8.onnx on edge" in out
    assert "mma" in out, "a layer's instructions"
    assert re.search(r"^all +[\d,]+ +100.0%", out, re.MULTILINE), "the per-layer table"


def test_the_demo_works_without_onnx_runtime(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "has_onnx_runtime", lambda: False)
    monkeypatch.setattr(referee, "has_onnx_runtime", lambda: False)
    assert demo.main() == 0
    out = capsys.readouterr().out
    assert "not installed; pip install 'npuc[verify]'" in out
    assert "verified:" in out


def test_the_sample_files_are_found() -> None:
    assert (sample_folder() / "digits.npz").is_file()
