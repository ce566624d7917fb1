"""Where every engine-cycle went: busy, a named stall, or idle; the parts sum to the wall time."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from npuc.emulator.timing.engine import ENGINES, RATE_BITS, RESOURCES, Commands, Record
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


FIRST_RESOURCE = Account.dram
STALLS = (Account.counter, Account.fence, Account.dram, Account.channel, Account.spm, Account.acc)


@dataclass(frozen=True)
class CommandTimes:
    """Times of the n commands of one core, in cycles from the start of the program.

    ``pushed``: ctl put it into its queue. ``ready``: at the head and its engine free, so that
    only waits hold it back. [start, end): it runs. ``stalls`` n x 10: cycles by Account (waiting
    before ``start``, slowed after it). ``cause`` n: the largest of them, Account.busy for none.
    """

    pushed: Int64s
    ready: Int64s
    start: Int64s
    end: Int64s
    stalls: Int64s
    cause: Int64s

    @property
    def busy(self) -> Int64s:
        """Cycles of each command without its stalls: its isolated duration."""
        slowed = self.stalls[:, FIRST_RESOURCE : FIRST_RESOURCE + RESOURCES].sum(axis=1)
        return np.asarray(self.end - self.start - slowed)


def command_times(commands: Commands, record: Record) -> tuple[CommandTimes, ...]:
    """The times of each core's commands."""
    stalls = np.zeros((len(commands.slot), len(Account)), np.int64)
    wait = record.start - record.ready
    stalls[:, Account.counter] = np.where(commands.is_fence, 0, wait)
    stalls[:, Account.fence] = np.where(commands.is_fence, wait, 0)
    stalls[:, FIRST_RESOURCE : FIRST_RESOURCE + RESOURCES] = _slowed(commands, record)
    cause = np.where(stalls.any(axis=1), stalls.argmax(axis=1), Account.busy)
    columns = (record.pushed, record.ready, record.start, record.end, stalls, cause)
    bounds = zip(commands.core_start[:-1], commands.core_start[1:], strict=True)
    return tuple(CommandTimes(*(c[low:high] for c in columns)) for low, high in bounds)


def _slowed(commands: Commands, record: Record) -> Int64s:
    """Whole cycles lost per resource (n, 4); a row sums to duration - isolated duration.

    The engine's fractions are rounded down; what remains goes to the resource that cost most.
    """
    lost = record.lost >> RATE_BITS
    excess = record.end - record.start - commands.fixed - commands.moving
    rest = excess - lost.sum(axis=1)
    assert (rest >= 0).all()
    rows = np.arange(len(lost))
    lost[rows, record.lost.argmax(axis=1)] += rest
    return np.asarray(lost)


def account(
    commands: Commands, record: Record, times: tuple[CommandTimes, ...], wall: int
) -> Int64s:
    """Cycles by (core, engine, Account); every (core, engine) row sums to ``wall`` exactly."""
    table = np.zeros((len(times), ENGINES, len(Account)), np.int64)
    for core, of_core in enumerate(times):
        low, high = commands.core_start[core], commands.core_start[core + 1]
        engine = commands.slot[low:high] % ENGINES
        for e in range(ENGINES):
            rows = np.flatnonzero(engine == e)
            table[core, e] = of_core.stalls[rows].sum(axis=0)
            table[core, e, Account.busy] = of_core.busy[rows].sum()
            ended = np.concatenate([np.zeros(1, np.int64), of_core.end[rows]])
            table[core, e, Account.dispatch] = (of_core.ready[rows] - ended[:-1]).sum()
        table[core, 0, Account.dispatch] = 0  # ctl waits for nobody to feed it
        table[core, 0, Account.busy] += commands.delay[low:high].sum()
        stalled = record.pushed[low:high] - record.issued[low:high]
        table[core, 0, Account.queue_full] = stalled.sum()
    table[:, :, Account.idle] = wall - table.sum(axis=2)
    assert (table >= 0).all()
    return table
