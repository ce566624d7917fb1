"""A wrong pass is named, with the first tensor and instruction, and replays from a folder."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from npuc import api
from npuc.compiler.ir_text import parse_module
from npuc.emulator.functional import plain
from npuc.emulator.machine import load
from npuc.runtime.sample_data import QDQ_INT8, sample_model
from npuc.runtime.verification.pinpoint import first_split, first_wrong_store, first_wrong_tensor
from npuc.runtime.verification.report import verdict_lines
from tests.command_line import npuc
from tests.e2e.tile_files import make_context
from tests.emulator.programs import tiled_product

pytest.importorskip("onnxruntime", reason="the judge: extra 'verify'")

# Makes every matrix product of its level add to what the accumulators hold.
WRONG_PASS = """
from dataclasses import dataclass
from npuc.compiler.xdsl_api import Context, ModuleOp, ModulePass, UnitAttr

@dataclass(frozen=True)
class AlwaysAccumulate(ModulePass):
    name = "always-accumulate"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for product in [o for o in op.walk() if o.name == "{operation}"]:
            product.properties["accumulate"] = UnitAttr()

def extend(pipeline):
    return pipeline.insert_after("{after}", AlwaysAccumulate())
"""
# Makes one number of every int32 constant wrong.
WRONG_CONSTANTS = """
from dataclasses import dataclass
from npuc.compiler.dialects.nn import ConstantOp
from npuc.compiler.ops.movement import make_constant
from npuc.compiler.xdsl_api import Context, ModuleOp, ModulePass

@dataclass(frozen=True)
class SpoilConstants(ModulePass):
    name = "spoil-constants"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for constant in [o for o in op.walk() if isinstance(o, ConstantOp)]:
            array = ctx.consts.get(constant.key.data).copy()
            if array.dtype.name == "int32":
                array.reshape(-1)[0] += 100_000
                constant.key = make_constant(array, ctx.consts).key

def extend(pipeline):
    return pipeline.insert_after("{after}", SpoilConstants())
"""
CASES = {
    # plug-in text, stage of the pass, level of the first difference, level of an origin
    "quantize": (WRONG_CONSTANTS.format(after="fold-qdq"), "nn after quantize", None),
    "fuse": (WRONG_CONSTANTS.format(after="compose-generics"), "nn after fuse", None),
    "schedule": (
        WRONG_PASS.format(operation="tile.mma", after="schedule-groups"),
        "tile after schedule",
        "tile after schedule",
    ),
    "lower": (
        WRONG_PASS.format(operation="npu.mma", after="lower-tiles"),
        "emulator, fast",
        "emulator, fast",
    ),
    "place": (
        WRONG_PASS.format(operation="npu.mma", after="place-memory"),
        "emulator, fast",
        "emulator, plain",
    ),
}


def write_plugin(folder: Path, stage: str) -> Path:
    path = folder / "wrong_pass.py"
    path.write_text(CASES[stage][0])
    return path


@pytest.mark.parametrize("stage", CASES)
def test_the_wrong_pass_is_named(tmp_path: Path, stage: str) -> None:
    plugin = write_plugin(tmp_path, stage)
    outcome = npuc(
        "verify", sample_model(QDQ_INT8), "--dim", "batch=1", "--load", plugin, "--bisect", "--json"
    )
    assert outcome.code == 1, outcome.err
    data = json.loads(outcome.out)
    _, level, origin = CASES[stage]
    assert data["first_failure"]["stage"] == level
    assert data["culprit"]["stage"] == stage
    assert data["culprit"]["pass"] in ("always-accumulate", "spoil-constants")
    assert origin is None or origin in {o["level"] for o in data["origins"]}


def test_tensor_and_instruction_are_named(tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path, "lower")
    report = api.verify(sample_model(QDQ_INT8), dims={"batch": 1}, load=[plugin])
    (fast, twin) = report.origins
    assert fast.tensor == twin.tensor == "logits", "the only one that leaves SPM"
    assert "st " in fast.instruction and "node node_linear" in fast.instruction
    assert any("logits" in line for line in verdict_lines(report))
    assert report.culprit is None, "nobody asked for it"


def test_a_reproducer_replays_the_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin, folder = write_plugin(tmp_path, "schedule"), tmp_path / "repro"
    command = ["verify", sample_model(QDQ_INT8), "--dim", "batch=1", "--load", plugin]
    outcome = npuc(*command, "--seed", 3, "--target", "tiny", "-O1", "--reproduce", folder)
    assert outcome.code == 1, outcome.err
    assert "pass always-accumulate of stage schedule" in outcome.out
    plugin.unlink()
    monkeypatch.chdir(folder)
    script = (folder / "replay.sh").read_text().splitlines()
    words = shlex.split(script[-1].removeprefix("exec "))
    assert words[0] == "npuc"
    again = npuc(*words[1:])
    assert again.code == 1
    first = [line for line in outcome.out.splitlines() if not line.startswith("replay")]
    assert first[-4:] == again.out.splitlines()[-4:], "the same difference, pass and tensor"
    for name in ("before", "after"):
        parse_module((folder / f"{name}.mlir").read_text(), make_context())
    assert (folder / "before.mlir").read_text() != (folder / "after.mlir").read_text()
    assert json.loads((folder / "failure.json").read_text())["passed"] is False


def test_a_folder_in_use_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    outcome = npuc("verify", sample_model(QDQ_INT8), "--dim", "batch=1", "--reproduce", tmp_path)
    assert outcome.code == 2
    assert str(tmp_path) in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_what_is_right_has_no_culprit_and_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "repro"
    command = ["verify", sample_model(QDQ_INT8), "--dim", "batch=1", "--bisect"]
    outcome = npuc(*command, "--reproduce", folder)
    assert outcome.code == 0
    assert not folder.exists()


def test_the_first_instruction_at_which_the_paths_split(monkeypatch: pytest.MonkeyPatch) -> None:
    program, inputs, _ = tiled_product()
    assert first_split(program, inputs) is None
    real = plain.execute_vexec

    def wrong(memory, core, work):
        real(memory, core, work)
        memory.spm[core][work.outputs[0].address] ^= 1

    monkeypatch.setattr(plain, "execute_vexec", wrong)
    origin = first_split(program, inputs)
    assert origin is not None
    assert "vexec" in origin.instruction and "Gemm_0" in origin.instruction


def test_wrong_stores_and_tensors_by_name() -> None:
    program = api.compile(sample_model(QDQ_INT8), dims={"batch": 1}).program
    assert program is not None
    inputs = {"x": np.ones((1, 1, 28, 28), np.float32)}
    right = load(program).run(inputs).outputs
    assert first_wrong_store(program, inputs, "fast", right) is None
    wrong = {"logits": right["logits"].copy()}
    wrong["logits"][0, 4] += 1
    origin = first_wrong_store(program, inputs, "fast", wrong)
    assert origin is not None and origin.tensor == "logits"
    assert first_wrong_tensor("tile", right, wrong) == type(origin)("tile", "logits")
    assert first_wrong_tensor("tile", {}, wrong) is None
