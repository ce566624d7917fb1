"""The digit classifiers from ONNX to the machine, on the 200 committed digits."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from npuc.compiler.options import CompileOptions
from npuc.emulator.machine import load
from npuc.emulator.timing import time_streams
from npuc.isa.container import load as load_program
from tests.e2e.whole_path import (
    MNIST,
    Compiled,
    Tensor,
    check_levels,
    compile_watched,
    exposed,
    linked,
    onnx_runtime,
    quantised_tensors,
)

FP32, QDQ, QOP = "mnist_cnn_fp32.onnx", "mnist_cnn_qdq_int8.onnx", "mnist_cnn_qop_s8s8.onnx"
NAMES = (FP32, QDQ, QOP)
CORRECT_OF_INT8 = 194
FLOAT_TOLERANCE = 1e-4  # absolute and relative; the logits reach about 10
MIN_IDENTICAL = 0.999
MAX_STEPS = 1
OLD_PROGRAM = Path(__file__).parents[1] / "isa" / "files" / "digits-1.3.npu"
OLD_CYCLES = 5_426  # what a command costs is part of the contract


@cache
def digits() -> tuple[Tensor, Tensor]:
    """Inputs NCHW as float32 in [0, 1], and labels."""
    with np.load(MNIST / "digits.npz") as arrays:
        scaled = arrays["images"][:, np.newaxis].astype(np.float32) / np.float32(255)
        return scaled, arrays["labels"]


@cache
def compiled(name: str, batch: int, target: str = "edge", level: int = 2) -> Compiled:
    return compile_watched(MNIST / name, CompileOptions(target, level, {"batch": batch}))


@cache
def logits(name: str) -> Tensor:
    """Of all 200 digits, by the fast path at batch 40."""
    x, _ = digits()
    loaded = load(compiled(name, 40).program)
    parts = [loaded.run({"x": x[i : i + 40]}).outputs["logits"] for i in range(0, len(x), 40)]
    return np.concatenate(parts)


@cache
def judged(name: str) -> Tensor:
    return onnx_runtime(onnx.load(MNIST / name), {"x": digits()[0]})["logits"]


def logit_step(name: str) -> float:
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(MNIST / name).graph.initializer}
    return float(stored["logits_scale"])


@pytest.mark.parametrize("target", ["edge", "tiny"])
@pytest.mark.parametrize("name", NAMES)
def test_all_levels_agree_to_the_bit(name: str, target: str) -> None:
    x, _ = digits()
    rows = np.random.default_rng(0).choice(len(x), 9, replace=False)
    (one,) = check_levels(compiled(name, 1, target), {"x": x[rows[:1]]}).values()
    (many,) = check_levels(compiled(name, 8, target), {"x": x[rows[:8]]}).values()
    assert one.tobytes() == many[:1].tobytes(), "the batch changes bits"
    assert np.unique(many).size > 20, "the case would not notice a wrong value"


@pytest.mark.parametrize("name", NAMES)
def test_the_machine_equals_its_batches(name: str) -> None:
    x, _ = digits()
    loaded = load(compiled(name, 1).program)
    single = [loaded.run({"x": x[i : i + 1]}).outputs["logits"] for i in range(40)]
    assert np.concatenate(single).tobytes() == logits(name)[:40].tobytes()


def test_qoperator_file_equals_onnx_runtime() -> None:
    np.testing.assert_array_equal(logits(QOP), judged(QOP))


def test_qdq_file_is_within_one_step_of_onnx_runtime() -> None:
    steps = np.rint(np.abs(logits(QDQ) - judged(QDQ)) / logit_step(QDQ))
    assert steps.max() <= MAX_STEPS
    assert np.mean(steps == 0) >= MIN_IDENTICAL, f"{np.count_nonzero(steps)} differ"


def test_float_file_is_within_its_tolerance_of_onnx_runtime() -> None:
    np.testing.assert_allclose(
        logits(FP32), judged(FP32), rtol=FLOAT_TOLERANCE, atol=FLOAT_TOLERANCE
    )


@pytest.mark.parametrize("name", [QDQ, QOP])
def test_intermediate_tensors_equal_onnx_runtime_link_by_link(name: str) -> None:
    x = digits()[0][:40]
    model = onnx.load(MNIST / name)
    whole = exposed(model).SerializeToString()
    options = CompileOptions(dims={"batch": 40}, stop_after="partition")
    values = compile_watched(whole, options).values({"x": x})["partition"]
    assert values["logits"].tobytes() == logits(name)[:40].tobytes(), "exposing changes bits"
    proto, given = linked(model, values)
    want = onnx_runtime(proto, {"x": x, **given})
    names = quantised_tensors(model)
    assert len(names) >= 11
    for tensor in names:
        steps = np.abs(values[tensor].astype(np.int32) - want[tensor].astype(np.int32))
        assert steps.max() <= MAX_STEPS, tensor
        assert np.mean(steps == 0) >= MIN_IDENTICAL, f"{tensor}: {np.count_nonzero(steps)} differ"
        if name == QOP:
            assert steps.max() == 0, tensor


def test_intermediate_tensors_of_the_qoperator_file_equal_onnx_runtime() -> None:
    x = digits()[0][:40]
    model = exposed(onnx.load(MNIST / QOP))
    options = CompileOptions(dims={"batch": 40}, stop_after="partition")
    compiled_model = compile_watched(model.SerializeToString(), options)
    values = compiled_model.values({"x": x})["partition"]
    want = onnx_runtime(model, {"x": x})
    assert list(values) == list(want)
    for name, value in want.items():
        np.testing.assert_array_equal(values[name], value, name)


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_equals_that_of_onnx_runtime(name: str) -> None:
    _, labels = digits()
    correct = int(np.count_nonzero(logits(name).argmax(axis=1) == labels))
    assert correct == int(np.count_nonzero(judged(name).argmax(axis=1) == labels))
    if name != FP32:
        assert correct == CORRECT_OF_INT8


def test_a_program_that_an_earlier_npuc_compiled_computes_the_same_bits() -> None:
    """Compiled at format 1.3 and committed: what users keep must go on running."""
    old = load_program(OLD_PROGRAM)
    x = digits()[0][:3]
    want = logits(QDQ)[:3]
    loaded = load(old)
    got = np.concatenate([loaded.run({"x": x[i : i + 1]}).outputs["logits"] for i in range(3)])
    assert got.tobytes() == want.tobytes()
    assert time_streams(old, loaded.streams).wall_cycles == OLD_CYCLES
