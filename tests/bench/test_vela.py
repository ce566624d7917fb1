"""The converter to TFLite, read back with the schema's own code, and the runs beside Vela."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from npuc.isa.errors import ModelError, NpucError
from tests.bench.vela.network import Quantisation
from tests.bench.vela.processes import cpu_seconds

HAS_TFLITE = importlib.util.find_spec("tflite") is not None
needs_tflite = pytest.mark.skipif(
    not HAS_TFLITE, reason="the package tflite is not installed; the extra test brings it"
)
SUMMARY = "cycles_total,dram_total_bytes\n1770405,6964528.0\n"
RENDER = Path(__file__).parents[2] / "docs" / "programs" / "render.py"


class Made:
    """A QDQ model that grows: each method adds nodes and returns the name of the result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(1)

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value: object, dtype: type) -> str:
        self.constants.append(
            numpy_helper.from_array(np.array(value, dtype), f"c{len(self.constants)}")
        )
        return self.constants[-1].name

    def quantised(self, name: str, scale: float, zero_point: int = 0) -> str:
        by = self.constant(scale, np.float32), self.constant(zero_point, np.int8)
        return self.node("DequantizeLinear", self.node("QuantizeLinear", name, *by), *by)

    def weights(self, *shape: int) -> tuple[str, np.ndarray]:
        """With a scale for each output: 0.01, 0.02, ..."""
        data = self.rng.integers(-127, 128, shape).astype(np.int8)
        scales = 0.01 * np.arange(1, shape[0] + 1)
        by = self.constant(scales, np.float32), self.constant([0] * shape[0], np.int8)
        return self.node("DequantizeLinear", self.constant(data, np.int8), *by, axis=0), data

    def model(self, output: str, shape: tuple[int, ...], size: int = 8) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, size, size])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def small_network() -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """Strided convolution, depthwise convolution, sum with Relu, mean, matrix product."""
    made, weights = Made(), {}
    x = made.quantised("x", 0.5, 3)
    w, weights["conv"] = made.weights(4, 3, 3, 3)
    bias = made.constant([0.5, 1.0, 1.5, 2.0], np.float32)
    pads = {"pads": [1, 1, 1, 1]}
    conv = made.quantised(made.node("Conv", x, w, bias, strides=[2, 2], **pads), 0.25, -128)
    w, weights["depthwise"] = made.weights(4, 1, 3, 3)
    deep = made.quantised(made.node("Conv", conv, w, group=4, **pads), 0.125, 7)
    added = made.node("Relu", made.node("Add", conv, deep))
    flat = made.quantised(made.node("Flatten", made.node("GlobalAveragePool", added)), 0.0625, -128)
    w, weights["classes"] = made.weights(5, 4)
    return made.model(made.quantised(made.node("Gemm", flat, w, transB=1), 1.0), (1, 5)), weights


@needs_tflite
def test_a_network_read_back_from_its_bytes() -> None:
    import tflite

    from tests.bench.vela.convert import convert
    from tests.bench.vela.flatbuffer import emit

    model, weights = small_network()
    network = convert(model)
    file = tflite.Model.GetRootAs(emit(network))
    graph = file.Subgraphs(0)
    operators = [graph.Operators(n) for n in range(graph.OperatorsLength())]
    names = {
        getattr(tflite.BuiltinOperator, n): n for n in dir(tflite.BuiltinOperator) if n.isupper()
    }
    codes = [names[file.OperatorCodes(o.OpcodeIndex()).BuiltinCode()] for o in operators]
    assert codes == [
        *("PAD", "CONV_2D", "DEPTHWISE_CONV_2D", "ADD"),
        *("MEAN", "RESHAPE", "FULLY_CONNECTED"),
    ], "a stride of 2 pads before; SAME would pad behind"

    def tensor(number: int) -> tflite.Tensor:
        return graph.Tensors(number)

    shapes = [tuple(tensor(o.Outputs(0)).ShapeAsNumpy()) for o in operators]
    images = [(1, 9, 9, 3), (1, 4, 4, 4), (1, 4, 4, 4), (1, 4, 4, 4)]
    assert shapes == [*images, (1, 1, 1, 4), (1, 4), (1, 5)]
    assert network.macs == 4 * 4 * 4 * (27 + 9) + 20
    first = tensor(graph.Inputs(0))
    assert tuple(first.ShapeAsNumpy()) == (1, 8, 8, 3) and first.Type() == tflite.TensorType.INT8
    assert first.Quantization().Scale(0) == 0.5 and first.Quantization().ZeroPoint(0) == 3

    conv, deep, classes = (tensor(operators[n].Inputs(1)) for n in (1, 2, 6))
    for found, wanted, axis in (
        (conv, weights["conv"].transpose(0, 2, 3, 1), 0),
        (deep, weights["depthwise"].transpose(1, 2, 3, 0), 3),
        (classes, weights["classes"], 0),
    ):
        data = file.Buffers(found.Buffer()).DataAsNumpy().view(np.int8)
        assert np.array_equal(data.reshape(found.ShapeAsNumpy()), wanted)
        scales = found.Quantization().ScaleAsNumpy()
        assert np.allclose(scales, 0.01 * np.arange(1, len(scales) + 1))
        assert found.Quantization().QuantizedDimension() == axis
    bias = file.Buffers(tensor(operators[1].Inputs(2)).Buffer()).DataAsNumpy().view(np.int32)
    assert bias.tolist() == [100, 100, 100, 100], "at the scale of input times weights"


