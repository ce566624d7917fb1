"""``npuc compile`` and ``opt``: files, stages, resuming, schedules."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from npuc import api
from npuc.compiler.pipeline import STAGES
from npuc.runtime.sample_data import QDQ_INT8, sample_model
from tests.command_line import npuc

MODEL = ["compile", sample_model(QDQ_INT8), "--dim", "batch=1"]
NN_STAGES = [stage.name for stage in STAGES if stage.dialect == "nn"]


def test_the_program_is_written_and_summed_up(tmp_path: Path) -> None:
    outcome = npuc(*MODEL, "-o", tmp_path / "p.npu")
    assert outcome.code == 0, outcome.err
    assert "groups" in outcome.out
    assert "written:" in outcome.out
    assert [path.name for path in tmp_path.iterdir()] == ["p.npu"]


def test_compile_as_json(tmp_path: Path) -> None:
    data = json.loads(npuc(*MODEL, "-o", tmp_path / "p.npu", "--json").out)
    assert data["target"] == "edge"
    assert data["instructions"] > 0
    assert {remark["kind"] for remark in data["remarks"]} >= {"applied", "note"}


@pytest.mark.parametrize("stage", [stage.name for stage in STAGES[:-1]])
def test_every_stage_can_be_looked_at(stage: str) -> None:
    outcome = npuc(*MODEL, "--stop-after", stage)
    assert outcome.code == 0, outcome.err
    dialect = next(s.dialect for s in STAGES if s.name == stage)
    assert f"{dialect}." in outcome.out


@pytest.mark.parametrize(("stage", "following"), list(pairwise(NN_STAGES)))
def test_a_compilation_can_be_resumed_from_text(tmp_path: Path, stage: str, following: str) -> None:
    whole, resumed, ir = (tmp_path / name for name in ("whole.npu", "resumed.npu", "ir.mlir"))
    assert npuc(*MODEL, "-o", whole).code == 0
    assert npuc(*MODEL, "--stop-after", stage, "-o", ir).code == 0
    outcome = npuc("compile", ir, "--start-from", following, "-o", resumed)
    assert outcome.code == 0, outcome.err
    first, second = api.load(whole), api.load(resumed)  # remarks tell of the stages that ran
    assert first.constants.tobytes() == second.constants.tobytes()
    assert [c.tobytes() for c in first.code] == [c.tobytes() for c in second.code]


def test_ir_is_printed_on_the_way(tmp_path: Path) -> None:
    outcome = npuc(*MODEL, "-o", tmp_path / "p.npu", "--print-after", "import")
    assert "// after import" in outcome.out
    assert "nn.graph" in outcome.out
    assert "// after fuse" not in outcome.out


def test_remarks_are_printed_when_asked_for(tmp_path: Path) -> None:
    assert "form-groups: applied" in npuc(*MODEL, "-o", tmp_path / "p.npu", "--explain").out
    assert "form-groups: applied" not in npuc(*MODEL, "-o", tmp_path / "p.npu").out


def test_a_schedule_can_be_dumped_and_replayed(tmp_path: Path) -> None:
    schedule, first, second = (tmp_path / name for name in ("s.json", "a.npu", "b.npu"))
    assert npuc(*MODEL, "-o", first, "--dump-schedule", schedule).code == 0
    assert json.loads(schedule.read_text())["groups"]
    outcome = npuc(*MODEL, "-o", second, "--schedule", schedule)
    assert outcome.code == 0, outcome.err
    one, other = api.load(first), api.load(second)  # remarks tell what came from the file
    assert other.debug.schedule_json == one.debug.schedule_json == schedule.read_text()
    assert [c.tobytes() for c in other.code] == [c.tobytes() for c in one.code]
    assert other.constants.tobytes() == one.constants.tobytes()


def test_a_dump_of_no_schedule_is_refused(tmp_path: Path) -> None:
    stop = ["--stop-after", "fuse", "--dump-schedule", tmp_path / "s.json"]
    outcome = npuc(*MODEL, *stop)
    assert outcome.code == 2
    assert "--dump-schedule" in outcome.err


def test_a_schedule_that_is_not_reached_is_refused(tmp_path: Path) -> None:
    schedule = tmp_path / "s.json"
    assert npuc(*MODEL, "-o", tmp_path / "p.npu", "--dump-schedule", schedule).code == 0
    outcome = npuc(*MODEL, "--stop-after", "fuse", "--schedule", schedule)
    assert outcome.code == 2
    assert "--schedule with --stop-after fuse" in outcome.err
    assert npuc(*MODEL, "--stop-after", "schedule", "--schedule", schedule).code == 0


def test_a_program_needs_a_name() -> None:
    outcome = npuc(*MODEL)
    assert outcome.code == 2
    assert "-o P.npu" in outcome.err


def test_a_dimension_bound_twice_is_refused(tmp_path: Path) -> None:
    outcome = npuc(*MODEL, "--dim", "batch=2", "-o", tmp_path / "p.npu")
    assert outcome.code == 2
    assert "1 and 2" in outcome.err


def test_opt_is_the_pipeline_piece_by_piece(tmp_path: Path) -> None:
    before, after = tmp_path / "before.mlir", tmp_path / "after.mlir"
    assert npuc(*MODEL, "--stop-after", "quantize", "-o", before).code == 0
    passes = next(stage.passes for stage in STAGES if stage.name == "fuse")
    text = ",".join(compiler_pass.name for compiler_pass in passes)
    outcome = npuc("opt", before, "-p", text, "-o", after)
    assert outcome.code == 0, outcome.err
    assert after.read_text() == npuc(*MODEL, "--stop-after", "fuse").out


def test_constants_may_lie_elsewhere(tmp_path: Path) -> None:
    ir, elsewhere = tmp_path / "ir.mlir", tmp_path / "elsewhere.npz"
    assert npuc(*MODEL, "--stop-after", "import", "-o", ir).code == 0
    (tmp_path / "ir.consts.npz").rename(elsewhere)
    passes = ["-p", "fold-constants{keep-quantized=false}"]
    missing = npuc("opt", ir, *passes)
    assert missing.code == 2
    assert "--consts" in missing.err
    assert npuc("opt", ir, *passes, "--consts", elsewhere).code == 0
