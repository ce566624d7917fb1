"""Where a drain's cycles are claimed to be exact: the words that its groups of lanes touch.

The cost of ``vexec`` takes the ports' time as the words of the whole stream over the banks that it
reaches. Hardware moves group after group: the sum is the same where every group needs its share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.rtl.commands import Drain
from tests.rtl.machines import SPM_WORD_BYTES, START_UP, Build


@dataclass(frozen=True)
class PortCycles:
    """Cycles that each group of lanes needs at ACC to be read and at SPM to be written.

    ``apart``: every output lies in a word of its own.
    """

    reads: np.ndarray
    writes: np.ndarray
    apart: bool

    def is_even(self, passes: int) -> bool:
        """Whether no port holds the chain up; or only SPM, a chain of one pass, word by word."""
        if (self.reads > passes).any() or self.reads[0] > 1:
            return False
        if (self.writes <= passes).all():
            return bool(self.writes[-1] == 1)
        return passes == 1 and self.apart


def is_even(drain: Drain, build: Build, cycles: int) -> bool:
    """Whether a drain that costs ``cycles`` by the formula is one of those that it is exact for.

    Where only the formula sees the ports hold the chain up, it counts words that rows share twice.
    """
    passes = passes_of(drain, build)
    ports = port_cycles(drain, build)
    by_chain = START_UP + len(ports.reads) * passes
    return ports.is_even(passes) and (ports.apart or cycles == by_chain)


def passes_of(drain: Drain, build: Build) -> int:
    """How often a group goes down the chain; the micro-ops of drains cost 1."""
    return -(-len(drain.ops) // build.chain_depth)


def port_cycles(drain: Drain, build: Build) -> PortCycles:
    """By the layout of ``drain``, a group's words in one bank after another."""
    m, n = np.divmod(np.arange(drain.m * drain.n), drain.n)
    sums = (drain.acc[0] + m * drain.acc[1] + n) // build.cols
    outputs = (drain.spm[0] + m * drain.spm[1] + n * drain.spm[2]) // SPM_WORD_BYTES
    return PortCycles(
        _cycles(sums, build.cols, build.acc_banks, latched=True),
        _cycles(outputs, build.cols, build.spm_banks, latched=False),
        len(np.unique(outputs)) == len(outputs),
    )


def _cycles(words: np.ndarray, lanes: int, banks: int, *, latched: bool) -> np.ndarray:
    """The most words of one bank per group; the word latched from the group before is free."""
    cycles, last = [], -1
    for start in range(0, len(words), lanes):
        group = np.unique(words[start : start + lanes])
        group = group[group != last] if latched else group
        cycles.append(int(np.bincount(group % banks, minlength=1).max(initial=1)))
        last = int(words[start : start + lanes][-1])
    return np.array(cycles)
