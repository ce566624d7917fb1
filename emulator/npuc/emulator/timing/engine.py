"""Event engine: when each command starts and ends, sharing memories fluidly.

Between two events every running command advances at a constant rate; rates are found anew at each
start, end and change of phase. Time is whole cycles, rates and demands are fixed-point integers,
so that the compiled kernel and the plain Python of the same source give the same cycles.

Rules. ctl spends its cycles, then pushes a command into its engine's queue, or stalls while the
queue holds ``queue_depth`` commands that have not started. An engine starts the command at its
queue's head once it is free and both waits hold; a counter grows in the cycle that its command
ends. A command first passes its fixed cycles, then its moving cycles at a rate <= 1: the DRAM,
the core's DMA channels, its SPM and its ACC each serve their users in turn when demands exceed
what they have: who asks for little gets all of it, the others get equal parts. A fence starts when
all engines of the core are done.
"""

# ruff: noqa: PLR0913, PLR0917 - compiled kernels take plain arrays, one parameter each

from dataclasses import dataclass

import numpy as np

from npuc.isa.cost import Int64s
from npuc.isa.instructions.base import COUNTERS_PER_ENGINE
from npuc.isa.jit import njit

ENGINES = 6  # ctl and the five queues of a core
DRAM, CHANNEL, SPM, ACC = range(4)
RESOURCES = 4
RATE_BITS = 20
ONE = 1 << RATE_BITS  # a rate of 1
DEMAND_ONE = 1 << 10  # a demand of one byte or word per cycle
NEVER = 1 << 62

# Columns of a command: its kind; ctl cycles before the push; thresholds of its two waits.
KIND, DELAY, NEEDS_A, NEEDS_B = range(4)
COMMAND_COLUMNS = 4
# Columns of a kind, which many commands share: core * 6 + engine; counters as slot * 32 + index,
# -1 for none; counter to increment; whether it is a fence; fixed and moving cycles; demand per
# moving cycle of each resource in 1/1024 bytes (DRAM, channel) and words (SPM, ACC).
SLOT, COUNTER_A, COUNTER_B, INCREMENT, FENCE, FIXED, MOVING = range(7)
DEMAND = 7
KIND_COLUMNS = DEMAND + RESOURCES
# Columns of the record: ctl has the command; it is in its queue; its engine is free; it runs;
# moving time lost to each resource, in 2^-20 cycles while it runs, in cycles once it ended.
ISSUED, PUSHED, READY, START, END = range(5)
LOST = 5
RECORD_COLUMNS = LOST + RESOURCES
# Columns of a slot: how many commands started and were pushed; the row that runs or -1 and its
# kind; when the last one ended; when its fixed phase or its moving ends, by the rates
# known now; whether it moves, since when by these rates, and moving cycles then left in 2^-20;
# rate after DRAM and channel, after SPM and ACC; which of each pair holds it.
HEAD, TAIL, ROW, RUNS, FREE_AT, EVENT_AT, MOVES, SINCE = range(8)
LEFT, FAST, RATE, SLOWED_BY, HELD_BY = range(8, 13)
SLOT_COLUMNS = 13
# Columns of a core's ctl: the next row to push, when it can be, and the row after the last.
NEXT, AT, STOP = range(3)
CTL_COLUMNS = 3


@dataclass(frozen=True)
class Commands:
    """The commands of all cores, one after another: ``table`` (n, COMMAND_COLUMNS).

    ``kinds`` (k, KIND_COLUMNS): what commands have in common. ``core_start`` cores + 1: first row
    of each core.
    """

    table: Int64s
    kinds: Int64s
    core_start: Int64s

    def of(self, column: int) -> Int64s:
        """Column of the kind of every command (n)."""
        return np.asarray(self.kinds[self.table[:, KIND], column])


@dataclass(frozen=True)
class Machine:
    """What is shared: ``capacity`` of the 4 resources in the units of demand; queue depth."""

    capacity: Int64s
    queue_depth: int


