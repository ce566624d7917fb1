"""The committed exports: small, anonymous, and what each of PyTorch's exporters writes."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

FOLDER = Path(__file__).parents[2] / "models" / "exported"
SIZE_LIMIT_BYTES = 300_000
# What tells the exporters apart: operators that the network's file must and must not hold.
IDIOMS = {
    "mnist_cnn_dynamo.onnx": ({"ReduceMean", "Clip"}, {"Constant"}),
    "mnist_cnn_torchscript.onnx": ({"ReduceMean", "Clip", "Constant"}, set()),
    "mnist_vit_dynamo.onnx": ({"LayerNormalization", "Gelu", "MatMul"}, {"Erf"}),
    "mnist_vit_torchscript.onnx": ({"LayerNormalization", "Erf", "Shape", "Where"}, {"Gelu"}),
}


@pytest.mark.parametrize("name", IDIOMS)
def test_the_file_is_small_valid_and_of_its_exporter(name: str) -> None:
    path = FOLDER / name
    assert path.stat().st_size < SIZE_LIMIT_BYTES
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    present, absent = IDIOMS[name]
    operators = {node.op_type for node in model.graph.node}
    assert present <= operators
    assert not absent & operators


@pytest.mark.parametrize("name", IDIOMS)
def test_the_file_names_no_folder_of_the_machine_that_made_it(name: str) -> None:
    content = (FOLDER / name).read_bytes()
    assert b".py" not in content
    assert b"site-packages" not in content


def test_the_folder_holds_nothing_else() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(IDIOMS)
