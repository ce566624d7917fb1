"""Time at a banked memory's port: how many words a strided stream touches, and in how many banks.

SPM words are ``spm.bank_width_bytes`` wide; consecutive words lie in consecutive banks and each
bank serves one word per cycle. An ACC word is one row of the array, 4 bytes x ``mxu.cols``, so
that one access per cycle takes what the array delivers.

Rule *slots*: which bank a word lies in counts within a stream, not between engines. There a cycle
has as many slots as the memory has banks; engines take them in turn, and the turn begins with the
next engine each cycle.
"""

from dataclasses import dataclass

import numpy as np

from npuc.isa.cost.rounding import Int64s, Ints, ceil_div, int64s
from npuc.isa.target import Target

ACC_BYTES = 4


@dataclass(frozen=True)
class Port:
    """A banked memory as its users see it: ``banks`` words of ``word_bytes`` per cycle."""

    word_bytes: int
    banks: int


@dataclass(frozen=True)
class Access:
    """``words`` that a stream touches and the ``cycles`` that takes alone: conflicts included."""

    words: Int64s
    cycles: Int64s


def spm_port(target: Target) -> Port:
    """The scratchpad of one core."""
    return Port(target.spm.bank_width_bytes, target.spm.banks)


def acc_port(target: Target) -> Port:
    """The accumulator memory of one core, by rows of the array."""
    return Port(ACC_BYTES * target.mxu.cols, target.acc.banks)


def stream_access(port: Port, extents: Int64s, strides: Int64s, element_bytes: Ints) -> Access:
    """Words and cycles of streams that walk ``extents`` (..., D), last dimension fastest.

    ``strides`` (..., D) and ``element_bytes`` (...) are bytes. A dimension of stride 0 is read
    once. From the innermost dimension outwards, elements merge into one run while they follow one
    another within a word; each run costs the words it spans. Runs that fit one word and step by a
    multiple of it meet only banks / gcd(banks, step in words) banks. The start is taken as
    word-aligned, so that cost does not depend on placement.
    Source: machine.md, sections 4 and 5.
    """
    run = int64s(element_bytes) + np.zeros(extents.shape[:-1], np.int64)
    runs, step = np.ones_like(run), np.zeros_like(run)
    open_run = np.ones(run.shape, bool)
    for d in reversed(range(extents.shape[-1])):
        extent, stride = extents[..., d], np.abs(strides[..., d])
        moves = (extent != 1) & (stride != 0)
        if not moves.any():
            continue
        joins = (stride == run) | ((run < stride) & (stride < port.word_bytes))
        merged = moves & open_run & joins
        broken = moves & ~merged
        step = np.where(broken & open_run, stride, step)
        run = np.where(merged, (extent - 1) * stride + run, run)
        runs = np.where(broken, runs * extent, runs)
        open_run &= ~broken
    words = np.where((extents <= 0).any(-1), 0, runs * ceil_div(run, port.word_bytes))
    step_words = np.where(run <= port.word_bytes, np.maximum(step // port.word_bytes, 1), 1)
    reachable = port.banks // np.gcd(port.banks, step_words)
    return Access(words, ceil_div(words, reachable))
