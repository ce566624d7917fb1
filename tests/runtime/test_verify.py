"""``verify`` passes what is right, fails what is wrong, and names where it went wrong first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from npuc import api
from npuc.compiler.dialects.nn import ConstantOp
from npuc.compiler.ops.movement import make_constant
from npuc.compiler.xdsl_api import Context, ModuleOp, ModulePass
from npuc.isa.dtypes import DType
from npuc.runtime.files import save_arrays
from npuc.runtime.sample_data import QDQ_INT8, QOPERATOR_INT8, sample_model
from npuc.runtime.verification import verify as verify_module
from npuc.runtime.verification.report import verdict_lines
from tests.command_line import npuc

pytest.importorskip("onnxruntime", reason="the judge: extra 'verify'")


@dataclass(frozen=True)
class SpoilConstants(ModulePass):
    """A wrong pass: adds much to the first number of every constant of ``dtype``."""

    name = "spoil-constants"
    dtype: str = "i32"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for constant in [o for o in op.walk() if isinstance(o, ConstantOp)]:
            array = ctx.consts.get(constant.key.data).copy()  # type: ignore[attr-defined]
            if array.dtype != DType[self.dtype].numpy:
                continue
            array.reshape(-1)[0] += 100_000
            made = make_constant(array, ctx.consts)  # type: ignore[attr-defined]
            constant.key = made.key


def spoiled(after: str) -> api.Pipeline:
    return api.Pipeline().insert_after(after, SpoilConstants())


@pytest.mark.parametrize("name", [QDQ_INT8, QOPERATOR_INT8])
@pytest.mark.parametrize("target", ["tiny", "edge"])
def test_the_int8_files_are_verified(name: str, target: str) -> None:
    report = api.verify(sample_model(name), target, dims={"batch": 1})
    assert report.passed, verdict_lines(report)
    assert report.judge == "ONNX Runtime"


def test_integer_chains_are_identical_to_onnx_runtime() -> None:
    report = api.verify(sample_model(QOPERATOR_INT8), dims={"batch": 1})
    exact = [
        c.tensor
        for c in report.comparisons
        if c.against == "ONNX Runtime" and str(c.rule) == "bit for bit"
    ]
    assert len(exact) == 10, "the quantised input and nine convolutions"


def test_a_wrong_pass_before_quantize_differs_from_onnx_and_names_the_tensor() -> None:
    report = api.verify(
        sample_model(QOPERATOR_INT8), dims={"batch": 1}, pipeline=spoiled("fold-qdq")
    )
    failure = report.first_failure
    assert failure is not None
    assert failure.stage == "nn after quantize"
    assert failure.against == "ONNX Runtime"
    assert failure.tensor == "getitem_quantized", "the first convolution's result"
    assert failure.first
    assert report.origins == (), "tile level and emulator are right"


def test_a_wrong_pass_after_quantize_is_found_at_its_stage() -> None:
    report = api.verify(sample_model(QOPERATOR_INT8), dims={"batch": 1}, pipeline=spoiled("fuse"))
    failure = report.first_failure
    assert failure is not None
    assert (failure.stage, failure.against) == ("nn after fuse", "nn after quantize")
    inside = [c.tensor for c in report.comparisons if not c.passed and c.tensor != "logits"]
    assert inside[0] == "getitem_quantized", "and the first tensor inside is named too"


@pytest.fixture
def wrong_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator's plain twin gives every output a wrong last element."""
    real = verify_module.emulated_values

    def wrong(program, inputs):
        for path, outputs in real(program, inputs):
            changed = {name: value.copy() for name, value in outputs.items()}
            for value in changed.values() if path == "plain" else ():
                value.reshape(-1)[-1] += 1
            yield path, changed

    monkeypatch.setattr(verify_module, "emulated_values", wrong)


@pytest.mark.usefixtures("wrong_twin")
def test_a_wrong_emulator_is_found() -> None:
    report = api.verify(sample_model(QDQ_INT8), dims={"batch": 1})
    failure = report.first_failure
    assert failure is not None
    assert failure.stage == "emulator, plain"
    assert failure.first.startswith("[0, 9]:")
    assert report.to_json()["passed"] is False


@pytest.mark.usefixtures("wrong_twin")
def test_the_command_exits_1_and_says_where() -> None:
    outcome = npuc("verify", sample_model(QDQ_INT8), "--dim", "batch=1")
    assert outcome.code == 1
    assert "NOT verified" in outcome.out
    first = "first difference: emulator, plain against nn after quantize, tensor logits"
    assert first in outcome.out


def test_the_report_is_plain_data_and_repeatable() -> None:
    command = ["verify", sample_model(QDQ_INT8), "--dim", "batch=1", "--json"]
    first, again, other = npuc(*command), npuc(*command), npuc(*command, "--seed", 1)
    assert first.code == other.code == 0, other.err
    assert first.out == again.out
    assert json.loads(first.out)["passed"] is True


def test_given_inputs_are_used(tmp_path: Path) -> None:
    save_arrays(tmp_path / "in.npz", {"x": np.zeros((1, 1, 28, 28), np.float32)})
    command = ["verify", sample_model(QDQ_INT8), "--dim", "batch=1", "--input"]
    assert npuc(*command, tmp_path / "in.npz").code == 0
    save_arrays(tmp_path / "in.npz", {"x": np.zeros((1, 28, 28), np.float32)})
    outcome = npuc(*command, tmp_path / "in.npz")
    assert outcome.code == 2
    assert "28, 28" in outcome.err


def test_without_onnx_the_levels_are_still_compared() -> None:
    report = api.verify(sample_model(QDQ_INT8), dims={"batch": 1}, onnx=False)
    assert report.passed
    assert report.judge == "nobody"
    assert {c.against for c in report.comparisons} == {"nn after quantize"}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_float_and_integer_inputs_and_outputs(seed: int) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "product"),
        helper.make_node("Relu", ["a"], ["y"], "relu"),
    ]
    w = np.random.default_rng(seed).standard_normal((20, 7)).astype(np.float32)
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 20])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 7])],
        [numpy_helper.from_array(w, "w")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    report = api.verify(model.SerializeToString(), dims={"n": 5}, seed=seed)
    assert report.passed, verdict_lines(report)