def run_events(commands: Commands, machine: Machine) -> tuple[Int64s, int]:
    """(record (n, RECORD_COLUMNS), number of commands that ended); fewer than n: a deadlock.

    A time that never came is -1.
    """
    record = np.full((len(commands.table), RECORD_COLUMNS), -1, np.int64)
    cores = len(commands.core_start) - 1
    slots = np.zeros((cores * ENGINES, SLOT_COLUMNS), np.int64)
    slots[:, ROW] = -1
    slots[:, EVENT_AT] = NEVER
    slots[:, FAST] = slots[:, RATE] = ONE
    ctl = np.zeros((cores, CTL_COLUMNS), np.int64)
    ctl[:, NEXT], ctl[:, STOP] = commands.core_start[:-1], commands.core_start[1:]
    shared = np.append(machine.capacity, machine.queue_depth)
    queues = np.zeros((len(slots), machine.queue_depth), np.int64)
    counters = np.zeros(len(slots) * COUNTERS_PER_ENGINE, np.int64)
    moved = np.zeros(1, np.int64)
    done = _simulate(
        commands.table, commands.kinds, shared, record, slots, queues, ctl, counters, moved
    )
    return record, int(done)


@njit(borrows=True)
def _simulate(
    table: Int64s,
    kinds: Int64s,
    shared: Int64s,
    record: Int64s,
    slots: Int64s,
    queues: Int64s,
    ctl: Int64s,
    counters: Int64s,
    moved: Int64s,
) -> int:
    """Events until nothing can happen any more; the number of commands that ended.

    ``moved`` (1): whether what moves is another set than that for which the rates are.
    """
    now, done, ended = 0, 0, 0
    for core in range(len(ctl)):
        _fetch(table, ctl, core, now)
    while now < NEVER:
        pushed = _dispatch(table, kinds, shared, record, slots, queues, ctl, now)
        while pushed or ended > 0:
            ended = 0
            if not _start(table, kinds, record, slots, queues, counters, moved, now):
                break
            pushed = _dispatch(table, kinds, shared, record, slots, queues, ctl, now)
        if moved[0]:
            _settle(record, slots, now)
            _set_rates(kinds, shared, slots)
            _predict(slots, now)
            moved[0] = 0
        later = _next_end(slots)
        for core in range(len(ctl)):
            _push_ahead(table, kinds, shared, record, slots, queues, ctl, core, later)
        now = _next_event(ctl, now, later)
        ended = _end_phases(table, kinds, record, slots, ctl, counters, moved, now)
        done += ended
    return done