@needs_tflite
def test_a_sum_that_the_model_leaves_float_holds_every_sum() -> None:
    from tests.bench.vela.convert import convert

    network = convert(small_network()[0])
    (add,) = (o for o in network.operators if o.code == "ADD")
    found = network.tensors[add.outputs[0]].quantisation
    assert found is not None and found.zero_point == -128, "Relu: nothing below zero"
    assert found.interval[1] == pytest.approx(0.25 * 255 + 0.125 * 120)


@needs_tflite
def test_pooling_keeps_its_scale_and_an_image_is_turned_before_it_is_flat() -> None:
    from tests.bench.vela.convert import convert

    made = Made()
    x = made.quantised("x", 0.5, -128)
    pool = made.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    flat = made.node("Flatten", made.quantised(pool, 0.25))
    network = convert(made.model(flat, (1, 48)))
    codes = [operator.code for operator in network.operators]
    assert codes == ["PAD", "MAX_POOL_2D", "QUANTIZE", "TRANSPOSE", "RESHAPE"]


def _with(kind: str, **attributes: object) -> onnx.ModelProto:
    made = Made()
    x = made.quantised("x", 0.5)
    shape = (1, 3, 4, 4) if "Pool" in kind else (1, 3, 8, 8)
    return made.model(made.quantised(made.node(kind, x, **attributes), 0.5), shape)


@needs_tflite
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_with("Sqrt"), "cannot convert Sqrt to TFLite: the operator"),
        (_with("Softmax", axis=1), "the last of two axes"),
        (_with("Clip"), "its limits"),
        (
            _with("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
            "padding that PAD would make zero",
        ),
        (_with("AveragePool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1), "ceil_mode"),
        (_with("MaxPool", kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER"), "auto_pad"),
    ],
)
def test_what_has_no_equal_is_refused(model: onnx.ModelProto, message: str) -> None:
    from tests.bench.vela.convert import convert

    with pytest.raises(ModelError, match=message):
        convert(model)


@needs_tflite
def test_incompressible_weights_change_nothing_else() -> None:
    from tests.bench.vela.convert import convert
    from tests.bench.vela.estimate import with_incompressible_weights

    network = convert(small_network()[0])
    other = with_incompressible_weights(network)
    changed = [
        a.name
        for a, b in zip(network.tensors, other.tensors, strict=True)
        if a.data is not None and not np.array_equal(a.data, b.data)
    ]
    assert len(changed) == 3 and other.operators == network.operators


def test_an_interval_is_widened_to_hold_zero() -> None:
    assert Quantisation.of_interval(1.0, 5.1).zero_point == -128
    assert Quantisation.of_interval(-5.1, -1.0).zero_point == 127


def test_cpu_time_is_that_of_the_process_and_a_failure_is_told(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.2: pass"
    assert cpu_seconds([sys.executable, "-c", busy], tmp_path) >= 0.2
    assert cpu_seconds([sys.executable, "-c", "import time; time.sleep(0.3)"], tmp_path) < 0.3
    seen = "import os, sys; sys.exit(os.environ['OMP_NUM_THREADS'] + os.environ['EXTRA'])"
    with pytest.raises(NpucError, match="exit code 1") as failure:
        cpu_seconds([sys.executable, "-c", seen], tmp_path, {"EXTRA": "23"})
    assert failure.value.given.strip() == "123"


def test_the_summary_of_vela(tmp_path: Path) -> None:
    from tests.bench.vela.estimate import Estimate, summary

    (tmp_path / "network_summary_x.csv").write_text(SUMMARY)
    assert summary(tmp_path) == Estimate(1770405, 6964528)


def test_rows_are_kept_and_shown(tmp_path: Path) -> None:
    from tests.bench.vela.__main__ import Row, write
    from tests.bench.vela.estimate import CONFIGURATIONS, Estimate

    spec = importlib.util.spec_from_file_location("programs_page", RENDER)
    assert spec and spec.loader
    render = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(render)
    ours, theirs, random = Estimate(900_000, 4_000_000), Estimate(1_782_000, 8), Estimate(9, 10)
    run = {"npuc_start_s": 0.4, "vela_start_s": 0.1, "repeats": 3}
    path = tmp_path / "vela.json"
    for configuration in CONFIGURATIONS[:2]:
        row = Row("mobilenet_v2", configuration, ours, theirs, random, 2.0, 0.5, 5.0)
        write(path, [row], run)
    assert len(json.loads(path.read_text())) == 3
    for name in ("figures", "layers", "measured"):
        (tmp_path / f"{name}.json").write_text((RENDER.parent / f"{name}.json").read_text())
    text = render.page(tmp_path)
    assert "| ref-2048 | ethos-u85-2048 | 900,000 | 1,782,000 | 0.51 | -1.0 % |" in text
    assert "- mobilenet_v2, ref-2048 beside ethos-u85-2048: DRAM bytes 500000.000 of 0.60" in text
    assert "ethos-u85-2048: cycles" not in text, "0.51 of 0.80"
    assert "| ref-512 | ethos-u65-512 | 2.00 | 0.50 | 4.00 | 5.00 |" in text


@needs_tflite
def test_what_cannot_be_compared_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.bench.vela import __main__ as job

    monkeypatch.setattr(job, "find_spec", lambda name: name)
    onnx.save_model(_with("Sqrt"), tmp_path / "m.onnx")
    given = ["--model", str(tmp_path / "m.onnx"), "--repeats", "1", "--out", str(tmp_path / "v")]
    monkeypatch.setattr(job, "START", {})
    assert job.main(given) == 2 and "cannot convert Sqrt" in capsys.readouterr().err
    monkeypatch.setattr(job, "find_spec", lambda name: None)
    assert job.main(given) == 2 and "make bench-vela" in capsys.readouterr().err
