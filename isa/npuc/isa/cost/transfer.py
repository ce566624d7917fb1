"""Cycles of a DMA transfer: set-up, latency, then burst-rounded bytes at the DRAM's rate."""

import numpy as np
import numpy.typing as npt

from npuc.isa.cost.rounding import Int64s, Ints, ceil_div, ceil_rate, int64s
from npuc.isa.target import Target


def contiguous_runs(extents: Int64s, strides: Int64s, element_bytes: Ints) -> tuple[Int64s, Int64s]:
    """(number of runs, bytes per run) of a box of ``extents`` (..., D) elements.

    ``strides`` (..., D) are bytes, the last dimension fastest. Dimensions of extent 1 do not
    interrupt a run. No runs where an extent is 0.
    """
    run = int64s(element_bytes) + np.zeros(extents.shape[:-1], np.int64)
    runs = np.ones_like(run)
    whole = np.ones(run.shape, bool)
    for d in reversed(range(extents.shape[-1])):
        extent = extents[..., d]
        alone = extent == 1
        whole &= alone | (strides[..., d] == run)
        run = np.where(whole & ~alone, run * extent, run)
        runs = np.where(whole, runs, runs * extent)
    empty = (extents <= 0).any(-1)
    return np.where(empty, 0, runs), np.where(empty, 0, run)


def transfer_bursts(target: Target, runs: Ints, bytes_per_run: Ints) -> Int64s:
    """DRAM bursts for ``runs`` contiguous runs: each is rounded up to whole bursts.

    Runs are taken as burst-aligned and never share a burst.
    Source: timing-and-energy.md, section 2, burst tax (Vela).
    """
    return np.asarray(int64s(runs) * ceil_div(bytes_per_run, target.dram.burst_bytes))


def transfer_rate(target: Target) -> float:
    """Bytes per cycle of one transfer alone.

    The refreshed DRAM rate, or what ``outstanding_bursts`` in flight cover of the latency.
    Source: timing-and-energy.md, sections 4 and 7.
    """
    dram = target.dram
    refreshed = dram.bytes_per_cycle * dram.efficiency
    if dram.latency_cycles == 0:
        return refreshed
    return min(refreshed, channel_rate(target))


def channel_rate(target: Target) -> float:
    """Bytes per cycle that one DMA channel keeps in flight: outstanding bursts over latency."""
    in_flight = target.dma.outstanding_bursts * target.dram.burst_bytes
    return in_flight / max(target.dram.latency_cycles, 1)


def transfer_cycles(target: Target, bursts: Ints, spm_words: Ints = 0) -> Int64s:
    """Cycles of a transfer alone: fixed part + ceil(burst bytes / rate).

    The fixed part is set-up, and DRAM latency where ``bursts`` is not 0 (a box that is all fill
    moves no DRAM bytes). The moving part is not below one cycle per SPM word: a transfer has one
    port of a bank's width.
    """
    return transfer_fixed_cycles(target, bursts) + transfer_moving_cycles(target, bursts, spm_words)


def transfer_fixed_cycles(target: Target, bursts: Ints) -> Int64s:
    """Cycles before the first byte: set-up, and latency where DRAM is touched at all."""
    latency = np.where(int64s(bursts) > 0, target.dram.latency_cycles, 0)
    return np.asarray(target.dma.setup_cycles + latency, np.int64)


def word_fixed_cycles(target: Target, in_dram: npt.NDArray[np.bool_]) -> Int64s:
    """Cycles before a word load or store of ctl moves: its dispatch, and latency for DRAM."""
    latency = np.where(in_dram, target.dram.latency_cycles, 0)
    return np.asarray(target.ctl.dispatch_cycles + latency, np.int64)


def transfer_moving_cycles(target: Target, bursts: Ints, spm_words: Ints = 0) -> Int64s:
    """Cycles in which bytes move: the DRAM's time or the SPM port's, whichever is longer."""
    dram_bytes = int64s(bursts) * target.dram.burst_bytes
    return np.maximum(ceil_rate(dram_bytes, transfer_rate(target)), int64s(spm_words))
