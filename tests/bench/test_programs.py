"""The page of compiled programs: its figures of one small program, and its rows from figures."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from npuc import api
from npuc.runtime.sample_data import QDQ_INT8, sample_model
from tests.bench.program_case import DIGITS, Case, Figures, Layer, Measured, measure
from tests.bench.programs import NETWORKS, cases, name_of, write

RENDER = Path(__file__).parents[2] / "docs" / "programs" / "render.py"


@pytest.fixture(scope="module")
def render() -> ModuleType:
    spec = importlib.util.spec_from_file_location("programs_page", RENDER)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def digits() -> Measured:
    return measure(Case(DIGITS))


def test_a_case_is_what_profile_shows(digits: Measured) -> None:
    report = api.profile(sample_model(QDQ_INT8), "edge", dims={"batch": 1})
    found = digits.figures
    assert found.cycles == report.cycles
    assert found.dram_bytes == report.timing.dram_read_bytes + report.timing.dram_written_bytes
    assert found.roof_cycles <= found.cycles and found.compulsory_bytes <= found.dram_bytes
    assert list(digits.layers) == [row.group for row in report.layers]
    assert sum(layer.run for layer in digits.layers.values()) == found.cycles
    assert digits.compile_s > 0 and digits.peak_mb > 0


def test_the_page_of_one_program(render: ModuleType, digits: Measured, tmp_path: Path) -> None:
    write(tmp_path, [(Case(DIGITS), digits)])
    text = render.page(tmp_path)
    found = digits.figures
    roof = f"{found.roof_cycles / found.cycles:.2f}"
    assert f"| digits | {found.cycles:,} | {found.roof_cycles:,} | {roof} |" in text
    assert "| digits |  |  | " in text, "other levels were not measured"
    assert f"| digits | {len(digits.layers)} | " in text
    assert "Beside Arm Vela" not in text and "four cores" not in text


def test_what_the_page_says_of_levels_peers_cores_and_errors(
    render: ModuleType, digits: Measured, tmp_path: Path
) -> None:
    def made(case: Case, cycles: int) -> tuple[Case, Measured]:
        figures = Figures(case, cycles, 50, 40, 1000, 150_000_000, 100_000_000, 7, 9)
        layers = {"a": Layer(110, 100, 80), "b": Layer(90, 120, 60)}
        return case, replace(digits, figures=figures, layers=layers)

    network = "resnet50_v1"
    levels = [made(Case(network, level=n), c) for n, c in enumerate((400, 300, 100, 101))]
    server = [Case(network, "server", batch=4, cores=cores) for cores in (1, 4)]
    write(tmp_path, [*levels, made(Case(network, "ref-2048"), 3_260_000)])
    write(tmp_path, [made(server[0], 640), made(server[1], 200)])
    write(tmp_path, [made(Case(network, "ref-2048", level=3), 1_630_000)])
    text = render.page(tmp_path)
    assert "| geometric mean |  |  | 0.50 |  |  |  | 1.50 |" in text
    assert "| resnet50_v1 | 400 | 300 | 100 | 101 | 4.00 |" in text
    assert "Cycles rise with the level: resnet50_v1 from -O2 to -O3." in text
    assert "| resnet50_v1 | ref-2048 | 3,260,000 | 6,520,000 | 0.50 | 0.65 | 0.00 |" in text
    assert "| 2.33 | 0.25 |\n" in text, "at -O3"
    assert "| resnet50_v1 | 640 | 200 | 3.20 | 150.00 | 150.00 |" in text
    assert "| all | 2 | 17.5 | 25.0 | 25.0 | -7.5 | 43.8 |" in text
    assert "| resnet50_v1: b | 90 | 120 | -25 |" in text


def test_measuring_a_case_leaves_the_others(digits: Measured, tmp_path: Path) -> None:
    write(tmp_path, [(Case(DIGITS), digits)])
    write(tmp_path, [(Case(DIGITS, level=0), digits)])
    rows = json.loads((tmp_path / "figures.json").read_text())
    assert list(rows) == [name_of(Case(DIGITS, level=level)) for level in (0, 2)]


def test_every_network_has_every_level_and_the_compared_ones_more() -> None:
    found = cases()
    assert len({name_of(case) for case in found}) == len(found) == len(NETWORKS) * 4 + 8 + 4
    assert [name_of(c) for c in cases(["light_vgg19"])][-1] == (
        "light_vgg19 server -O2 batch 4 cores 4"
    )
