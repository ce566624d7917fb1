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

# Columns of a command: core * 6 + engine; ctl cycles before the push; counters as slot * 32 +
# index, -1 for none, and their thresholds; counter to increment; fixed and moving cycles; demand
# per moving cycle of each resource in 1/1024 bytes (DRAM, channel) and words (SPM, ACC).
SLOT, DELAY, COUNTER_A, NEEDS_A, COUNTER_B, NEEDS_B, INCREMENT, FENCE, FIXED, MOVING = range(10)
DEMAND = 10
COMMAND_COLUMNS = DEMAND + RESOURCES
# Columns of the record: ctl has the command; it is in its queue; its engine is free; it runs;
# moving time lost to each resource in 2^-20 cycles.
ISSUED, PUSHED, READY, START, END = range(5)
LOST = 5
RECORD_COLUMNS = LOST + RESOURCES
# Columns of a slot: positions in ``order`` of the next command to start and to be pushed; the row
# that runs or -1; when the last one ended; end of the fixed phase; moving cycles left in 2^-20;
# whether it moves; rate after DRAM and channel, after SPM and ACC; which of each pair holds it.
HEAD, TAIL, ROW, FREE_AT, FIXED_END, LEFT, MOVES, FAST, RATE, SLOWED_BY, HELD_BY = range(11)
SLOT_COLUMNS = 11
# Columns of a core's ctl: the next row to push, when it can be, and the row after the last.
NEXT, AT, STOP = range(3)
CTL_COLUMNS = 3


@dataclass(frozen=True)
class Commands:
    """The commands of all cores, one after another: ``table`` (n, COMMAND_COLUMNS).

    ``order`` n: rows by slot, in their queue's order; those of slot s stand from
    ``order_start[s]``. ``core_start`` cores + 1: first row of each core.
    """

    table: Int64s
    order: Int64s
    order_start: Int64s
    core_start: Int64s


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
    record[:, LOST:] = 0
    cores = len(commands.core_start) - 1
    slots = np.zeros((cores * ENGINES, SLOT_COLUMNS), np.int64)
    slots[:, HEAD] = slots[:, TAIL] = commands.order_start[:-1]
    slots[:, ROW] = -1
    slots[:, FAST] = slots[:, RATE] = ONE
    ctl = np.zeros((cores, CTL_COLUMNS), np.int64)
    ctl[:, NEXT], ctl[:, STOP] = commands.core_start[:-1], commands.core_start[1:]
    shared = np.append(machine.capacity, machine.queue_depth)
    counters = np.zeros(len(slots) * COUNTERS_PER_ENGINE, np.int64)
    done = _simulate(commands.table, commands.order, shared, record, slots, ctl, counters)
    return record, int(done)


@njit
def _simulate(
    table: Int64s,
    order: Int64s,
    shared: Int64s,
    record: Int64s,
    slots: Int64s,
    ctl: Int64s,
    counters: Int64s,
) -> int:
    """Events until nothing can happen any more; the number of commands that ended."""
    now, done = 0, 0
    for core in range(len(ctl)):
        _fetch(table, ctl, core, now)
    while now < NEVER:
        done += _complete(table, record, slots, ctl, counters, now)
        _dispatch(table, shared, record, slots, ctl, now)
        if _start(table, order, record, slots, counters, now):
            _dispatch(table, shared, record, slots, ctl, now)
        if _phases_change(slots, now):
            _set_rates(table, shared, slots)
        later = _next_event(slots, ctl, now)
        if later < NEVER:
            _advance(record, slots, later - now)
        now = later
    return done


