"""Other simulators' cycles beside ours, layer by layer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from npuc import api
from npuc.isa import container
from npuc.isa.cost import CONVENTIONS, Product
from npuc.isa.program import Program
from npuc.isa.target import load_target
from npuc.runtime.profiling import profile_program
from npuc.runtime.sample_data import QDQ_INT8, sample_model
from npuc.runtime.timing.conventions import convention_rows, layer_conventions
from tests.command_line import npuc

NAMES = tuple(CONVENTIONS)


@pytest.fixture(scope="module")
def digits() -> Program:
    program = api.compile(sample_model(QDQ_INT8), "tiny", dims={"batch": 1}).program
    assert program is not None
    return program


def test_a_layer_is_one_product_however_it_is_cut(digits: Program) -> None:
    layers = layer_conventions(profile_program(digits), NAMES)
    found = {layer.group: layer for layer in layers}
    conv = found["node_Conv_155"]
    assert conv.products == (Product(14 * 14, 16, 32),) and conv.commands > 1
    mxu = load_target("tiny").mxu
    assert conv.theirs == {name: CONVENTIONS[name](mxu, conv.products[0]) for name in NAMES}


def test_mxu_cycles_are_those_of_the_engine(digits: Program) -> None:
    report = profile_program(digits)
    layers = {layer.group: layer for layer in layer_conventions(report, NAMES)}
    for activity, row in zip(report.activities, report.layers, strict=True):
        assert (activity.group in layers) == (row.macs > 0)
        if row.macs:
            assert layers[activity.group].mxu_cycles == activity.busy["mxu"]
            assert layers[activity.group].cycles == row.cycles


NO_NOTES = (
    "{}",
    "[]",
    "nonsense",
    '{"groups": [{"nodes": 3}]}',
    '{"groups": [{"nodes": ["a"], "product": {"z": 1}}]}',
)


@pytest.mark.parametrize("text", NO_NOTES)
def test_without_a_note_of_the_whole_each_command_counts(digits: Program, text: str) -> None:
    bare = replace(digits, debug=replace(digits.debug, schedule_json=text))
    whole = layer_conventions(profile_program(digits), ["scalesim-ws"])
    for layer, one in zip(
        layer_conventions(profile_program(bare), ["scalesim-ws"]), whole, strict=True
    ):
        assert len(layer.products) == layer.commands == one.commands
        assert sum(p.macs for p in layer.products) == sum(p.macs for p in one.products)
        assert layer.theirs["scalesim-ws"] >= one.theirs["scalesim-ws"]


def test_the_table_sums_up(digits: Program) -> None:
    layers = layer_conventions(profile_program(digits), ["onnxim"])
    table = convention_rows(layers, ["onnxim"])
    assert table.columns[-2:] == ("onnxim", "ratio")
    assert table.total[5] == sum(layer.theirs["onnxim"] for layer in layers)


def test_command_line(digits: Program, tmp_path: Path) -> None:
    path = tmp_path / "digits.npu"
    container.save(digits, path)
    given = [part for name in NAMES for part in ("--timing-convention", name)]
    shown = npuc("profile", path, *given)
    assert shown.code == 0, shown.err
    assert all(name in shown.out for name in NAMES) and "196x16x32" in shown.out
    data = json.loads(npuc("profile", path, *given, "--json").out)
    assert {tuple(layer["theirs"]) for layer in data["conventions"]} == {NAMES}
