"""Event engine: when each command starts and ends, sharing memories fluidly.

Between two events every running command advances at a constant rate; rates are found anew at each
start, end and change of phase. Time is whole cycles, rates and demands are fixed-point integers,
so that the compiled kernel and the plain Python of the same source give the same cycles.

Rules. ctl spends its cycles, then pushes a command into its engine's queue, or stalls while the
queue holds ``queue_depth`` commands that have not started. An engine starts the command at its
queue's head once it is free and both waits hold; a counter grows in the cycle that its command
ends. A command first passes its fixed cycles, then its moving cycles at a rate <= 1: the DRAM,
the core's DMA channels, its SPM and its ACC each give every user the same share of its demand
when demands exceed what they have. A fence starts when all engines of the core are done.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from npuc.emulator.jit import njit
from npuc.isa.cost import Int64s
from npuc.isa.instructions.base import COUNTERS_PER_ENGINE

ENGINES = 6  # ctl and the five queues of a core
DRAM, CHANNEL, SPM, ACC = range(4)
RESOURCES = 4
RATE_BITS = 20
ONE = 1 << RATE_BITS  # a rate of 1
DEMAND_ONE = 1 << 10  # a demand of one byte or word per cycle
NEVER = 1 << 62


class Commands(NamedTuple):
    """The commands of all cores, one after another; n rows.

    ``slot`` n: core * 6 + engine. ``delay`` n: ctl cycles before the push. Counters are numbered
    slot * 32 + index, -1 for none. ``demand`` n x 4: per moving cycle, in 1/1024 bytes (DRAM,
    channel) and words (SPM, ACC). ``order`` n: rows by slot; those of slot s stand from
    ``order_start[s]``. ``core_start`` cores + 1: first row of each core.
    """

    slot: Int64s
    delay: Int64s
    wait_counter: Int64s
    wait_threshold: Int64s
    increment: Int64s
    is_fence: npt.NDArray[np.bool_]
    fixed: Int64s
    moving: Int64s
    demand: Int64s
    order: Int64s
    order_start: Int64s
    core_start: Int64s


class Machine(NamedTuple):
    """What is shared: ``capacity`` 4, in the units of demand; depth of each queue."""

    capacity: Int64s
    queue_depth: int


class Record(NamedTuple):
    """What the engine finds, n rows. ``lost`` n x 4: moving time lost per resource, in 2^-20.

    ``issued``: ctl has the command; ``pushed``: it is in its queue; ``ready``: its engine is free.
    """

    issued: Int64s
    pushed: Int64s
    ready: Int64s
    start: Int64s
    end: Int64s
    lost: Int64s


class State(NamedTuple):
    """What changes: per slot, per core and per counter.

    ``head`` and ``tail``: positions in ``order`` of the next command to start and to be pushed.
    ``running``: row or -1. ``fast`` and ``rate``: rate after DRAM and channels, and after SPM and
    ACC; ``cause``: which of the two pairs' resources holds it.
    """

    head: Int64s
    tail: Int64s
    running: Int64s
    free_at: Int64s
    fixed_end: Int64s
    left: Int64s
    fast: Int64s
    rate: Int64s
    cause: Int64s
    next_row: Int64s
    ctl_time: Int64s
    counters: Int64s


def run_events(commands: Commands, machine: Machine) -> tuple[Record, int]:
    """(record, number of commands that ended). Fewer than n ended: the streams deadlock."""
    n, cores = len(commands.slot), len(commands.core_start) - 1
    unset = np.full(n, -1, np.int64)
    record = Record(
        unset.copy(), unset.copy(), unset.copy(), unset.copy(), unset.copy(),
        np.zeros((n, RESOURCES), np.int64),
    )
    done = _simulate(commands, machine, record, _initial_state(commands, cores))
    return record, int(done)


def _initial_state(commands: Commands, cores: int) -> State:
    slots = cores * ENGINES

    def zeros(size: int) -> Int64s:
        return np.zeros(size, np.int64)

    first = commands.core_start[:-1].copy()
    has_work = first < commands.core_start[1:]
    delay = np.zeros(cores, np.int64)
    delay[has_work] = commands.delay[first[has_work]]
    starts = commands.order_start[:-1]
    return State(
        starts.copy(), starts.copy(), zeros(slots) - 1, zeros(slots), zeros(slots), zeros(slots),
        zeros(slots) + ONE, zeros(slots) + ONE, zeros(slots * 2).reshape(slots, 2),
        first, np.where(has_work, delay, NEVER), zeros(slots * COUNTERS_PER_ENGINE),
    )


@njit
def _simulate(commands: Commands, machine: Machine, record: Record, state: State) -> int:
    """Events until nothing can happen any more; the number of commands that ended."""
    now, done = 0, 0
    while now < NEVER:
        ended = _complete(commands, record, state, now)
        done += ended
        changed = ended > 0
        _dispatch(commands, machine, record, state, now)
        started = _start(commands, record, state, now)
        if started:
            _dispatch(commands, machine, record, state, now)
        if changed or started or _phase_changes(state, now):
            _set_rates(commands, machine, state, now)
        later = _next_event(state, now)
        if later < NEVER:
            _advance(record, state, now, later)
        now = later
    return done


@njit
def _complete(commands: Commands, record: Record, state: State, now: int) -> int:
    ended = 0
    for slot in range(len(state.running)):
        row = state.running[slot]
        if row < 0 or state.fixed_end[slot] > now or state.left[slot] > 0:
            continue
        record.end[row] = now
        state.running[slot] = -1
        state.free_at[slot] = now
        ended += 1
        if commands.increment[row] >= 0:
            state.counters[commands.increment[row]] += 1
        if slot % ENGINES == 0:  # a command on ctl: the stream goes on
            _fetch(commands, state, slot // ENGINES, now)
    return ended


@njit
def _fetch(commands: Commands, state: State, core: int, now: int) -> None:
    """Let ctl of ``core`` work towards its next push."""
    row = state.next_row[core]
    if row < commands.core_start[core + 1]:
        state.ctl_time[core] = now + commands.delay[row]
    else:
        state.ctl_time[core] = NEVER


@njit
def _dispatch(
    commands: Commands, machine: Machine, record: Record, state: State, now: int
) -> None:
    for core in range(len(state.ctl_time)):
        while state.ctl_time[core] <= now:
            if not _push(commands, machine, record, state, (core, now)):
                break


@njit
def _push(
    commands: Commands, machine: Machine, record: Record, state: State, at: tuple[int, int]
) -> bool:
    """Push the next command of a core; False where its queue is full."""
    core, now = at
    row = state.next_row[core]
    slot = commands.slot[row]
    if record.issued[row] < 0:
        record.issued[row] = state.ctl_time[core]
    if state.tail[slot] - state.head[slot] >= machine.queue_depth:
        return False
    record.pushed[row] = now
    state.tail[slot] += 1
    state.next_row[core] = row + 1
    if slot % ENGINES == 0:
        state.ctl_time[core] = NEVER  # until the command on ctl ends
    else:
        _fetch(commands, state, core, now)
    return True


@njit
def _start(commands: Commands, record: Record, state: State, now: int) -> bool:
    started = False
    for slot in range(len(state.running)):
        if state.running[slot] >= 0 or state.head[slot] == state.tail[slot]:
            continue
        row = commands.order[state.head[slot]]
        if not _may_start(commands, state, row, slot):
            continue
        record.ready[row] = max(record.pushed[row], state.free_at[slot])
        record.start[row] = now
        state.head[slot] += 1
        state.running[slot] = row
        state.fixed_end[slot] = now + commands.fixed[row]
        state.left[slot] = commands.moving[row] << RATE_BITS
        started = True
    return started


@njit
def _may_start(commands: Commands, state: State, row: int, slot: int) -> bool:
    for i in range(2):
        counter = commands.wait_counter[row, i]
        if counter >= 0 and state.counters[counter] < commands.wait_threshold[row, i]:
            return False
    if not commands.is_fence[row]:
        return True
    for other in range(slot + 1, slot + ENGINES):
        if state.running[other] >= 0 or state.head[other] < state.tail[other]:
            return False
    return True


@njit
def _phase_changes(state: State, now: int) -> bool:
    for slot in range(len(state.running)):
        if state.running[slot] >= 0 and state.fixed_end[slot] == now:
            return True
    return False


@njit
def _moves(state: State, slot: int, now: int) -> bool:
    return bool(
        state.running[slot] >= 0 and state.fixed_end[slot] <= now and state.left[slot] > 0
    )


@njit
def _share(capacity: int, demand: int) -> int:
    """Rate that ``capacity`` leaves each user when they demand ``demand`` together."""
    if demand <= capacity:
        return ONE
    return max(1, capacity * ONE // demand)


@njit
def _set_rates(commands: Commands, machine: Machine, state: State, now: int) -> None:
    slots = len(state.running)
    dram = 0
    for slot in range(slots):
        if _moves(state, slot, now):
            dram += commands.demand[state.running[slot], DRAM]
    dram_share = _share(machine.capacity[DRAM], dram)
    for first in range(0, slots, ENGINES):
        _share_channels(commands, machine, state, (first, now, dram_share))
        _share_memories(commands, machine, state, (first, now))


@njit
def _share_channels(
    commands: Commands, machine: Machine, state: State, at: tuple[int, int, int]
) -> None:
    """``fast``: the rate that DRAM and the channels of one core leave its transfers."""
    first, now, dram_share = at
    demand = 0
    for slot in range(first, first + ENGINES):
        if _moves(state, slot, now):
            demand += commands.demand[state.running[slot], CHANNEL]
    share = _share(machine.capacity[CHANNEL], demand)
    for slot in range(first, first + ENGINES):
        state.fast[slot] = ONE
        if _moves(state, slot, now) and commands.demand[state.running[slot], DRAM] > 0:
            state.fast[slot] = min(share, dram_share)
            state.cause[slot, 0] = DRAM if dram_share <= share else CHANNEL


@njit
def _share_memories(
    commands: Commands, machine: Machine, state: State, at: tuple[int, int]
) -> None:
    """``rate``: what SPM and ACC of one core leave of each command's ``fast`` rate."""
    first, now = at
    spm, acc = 0, 0
    for slot in range(first, first + ENGINES):
        if _moves(state, slot, now):
            row = state.running[slot]
            spm += commands.demand[row, SPM] * state.fast[slot] >> RATE_BITS
            acc += commands.demand[row, ACC]
    spm_share = _share(machine.capacity[SPM], spm)
    acc_share = _share(machine.capacity[ACC], acc)
    for slot in range(first, first + ENGINES):
        state.rate[slot] = state.fast[slot]
        if not _moves(state, slot, now):
            continue
        row, share = state.running[slot], ONE
        if commands.demand[row, SPM] > 0:
            share, state.cause[slot, 1] = spm_share, SPM
        if commands.demand[row, ACC] > 0 and acc_share < share:
            share, state.cause[slot, 1] = acc_share, ACC
        state.rate[slot] = max(1, state.fast[slot] * share >> RATE_BITS)


@njit
def _next_event(state: State, now: int) -> int:
    later = NEVER
    for slot in range(len(state.running)):
        if state.running[slot] < 0:
            continue
        if state.fixed_end[slot] > now:
            later = min(later, state.fixed_end[slot])
        else:
            later = min(later, now + -(-state.left[slot] // state.rate[slot]))
    for core in range(len(state.ctl_time)):
        if now < state.ctl_time[core] < later:
            later = state.ctl_time[core]
    return later


@njit
def _advance(record: Record, state: State, now: int, later: int) -> None:
    for slot in range(len(state.running)):
        if not _moves(state, slot, now):
            continue
        row, cycles = state.running[slot], later - now
        state.left[slot] -= state.rate[slot] * cycles
        if state.rate[slot] < ONE:
            fast = state.fast[slot]
            record.lost[row, state.cause[slot, 0]] += (ONE - fast) * cycles
            record.lost[row, state.cause[slot, 1]] += (fast - state.rate[slot]) * cycles
