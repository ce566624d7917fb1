"""Panels by definition: a transfer of a tile brings what rows and columns of the matrix hold."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.compiler.schedule.panels import (
    can_be_paneled,
    in_panels,
    panel_columns,
    panel_map,
    with_panels,
)
from npuc.compiler.schedule.problem import GroupProblem, Home
from npuc.compiler.schedule.program import Job, TensorFacts
from npuc.compiler.schedule.tiling import Tiling
from npuc.isa.descriptors import TensorMap
from npuc.isa.target import load_target
from tests.compiler.schedule.problems import conv

EDGE = load_target("edge")


def job_of(problem: GroupProblem, spare_bytes: int = 0) -> tuple[Job, list[TensorFacts]]:
    """A job whose weights are a constant, with so many bytes behind them."""
    segments = ("input", "constant", "output")
    sizes = [np.prod(o.shape) * o.dtype.bytes for o in problem.operands]
    sizes[1] += spare_bytes
    rows = enumerate(zip(sizes, segments, strict=True))
    return Job(problem, (0, 1, 2), ("n",)), [TensorFacts(f"t{n}", int(b), s) for n, (b, s) in rows]


def paneled(problem: GroupProblem) -> GroupProblem:
    job, tensors = job_of(problem)
    return with_panels([job], tensors)[0].problem


def brought(array: np.ndarray, transfer: TensorMap, corner: tuple[int, ...]) -> np.ndarray:
    """The bytes of a transfer in the order of SPM, by its addresses."""
    flat, size = array.reshape(-1), transfer.dtype.bytes
    slot = np.full(int(np.prod(transfer.box)), -1, np.int64)
    for place in product(*map(range, transfer.box)):
        index = [c + p for c, p in zip(corner, place, strict=True)]
        assert all(i < n for i, n in zip(index, transfer.extents, strict=True))
        dram = sum(i * s for i, s in zip(index, transfer.dram_strides, strict=True))
        spm = sum(p * s for p, s in zip(place, transfer.spm_strides, strict=True))
        slot[spm // size] = flat[dram // size]
    return slot


@given(st.integers(1, 3), st.integers(1, 9), st.integers(2, 40), st.integers(1, 39), st.data())
def test_a_tile_comes_as_its_rows_and_columns(
    kernel: int, depth: int, n: int, columns: int, data: st.DataObject
) -> None:
    columns = min(columns, n - 1)
    problem = paneled(conv((1, 6, 6, depth), (kernel, kernel, n), (1, 1, 0)))
    w = problem.operands[1]
    assert w.is_paneled
    matrix = np.arange(w.dtype.bytes * np.prod(w.shape), dtype=np.int64)[: np.prod(w.shape)]
    matrix = matrix.reshape(w.shape)
    cut = data.draw(st.integers(1, depth))
    tile = (1, 6, 6, columns, 1, 1, cut) if cut < depth else (1, 6, 6, columns, kernel, kernel, cut)
    transfer = panel_map(w, tile, columns)
    stored = in_panels(matrix, columns)
    assert stored.size == -(-n // columns) * columns * kernel * kernel * depth
    for first in range(0, n, columns):
        for k2 in range(0, depth, cut):
            rows = matrix[: tile[4], : tile[5], k2 : k2 + cut, first : first + columns]
            if rows.shape[2] < cut:
                continue  # clipped by the map's extent, as for any tensor
            got = brought(stored, transfer, (first, 0, 0, k2, 0)).reshape(*tile[4:], columns)
            np.testing.assert_array_equal(got[..., : rows.shape[-1]], rows)
            assert not got[..., rows.shape[-1] :].any()


def tiled(problem: GroupProblem, columns: int) -> Tiling:
    tile = tuple(columns if d == 3 else n for d, n in enumerate(problem.extents))
    return Tiling(tile, (0, 1, 2, 3), 2, 2)


@pytest.mark.parametrize(
    ("columns", "found"),
    [(32, 32), (64, 64), (128, None), (192, 192), (256, None)],
)
def test_panels_are_for_tiles_that_waste_bursts(columns: int, found: int | None) -> None:
    problem = paneled(conv((1, 4, 4, 8), (1, 1, 256), (1, 1, 0)))
    assert panel_columns(problem, tiled(problem, columns), problem.operands[1], EDGE) == found


def test_what_is_fetched_whole_or_is_not_row_major_stays_as_it_is() -> None:
    problem = paneled(conv((1, 4, 4, 8), (1, 1, 256), (1, 1, 0)))
    w = problem.operands[1]
    fetched = replace(w, home=Home.fetched)
    assert panel_columns(problem, tiled(problem, 64), fetched, EDGE) is None
    assert not can_be_paneled(replace(w, base=4))
    turned = replace(w, strides=w.strides[:-2] + w.strides[-2:][::-1])
    assert not can_be_paneled(turned)
    assert not can_be_paneled(problem.operands[0])


def test_weights_of_two_jobs_or_of_a_larger_constant_stay_as_they_are() -> None:
    job, tensors = job_of(conv((1, 4, 4, 8), (1, 1, 256), (1, 1, 0)))
    assert with_panels([job], tensors) != [job]
    assert with_panels([job, job], tensors) == [job, job]
    part, larger = job_of(job.problem, spare_bytes=256)
    assert with_panels([part], larger) == [part]
