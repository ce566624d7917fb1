"""The page of the planner: its rows, from figures."""

from __future__ import annotations

from tests.bench.planning import INSTANCES, Instance, Memory, measure_instance, page


def test_the_page_has_a_row_per_instance_and_memory() -> None:
    instance = Instance("Z", 9, 1.0, 1.25, 5.0, 1.0, 2.5, 1234, True)
    text = page([instance], [Memory("net", "SPM", 3, 1000, 1010)])
    assert "| Z | 9 | 1.000 | 1.250 | 5.0 | 1.000 | 2.5 | 500 | 1,234 |" in text
    assert "| net | SPM | 3 | 1,000 | 1,010 | 1.00% |" in text
    assert "1 of 1 meet the capacity." in text


def test_an_instance_is_measured() -> None:
    found = measure_instance(INSTANCES / "C.1048576.csv")
    assert found.fits and found.peak < found.first_peak and found.seconds > 0
