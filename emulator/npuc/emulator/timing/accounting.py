"""Where every engine-cycle went: busy, a named stall, or idle; the parts sum to the wall time."""

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
import numpy.typing as npt

import npuc.emulator.timing.engine as eng
from npuc.isa.cost import Int64s


class Account(IntEnum):
    """A column of the accounting table.

    ``counter``: an engine, or ctl, waits for a counter. ``fence``: ctl waits for its engines.
    ``queue_full``: ctl waits for a place in a queue. ``dram``, ``channel``, ``spm``, ``acc``: a
    running command is slowed by others. ``dispatch``: the queue is empty, more is to come.
    ``idle``: nothing is to come.
    """

    busy = 0
    counter = 1
    fence = 2
    queue_full = 3
    dram = 4
    channel = 5
    spm = 6
    acc = 7
    dispatch = 8
    idle = 9


SLOWED = slice(Account.dram, Account.acc + 1)  # in the engine's order of resources


@dataclass(frozen=True)
class CommandTimes:
    """Times of the n commands of one core, in cycles from the start of the program.

    ``pushed``: ctl put it into its queue. ``ready``: at the head and its engine free, so that
    only waits hold it back. [start, end): it runs. ``slowed`` n x 4: cycles lost while running to
    DRAM, channels, SPM and ACC. ``is_fence`` n: a fence, which waits for engines.
    """

    pushed: Int64s
    ready: Int64s
    start: Int64s
    end: Int64s
    slowed: Int64s
    is_fence: npt.NDArray[np.bool_]

    @property
    def busy(self) -> Int64s:
        """Cycles of each command without its stalls: its isolated duration."""
        return np.asarray(self.end - self.start - self.slowed.sum(axis=1))

    @property
    def stalls(self) -> Int64s:
        """Stalled cycles (n, 10) by Account: waiting before ``start``, slowed after it."""
        stalls = np.zeros((len(self.start), len(Account)), np.int64)
        wait = self.start - self.ready
        stalls[:, Account.counter] = np.where(self.is_fence, 0, wait)
        stalls[:, Account.fence] = np.where(self.is_fence, wait, 0)
        stalls[:, SLOWED] = self.slowed
        return stalls

    @property
    def cause(self) -> Int64s:
        """The Account (n) of each command's largest stall, Account.busy where there is none."""
        stalls = self.stalls
        return np.where(stalls.any(axis=1), stalls.argmax(axis=1), Account.busy)


def command_times(commands: eng.Commands, record: Int64s) -> tuple[CommandTimes, ...]:
    """The times of each core's commands."""
    is_fence = commands.kinds[:, eng.FENCE] != 0
    times = []
    for low, high in pairwise(commands.core_start.tolist()):
        rows = record[low:high]
        pushed, ready, start, end = (
            rows[:, c] for c in (eng.PUSHED, eng.READY, eng.START, eng.END)
        )
        fences = is_fence[commands.table[low:high, eng.KIND]]
        times.append(CommandTimes(pushed, ready, start, end, rows[:, eng.LOST :], fences))
    return tuple(times)


def account(commands: eng.Commands, record: Int64s, times: tuple[CommandTimes, ...]) -> Int64s:
    """Cycles by (core, engine, Account); every (core, engine) row sums to the last end exactly."""
    wall = int(record[:, eng.END].max(initial=0))
    table = np.zeros((len(times), eng.ENGINES, len(Account)), np.int64)
    for core, of_core in enumerate(times):
        low, high = commands.core_start[core], commands.core_start[core + 1]
        busy, on_slot = of_core.busy, commands.of(eng.SLOT)[low:high]
        for engine in range(eng.ENGINES):
            rows = np.flatnonzero(on_slot == core * eng.ENGINES + engine)
            table[core, engine, SLOWED] = of_core.slowed[rows].sum(axis=0)
            table[core, engine, Account.busy] = busy[rows].sum()
            start, ready, end = of_core.start[rows], of_core.ready[rows], of_core.end[rows]
            by_fence = (start - ready)[of_core.is_fence[rows]].sum()
            table[core, engine, Account.fence] = by_fence
            table[core, engine, Account.counter] = (start - ready).sum() - by_fence
            table[core, engine, Account.dispatch] = ready.sum() - end[:-1].sum()
        table[core, 0, Account.dispatch] = 0  # ctl waits for nobody to feed it
        table[core, 0, Account.busy] += commands.table[low:high, eng.DELAY].sum()
        stalled = record[low:high, eng.PUSHED] - record[low:high, eng.ISSUED]
        table[core, 0, Account.queue_full] = stalled.sum()
    table[:, :, Account.idle] = wall - table.sum(axis=2)
    assert (table >= 0).all()
    return table
