"""The challenging set of MiniMalloc: every instance at its capacity, checked independently.

M. D. Moffitt, "MiniMalloc", ASPLOS 2023, doi 10.1145/3623278.3624752; licence beside the data.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from npuc.compiler.planning.buffers import Buffer
from npuc.compiler.planning.csv_files import parse_buffers
from npuc.compiler.planning.plan import PlanOptions, plan
from tests.compiler.planning.checking import faults

FOLDER = Path(__file__).resolve().parents[2] / "data" / "minimalloc" / "challenging"
CAPACITY = 1_048_576
QUICK = ("B", "C", "J")


def instance(name: str) -> tuple[Buffer, ...]:
    path = FOLDER / f"{name}.{CAPACITY}.csv"
    return parse_buffers(path.read_text(), path.name)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in "ABCDEFGHIJK"]
)
def test_instance_fits(name: str) -> None:
    buffers = instance(name)
    found = plan(buffers, CAPACITY)
    assert faults(buffers, found.offsets, CAPACITY) == []
    assert found.fits and not found.stats.stopped_early


def test_first_fit_is_legal_and_told_as_unfinished() -> None:
    buffers = instance("K")
    found = plan(buffers, CAPACITY, PlanOptions(max_nodes=0))
    assert faults(buffers, found.offsets) == []
    assert not found.fits and found.stats.stopped_early
