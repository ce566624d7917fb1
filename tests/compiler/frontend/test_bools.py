"""Bool inputs and outputs of a model: int8 of 0 and 1 outside, verified against ONNX's bools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from npuc import api
from npuc.isa.errors import InputError
from tests.command_line import npuc

SEEN = np.tri(4, dtype=np.bool_)
FLOATS = np.linspace(-2, 2, 32, dtype=np.float32).reshape(2, 4, 4)


def masked() -> onnx.ModelProto:
    """Attention's mask as an input; an output that is a bool and that another node reads."""
    nodes = [
        helper.make_node("Where", ["mask", "x", "low"], ["seen"]),
        helper.make_node("Softmax", ["seen"], ["y"]),
        helper.make_node("Not", ["mask"], ["hidden"]),
        helper.make_node("And", ["hidden", "mask"], ["both"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4, 4]),
        helper.make_tensor_value_info("mask", TensorProto.BOOL, [4, 4]),
    ]
    outputs = [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 4, 4]),
        helper.make_tensor_value_info("hidden", TensorProto.BOOL, [4, 4]),
        helper.make_tensor_value_info("both", TensorProto.BOOL, [4, 4]),
    ]
    low = numpy_helper.from_array(np.float32(-1e9), "low")
    graph = helper.make_graph(nodes, "masked", inputs, outputs, [low])
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("bools") / "masked.onnx"
    onnx.save(masked(), found)
    return found


@pytest.mark.parametrize("mask", [SEEN, SEEN.view(np.int8), SEEN.view(np.int8) * np.int8(-3)])
def test_whatever_is_not_zero_is_true(path: Path, mask: np.ndarray) -> None:
    outputs = api.run(api.compile(path), {"x": FLOATS, "mask": mask})
    hidden = outputs["hidden"]
    assert hidden.dtype == np.int8
    np.testing.assert_array_equal(hidden, ~SEEN)
    assert not outputs["both"].any()
    assert not outputs["y"][:, ~SEEN].any()
    np.testing.assert_allclose(outputs["y"].sum(axis=2), 1, rtol=1e-6)


def test_random_masks_are_verified(path: Path) -> None:
    report = api.verify(path)
    assert report.passed
    assert {c.tensor for c in report.comparisons} == {"y", "hidden", "both"}


def test_masks_of_a_file_may_be_bools(path: Path, tmp_path: Path) -> None:
    given = tmp_path / "in.npz"
    np.savez(given, x=FLOATS, mask=SEEN)
    verified = npuc("verify", path, "--input", given)
    assert verified.code == 0, verified.out + verified.err
    program = tmp_path / "p.npu"
    assert npuc("compile", path, "-o", program).code == 0
    assert npuc("run", program, "--input", given, "--output", tmp_path / "out.npz").code == 0
    with np.load(tmp_path / "out.npz") as outputs:
        np.testing.assert_array_equal(outputs["hidden"], ~SEEN)


def test_a_wrong_mask_is_still_refused(path: Path) -> None:
    program = api.compile(path)
    with pytest.raises(InputError, match="wrong element type"):
        api.run(program, {"x": FLOATS, "mask": SEEN.astype(np.float32)})


def test_other_element_types_are_refused_with_what_is_allowed(tmp_path: Path) -> None:
    model = masked()
    model.graph.input[1].type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, tmp_path / "half.onnx")
    refused = npuc("compile", tmp_path / "half.onnx", "-o", tmp_path / "p.npu")
    assert refused.code == 2
    assert "FLOAT16" in refused.err and "BOOL" in refused.err and "Cast" in refused.err
