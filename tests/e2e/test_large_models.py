"""Models of unusual size: weights of gigabytes beside the file, and chains without end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from npuc.compiler.driver import compile_model
from npuc.emulator.machine import run

IR_VERSION, OPSET = 8, 17
WIDTH = 4096
WEIGHT_BYTES = 4 * WIDTH * WIDTH  # of one layer
WITHOUT_WEIGHTS_MB = 320  # the interpreter, its modules, kernels compiled for the first time
COMPILE = """
import re, sys
from npuc.runtime.cli import main
sys.argv = ["npuc", "compile", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
status = open("/proc/self/status").read()  # ru_maxrss would also tell of the parent
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", status).group(1)) * 1024)
"""


def saved_model(folder: Path, layers: int) -> Path:
    """Products with distinct external weights, almost all zero: the file takes no space on disk."""
    weights = []
    with (folder / "w.bin").open("wb") as file:
        for layer in range(layers):
            file.seek(layer * WEIGHT_BYTES)
            file.write(np.float32(layer + 1).tobytes())
            tensor = TensorProto(name=f"w{layer}", data_type=TensorProto.FLOAT)
            tensor.dims.extend([WIDTH, WIDTH])
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (
                ("location", "w.bin"),
                ("offset", layer * WEIGHT_BYTES),
                ("length", WEIGHT_BYTES),
            ):
                tensor.external_data.add(key=key, value=str(value))
            weights.append(tensor)
        file.truncate(layers * WEIGHT_BYTES)
    nodes = [
        helper.make_node("MatMul", [f"y{i}", f"w{i}"], [f"y{i + 1}"], name=f"layer{i}")
        for i in range(layers)
    ]
    save(folder / "m.onnx", nodes, (f"y{layers}", WIDTH), weights)
    return folder / "m.onnx"


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    output: tuple[str, int],
    weights: list[onnx.TensorProto],
) -> None:
    """A model from ``y0`` to ``output``, both of one row."""
    name, width = output
    values = [
        helper.make_tensor_value_info(value, TensorProto.FLOAT, [1, width])
        for value in ("y0", name)
    ]
    graph = helper.make_graph(nodes, "large", values[:1], values[1:], weights)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("layers", [2, pytest.param(32, marks=pytest.mark.slow)])
def test_external_weights_take_at_most_twice_their_size_in_memory(
    tmp_path: Path, layers: int
) -> None:
    model, program = saved_model(tmp_path, layers), tmp_path / "p.npu"
    command = [sys.executable, "-c", COMPILE, str(model), "-o", str(program)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    weights = layers * WEIGHT_BYTES
    assert program.stat().st_size > weights, "the layers share their weights: nothing is tried"
    assert int(found.stdout.split()[-1]) < 2 * weights + WITHOUT_WEIGHTS_MB * 10**6


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_deep_chain_meets_no_limit_of_recursion(tmp_path: Path, count: int) -> None:
    nodes = [
        helper.make_node(("Neg", "Abs", "Relu")[i % 3], [f"y{i}"], [f"y{i + 1}"], name=f"n{i}")
        for i in range(count)
    ]
    save(tmp_path / "m.onnx", nodes, (f"y{count}", 4), [])
    program = compile_model(tmp_path / "m.onnx").program
    assert program is not None
    x = np.array([[-2.0, -0.5, 0.0, 3.0]], np.float32)
    (got,) = run(program, {"y0": x}).outputs.values()
    np.testing.assert_array_equal(np.abs(got), np.abs(x))
