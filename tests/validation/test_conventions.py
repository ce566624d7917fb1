"""The option sets against the simulators whose conventions they state."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.isa.cost import CONVENTIONS, Product
from npuc.isa.target import load_target
from tests.validation import onnxim, scalesim

MXU = load_target("edge").mxu
ROWS = tuple(scalesim.rows())
FREE = [row for row in ROWS if row.bandwidth is None]
LIMITED = [row for row in ROWS if row.bandwidth is not None]


def test_all_rows_are_there() -> None:
    assert len(ROWS) == 141
    assert {row.mxu.dataflow for row in FREE} == {"ws", "os", "is"}


@pytest.mark.parametrize("row", FREE, ids=lambda row: row.layer)
def test_scalesim_without_memory_is_equal(row: scalesim.Row) -> None:
    assert row.ours == row.cycles


def test_scalesim_with_memory_that_suffices_is_equal() -> None:
    unstalled = [row for row in LIMITED if row.stall_cycles == 0]
    assert len(unstalled) == 22
    assert all(row.bandwidth_bound == row.ours == row.cycles for row in unstalled)


def test_scalesim_with_too_little_bandwidth_differs_for_named_reasons() -> None:
    """What remains is named in docs/validation.md: at most 3.4 %, with both signs."""
    stalled = [row for row in LIMITED if row.stall_cycles]
    assert len(stalled) == 9
    for row in stalled:
        assert row.cycles - row.stall_cycles == row.ours, "stalls come on top of the free cycles"
        assert abs(row.bandwidth_bound / row.cycles - 1) <= 0.034


def test_published_figures() -> None:
    """512 x 512 x 512 on a 32 x 32 array, and one row."""
    cube = Product(512, 512, 512)
    assert CONVENTIONS["scalesim-ws"](MXU, cube) == 155_135
    assert CONVENTIONS["scalesim-os"](MXU, cube) == 146_943
    assert CONVENTIONS["onnxim"](MXU, cube) == 131_197
    one_row = CONVENTIONS["onnxim"](MXU, Product(1, 64, 32)) - CONVENTIONS["onnxim"](
        MXU, Product(1, 32, 32)
    )
    assert one_row == 32, "a fold of one row costs its weights"


@given(
    st.sampled_from([(4, 4), (8, 8), (16, 32), (32, 16)]),
    st.tuples(st.integers(1, 70), st.integers(1, 90), st.integers(1, 90), st.integers(1, 3)),
)
def test_onnxim_is_its_pipeline_walked_cycle_by_cycle(
    array: tuple[int, int], sizes: tuple[int, int, int, int]
) -> None:
    mxu, product = replace(MXU, rows=array[0], cols=array[1]), Product(*sizes)
    assert CONVENTIONS["onnxim"](mxu, product) == onnxim.stepped(mxu, product)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_several_products_cost_no_less_than_one(name: str) -> None:
    one, four = Product(20, 40, 40), Product(20, 40, 40, 4)
    assert four.macs == 4 * one.macs
    assert CONVENTIONS[name](MXU, four) > 3 * (CONVENTIONS[name](MXU, one) - 160)
