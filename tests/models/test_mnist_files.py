"""The committed MNIST files: well formed, small, and as accurate as models/README.md records.

The expected accuracies are read from the README's table, so that the page cannot go stale. Only the
optimizations-off column is gated: it is plain arithmetic and the same on every CPU.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

MODELS = Path(__file__).parents[2] / "models"
FOLDER = MODELS / "mnist"
FP32, QDQ, QOP = "mnist_cnn_fp32.onnx", "mnist_cnn_qdq_int8.onnx", "mnist_cnn_qop_s8s8.onnx"
NAMES = (FP32, QDQ, QOP)
SIZE_LIMIT_BYTES = 300_000
PER_CLASS = 20

OPERATORS = {
    FP32: {"Conv": 9, "Clip": 9, "ReduceMean": 1, "Gemm": 1},
    QDQ: {"QuantizeLinear": 12, "DequantizeLinear": 32, "Conv": 9, "ReduceMean": 1, "Gemm": 1},
    QOP: {
        "QuantizeLinear": 2,
        "QLinearConv": 9,
        "DequantizeLinear": 2,
        "ReduceMean": 1,
        "com.microsoft.QGemm": 1,
    },
}


@cache
def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    with np.load(FOLDER / "digits.npz", allow_pickle=False) as arrays:
        assert sorted(arrays.files) == ["images", "labels"]
        return arrays["images"], arrays["labels"]


@cache
def initializers(name: str) -> dict[str, NDArray[np.generic]]:
    graph = onnx.load(FOLDER / name).graph
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def recorded_correct(name: str) -> int:
    """Correct digits of the 200 with optimizations off, as the README's table states them."""
    row = rf"^\| `{re.escape(name)}` \| ORT_DISABLE_ALL \| \d+ \| (\d+) \|$"
    found = re.findall(row, (MODELS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) == 1, f"models/README.md has {len(found)} rows for {name}"
    return int(found[0])


def run_unoptimized(name: str) -> NDArray[np.float32]:
    """Logits ``[200, 10]`` of the committed digits in onnxruntime, optimizations off."""
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: extra 'test'")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(FOLDER / name, options, providers=["CPUExecutionProvider"])
    images, _ = load_digits()
    (logits,) = session.run(["logits"], {"x": images[:, None].astype(np.float32) / np.float32(255)})
    return np.asarray(logits, dtype=np.float32)


def test_all_files_together_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in FOLDER.iterdir() if path.is_file()}
    assert set(sizes) == {*NAMES, "digits.npz"}
    assert sum(sizes.values()) < SIZE_LIMIT_BYTES, sizes


def test_digits_are_200_distinct_images_20_of_each_class() -> None:
    images, labels = load_digits()
    assert images.shape == (200, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert np.bincount(labels).tolist() == [PER_CLASS] * 10
    assert len({image.tobytes() for image in images}) == 200
    assert images.reshape(200, -1).max(axis=1).min() > 200, "an image without ink"


@pytest.mark.parametrize("name", NAMES)
def test_model_is_valid_onnx_with_the_stated_interface(name: str) -> None:
    model = onnx.load(FOLDER / name)
    onnx.checker.check_model(model, full_check=True)
    (x,), (logits,) = model.graph.input, model.graph.output
    assert (x.name, logits.name) == ("x", "logits")
    for value, dims in ((x, ["batch", 1, 28, 28]), (logits, ["batch", 10])):
        tensor = value.type.tensor_type
        assert tensor.elem_type == onnx.TensorProto.FLOAT
        assert [dim.dim_param or dim.dim_value for dim in tensor.shape.dim] == dims


@pytest.mark.parametrize("name", NAMES)
def test_model_holds_the_stated_operators(name: str) -> None:
    nodes = onnx.load(FOLDER / name).graph.node
    found = Counter(f"{n.domain}.{n.op_type}" if n.domain else n.op_type for n in nodes)
    assert found == OPERATORS[name]


@pytest.mark.parametrize("name", NAMES)
def test_model_names_no_folder_of_the_machine_that_made_it(name: str) -> None:
    content = (FOLDER / name).read_bytes()
    assert b".py" not in content
    assert b"site-packages" not in content


@pytest.mark.parametrize("name", [QDQ, QOP])
def test_weights_are_int8_per_output_channel_and_symmetric(name: str) -> None:
    values = initializers(name)
    weights = [key for key in values if key.endswith(".weight_quantized")]
    assert len(weights) == 10
    for key in weights:
        weight = values[key]
        scale, zero = (values[key.replace("quantized", part)] for part in ("scale", "zero_point"))
        assert weight.dtype == zero.dtype == np.int8
        assert scale.shape == zero.shape == weight.shape[:1]
        assert not zero.any()
        assert weight.min() >= -127


def test_both_int8_files_hold_the_same_weights_and_biases() -> None:
    qdq, qop = initializers(QDQ), initializers(QOP)
    shared = [key for key in qop if ".weight" in key or ".bias" in key]
    assert len(shared) == 40
    for key in shared:
        np.testing.assert_array_equal(qdq[key], qop[key], err_msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_on_the_committed_digits_is_the_recorded_one(name: str) -> None:
    _, labels = load_digits()
    correct = int(np.count_nonzero(run_unoptimized(name).argmax(axis=1) == labels))
    assert correct == recorded_correct(name)


def test_the_int8_files_agree_to_one_step_of_the_logits() -> None:
    step = float(initializers(QOP)["logits_scale"].item())
    difference = np.abs(run_unoptimized(QDQ) - run_unoptimized(QOP))
    assert difference.max() < 1.5 * step
    assert np.mean(difference < 0.5 * step) >= 0.999
