"""The page of wall times: its form, and that measuring measures."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("onnxruntime", reason="the reference: extra 'verify'")

from tests.bench.performance import (  # after the check
    Figures,
    best_of,
    digits,
    main,
    measure,
    page,
)


def test_the_page_has_a_row_per_case_with_its_ratio() -> None:
    text = page([Figures("net", 1.5, 0.2, 0.1, 0.003, 12_345, 300.0)])
    (row,) = [line for line in text.splitlines() if line.startswith("| net ")]
    assert row == "| net | 1.50 s | 200.00 ms | 100.00 ms | 2.0 | 3.0 ms | 12,345 | 300 MB |"


def test_the_best_run_counts_and_the_first_does_not() -> None:
    calls: list[int] = []
    assert best_of(lambda: calls.append(0), 3) >= 0
    assert len(calls) == 4


def test_a_case_is_measured() -> None:
    figures = measure(digits(1), repeats=1)
    assert min(figures.compile_s, figures.emulate_s, figures.reference_s, figures.timing_s) > 0
    assert figures.cycles > 10_000


@pytest.mark.bench
def test_the_page_is_written(tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path / "p.md")]) == 0
    assert "digit classifier" in (tmp_path / "p.md").read_text()
