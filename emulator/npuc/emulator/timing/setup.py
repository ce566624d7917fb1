"""From streams and work to what the engine runs: one flat table of commands, and capacities."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from npuc.emulator.stream import CommandStream
from npuc.emulator.timing.engine import DEMAND_ONE, ENGINES, RESOURCES, Commands, Machine
from npuc.emulator.timing.work import Work
from npuc.isa import cost
from npuc.isa.cost import Int64s
from npuc.isa.encoding import Rows
from npuc.isa.instructions.base import COUNTERS_PER_ENGINE
from npuc.isa.instructions.order import Fence
from npuc.isa.program import Program
from npuc.isa.target import Target


def machine_of(target: Target) -> Machine:
    """Capacities of the shared resources: bytes or words per cycle, in units of DEMAND_ONE."""
    rates = (
        target.dram.bytes_per_cycle * target.dram.efficiency,
        target.dma.channels * cost.channel_rate(target),
        target.spm.banks,
        target.acc.banks,
    )
    capacity = np.array([round(rate * DEMAND_ONE) for rate in rates], np.int64)
    return Machine(np.maximum(capacity, 1), target.ctl.queue_depth)


def commands_of(
    program: Program, streams: Sequence[CommandStream], works: Sequence[Work], target: Target
) -> Commands:
    """All cores' commands in one table, core after core."""
    lengths = [len(stream) for stream in streams]
    core = np.repeat(np.arange(len(streams)), lengths)
    slot = core * ENGINES + _joined([s.engine for s in streams])
    on_ctl = slot % ENGINES == 0
    cycles = np.maximum(_joined([s.ctl_cycles for s in streams]), 1)
    increment = _joined([s.increment for s in streams])
    order = np.argsort(slot, kind="stable")
    return Commands(
        slot=slot,
        delay=(cycles - on_ctl) * target.ctl.dispatch_cycles,  # a command on ctl is timed there
        wait_counter=_dense(np.concatenate([_empty(2), *(s.wait_counter for s in streams)])),
        wait_threshold=np.concatenate([_empty(2), *(s.wait_threshold for s in streams)]),
        increment=np.where(increment >= 0, slot * COUNTERS_PER_ENGINE + increment, -1),
        is_fence=np.concatenate(
            [np.zeros(0, np.bool_)]
            + [_is_fence(rows, s) for rows, s in zip(program.code, streams, strict=True)]
        ),
        fixed=_joined([w.fixed for w in works]),
        moving=_joined([w.moving for w in works]),
        demand=np.concatenate([_empty(RESOURCES), *(_demand(w, target) for w in works)]),
        order=order,
        order_start=np.searchsorted(slot[order], np.arange(len(streams) * ENGINES + 1)),
        core_start=np.cumsum([0, *lengths]),
    )


def _joined(parts: Sequence[Int64s]) -> Int64s:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _empty(columns: int) -> Int64s:
    return np.zeros((0, columns), np.int64)


def _dense(counter: Int64s) -> Int64s:
    """Counter numbers without the gap between 6 engines and 8: slot * 32 + index."""
    core, rest = np.divmod(counter, 8 * COUNTERS_PER_ENGINE)
    return np.where(counter < 0, -1, core * ENGINES * COUNTERS_PER_ENGINE + rest)


def _is_fence(rows: Rows, stream: CommandStream) -> npt.NDArray[np.bool_]:
    return np.asarray(rows[stream.instruction, 0] == Fence.opcode)


def _demand(work: Work, target: Target) -> Int64s:
    """Demand per moving cycle (n, 4); never above what the machine has."""
    dram = work.dram_read + work.dram_written
    amounts = np.column_stack([dram, dram, work.spm_words, work.acc_words])
    demand = cost.ceil_div(amounts * DEMAND_ONE, np.maximum(work.moving, 1)[:, np.newaxis])
    return np.minimum(demand, machine_of(target).capacity)