@njit(inner=True, borrows=True)
def _end_phases(
    table: Int64s,
    kinds: Int64s,
    record: Int64s,
    slots: Int64s,
    ctl: Int64s,
    counters: Int64s,
    moved: Int64s,
    now: int,
) -> int:
    """What ends now: a fixed phase, and the command moves; or a command. How many of these."""
    ended = 0
    for slot in range(len(slots)):
        if slots[slot, EVENT_AT] > now or now == NEVER:
            continue
        row, kind = slots[slot, ROW], slots[slot, RUNS]
        if slots[slot, MOVES] == 0 and kinds[kind, MOVING] > 0:
            _begin_moving(kinds, slots, slot, now)
            moved[0] = 1
            continue
        record[row, END] = now
        if slots[slot, MOVES] > 0:
            _settle_slot(record, slots, slot, now)
            _round_losses(record, row, kinds[kind, FIXED] + kinds[kind, MOVING])
            slots[slot, MOVES] = 0
            moved[0] = 1
        slots[slot, ROW] = -1
        slots[slot, FREE_AT] = now
        slots[slot, EVENT_AT] = NEVER
        ended += 1
        if kinds[kind, INCREMENT] >= 0:
            counters[kinds[kind, INCREMENT]] += 1
        if slot % ENGINES == 0:  # a command on ctl: the stream goes on
            _fetch(table, ctl, slot // ENGINES, now)
    return ended


@njit(inner=True, borrows=True)
def _begin_moving(kinds: Int64s, slots: Int64s, slot: int, now: int) -> None:
    """Let the command of ``slot`` move; when it ends, the rates will say."""
    slots[slot, MOVES] = 1
    slots[slot, SINCE] = now
    slots[slot, LEFT] = kinds[slots[slot, RUNS], MOVING] << RATE_BITS
    slots[slot, RATE] = slots[slot, FAST] = ONE
    slots[slot, EVENT_AT] = NEVER


@njit(inner=True, borrows=True)
def _fetch(table: Int64s, ctl: Int64s, core: int, now: int) -> None:
    """Let ctl of ``core`` work towards its next push."""
    row = ctl[core, NEXT]
    ctl[core, AT] = now + table[row, DELAY] if row < ctl[core, STOP] else NEVER


@njit(inner=True, borrows=True)
def _dispatch(
    table: Int64s,
    kinds: Int64s,
    shared: Int64s,
    record: Int64s,
    slots: Int64s,
    queues: Int64s,
    ctl: Int64s,
    now: int,
) -> bool:
    """Push what every ctl holds; True where something was pushed."""
    pushed = False
    for core in range(len(ctl)):
        while ctl[core, AT] <= now:
            if not _push(table, kinds, shared, record, slots, queues, ctl, core, now):
                break
            pushed = True
    return pushed


@njit(inner=True, borrows=True)
def _push(
    table: Int64s,
    kinds: Int64s,
    shared: Int64s,
    record: Int64s,
    slots: Int64s,
    queues: Int64s,
    ctl: Int64s,
    core: int,
    now: int,
) -> bool:
    """Push the next command of a core; False where its queue is full."""
    row = ctl[core, NEXT]
    slot = kinds[table[row, KIND], SLOT]
    if record[row, ISSUED] < 0:
        record[row, ISSUED] = ctl[core, AT]
    if slots[slot, TAIL] - slots[slot, HEAD] >= shared[RESOURCES]:
        return False
    record[row, PUSHED] = now
    queues[slot, slots[slot, TAIL] % shared[RESOURCES]] = row
    slots[slot, TAIL] += 1
    ctl[core, NEXT] = row + 1
    if slot % ENGINES == 0:
        ctl[core, AT] = NEVER  # until the command on ctl ends
    else:
        _fetch(table, ctl, core, now)
    return True


@njit(inner=True, borrows=True)
def _start(
    table: Int64s,
    kinds: Int64s,
    record: Int64s,
    slots: Int64s,
    queues: Int64s,
    counters: Int64s,
    moved: Int64s,
    now: int,
) -> bool:
    """Start what can start; True where something did."""
    started = False
    for slot in range(len(slots)):
        if slots[slot, ROW] >= 0 or slots[slot, HEAD] == slots[slot, TAIL]:
            continue
        row = queues[slot, slots[slot, HEAD] % queues.shape[1]]
        kind = table[row, KIND]
        if not _may_start(table, kinds, slots, counters, row, slot):
            continue
        record[row, READY] = max(record[row, PUSHED], slots[slot, FREE_AT])
        record[row, START] = now
        slots[slot, HEAD] += 1
        for resource in range(RESOURCES):
            record[row, LOST + resource] = 0
        slots[slot, ROW], slots[slot, RUNS] = row, kind
        slots[slot, EVENT_AT] = now + kinds[kind, FIXED]
        if kinds[kind, FIXED] == 0:
            _begin_moving(kinds, slots, slot, now)
            moved[0] = 1
        started = True
    return started


@njit(inner=True, borrows=True)
def _may_start(
    table: Int64s, kinds: Int64s, slots: Int64s, counters: Int64s, row: int, slot: int
) -> bool:
    kind = table[row, KIND]
    first, second = kinds[kind, COUNTER_A], kinds[kind, COUNTER_B]
    if first >= 0 and counters[first] < table[row, NEEDS_A]:
        return False
    if second >= 0 and counters[second] < table[row, NEEDS_B]:
        return False
    if kinds[kind, FENCE] == 0:
        return True
    for other in range(slot + 1, slot + ENGINES):
        if slots[other, ROW] >= 0 or slots[other, HEAD] < slots[other, TAIL]:
            return False
    return True


@njit(inner=True, borrows=True)
def _asks(kinds: Int64s, slots: Int64s, slot: int, resource: int) -> int:
    """What the command of a slot asks of a resource, at the rate that DRAM leaves it."""
    if slots[slot, MOVES] == 0:
        return 0
    return int(kinds[slots[slot, RUNS], DEMAND + resource] * slots[slot, FAST] >> RATE_BITS)


@njit(inner=True, borrows=True)
def _level(
    kinds: Int64s, slots: Int64s, first: int, stop: int, resource: int, capacity: int
) -> int:
    """The most that one user gets: who asks less gets all, the others share the rest evenly."""
    level, previous = capacity, -1
    total = 0
    for slot in range(first, stop):
        total += _asks(kinds, slots, slot, resource)
    if total <= capacity:
        return level
    level = 0
    while level != previous:
        previous, rest, users = level, capacity, 0
        for slot in range(first, stop):
            asked = _asks(kinds, slots, slot, resource)
            rest -= asked if asked <= level else 0
            users += 1 if asked > level else 0
        level = max(1, rest // max(users, 1))
    return level


@njit(inner=True, borrows=True)
def _rate(asked: int, level: int) -> int:
    """The rate of a user that asks for more than ``level`` or not."""
    return ONE if asked <= level else max(1, level * ONE // asked)


@njit(inner=True, borrows=True)
def _set_rates(kinds: Int64s, shared: Int64s, slots: Int64s) -> None:
    for slot in range(len(slots)):
        slots[slot, FAST] = slots[slot, RATE] = ONE
    if not _exceeds(kinds, shared, slots):
        return
    dram_level = _level(kinds, slots, 0, len(slots), DRAM, shared[DRAM])
    for first in range(0, len(slots), ENGINES):
        _share_channels(kinds, shared, slots, first, dram_level)
        _share_memories(kinds, shared, slots, first)


@njit(inner=True, borrows=True)
def _exceeds(kinds: Int64s, shared: Int64s, slots: Int64s) -> bool:
    """Whether what moves asks more of any resource than there is, each at full rate."""
    dram = 0
    for first in range(0, len(slots), ENGINES):
        channel, spm, acc = 0, 0, 0
        for slot in range(first, first + ENGINES):
            if slots[slot, MOVES] > 0:
                kind = slots[slot, RUNS]
                dram += kinds[kind, DEMAND + DRAM]
                channel += kinds[kind, DEMAND + CHANNEL]
                spm += kinds[kind, DEMAND + SPM]
                acc += kinds[kind, DEMAND + ACC]
        if channel > shared[CHANNEL] or spm > shared[SPM] or acc > shared[ACC]:
            return True
    return bool(dram > shared[DRAM])


@njit(inner=True, borrows=True)
def _share_channels(
    kinds: Int64s, shared: Int64s, slots: Int64s, first: int, dram_level: int
) -> None:
    """FAST: the rate that DRAM and the channels of one core leave its transfers."""
    level = _level(kinds, slots, first, first + ENGINES, CHANNEL, shared[CHANNEL])
    for slot in range(first, first + ENGINES):
        by_dram = _rate(_asks(kinds, slots, slot, DRAM), dram_level)
        by_channel = _rate(_asks(kinds, slots, slot, CHANNEL), level)
        slots[slot, FAST] = min(by_dram, by_channel)
        slots[slot, SLOWED_BY] = DRAM if by_dram <= by_channel else CHANNEL


@njit(inner=True, borrows=True)
def _share_memories(kinds: Int64s, shared: Int64s, slots: Int64s, first: int) -> None:
    """RATE: what SPM and ACC of one core leave of each command's FAST rate."""
    spm_level = _level(kinds, slots, first, first + ENGINES, SPM, shared[SPM])
    acc_level = _level(kinds, slots, first, first + ENGINES, ACC, shared[ACC])
    for slot in range(first, first + ENGINES):
        by_spm = _rate(_asks(kinds, slots, slot, SPM), spm_level)
        by_acc = _rate(_asks(kinds, slots, slot, ACC), acc_level)
        slots[slot, RATE] = max(1, slots[slot, FAST] * min(by_spm, by_acc) >> RATE_BITS)
        slots[slot, HELD_BY] = SPM if by_spm <= by_acc else ACC


@njit(inner=True, borrows=True)
def _next_end(slots: Int64s) -> int:
    later = NEVER
    for slot in range(len(slots)):
        later = min(later, slots[slot, EVENT_AT])
    return later


@njit(inner=True, borrows=True)
def _next_event(ctl: Int64s, now: int, later: int) -> int:
    for core in range(len(ctl)):
        if now < ctl[core, AT] < later:
            later = ctl[core, AT]
    return later


@njit(inner=True, borrows=True)
def _push_ahead(
    table: Int64s,
    kinds: Int64s,
    shared: Int64s,
    record: Int64s,
    slots: Int64s,
    queues: Int64s,
    ctl: Int64s,
    core: int,
    later: int,
) -> None:
    """Push, each at its time, what lands behind other commands before anything ends.

    Such a command cannot start before ``later``, so that these are no events.
    """
    while ctl[core, AT] < later:
        slot = kinds[table[ctl[core, NEXT], KIND], SLOT]
        waiting = slots[slot, TAIL] - slots[slot, HEAD]
        goes_first = waiting == 0 and slots[slot, ROW] < 0
        if slot % ENGINES == 0 or goes_first or waiting >= shared[RESOURCES]:
            break
        _push(table, kinds, shared, record, slots, queues, ctl, core, ctl[core, AT])


@njit(inner=True, borrows=True)
def _predict(slots: Int64s, now: int) -> None:
    """When each moving command ends if its rate stays."""
    for slot in range(len(slots)):
        if slots[slot, MOVES] > 0:
            slots[slot, EVENT_AT] = now - (-slots[slot, LEFT] // slots[slot, RATE])


@njit(inner=True, borrows=True)
def _settle(record: Int64s, slots: Int64s, now: int) -> None:
    for slot in range(len(slots)):
        if slots[slot, MOVES] > 0:
            _settle_slot(record, slots, slot, now)


@njit(inner=True, borrows=True)
def _settle_slot(record: Int64s, slots: Int64s, slot: int, now: int) -> None:
    """Move the command of ``slot`` on to now by its rate, and note what it lost to whom."""
    cycles, rate = now - slots[slot, SINCE], slots[slot, RATE]
    slots[slot, SINCE] = now
    slots[slot, LEFT] -= rate * cycles
    if rate < ONE:
        row, fast = slots[slot, ROW], slots[slot, FAST]
        record[row, LOST + slots[slot, SLOWED_BY]] += (ONE - fast) * cycles
        record[row, LOST + slots[slot, HELD_BY]] += (fast - rate) * cycles


@njit(inner=True, borrows=True)
def _round_losses(record: Int64s, row: int, isolated: int) -> None:
    """Whole cycles that sum to what the command took above ``isolated``.

    Fractions are rounded down; what remains goes to the resource that cost most.
    """
    rest = record[row, END] - record[row, START] - isolated
    largest = LOST
    for column in range(LOST, LOST + RESOURCES):
        rest -= record[row, column] >> RATE_BITS
        if record[row, column] > record[row, largest]:
            largest = column
    for column in range(LOST, LOST + RESOURCES):
        record[row, column] >>= RATE_BITS
    record[row, largest] += rest
