"""Control in step with values, for programs that load words of memory.

Control of each core runs ahead to its next word load. All commands before it are executed; then
the word is read and control goes on. Commands keep the order of their engine's queue and their
waits; a core executes in program order but where a wait on another core holds a command back:
then other engines overtake it as far as their queues reach.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from npuc.emulator.control import Walk, Ways, walk
from npuc.emulator.decode import DecodedProgram
from npuc.emulator.functional.plain import loaded_word
from npuc.emulator.memory import Memory
from npuc.emulator.order import describe_wait
from npuc.emulator.region import WordWork, Work
from npuc.emulator.resolve import ResolvedStream
from npuc.emulator.stream import CommandStream
from npuc.isa.errors import DeadlockError, ExecutionError
from npuc.isa.instructions import Engine
from npuc.isa.instructions.order import Fence

COUNTERS = 1 << 12  # of all cores: 4 bits core, 3 bits engine, 5 bits index
Execute = Callable[[int, int, Work], None]  # core, instruction, work


class _Pending(NamedTuple):
    """A command that is dispatched and not executed: its row in a part of the stream."""

    resolved: ResolvedStream
    stream: CommandStream
    row: int


@dataclass
class _Core:
    core: int
    way: Walk
    pending: deque[_Pending] = field(default_factory=deque)
    parts: list[CommandStream] = field(default_factory=list)
    is_at_load: bool = True  # or at the start: control can go on once nothing is pending


@dataclass
class Stepper:
    """Runs a program; ``execute`` carries out one command of a core on ``memory``."""

    decoded: DecodedProgram
    memory: Memory
    execute: Execute
    ways: Ways

    def run(self) -> tuple[CommandStream, ...]:
        """Execute everything; the commands of each core, as ``control`` gives them.

        Raises: ExecutionError for bounds, traps, budgets and deadlock.
        """
        self._count, self._points = np.zeros(COUNTERS, np.int64), 0.0
        cores = [
            _Core(core, walk(self.decoded, core, self.ways))
            for core in range(len(self.decoded.cores))
        ]
        while any(core.is_at_load or core.pending for core in cores):
            if not sum(self._turn(core) for core in cores):
                raise self._deadlock(cores)
        return tuple(CommandStream.joined(core.parts) for core in cores)

    def _turn(self, core: _Core) -> int:
        """Go as far as a core can; how many steps that were."""
        steps = 0
        while True:
            if not core.pending and core.is_at_load:
                self._dispatch(core)
            elif (position := self._ready(core)) is not None:
                self._execute(core, position)
            else:
                return steps
            steps += 1

    def _dispatch(self, core: _Core) -> None:
        """Let control run on to the next word load or the end."""
        core.is_at_load = core.way.advance()
        stream = core.way.take()
        resolved = ResolvedStream(self.decoded, core.core, stream)
        resolved.raise_first()
        self._points += resolved.points
        if self._points > self.ways.limits.points:
            raise resolved.too_many_points(self.ways.limits)
        core.parts.append(stream)
        core.pending.extend(_Pending(resolved, stream, row) for row in range(len(stream)))

    def _execute(self, core: _Core, position: int) -> None:
        resolved, stream, row = core.pending[position]
        del core.pending[position]
        work = resolved.work(row)
        if isinstance(work, WordWork) and not work.is_store:
            core.way.give(loaded_word(self.memory, core.core, work))
        else:
            self.execute(core.core, int(stream.instruction[row]), work)
        if stream.increment[row] >= 0:
            engine = int(stream.engine[row])
            self._count[core.core << 8 | engine << 5 | int(stream.increment[row])] += 1

    def _ready(self, core: _Core) -> int | None:
        """Position of the first pending command that its engine can execute."""
        held = dict.fromkeys(Engine, 0)
        for position, command in enumerate(core.pending):
            engine = Engine(int(command.stream.engine[command.row]))
            is_fence = engine is Engine.ctl and self._is_fence(core, command)
            is_held = bool(held[engine]) or (is_fence and any(held.values()))
            if not is_held and not any(self._missing(command)):
                return position
            if engine is Engine.ctl or held[engine] == self.decoded.target.ctl.queue_depth:
                return None  # dispatch itself is held
            held[engine] += 1
        return None

    def _missing(self, command: _Pending) -> Iterator[int]:
        """The waits (0, 1) that do not hold yet."""
        _, stream, row = command
        for wait in range(2):
            counter, threshold = stream.wait_counter[row, wait], stream.wait_threshold[row, wait]
            if counter >= 0 and threshold > 0 and self._count[counter] < threshold:
                yield wait + 1

    def _stuck_wait(self, command: _Pending, number: int) -> str:
        text = describe_wait(command.stream, command.row, number - 1)
        counter = int(command.stream.wait_counter[command.row, number - 1])
        return f"{text} and has {int(self._count[counter])}"

    def _is_fence(self, core: _Core, command: _Pending) -> bool:
        at = command.stream.instruction[command.row]
        return bool(self.decoded.cores[core.core].opcode[at] == Fence.opcode)

    def _deadlock(self, cores: list[_Core]) -> ExecutionError:
        stuck = []
        for core in cores:
            if core.pending:
                command = core.pending[0]
                waits = " and ".join(self._stuck_wait(command, n) for n in self._missing(command))
                at = int(command.stream.instruction[command.row])
                stuck.append(f"{self.decoded.site(core.core, at)} waits for {waits}")
        return DeadlockError(
            "the program waits for ever (deadlock)",
            "; ".join(stuck),
            next_step="increment the awaited counters before these commands",
        )
