"""``from npuc import api``: a model to numbers in a few calls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from npuc import api
from npuc.isa.target import target_text
from npuc.runtime.sample_data import QDQ_INT8, load_digits, sample_model

BATCH = 2


@pytest.fixture(scope="module")
def result() -> api.CompileResult:
    """The digit classifier for edge, two images at a time."""
    return api.compile(sample_model(QDQ_INT8), dims={"batch": BATCH})


def digits_NCHW() -> np.ndarray:
    return load_digits().as_input_NCHW()[::50][:BATCH]


def test_compile_run_and_read_the_digits(result: api.CompileResult) -> None:
    logits_NC = api.run(result, {"x": digits_NCHW()})["logits"]
    assert logits_NC.argmax(axis=1).tolist() == load_digits().labels_N[::50][:BATCH].tolist()


def test_a_program_survives_its_file(result: api.CompileResult, tmp_path: Path) -> None:
    path = tmp_path / "digits.npu"
    api.save(result, path)
    loaded = api.load(path)
    expected = api.run(result, {"x": digits_NCHW()})
    for program in (loaded, path, str(path), result.program):
        assert program is not None
        outputs = api.run(program, {"x": digits_NCHW()})
        np.testing.assert_array_equal(outputs["logits"], expected["logits"])


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, result: api.CompileResult) -> None:
    again = api.compile(sample_model(QDQ_INT8), dims={"batch": BATCH})
    for name, compiled in (("a", result), ("b", again)):
        api.save(compiled, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_model_may_be_bytes_a_path_or_a_name(result: api.CompileResult) -> None:
    path = sample_model(QDQ_INT8)
    cycles = {
        api.profile(api.compile(model, dims={"batch": BATCH})).cycles
        for model in (path, str(path), path.read_bytes())
    }
    assert cycles == {api.profile(result).cycles}


def test_profile_compiles_a_model_and_takes_a_program(result: api.CompileResult) -> None:
    of_model = api.profile(sample_model(QDQ_INT8), dims={"batch": BATCH})
    assert of_model.cycles == api.profile(result).cycles
    assert sum(row.cycles for row in of_model.layers) == of_model.cycles


def test_a_program_is_timed_on_another_machine(result: api.CompileResult, tmp_path: Path) -> None:
    slower = tmp_path / "slower.toml"
    text = target_text("edge")
    slower.write_text(text.replace("bytes_per_cycle = 16", "bytes_per_cycle = 4"))
    assert slower.read_text() != text
    assert api.profile(result, target=slower).cycles > api.profile(result).cycles
    with pytest.raises(api.NpucError, match="leaves spm"):
        api.profile(result, target="tiny")


def test_verify_reports_every_level() -> None:
    report = api.verify(sample_model(QDQ_INT8), dims={"batch": 1}, inputs={"x": digits_NCHW()[:1]})
    assert report.passed
    stages = {comparison.stage for comparison in report.comparisons}
    assert {"nn after import", "nn after fuse", "emulator, fast", "emulator, plain"} <= stages


def test_levels_change_cycles_and_no_bit() -> None:
    results = [
        api.compile(sample_model(QDQ_INT8), dims={"batch": 1}, level=level) for level in (0, 2)
    ]
    outputs = [api.run(r, {"x": digits_NCHW()[:1]})["logits"] for r in results]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert api.profile(results[0]).cycles > api.profile(results[1]).cycles


def test_a_compilation_can_stop_and_be_looked_at() -> None:
    stopped = api.compile(
        sample_model(QDQ_INT8), dims={"batch": 1}, stop_after="quantize", print_after=("import",)
    )
    assert stopped.program is None
    assert list(stopped.snapshots) == ["import"]
    with pytest.raises(api.NpucError, match="stopped before"):
        api.run(stopped, {"x": digits_NCHW()[:1]})


def test_a_mistake_is_an_npuc_error() -> None:
    with pytest.raises(api.NpucError) as caught:
        api.compile(sample_model(QDQ_INT8))
    assert "batch" in str(caught.value)
    with pytest.raises(api.NpucError):
        api.compile(sample_model(QDQ_INT8), dims={"batch": 1}, target="nowhere")
