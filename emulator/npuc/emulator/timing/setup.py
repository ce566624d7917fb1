"""From streams and work to what the engine runs: one flat table of commands, and capacities."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

import npuc.emulator.timing.engine as eng
from npuc.emulator.stream import CommandStream
from npuc.emulator.timing.work import Work
from npuc.isa import cost
from npuc.isa.cost import Int64s
from npuc.isa.instructions.base import COUNTERS_PER_ENGINE
from npuc.isa.instructions.order import Fence
from npuc.isa.program import Program
from npuc.isa.target import Target

ENGINE_CODES = 8  # room for engines in a counter's number
Mask = npt.NDArray[np.bool_]


def machine_of(target: Target) -> eng.Machine:
    """Capacities of the shared resources: bytes or words per cycle, in units of DEMAND_ONE."""
    rates = (
        target.dram.bytes_per_cycle * target.dram.efficiency,
        target.dma.channels * cost.channel_rate(target),
        target.spm.banks,
        target.acc.banks,
    )
    capacity = np.array([round(rate * eng.DEMAND_ONE) for rate in rates], np.int64)
    return eng.Machine(np.maximum(capacity, 1), target.ctl.queue_depth)


def commands_of(
    program: Program, streams: Sequence[CommandStream], works: Sequence[Work], target: Target
) -> eng.Commands:
    """All cores' commands in one table, core after core."""
    lengths = [len(stream) for stream in streams]
    core = np.repeat(np.arange(len(streams)), lengths)
    slot = core * eng.ENGINES + _joined([s.engine for s in streams])
    table = np.empty((len(slot), eng.COMMAND_COLUMNS), np.int64)
    table[:, eng.SLOT] = slot
    # A command on ctl is an engine command of ctl: its own dispatch is its fixed cycles.
    cycles = np.maximum(_joined([s.ctl_cycles for s in streams]), 1) - (slot % eng.ENGINES == 0)
    table[:, eng.DELAY] = cycles * target.ctl.dispatch_cycles
    for i, (counter, needs) in enumerate(
        ((eng.COUNTER_A, eng.NEEDS_A), (eng.COUNTER_B, eng.NEEDS_B))
    ):
        table[:, counter] = _dense(_joined([s.wait_counter[:, i] for s in streams]))
        table[:, needs] = _joined([s.wait_threshold[:, i] for s in streams])
    increment = _joined([s.increment for s in streams])
    table[:, eng.INCREMENT] = np.where(increment >= 0, slot * COUNTERS_PER_ENGINE + increment, -1)
    opcode = [program.code[core][s.instruction, 0] for core, s in enumerate(streams)]
    table[:, eng.FENCE] = _joined([of_core == Fence.opcode for of_core in opcode])
    table[:, eng.FIXED] = _joined([work.fixed for work in works])
    table[:, eng.MOVING] = _joined([work.moving for work in works])
    _put_demand(table[:, eng.DEMAND :], works, target)
    order = np.argsort(slot, kind="stable")
    starts = np.searchsorted(slot[order], np.arange(len(streams) * eng.ENGINES + 1))
    return eng.Commands(table, order, starts, np.cumsum([0, *lengths]))


def _joined(parts: Sequence[Int64s | Mask]) -> Int64s:
    return np.concatenate([np.zeros(0, np.int64), *(p.astype(np.int64, copy=False) for p in parts)])


def _dense(counter: Int64s) -> Int64s:
    """Counter numbers without the gap between 6 engines and 8: slot * 32 + index."""
    core, rest = np.divmod(counter, ENGINE_CODES * COUNTERS_PER_ENGINE)
    return np.where(counter < 0, -1, core * eng.ENGINES * COUNTERS_PER_ENGINE + rest)


def _put_demand(demand: Int64s, works: Sequence[Work], target: Target) -> None:
    """Fill the demand per moving cycle (n, 4); never above what the machine has."""
    dram = _joined([work.dram_read + work.dram_written for work in works])
    amounts = (
        dram,
        dram,
        _joined([w.spm_words for w in works]),
        _joined([w.acc_words for w in works]),
    )
    moving = np.maximum(_joined([work.moving for work in works]), 1)
    capacity = machine_of(target).capacity
    for column, amount in enumerate(amounts):
        needed = cost.ceil_div(amount * eng.DEMAND_ONE, moving)
        demand[:, column] = np.minimum(needed, capacity[column])
