"""The zoo: known architectures, seeded weights that keep every activation alive, int8 of them."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper, shape_inference

from models.zoo import NAMES, build, quantised
from models.zoo.quantise import seeded_inputs

ort = pytest.importorskip("onnxruntime")

QUICK = ("mobilenet_v2", "light_squeezenet", "light_shufflenet")
SLOW = tuple(name for name in NAMES if name not in QUICK)
ALL = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]

# Million multiply-accumulates as published (light graphs: as counted from their shapes).
MEGA_MACS = {"resnet50_v1": 3858, "mobilenet_v2": 301, "light_squeezenet": 349}


def run(model: onnx.ModelProto, feeds: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options).run(None, feeds)


def weights(model: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    tensors = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in tensors}


def multiply_accumulates(model: onnx.ModelProto) -> int:
    """Of all convolutions and Gemms, from inferred shapes."""
    graph = shape_inference.infer_shapes(model).graph
    values = [*graph.value_info, *graph.output]
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
    kernels = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    return sum(
        math.prod(shapes[node.output[0]]) * math.prod(kernels[node.input[1]][1:])
        for node in graph.node
        if node.op_type in ("Conv", "Gemm")
    )


@pytest.mark.parametrize(("name", "millions"), MEGA_MACS.items())
def test_work_is_that_of_the_network(name: str, millions: int) -> None:
    assert round(multiply_accumulates(build(name)) / 1e6) == millions


def test_seed_decides_every_bit() -> None:
    first, again, other = (build("light_squeezenet", seed=seed) for seed in (0, 0, 1))
    assert first.SerializeToString() == again.SerializeToString()
    assert all(
        not np.array_equal(array, weights(other)[name]) for name, array in weights(first).items()
    )


@pytest.mark.parametrize("name", ALL)
def test_no_weight_is_constant(name: str) -> None:
    model = build(name)
    assert not any(node.op_type == "ConstantOfShape" for node in model.graph.node)
    arrays = [array for array in weights(model).values() if array.size > 1]
    assert arrays and all(np.unique(array).size > array.size // 2 for array in arrays)


@pytest.mark.parametrize("name", ALL)
def test_activations_stay_alive_and_bounded(name: str) -> None:
    model = build(name)
    watched = [n for n in model.graph.node if n.op_type in ("Relu", "Clip", "Sum", "Gemm")]
    model.graph.output.extend(onnx.ValueInfoProto(name=node.output[0]) for node in watched)
    feeds, others = seeded_inputs(model, 2, seed=7)
    result, *activations = run(model, feeds)
    assert all(0.1 < float(a.std()) < 10 for a in activations)
    assert float(result.max()) < 0.9 or "Softmax" not in {n.op_type for n in model.graph.node}
    assert np.unique(result).size > 800  # of 1000 classes
    assert not np.allclose(result, run(model, others)[0], rtol=1e-3)


def test_folding_the_norms_keeps_the_function() -> None:
    kept, folded = (build("mobilenet_v2", fold_norm=fold) for fold in (False, True))
    assert {"BatchNormalization"} == {n.op_type for n in kept.graph.node} - {
        n.op_type for n in folded.graph.node
    }
    (feeds,) = seeded_inputs(kept, 1, seed=7)
    np.testing.assert_allclose(run(folded, feeds)[0], run(kept, feeds)[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_int8_agrees_with_float(name: str) -> None:
    model = build(name)
    int8 = quantised(model)
    (feeds,) = seeded_inputs(model, 1, seed=7)
    wanted, got = run(model, feeds)[0], run(int8, feeds)[0]
    assert np.corrcoef(wanted.ravel(), got.ravel())[0, 1] > 0.99
    scales = {t.name: numpy_helper.to_array(t) for t in int8.graph.initializer}
    readers = {n.output[0]: n for n in int8.graph.node if n.op_type == "DequantizeLinear"}
    for conv in (node for node in int8.graph.node if node.op_type == "Conv"):
        weight, scale, _ = readers[conv.input[1]].input
        assert scales[weight].dtype == np.int8
        assert scales[scale].shape == scales[weight].shape[:1]  # one per output channel


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(KeyError, match="resnet50_v1"):
        build("resnet51")


def test_command_writes_a_model(tmp_path: Path) -> None:
    out = tmp_path / "squeezenet.onnx"
    command = [sys.executable, "-m", "models.zoo", "light_squeezenet", "--out", str(out)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], capture_output=True)
    assert onnx.load(out) == build("light_squeezenet")
