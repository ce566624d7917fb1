"""The page of speed: its form, that measuring measures, and the networks that are kept."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

pytest.importorskip("onnxruntime", reason="the reference: extra 'verify'")

from tests.bench import zoo_cache  # after the check
from tests.bench.performance import main, page
from tests.bench.tables import growth
from tests.bench.tables.clock import best_of, paired
from tests.bench.tables.networks import Figures, case_of, macs_of, measure
from tests.bench.tables.table import Table


def test_a_row_tells_ratio_rate_and_evaluator() -> None:
    figures = Figures("net", 2 * 10**9, 1.5, 0.2, 0.1, 5.0, 0.003, 12_345, 300.0)
    text = page([Table("Networks", "Text.", ("network", *"abcdefghij"), [figures.row()])])
    (row,) = [line for line in text.splitlines() if line.startswith("| net |")]
    assert row == (
        "| net | 2.000 | 1.50 s | 200.00 ms | 100.00 ms | 2.00 | 10.0 | 25.0 | 3.0 ms | 12,345 "
        "| 300 MB |"
    )
    assert text.index("## Networks") < text.index("| network | a |") < text.index("Measured with")


def test_the_first_run_of_each_warms_up_and_pairs_take_turns() -> None:
    calls: list[str] = []
    assert best_of(lambda: calls.append("a"), 3) >= 0
    assert calls == ["a"] * 4
    calls.clear()
    assert len(paired((lambda: calls.append("a"), lambda: calls.append("b")), 2)) == 2
    assert calls == ["a", "b"] * 3


def test_macs_of_a_grouped_convolution_and_a_product() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], group=2, pads=[1, 1, 1, 1]),
        helper.make_node("Flatten", ["y"], ["f"]),
        helper.make_node("Gemm", ["f", "v"], ["z"], transB=1),
    ]
    weights = [
        helper.make_tensor("w", TensorProto.FLOAT, (6, 2, 3, 3), [0.0] * 108),
        helper.make_tensor("v", TensorProto.FLOAT, (10, 150), [0.0] * 1500),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4, 5, 5))],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, (1, 10))],
        weights,
    )
    assert macs_of(helper.make_model(graph), {}) == 6 * 25 * 18 + 10 * 150


def test_a_case_is_measured() -> None:
    figures = measure(case_of("digits"), repeats=1)
    assert min(figures.compile_s, figures.emulate_s, figures.reference_s, figures.timing_s) > 0
    assert figures.cycles > 1_000
    assert figures.macs == 842_656


def test_a_network_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def build(name: str, *, seed: int) -> onnx.ModelProto:
        made.append(name)
        return onnx.ModelProto(producer_name=f"{name} {seed}")

    monkeypatch.setattr(zoo_cache, "build", build)
    monkeypatch.setattr(zoo_cache, "quantised", lambda model: model)
    first, again = (zoo_cache.network("net", tmp_path) for _ in range(2))
    assert first == again
    assert made == ["net"]
    assert onnx.load(first.int8).producer_name == "net 0"
    monkeypatch.setattr(zoo_cache, "version", lambda _: "another")
    assert zoo_cache.network("net", tmp_path) != first
    assert made == ["net", "net"]


def test_growth_is_measured_by_layers() -> None:
    found = growth.table(layers=1, deep=None)
    assert [row[:2] for row in found.rows] == [("chain of 1", "2"), ("chain of 10", "20")]
    assert "times as long to compile" in found.text


@pytest.mark.bench
def test_the_page_is_written(tmp_path: Path) -> None:
    assert main(["--digits", "--out", str(tmp_path / "p.md")]) == 0
    assert "digit classifier" in (tmp_path / "p.md").read_text()
