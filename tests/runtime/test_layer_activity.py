"""Engine use, stalls, energy and estimates by layer agree with the run as a whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from npuc import api
from npuc.compiler.remarks import parse_remarks
from npuc.emulator.timing import Account
from npuc.isa.errors import BinaryError
from npuc.runtime.layer_activity import WORKING, activity_rows, energy_level_rows, estimates
from npuc.runtime.profiling import ProfileReport, layer_rows, profile_program
from npuc.runtime.sample_data import QDQ_INT8, sample_model
from tests.command_line import npuc


@pytest.fixture(scope="module")
def report() -> ProfileReport:
    result = api.compile(sample_model(QDQ_INT8), "tiny", dims={"batch": 1})
    assert result.program is not None
    return profile_program(result.program, estimates=estimates(result.remarks))


def test_busy_cycles_sum_to_those_of_the_engines(report: ProfileReport) -> None:
    for engine in WORKING:
        by_layer = sum(activity.busy[engine.name] for activity in report.activities)
        assert by_layer == report.timing.accounting[:, engine.value, Account.busy].sum()
    waiting = sum(activity.stalls["counter"] for activity in report.activities)
    assert waiting == report.timing.accounting[:, :, Account.counter].sum()


def test_no_engine_is_busier_than_the_layer_is_long(report: ProfileReport) -> None:
    for activity in report.activities:
        assert activity.span_cycles <= report.cycles
        for engine in WORKING:
            assert 0 <= activity.utilisation(engine.name, 1) <= 1


def test_activities_belong_to_the_layers(report: ProfileReport) -> None:
    assert [a.group for a in report.activities] == [row.group for row in report.layers]
    assert len(activity_rows(report.activities, 1).rows) == len(report.layers)


def test_the_estimate_stands_beside_the_cycles(report: ProfileReport) -> None:
    assert layer_rows(report).columns[:3] == ("layer", "cycles", "alone")
    known = [report.estimates.get(row.group) for row in report.layers]
    assert all(estimate is not None and estimate > 0 for estimate in known)
    alone = [activity.alone_cycles for activity in report.activities]
    assert sum(alone) >= report.cycles, "together they overlap, and nothing is faster than alone"
    for estimate, cycles in zip(known, alone, strict=True):
        assert estimate == pytest.approx(cycles, rel=0.2), "the closed form expects just that"
    bare = profile_program(report.program)
    assert "estimate" not in layer_rows(bare).columns, "no remarks, no estimate"


def test_energy_by_level_sums_to_the_total(report: ProfileReport) -> None:
    table = energy_level_rows(report.energy)
    assert set(table.columns[1:]) <= set(report.energy.levels)
    for column in range(1, len(table.columns)):
        shown = sum(float(str(row[column]).replace(",", "")) for row in table.rows)
        assert shown == pytest.approx(float(str(table.total[column]).replace(",", "")), abs=0.1)


def test_the_command_shows_all_of_it() -> None:
    command = ["profile", sample_model(QDQ_INT8), "--dim", "batch=1", "--why"]
    shown = npuc(*command).out
    for words in ("estimate", "engine use and stalls by layer", "energy by layer and level"):
        assert words in shown
    layers = json.loads(npuc(*command, "--json").out)["layers"]
    for key in ("estimated_cycles", "engine_busy_cycles", "stall_cycles", "energy_fj"):
        assert all(key in layer for layer in layers)


def test_a_program_file_tells_as_much_as_its_model(tmp_path: Path) -> None:
    program, model = tmp_path / "p.npu", [sample_model(QDQ_INT8), "--dim", "batch=1"]
    assert npuc("compile", *model, "-o", program).code == 0
    of_file = json.loads(npuc("profile", program, "--why", "--json").out)
    of_model = json.loads(npuc("profile", *model, "--why", "--json").out)
    assert of_file["why"] == of_model["why"]
    assert len(of_file["why"]["remarks"]) > 50
    assert of_file["layers"] == of_model["layers"]
    other = json.loads(npuc("profile", program, "--target", "ref-2048", "--json").out)
    assert not any(layer.get("estimated_cycles") for layer in other["layers"])


@pytest.mark.parametrize("text", ["", "{}x", '["applied"]', '[{"source": 1}]', "[" * 100_000])
def test_damaged_remarks_are_refused(text: str) -> None:
    with pytest.raises(BinaryError, match="damaged") as caught:
        parse_remarks(text, "p.npu")
    assert caught.value.where == "p.npu"
