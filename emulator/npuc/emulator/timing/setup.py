"""From streams and work to what the engine runs: one flat table of commands, and capacities."""

from collections.abc import Sequence

import numpy as np

import npuc.emulator.timing.engine as eng
from npuc.emulator.stream import CommandStream
from npuc.emulator.timing.source import Work
from npuc.emulator.timing.work import DistinctWork
from npuc.isa import cost
from npuc.isa.cost import Int64s
from npuc.isa.instructions import Engine
from npuc.isa.instructions.base import COUNTERS_PER_ENGINE
from npuc.isa.instructions.order import Fence
from npuc.isa.program import Program
from npuc.isa.target import Target

ENGINE_CODES = 8  # room for engines in a counter's number


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
    program: Program,
    streams: Sequence[CommandStream],
    works: Sequence[DistinctWork],
    target: Target,
) -> eng.Commands:
    """All cores' commands in one table, core after core, and their kinds."""
    lengths = [len(stream) for stream in streams]
    table = np.empty((sum(lengths), eng.COMMAND_COLUMNS), np.int64)
    kinds: list[Int64s] = []
    first, known = 0, 0
    for core, (stream, work) in enumerate(zip(streams, works, strict=True)):
        rows = table[first : first + len(stream)]
        rows[:, eng.KIND] = work.of_command + known
        # A command on ctl is an engine command of ctl: its own dispatch is its fixed cycles.
        own = stream.engine == Engine.ctl.value
        rows[:, eng.DELAY] = np.maximum(stream.ctl_cycles, 1)
        rows[:, eng.DELAY] -= own
        rows[:, eng.DELAY] *= target.ctl.dispatch_cycles
        rows[:, (eng.NEEDS_A, eng.NEEDS_B)] = stream.wait_threshold
        kinds.append(_kinds(core, stream, work, target))
        opcode = program.code[core][stream.instruction[work.chosen], 0]
        kinds[-1][:, eng.FENCE] = opcode == Fence.opcode
        first, known = first + len(stream), known + len(kinds[-1])
    return eng.Commands(table, np.concatenate(kinds), np.cumsum([0, *lengths]))


def _kinds(core: int, stream: CommandStream, distinct: DistinctWork, target: Target) -> Int64s:
    """The kinds of one core's commands, one per distinct work, but whether they are fences."""
    chosen, work = distinct.chosen, distinct.work
    kinds = np.empty((len(chosen), eng.KIND_COLUMNS), np.int64)
    slot = core * eng.ENGINES + stream.engine[chosen]
    kinds[:, eng.SLOT] = slot
    kinds[:, eng.COUNTER_A] = _dense(stream.wait_counter[chosen, 0])
    kinds[:, eng.COUNTER_B] = _dense(stream.wait_counter[chosen, 1])
    increment = stream.increment[chosen]
    kinds[:, eng.INCREMENT] = np.where(increment >= 0, slot * COUNTERS_PER_ENGINE + increment, -1)
    kinds[:, eng.FIXED], kinds[:, eng.MOVING] = work.fixed, work.moving
    _put_demand(kinds[:, eng.DEMAND :], work, target)
    return kinds


def _dense(counter: Int64s) -> Int64s:
    """Counter numbers without the gap between 6 engines and 8: slot * 32 + index."""
    core, rest = np.divmod(counter, ENGINE_CODES * COUNTERS_PER_ENGINE)
    return np.where(counter < 0, -1, core * eng.ENGINES * COUNTERS_PER_ENGINE + rest)


def _put_demand(demand: Int64s, work: Work, target: Target) -> None:
    """Fill the demand per moving cycle (k, 4); never above what the machine has."""
    dram = work.dram_read + work.dram_written
    moving = np.maximum(work.moving, 1)
    capacity = machine_of(target).capacity
    for column, amount in enumerate((dram, dram, work.spm_words, work.acc_words)):
        needed = cost.ceil_div(amount * eng.DEMAND_ONE, moving)
        demand[:, column] = np.minimum(needed, capacity[column])
