"""Regressions are caught, named with their layer and cause; shifts of neighbours are none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from npuc.isa.errors import UsageError
from npuc.runtime.baseline import load_baseline, save_baseline
from npuc.runtime.drift import WHOLE, Drift, drifts, parse_share, worst_first
from npuc.runtime.measuring import LayerFigures, Measurement
from npuc.runtime.sample_data import QDQ_INT8, sample_model
from tests.command_line import npuc

# The last layer's vector command runs twice: 3 % more cycles in that layer.
SLOW_PASS = """
from dataclasses import dataclass
from npuc.compiler.dialects import tile
from npuc.compiler.xdsl_api import Context, ModuleOp, ModulePass

@dataclass(frozen=True)
class WorkTwice(ModulePass):
    name = "work-twice"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        last = [o for o in op.walk() if isinstance(o, tile.GroupOp)][-1]
        vexec = [o for o in last.walk() if isinstance(o, tile.VexecOp)][-1]
        vexec.parent_block().insert_op_after(vexec.clone(), vexec)

def extend(pipeline):
    return pipeline.insert_after("schedule-groups", WorkTwice())
"""
MODEL = [sample_model(QDQ_INT8), "--dim", "batch=1"]


def layer(cycles: int, vpu: int = 10, **changes: object) -> LayerFigures:
    figures = LayerFigures(cycles, 64, "vpu", "tile 4", {"vpu": vpu}, {"dram": 3})
    return replace(figures, **changes)  # type: ignore[arg-type]


def model(**layers: LayerFigures) -> Measurement:
    total = sum(figures.cycles for figures in layers.values())
    return Measurement("edge", "m", total, 64 * len(layers), layers, {"a": "1", "b": "2"})


def test_three_percent_of_one_layer() -> None:
    before = model(conv=layer(100), pool=layer(1000), last=layer(50))
    after = model(conv=layer(103, vpu=13), pool=layer(1000), last=layer(50))
    whole, conv = drifts(before, after, "cycles")
    assert whole.layer == WHOLE
    assert "conv" in whole.cause
    assert conv == Drift("conv", "cycles", 100, 103, "vpu busy +3 cycles")
    assert conv.change == pytest.approx(0.03)
    assert str(conv) == "conv: 100 -> 103 cycles (+3.0%): vpu busy +3 cycles"


def test_equal_figures_do_not_drift() -> None:
    before = model(conv=layer(100))
    assert not list(drifts(before, before, "cycles"))
    assert not list(drifts(before, before, "bits"))


def test_a_neighbour_that_shifts_is_not_its_own_doing() -> None:
    before = model(conv=layer(100), pool=layer(100))
    after = model(conv=layer(90, tiling="tile 8"), pool=layer(110, stalls={"counter": 40}))
    by_layer = {drift.layer: drift for drift in drifts(before, after, "cycles")}
    assert by_layer["conv"].is_own and "tile 8" in by_layer["conv"].cause
    assert not by_layer["pool"].is_own and "overlap" in by_layer["pool"].cause


def test_causes() -> None:
    def cause(**changes: object) -> str:
        pair = model(conv=layer(100)), model(conv=layer(150, **changes))
        return list(drifts(*pair, "cycles"))[-1].cause

    assert "DRAM bytes 64 -> 96" in cause(dram_bytes=96)
    assert "waiting for dram +47 cycles" in cause(stalls={"dram": 50})
    assert "bound by mxu instead of vpu" in cause(bound_by="mxu")
    slower = replace(model(conv=layer(101)), machine="other")
    assert next(drifts(model(conv=layer(100)), slower, "cycles")).cause == "the target has changed"


def test_layers_come_and_go() -> None:
    before, after = model(a=layer(10)), model(b=layer(10))
    found = {drift.layer: drift for drift in drifts(before, after, "cycles")}
    assert found["a"].cause == "the layer is gone" and found["a"].change == -1
    assert found["b"].cause == "the layer is new" and found["b"].change == float("inf")


def test_the_first_tensor_with_other_bits() -> None:
    before = model(conv=layer(1))
    after = replace(before, bits={"a": "1", "b": "9", "c": "0"})
    (drift,) = drifts(before, after, "bits")
    assert drift.layer == "b"
    assert "before it has the same bits" in str(drift)


def test_the_largest_growth_comes_first() -> None:
    before = model(a=layer(10), b=layer(10), c=layer(10))
    after = model(a=layer(11), b=layer(30), c=layer(5))
    found = worst_first(drifts(before, after, "cycles"))
    assert [drift.layer for drift in found] == ["b", WHOLE, "a", "c"]


def test_a_baseline_survives_its_file(tmp_path: Path) -> None:
    figures = {"x": model(conv=layer(100))}
    save_baseline(tmp_path / "b.json", figures)
    assert load_baseline(tmp_path / "b.json") == figures


NOT_A_LAYER = '{"version": 1, "measurements": {"x": {"layers": 3}}}'


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 9}', NOT_A_LAYER])
def test_a_broken_baseline_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(UsageError, match="baseline"):
        load_baseline(tmp_path / "b.json")


@pytest.mark.parametrize("text", ["1", "%", "-1%", "x%", "nan%", "inf%"])
def test_a_share_is_a_percentage(text: str) -> None:
    assert parse_share("0.5%") == 0.005
    with pytest.raises(UsageError, match="percentage"):
        parse_share(text)


def test_bench_catches_and_names_a_slowdown_of_one_layer(tmp_path: Path) -> None:
    baseline, slow = tmp_path / "b.json", tmp_path / "slow.py"
    slow.write_text(SLOW_PASS)
    command = ["bench", *MODEL, "--baseline", baseline]
    assert npuc(*command).code == 2, "there is no baseline yet"
    assert npuc(*command, "--update").code == 0
    written = baseline.read_text()
    good = npuc(*command, "--max-regress", "0%")
    assert good.code == 0, good.out
    assert "REGRESSION" not in good.out and "improvement" not in good.out
    outcome = npuc(*command, "--load", slow)
    assert outcome.code == 1
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("REGRESSION")]
    assert "node_linear" in line and "(+5." in line and "vpu busy" in line
    assert npuc(*command, "--load", slow, "--max-regress", "10%").code == 0
    assert baseline.read_text() == written
    data = json.loads(npuc(*command, "--load", slow, "--json").out)
    ((_, facts),) = data.items()
    assert [drift["layer"] for drift in facts["regressions"]] == ["node_linear"]


def test_bench_announces_improvements(tmp_path: Path) -> None:
    baseline, slow = tmp_path / "b.json", tmp_path / "slow.py"
    slow.write_text(SLOW_PASS)
    command = ["bench", *MODEL, "--baseline", baseline]
    assert npuc(*command, "--load", slow, "--update").code == 0
    outcome = npuc(*command)
    assert outcome.code == 0
    assert "improvement" in outcome.out and "node_linear" in outcome.out


def test_bench_catches_a_schedule_that_is_worse(tmp_path: Path) -> None:
    baseline, schedule = tmp_path / "b.json", tmp_path / "s.json"
    assert npuc("bench", *MODEL, "--baseline", baseline, "--update").code == 0
    dump = ["--dump-schedule", schedule, "-o", tmp_path / "p.npu"]
    assert npuc("compile", *MODEL, *dump).code == 0
    data = json.loads(schedule.read_text())
    convolutions = [g for g in data["groups"] if "node_Conv_151" in g["nodes"]]
    for group in convolutions:
        if "product" in group:
            group["tile"]["m1"] = 1
    schedule.write_text(json.dumps(data))
    outcome = npuc("bench", *MODEL, "--baseline", baseline, "--schedule", schedule)
    assert outcome.code == 1
    assert "node_Conv_151" in outcome.out and "its tiling changed" in outcome.out


def test_another_batch_is_another_entry_of_the_baseline(tmp_path: Path) -> None:
    baseline = tmp_path / "b.json"
    assert npuc("bench", *MODEL, "--baseline", baseline, "--update").code == 0
    outcome = npuc("bench", MODEL[0], "--dim", "batch=2", "--baseline", baseline)
    assert outcome.code == 0
    assert "not in the baseline: mnist_cnn_qdq_int8 batch=2 on" in outcome.out


def test_bench_without_baseline_only_shows() -> None:
    outcome = npuc("bench", *MODEL)
    assert outcome.code == 0
    assert "cycles" in outcome.out
    assert npuc("bench", *MODEL, "--update").code == 2
    assert npuc("bench", MODEL[0], MODEL[0], "--dim", "batch=1").code == 2
