"""The plug-in as a user meets it: passes, golden files, failures that name layer and cause."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from npuc import api
from npuc.runtime.sample_data import QDQ_INT8, sample_model
from tests.runtime.test_drift import SLOW_PASS
from tests.runtime.test_verify_culprit import WRONG_CONSTANTS

pytest_plugins = ["pytester"]
PLUGIN = "npuc.runtime.pytest_plugin"
TEST = """
def test_digits(npu):
    npu.use({model!r}, dims={{"batch": 1}}, load={load!r})
    npu.golden({quantities})
"""
VERIFYING = """
def test_digits(npu):
    report = npu.verify({model!r}, dims={{"batch": 1}}, load={load!r})
    assert report.passed
"""


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """Everything that a run imports: pytester forgets modules, which numba does not survive."""
    api.verify(sample_model(QDQ_INT8), dims={"batch": 1}, onnx=False)


def write(pytester: pytest.Pytester, text: str, load: list[str], *quantities: str) -> Path:
    names = ", ".join(map(repr, quantities))
    source = text.format(model=str(sample_model(QDQ_INT8)), load=load, quantities=names)
    path = pytester.path / "test_mine.py"
    path.write_text(source)
    return path


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest("-p", PLUGIN, "-p", "no:cacheprovider", *arguments)


def test_figures_are_written_once_and_then_hold(pytester: pytest.Pytester) -> None:
    write(pytester, TEST, [], "cycles", "bytes", "bits")
    missing = run(pytester)
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(
        ["*test_mine.npu.json has no figures of test_digits*--npu-update*"]
    )
    run(pytester, "--npu-update").assert_outcomes(passed=1)
    stored = json.loads((pytester.path / "test_mine.npu.json").read_text())
    figures = stored["measurements"]["test_digits"]
    assert figures["cycles"] == sum(layer["cycles"] for layer in figures["layers"].values())
    assert "logits" in figures["bits"]
    run(pytester).assert_outcomes(passed=1)


def test_a_slower_layer_fails_and_is_named_with_its_cause(pytester: pytest.Pytester) -> None:
    write(pytester, TEST, [], "cycles")
    run(pytester, "--npu-update").assert_outcomes(passed=1)
    (pytester.path / "slow.py").write_text(SLOW_PASS)
    write(pytester, TEST, ["slow.py"], "cycles")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*node_linear: 296 -> * cycles (+5.*vpu busy*", "*--npu-update*"])
    write(pytester, TEST, ["slow.py"], "bytes")
    run(pytester).assert_outcomes(passed=1)


def test_other_bits_fail_at_the_first_tensor(pytester: pytest.Pytester) -> None:
    write(pytester, TEST, [], "bits")
    run(pytester, "--npu-update").assert_outcomes(passed=1)
    (pytester.path / "wrong.py").write_text(WRONG_CONSTANTS.format(after="fold-qdq"))
    write(pytester, TEST, ["wrong.py"], "bits")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*node_Conv_151*: other bits*"])


def test_verify_fails_with_the_verdict(pytester: pytest.Pytester) -> None:
    pytest.importorskip("onnxruntime", reason="the judge: extra 'verify'")
    write(pytester, VERIFYING, [])
    run(pytester).assert_outcomes(passed=1)
    (pytester.path / "wrong.py").write_text(WRONG_CONSTANTS.format(after="compose-generics"))
    write(pytester, VERIFYING, ["wrong.py"])
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*NOT verified*", "*first difference: nn after fuse*"])


def test_mistakes_are_told(pytester: pytest.Pytester) -> None:
    write(pytester, TEST, [], "speed")
    result = run(pytester)
    result.stdout.fnmatch_lines(["*unknown golden figures*"])
    (pytester.path / "test_mine.py").write_text("def test_digits(npu):\n    npu.golden()\n")
    result = run(pytester)
    result.stdout.fnmatch_lines(["*no model was chosen*"])


def test_the_plug_in_alone_imports_no_compiler(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import sys\ndef test_light():\n    assert 'xdsl' not in sys.modules\n")
    result = pytester.runpytest_subprocess("-p", PLUGIN, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
