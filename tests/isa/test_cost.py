"""Cost formulas against hand-computed numbers, a fold-by-fold simulation and a word counter."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.isa import cost
from npuc.isa.descriptors import Kernel, Op, Output, Stream
from npuc.isa.dtypes import DType
from npuc.isa.target import Target, load_target

EDGE = load_target("edge")
TINY = load_target("tiny")


def with_mxu(target: Target, **fields: object) -> Target:
    return replace(target, mxu=replace(target.mxu, **fields))


# --- mma ---


@pytest.mark.parametrize("t", [1, 16, 100, 512, 20000])
def test_single_fold_ws_equals_the_measured_array(t: int) -> None:
    """2R + C + T - 2: what an RTL array of 32x32 showed for these T."""
    measured = {1: 95, 16: 110, 100: 194, 512: 606, 20000: 20094}
    assert cost.mma_cycles(EDGE, t, 32, 32) == measured[t]


@pytest.mark.parametrize(
    ("m", "n", "k", "ws", "os"),
    [
        (128, 32, 32, 222, 190 + 32),
        (128, 32, 64, 444, 4 * (32 + 62 + 64)),
        (128, 64, 64, 888, 8 * (32 + 62 + 64)),
        (512, 512, 512, 155136, 256 * (32 + 62 + 512)),
    ],
)
def test_folds_one_after_another(m: int, n: int, k: int, ws: int, os: int) -> None:
    """Without double buffer: F (2R + C + T - 2), SCALE-Sim v3 for ws, the drained form for os."""
    plain = with_mxu(EDGE, weight_double_buffer=False, fold_overlap=False)
    assert cost.mma_cycles(plain, m, k, n) == ws
    if k == 32:
        os = 4 * (32 + 62 + 32)
    assert cost.mma_cycles(with_mxu(plain, dataflow="os"), m, k, n) == os


def test_fold_overlap_of_a_large_product() -> None:
    assert cost.mma_cycles(EDGE, 512, 512, 512) == 32 + 256 * 512 + 62  # 131166
    assert cost.mma_cycles(EDGE, 1, 512, 512) == 32 + 255 * 32 + 1 + 62


def test_dtype_row_cycles_and_transposed_load() -> None:
    assert cost.mma_cycles(EDGE, 100, 32, 32, dtype=DType.f32) == 4 * 32 + 8 * 100 + 62
    assert cost.mma_cycles(EDGE, 100, 32, 32, dtype=DType.bf16) == 2 * 32 + 2 * 100 + 62
    assert cost.mma_cycles(EDGE, 100, 32, 32, row_cycles=3) == 32 + 300 + 62
    assert cost.mma_cycles(EDGE, 100, 32, 32, transposed=True) == 128 + 100 + 62
    assert cost.mma_cycles(EDGE, 0, 32, 32) == 1


def simulate_folds(target: Target, m: int, k: int, n: int) -> int:
    """ws and is, event by event: a loader with one shadow copy and a streamer, fold after fold."""
    mxu = target.mxu
    rows, cols = mxu.rows, mxu.cols
    stationary, t = (n, m) if mxu.dataflow == "ws" else (m, n)
    drain = rows + cols - 2
    stream_end = load_end = stream_start = drained = 0
    for _ in range(0, stationary, cols):
        for k0 in range(0, k, rows):
            load = ceil(min(rows, k - k0) / mxu.weight_rows_per_cycle)
            load_start = stream_start if mxu.weight_double_buffer else drained
            load_end = max(load_start, load_end) + load
            free = stream_end if mxu.fold_overlap else drained
            stream_start = max(load_end, free)
            stream_end = stream_start + t
            drained = stream_end + drain
    return drained


def simulate_output_stationary(target: Target, m: int, k: int, n: int) -> int:
    mxu = target.mxu
    overlaps = mxu.fold_overlap and mxu.weight_double_buffer
    stream_end = mesh_free = 0
    for _ in range(0, n, mxu.cols):
        for m0 in range(0, m, mxu.rows):
            start = stream_end if overlaps else mesh_free
            rows = min(mxu.rows, m - m0)
            stream_end = start + k
            ready = stream_end + mxu.rows + mxu.cols - 2
            if mesh_free > ready:  # the shadow copy is still leaving: the stream is held
                stream_end += mesh_free - ready
                ready = mesh_free
            mesh_free = ready + rows
    return mesh_free


sizes = st.integers(1, 70)


@given(
    sizes,
    sizes,
    sizes,
    st.sampled_from(["ws", "is", "os"]),
    st.tuples(st.booleans(), st.booleans()),
)
def test_closed_form_equals_fold_simulation(m, k, n, dataflow, flags) -> None:  # type: ignore[no-untyped-def]
    double, overlap = flags
    target = with_mxu(
        TINY, rows=8, cols=4, dataflow=dataflow, weight_double_buffer=double, fold_overlap=overlap
    )
    simulate = simulate_output_stationary if dataflow == "os" else simulate_folds
    assert cost.mma_cycles(target, m, k, n) == simulate(target, m, k, n)


@given(sizes, sizes, sizes, st.sampled_from(["ws", "is", "os"]))
def test_mma_is_not_below_the_mac_bound(m: int, k: int, n: int, dataflow: str) -> None:
    target = with_mxu(TINY, dataflow=dataflow)
    for dtype in (DType.i8, DType.bf16, DType.f32):
        peak = target.mxu.macs_per_cycle * cost.mac_rate(target, dtype)
        assert cost.mma_cycles(target, m, k, n, dtype=dtype) >= m * k * n / peak


def test_formulas_broadcast() -> None:
    m, k, n = np.arange(1, 50)[:, None, None], np.arange(1, 40)[:, None], np.array([1, 8, 9, 33])
    table = cost.mma_cycles(TINY, m, k, n)
    assert table.shape == (49, 39, 4) and table.dtype == np.int64
    for i, j, h in ((0, 0, 0), (48, 38, 3), (7, 7, 1), (20, 8, 2)):
        assert table[i, j, h] == cost.mma_cycles(TINY, i + 1, j + 1, int(n[h]))


def words_by_bank(target: Target, extents: tuple[int, ...], strides: tuple[int, ...]) -> int:
    width, banks, rows = target.spm.bank_width_bytes, target.spm.banks, target.mxu.rows
    offsets = [
        sum(i * s for i, s in zip(p, strides, strict=True)) for p in product(*map(range, extents))
    ]
    worst = 1
    for start in range(0, len(offsets), rows):
        words = {o // width for o in offsets[start : start + rows]}
        banked = [w % banks for w in words]
        worst = max(worst, *(banked.count(b) for b in banked))
    return worst


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 40)),
    st.tuples(st.integers(0, 600), st.integers(0, 100), st.integers(1, 3)),
)
def test_row_cycles_count_words_per_bank(extents, strides) -> None:  # type: ignore[no-untyped-def]
    access = cost.mma_row_access(TINY, extents, strides, 1)
    assert access.cycles == words_by_bank(TINY, extents, strides)


def test_narrow_channels_do_not_come_free() -> None:
    same_bank = (3, 3, 3), (512, 3, 1)  # three rows whose words fall into one bank of edge
    assert cost.mma_row_access(EDGE, *same_bank, 1).cycles == 3
    assert cost.mma_row_access(EDGE, (1, 1, 32), (0, 0, 1), 1).cycles == 1


# --- vexec ---


def kernel(*body: str, epilogue: int = 0) -> Kernel:
    """Float body ops in a chain, then a sum and ``epilogue`` additions when asked."""
    ops = [Op(name, (0,) if name in ("exp2", "negf") else (0, 0)) for name in body]
    n_body = len(ops)
    if epilogue:
        ops.append(Op("sumf", (15 + n_body,)))
        n_body += 1
        ops += [Op("addf", (16 + n_body - 1, 8)) for _ in range(epilogue)]
    last = 15 + len(ops)
    return Kernel((Stream("f"),), tuple(ops), n_body, (Output(last, bool(epilogue)),))


def test_vexec_elementwise_by_hand() -> None:
    five = cost.kernel_cost(EDGE, kernel("addf", "addf", "exp2"))  # 1 + 1 + 4 = 6 <= 8: one pass
    assert (five.body_passes, five.epilogue_passes, five.body_lanes) == (1, 0, 32)
    assert cost.vexec_cycles(EDGE, 100, 100, five) == 12 + 4
    nine = cost.kernel_cost(EDGE, kernel("exp2", "exp2", "addf"))
    assert cost.vexec_cycles(EDGE, 100, 100, nine) == 12 + 4 * 2
    assert cost.vexec_lane_ops(nine, 100, 100) == 900


def test_vexec_epilogue_counts_per_output() -> None:
    reducing = cost.kernel_cost(EDGE, kernel("addf", epilogue=9))
    assert (reducing.body_passes, reducing.epilogue_passes) == (1, 2)
    assert cost.vexec_cycles(EDGE, 3200, 64, reducing) == 12 + 100 + 2 * 2


def test_vexec_mac8_runs_at_four_times_the_lanes() -> None:
    mac = Kernel((Stream("i"), Stream("i")), (Op("mac8", (0, 1)),), 1, (Output(16, True),))
    packed = cost.kernel_cost(EDGE, mac)
    assert cost.vexec_cycles(EDGE, 12800, 10, packed) == 12 + 100
    mixed = Kernel(
        (Stream("i"), Stream("i")),
        (Op("subi", (0, 8)), Op("mac8", (16, 1))),
        2,
        (Output(17, True),),
    )
    assert cost.kernel_cost(EDGE, mixed).body_lanes == 32


def test_vexec_copy_takes_one_pass_and_ports_bound_it() -> None:
    copy = cost.kernel_cost(EDGE, Kernel((Stream("i"),), (), 0, (Output(0),)))
    assert cost.vexec_cycles(EDGE, 320, 320, copy) == 12 + 10
    assert cost.vexec_cycles(EDGE, 320, 320, copy, spm_cycles=50, acc_cycles=70) == 12 + 70


@pytest.mark.parametrize(
    ("extents", "strides", "size", "words", "cycles"),
    [
        ((4, 64), (64, 1), 1, 4, 1),  # one run of 256 bytes: 4 words, 8 banks
        ((4, 64), (512, 1), 1, 4, 4),  # every row in the same bank
        ((4, 64), (64, 0), 4, 4, 1),  # broadcast inside: read once
        ((10, 32), (0, 4), 4, 2, 1),  # a bias: read once per command
        ((16,), (64,), 1, 16, 2),  # one element per word, all banks
        ((16,), (128,), 1, 16, 4),  # every second bank
        ((32,), (2,), 1, 1, 1),  # every second byte of one word
        ((0, 5), (5, 1), 1, 0, 0),
    ],
)
def test_stream_access_by_hand(extents, strides, size, words, cycles) -> None:  # type: ignore[no-untyped-def]
    access = cost.stream_access(cost.spm_port(EDGE), np.array(extents), np.array(strides), size)
    assert (int(access.words), int(access.cycles)) == (words, cycles)


# --- transfers ---


@pytest.mark.parametrize(
    ("extents", "strides", "size", "expected"),
    [
        ((4, 8), (8, 1), 1, (1, 32)),
        ((4, 8), (16, 1), 1, (4, 8)),
        ((4, 1, 8), (8, 999, 1), 1, (1, 32)),
        ((4, 8), (64, 2), 1, (32, 1)),
        ((2, 3, 4), (96, 16, 4), 4, (2, 48)),
        ((2, 0), (1, 1), 1, (0, 0)),
    ],
)
def test_contiguous_runs(extents, strides, size, expected) -> None:  # type: ignore[no-untyped-def]
    runs, run_bytes = cost.contiguous_runs(np.array(extents), np.array(strides), size)
    assert (int(runs), int(run_bytes)) == expected


def test_transfer_by_hand() -> None:
    bursts = cost.transfer_bursts(EDGE, 10, 130)  # two bursts of 128 bytes per run
    assert bursts == 20
    assert cost.transfer_cycles(EDGE, bursts) == 24 + 120 + ceil(2560 / (16 * 0.955))
    assert cost.transfer_cycles(EDGE, 0, spm_words=40) == 24 + 40  # fill alone: no DRAM
    assert cost.transfer_cycles(EDGE, 1, spm_words=4096) == 24 + 120 + 4096


def test_outstanding_bursts_limit_the_rate() -> None:
    few = replace(EDGE, dma=replace(EDGE.dma, outstanding_bursts=6))
    assert cost.transfer_rate(few) == pytest.approx(6 * 128 / 120)
    assert cost.transfer_rate(EDGE) == pytest.approx(16 * 0.955)


@given(st.integers(1, 1000), st.integers(1, 5000))
def test_transfer_is_not_below_the_bandwidth_bound(runs: int, run_bytes: int) -> None:
    bursts = cost.transfer_bursts(TINY, runs, run_bytes)
    assert bursts * TINY.dram.burst_bytes >= runs * run_bytes
    bound = runs * run_bytes / (TINY.dram.bytes_per_cycle * TINY.dram.efficiency)
    assert cost.transfer_cycles(TINY, bursts) >= bound
