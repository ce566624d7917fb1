"""The time pass: streams in, Timing out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import npuc.emulator.timing.engine as eng
from npuc.emulator.stream import CommandStream
from npuc.emulator.timing.accounting import CommandTimes, account, command_times
from npuc.emulator.timing.setup import commands_of, machine_of
from npuc.emulator.timing.work import DistinctWork, Work, distinct_work
from npuc.isa.cost import Int64s
from npuc.isa.errors import ExecutionError
from npuc.isa.instructions import Engine
from npuc.isa.program import Program
from npuc.isa.target import Target


@dataclass(frozen=True)
class Timing:
    """When everything happened on ``target``.

    ``streams``, ``cores`` and ``works``: per core, arrays over its commands. ``accounting``
    (core, engine, Account): each row sums to ``wall_cycles``. DRAM bytes are whole bursts.
    ``distinct``: ``works`` without repetition.
    """

    target: Target
    wall_cycles: int
    streams: tuple[CommandStream, ...]
    cores: tuple[CommandTimes, ...]
    distinct: tuple[DistinctWork, ...]
    accounting: Int64s
    dram_read_bytes: int
    dram_written_bytes: int

    @cached_property
    def works(self) -> tuple[Work, ...]:
        """The work of each core's commands."""
        return tuple(distinct.all() for distinct in self.distinct)

    @property
    def seconds(self) -> float:
        """Wall time at the target's clock."""
        return self.wall_cycles / (self.target.clock_mhz * 1e6)


def time_streams(
    program: Program, streams: Sequence[CommandStream], target: Target | None = None
) -> Timing:
    """Time the commands of each core under ``target`` (default: the program's own).

    Raises: ExecutionError naming the commands that wait for one another for ever.
    """
    target = target or program.target
    works = tuple(
        distinct_work(program, core, stream, target) for core, stream in enumerate(streams)
    )
    commands = commands_of(program, streams, works, target)
    record, done = eng.run_events(commands, machine_of(target))
    if done < len(commands.table):
        raise _deadlock(streams, record)
    times = command_times(commands, record)
    return Timing(
        target,
        int(record[:, eng.END].max(initial=0)),
        tuple(streams),
        times,
        works,
        account(commands, record, times),
        sum(work.total(work.work.dram_read) for work in works),
        sum(work.total(work.work.dram_written) for work in works),
    )


def _deadlock(streams: Sequence[CommandStream], record: Int64s) -> ExecutionError:
    stuck, first = [], 0
    for core, stream in enumerate(streams):
        rows = slice(first, first + len(stream))
        waiting = (record[rows, eng.PUSHED] >= 0) & (record[rows, eng.START] < 0)
        for engine in np.unique(stream.engine[waiting]):
            row = int(np.flatnonzero(waiting & (stream.engine == engine))[0])
            stuck.append(_waiting_command(core, stream, row))
        first += len(stream)
    return ExecutionError(
        "the program waits for ever",
        where="; ".join(stuck),
        given=f"{int((record[:, eng.END] < 0).sum())} commands never end",
        allowed="waits for values that some command produces",
        next_step="look for a wait whose counter no command increments so often, or for cores "
        "that wait for one another",
    )


def _waiting_command(core: int, stream: CommandStream, row: int) -> str:
    waits = " and ".join(
        f"{Engine(int(counter) >> 5 & 7).name}{int(counter) & 31} of core {int(counter) >> 8}"
        f" >= {int(threshold)}"
        for counter, threshold in zip(
            stream.wait_counter[row], stream.wait_threshold[row], strict=True
        )
        if counter >= 0
    )
    engine = Engine(int(stream.engine[row])).name
    text = f"core {core}, {engine}, instruction {int(stream.instruction[row])}"
    return f"{text} waits for {waits or 'its engines'}"