@njit(inner=True)
def _complete(
    table: Int64s, record: Int64s, slots: Int64s, ctl: Int64s, counters: Int64s, now: int
) -> int:
    ended = 0
    for slot in range(len(slots)):
        row = slots[slot, ROW]
        if row < 0 or slots[slot, FIXED_END] > now or slots[slot, LEFT] > 0:
            continue
        record[row, END] = now
        slots[slot, ROW] = -1
        slots[slot, FREE_AT] = now
        ended += 1
        if table[row, INCREMENT] >= 0:
            counters[table[row, INCREMENT]] += 1
        if slot % ENGINES == 0:  # a command on ctl: the stream goes on
            _fetch(table, ctl, slot // ENGINES, now)
    return ended


@njit(inner=True)
def _fetch(table: Int64s, ctl: Int64s, core: int, now: int) -> None:
    """Let ctl of ``core`` work towards its next push."""
    row = ctl[core, NEXT]
    ctl[core, AT] = now + table[row, DELAY] if row < ctl[core, STOP] else NEVER


@njit(inner=True)
def _dispatch(
    table: Int64s, shared: Int64s, record: Int64s, slots: Int64s, ctl: Int64s, now: int
) -> None:
    for core in range(len(ctl)):
        while ctl[core, AT] <= now:
            if not _push(table, shared, record, slots, ctl, core, now):
                break


@njit(inner=True)
def _push(
    table: Int64s, shared: Int64s, record: Int64s, slots: Int64s, ctl: Int64s, core: int, now: int
) -> bool:
    """Push the next command of a core; False where its queue is full."""
    row = ctl[core, NEXT]
    slot = table[row, SLOT]
    if record[row, ISSUED] < 0:
        record[row, ISSUED] = ctl[core, AT]
    if slots[slot, TAIL] - slots[slot, HEAD] >= shared[RESOURCES]:
        return False
    record[row, PUSHED] = now
    slots[slot, TAIL] += 1
    ctl[core, NEXT] = row + 1
    if slot % ENGINES == 0:
        ctl[core, AT] = NEVER  # until the command on ctl ends
    else:
        _fetch(table, ctl, core, now)
    return True


@njit(inner=True)
def _start(
    table: Int64s, order: Int64s, record: Int64s, slots: Int64s, counters: Int64s, now: int
) -> bool:
    started = False
    for slot in range(len(slots)):
        if slots[slot, ROW] >= 0 or slots[slot, HEAD] == slots[slot, TAIL]:
            continue
        row = int(order[slots[slot, HEAD]])
        if not _may_start(table, slots, counters, row, slot):
            continue
        record[row, READY] = max(record[row, PUSHED], slots[slot, FREE_AT])
        record[row, START] = now
        slots[slot, HEAD] += 1
        slots[slot, ROW] = row
        slots[slot, FIXED_END] = now + table[row, FIXED]
        slots[slot, LEFT] = table[row, MOVING] << RATE_BITS
        started = True
    return started


@njit(inner=True)
def _may_start(table: Int64s, slots: Int64s, counters: Int64s, row: int, slot: int) -> bool:
    first, second = table[row, COUNTER_A], table[row, COUNTER_B]
    if first >= 0 and counters[first] < table[row, NEEDS_A]:
        return False
    if second >= 0 and counters[second] < table[row, NEEDS_B]:
        return False
    if table[row, FENCE] == 0:
        return True
    for other in range(slot + 1, slot + ENGINES):
        if slots[other, ROW] >= 0 or slots[other, HEAD] < slots[other, TAIL]:
            return False
    return True


@njit(inner=True)
def _phases_change(slots: Int64s, now: int) -> bool:
    """Note which slots move; True where one began or ended, or its command is another."""
    changed = False
    for slot in range(len(slots)):
        row = slots[slot, ROW]
        moves = 0
        if row >= 0 and slots[slot, FIXED_END] <= now and slots[slot, LEFT] > 0:
            moves = row + 1
        if moves != slots[slot, MOVES]:
            slots[slot, MOVES] = moves
            changed = True
    return changed


@njit(inner=True)
def _asks(table: Int64s, slots: Int64s, slot: int, resource: int) -> int:
    """What the command of a slot asks of a resource, at the rate that DRAM leaves it."""
    if slots[slot, MOVES] == 0:
        return 0
    return int(table[slots[slot, ROW], DEMAND + resource] * slots[slot, FAST] >> RATE_BITS)


@njit(inner=True)
def _level(
    table: Int64s, slots: Int64s, first: int, stop: int, resource: int, capacity: int
) -> int:
    """The most that one user gets: who asks less gets all, the others share the rest evenly."""
    level, previous = capacity, -1
    total = 0
    for slot in range(first, stop):
        total += _asks(table, slots, slot, resource)
    if total <= capacity:
        return level
    level = 0
    while level != previous:
        previous, rest, users = level, capacity, 0
        for slot in range(first, stop):
            asked = _asks(table, slots, slot, resource)
            rest -= asked if asked <= level else 0
            users += 1 if asked > level else 0
        level = max(1, rest // max(users, 1))
    return level


@njit(inner=True)
def _rate(asked: int, level: int) -> int:
    """The rate of a user that asks for more than ``level`` or not."""
    return ONE if asked <= level else max(1, level * ONE // asked)


@njit(inner=True)
def _set_rates(table: Int64s, shared: Int64s, slots: Int64s) -> None:
    for slot in range(len(slots)):
        slots[slot, FAST] = ONE
    dram_level = _level(table, slots, 0, len(slots), DRAM, shared[DRAM])
    for first in range(0, len(slots), ENGINES):
        _share_channels(table, shared, slots, first, dram_level)
        _share_memories(table, shared, slots, first)


@njit(inner=True)
def _share_channels(
    table: Int64s, shared: Int64s, slots: Int64s, first: int, dram_level: int
) -> None:
    """FAST: the rate that DRAM and the channels of one core leave its transfers."""
    level = _level(table, slots, first, first + ENGINES, CHANNEL, shared[CHANNEL])
    for slot in range(first, first + ENGINES):
        by_dram = _rate(_asks(table, slots, slot, DRAM), dram_level)
        by_channel = _rate(_asks(table, slots, slot, CHANNEL), level)
        slots[slot, FAST] = min(by_dram, by_channel)
        slots[slot, SLOWED_BY] = DRAM if by_dram <= by_channel else CHANNEL


@njit(inner=True)
def _share_memories(table: Int64s, shared: Int64s, slots: Int64s, first: int) -> None:
    """RATE: what SPM and ACC of one core leave of each command's FAST rate."""
    spm_level = _level(table, slots, first, first + ENGINES, SPM, shared[SPM])
    acc_level = _level(table, slots, first, first + ENGINES, ACC, shared[ACC])
    for slot in range(first, first + ENGINES):
        by_spm = _rate(_asks(table, slots, slot, SPM), spm_level)
        by_acc = _rate(_asks(table, slots, slot, ACC), acc_level)
        slots[slot, RATE] = max(1, slots[slot, FAST] * min(by_spm, by_acc) >> RATE_BITS)
        slots[slot, HELD_BY] = SPM if by_spm <= by_acc else ACC


@njit(inner=True)
def _next_event(slots: Int64s, ctl: Int64s, now: int) -> int:
    later = NEVER
    for slot in range(len(slots)):
        if slots[slot, MOVES] > 0:
            later = min(later, now - (-slots[slot, LEFT] // slots[slot, RATE]))
        elif slots[slot, ROW] >= 0:
            later = min(later, slots[slot, FIXED_END])
    for core in range(len(ctl)):
        if now < ctl[core, AT] < later:
            later = ctl[core, AT]
    return later


@njit(inner=True)
def _advance(record: Int64s, slots: Int64s, cycles: int) -> None:
    for slot in range(len(slots)):
        rate = slots[slot, RATE]
        if slots[slot, MOVES] == 0:
            continue
        slots[slot, LEFT] -= rate * cycles
        if rate < ONE:
            row, fast = slots[slot, ROW], slots[slot, FAST]
            record[row, LOST + slots[slot, SLOWED_BY]] += (ONE - fast) * cycles
            record[row, LOST + slots[slot, HELD_BY]] += (fast - rate) * cycles
