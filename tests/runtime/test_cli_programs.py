"""Commands on program files: run, profile, asm, disasm, objdump."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from npuc.isa import container
from npuc.runtime.files import load_arrays, save_arrays
from tests.command_line import npuc
from tests.emulator.programs import tiled_product


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A tiled int8 product y = requantize(x @ w), with its input and the expected output."""
    program, inputs, expected = tiled_product()
    container.save(program, tmp_path / "product.npu")
    save_arrays(tmp_path / "in.npz", inputs)
    save_arrays(tmp_path / "expected.npz", {"y": expected})
    return tmp_path / "product.npu"


@pytest.mark.parametrize("extra", [[], ["--plain"], ["--strict"]])
def test_run_writes_the_outputs(product: Path, extra: list[str]) -> None:
    output = product.with_name("out.npz")
    outcome = npuc("run", product, "--input", product.with_name("in.npz"), "-o", output, *extra)
    assert outcome.code == 0, outcome.err
    expected = load_arrays(product.with_name("expected.npz"))
    np.testing.assert_array_equal(load_arrays(output)["y"], expected["y"])
    assert "cycles" in outcome.out


def test_run_without_input_makes_up_the_same_one_every_time(product: Path) -> None:
    first, again = npuc("run", product), npuc("run", product)
    assert first.code == 0, first.err
    assert first.out == again.out


def test_run_as_json(product: Path) -> None:
    data = json.loads(npuc("run", product, "--json").out)
    assert data["outputs"]["y"] == {"dtype": "int8", "shape": [12, 16]}
    assert data["cycles"] > 0
    assert data["findings"] == []


def test_cycles_need_no_values(product: Path) -> None:
    with_values = json.loads(npuc("run", product, "--json").out)
    without = json.loads(npuc("run", product, "--json", "--no-values").out)
    assert without["outputs"] == {}
    assert without["cycles"] == with_values["cycles"]


def test_a_race_is_told_and_is_a_failed_check(product: Path) -> None:
    program, _, _ = tiled_product(synchronised=False)
    container.save(program, product)
    outcome = npuc("run", product, "--strict")
    assert outcome.code == 1
    assert "race" in outcome.out
    assert npuc("run", product).code == 0, "only strict mode looks for races"


def test_profile_accounts_for_every_cycle(product: Path) -> None:
    data = json.loads(npuc("profile", product, "--json").out)
    assert sum(layer["cycles"] for layer in data["layers"]) == data["cycles"]
    assert data["macs"] == 12 * 20 * 16
    for engine in data["engines"]:
        accounts = [value for key, value in engine.items() if key not in ("core", "engine")]
        assert sum(accounts) == data["cycles"], engine
    assert data["energy_total_fj"] == sum(data["energy_fj"].values())
    assert data["dram_read_bytes"] >= 12 * 20 + 20 * 16


def test_profile_shows_tables(product: Path) -> None:
    outcome = npuc("profile", product)
    assert outcome.code == 0, outcome.err
    for words in ("layer", "dense", "bound by", "engine cycles", "mxu", "energy", "DRAM"):
        assert words in outcome.out
    assert "schedule" not in outcome.out


def test_profile_says_why(product: Path) -> None:
    shown = npuc("profile", product, "--why").out
    assert "schedule" in shown
    assert "confidence" in shown
    assert "why" in json.loads(npuc("profile", product, "--why", "--json").out)


def test_profile_under_another_target_changes_time_alone(product: Path) -> None:
    tiny = json.loads(npuc("profile", product, "--json").out)
    edge = json.loads(npuc("profile", product, "--json", "--target", "edge").out)
    assert edge["target"] == "edge"
    assert edge["cycles"] != tiny["cycles"]
    assert edge["macs"] == tiny["macs"]


def test_profile_refuses_options_of_compilation_for_a_program(product: Path) -> None:
    for options, words in ((["--dim", "batch=1"], "batch=1"), (["-O", "3"], "-O 3")):
        outcome = npuc("profile", product, *options)
        assert outcome.code == 2
        assert words in outcome.err


def test_disasm_and_asm_are_inverse(product: Path) -> None:
    text = product.with_suffix(".s")
    assert npuc("disasm", product, "-o", text).code == 0
    again = product.with_name("again.npu")
    assert npuc("asm", text, "-o", again).code == 0
    assert again.read_bytes() == product.read_bytes()
    assert npuc("disasm", product).out == text.read_text()


def test_a_group_is_listed_with_its_nodes(product: Path) -> None:
    outcome = npuc("disasm", product, "--group", "dense")
    assert outcome.code == 0
    assert "Gemm_0" in outcome.out
    assert "mma" in outcome.out


def test_objdump_shows_arguments_and_groups(product: Path) -> None:
    shown = npuc("objdump", product).out
    assert "12x20" in shown
    assert "Gemm_0" in shown
    data = json.loads(npuc("objdump", product, "--json").out)
    assert data["groups"][0]["nodes"] == ["Gemm_0"]
    assert [a["name"] for a in data["arguments"]] == ["x", "y"]
