"""Parts of a program alone: the cycles that the commands of one source range take by themselves.

What lies before a part has ended and what lies behind it has not begun; a part has the machine to
itself, as the closed form of the planner supposes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import npuc.emulator.timing.engine as eng
from npuc.emulator.stream import CommandStream
from npuc.emulator.timing.setup import commands_of, machine_of
from npuc.emulator.timing.work import distinct_work
from npuc.isa.cost import Int64s
from npuc.isa.program import Program
from npuc.isa.target import Target


def cycles_alone(
    program: Program, streams: Sequence[CommandStream], target: Target | None = None
) -> Int64s:
    """Cycles of each of ``program.debug.sources`` from an idle machine to its last command's end.

    Waits for what other parts or other cores produce hold from the start. A part is all commands
    from the first of its range to the last. 0 where it has none.
    """
    target = target or program.target
    works = [distinct_work(program, core, stream, target) for core, stream in enumerate(streams)]
    commands, machine = commands_of(program, streams, works, target), machine_of(target)
    cores = [
        _Core.of(commands, core, stream, len(program.code[core]))
        for core, stream in enumerate(streams)
    ]
    cycles = np.zeros(len(program.debug.sources), np.int64)
    for i, source in enumerate(program.debug.sources):
        part = None
        if source.core < len(cores):
            part = cores[source.core].part(source.start, source.stop)
        if part is not None:
            record, done = eng.run_events(part, machine)
            assert done == len(part.table), "a part waits only for itself"
            cycles[i] = record[:, eng.END].max()
    return cycles


@dataclass(frozen=True)
class _Core:
    """The commands of one core: when each instruction comes first and last, what raises counters.

    ``raised``: for each counter the positions of the commands that increment it.
    """

    commands: eng.Commands
    number: int
    first: Int64s
    last: Int64s
    raised: Mapping[int, Int64s]

    @staticmethod
    def of(
        commands: eng.Commands, number: int, stream: CommandStream, instructions: int
    ) -> "_Core":
        positions = np.arange(len(stream))
        first = np.full(instructions, len(stream), np.int64)
        last = np.full(instructions, -1, np.int64)
        np.minimum.at(first, stream.instruction, positions)
        np.maximum.at(last, stream.instruction, positions)
        start = int(commands.core_start[number])
        counter = commands.of(eng.INCREMENT)[start : start + len(stream)]
        used = np.unique(counter[counter >= 0]).tolist()
        raised = {c: np.flatnonzero(counter == c) for c in used}
        return _Core(commands, number, first, last, raised)

    def part(self, start: int, stop: int) -> eng.Commands | None:
        """The commands of instructions [start, stop), all that they wait for being there."""
        begin = int(self.first[start:stop].min(initial=len(self.commands.table)))
        end = int(self.last[start:stop].max(initial=-1)) + 1
        if begin >= end:
            return None
        offset = int(self.commands.core_start[self.number])
        table = self.commands.table[offset + begin : offset + end].copy()
        for needs, counters in ((eng.NEEDS_A, eng.COUNTER_A), (eng.NEEDS_B, eng.COUNTER_B)):
            counter = self.commands.kinds[table[:, eng.KIND], counters]
            for waited in np.unique(counter).tolist():
                rows = counter == waited
                raised = self.raised.get(waited)  # None: by another core, or no wait at all
                reached = 0 if raised is None else int(np.searchsorted(raised, begin))
                table[rows, needs] = 0 if raised is None else table[rows, needs] - reached
        cores = len(self.commands.core_start) - 1
        bounds = np.where(np.arange(cores + 1) > self.number, len(table), 0)
        return eng.Commands(table, self.commands.kinds, bounds)
