"""An order in which the commands of all cores can execute, or the deadlock that prevents it.

One core executes in program order. Several take turns, each in program order as far as the others
have come; where all are held, engines behind a held command go on as far as their queues reach.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from npuc.emulator.decode import DecodedProgram
from npuc.emulator.order import NEVER, NONE, Producers, describe_wait, producers
from npuc.emulator.stream import CommandStream
from npuc.isa.errors import DeadlockError
from npuc.isa.instructions import Engine
from npuc.isa.instructions.order import Fence

Run = tuple[int, int, int]


def execution_order(decoded: DecodedProgram, streams: tuple[CommandStream, ...]) -> list[Run]:
    """Runs (core, first command, stop) in an order that satisfies every wait.

    Raises: DeadlockError when a wait of a core names a value that no earlier command of it
    produces, or when cores wait for each other for ever, naming the waits.
    """
    edges = producers(streams)
    for core, made in enumerate(edges):
        _check_own_waits(decoded, streams[core], core, made)
    cores = [_Core(decoded, core, streams[core], made) for core, made in enumerate(edges)]
    runs: list[Run] = []
    while any(core.first < len(core.executed) for core in cores):
        before = len(runs)
        for taking_turn in cores:
            runs += taking_turn.advance(cores)
        if len(runs) == before:
            runs += next((run for run in (core.overtake(cores) for core in cores) if run), [])
        if len(runs) == before:
            raise _deadlock(decoded, cores)
    return runs


@dataclass
class _Core:
    """How far one core has come: ``first`` is its first command that has not executed."""

    decoded: DecodedProgram
    core: int
    stream: CommandStream
    made: Producers
    first: int = 0
    executed: npt.NDArray[np.bool_] = field(init=False)
    holds: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.executed = np.zeros(len(self.stream), bool)
        foreign = (self.made.command != NONE) & (self.made.core != self.core)
        self.holds = np.flatnonzero(foreign.any(axis=1)).tolist()

    def missing(self, cores: list["_Core"], command: int) -> list[int]:
        """The waits (0, 1) of a command whose producers have not executed."""
        found = []
        for wait in range(2):
            awaited = int(self.made.command[command, wait])
            source = cores[int(self.made.core[command, wait])] if awaited != NONE else self
            if awaited == NEVER or (awaited != NONE and not source.executed[awaited]):
                found.append(wait)
        return found

    def advance(self, cores: list["_Core"]) -> list[Run]:
        """Execute in program order up to the first command that must wait for another core."""
        while self.holds and not self.missing(cores, self.holds[0]):
            self.holds.pop(0)
        stop = self.holds[0] if self.holds else len(self.executed)
        if stop <= self.first:
            return []
        todo = self.first + np.flatnonzero(~self.executed[self.first : stop])
        pieces = np.split(todo, np.flatnonzero(np.diff(todo) > 1) + 1)
        self.executed[self.first : stop] = True
        rest = np.flatnonzero(~self.executed[stop:])
        self.first = stop + int(rest[0]) if rest.size else len(self.executed)
        return [(self.core, int(p[0]), int(p[-1]) + 1) for p in pieces if p.size]

    def overtake(self, cores: list["_Core"]) -> list[Run]:
        """Execute the first command that its engine can reach past held ones of other engines."""
        pending = dict.fromkeys(Engine, 0)
        depth = self.decoded.target.ctl.queue_depth
        for command in range(self.first, len(self.executed)):
            if self.executed[command]:
                continue
            engine = Engine(int(self.stream.engine[command]))
            is_held = bool(pending[engine]) or bool(self.missing(cores, command))
            if not is_held and not (self._is_fence(command) and any(pending.values())):
                self.executed[command] = True
                return [(self.core, command, command + 1)]
            if engine is Engine.ctl or pending[engine] == depth:
                return []  # dispatch itself is held
            pending[engine] += 1
        return []

    def _is_fence(self, command: int) -> bool:
        at = self.stream.instruction[command]
        return bool(self.decoded.cores[self.core].opcode[at] == Fence.opcode)


def _check_own_waits(
    decoded: DecodedProgram, stream: CommandStream, core: int, made: Producers
) -> None:
    rows = np.arange(len(stream))[:, np.newaxis]
    bad = (made.command >= rows) & (made.core == core)
    if bad.any():
        command, wait = (int(v) for v in np.argwhere(bad)[0])
        raise DeadlockError(
            "a wait names a value that no earlier command of its core produces",
            str(decoded.site(core, int(stream.instruction[command]))),
            describe_wait(stream, command, wait),
            "a value that is produced before",
            "correct the wait: the core would wait for ever",
        )


def _deadlock(decoded: DecodedProgram, cores: list[_Core]) -> DeadlockError:
    stuck = []
    for core in cores:
        if core.first == len(core.executed):
            continue
        waits = [
            f"{describe_wait(core.stream, core.first, wait)} and has "
            f"{_count(cores, int(core.stream.wait_counter[core.first, wait]))}"
            for wait in core.missing(cores, core.first)
        ]
        site = decoded.site(core.core, int(core.stream.instruction[core.first]))
        stuck.append(f"{site} waits for {' and '.join(waits)}")
    return DeadlockError(
        "the cores wait for each other for ever (deadlock)",
        "; ".join(stuck),
        next_step="increment the awaited counters before these commands",
    )


def _count(cores: list[_Core], number: int) -> int:
    """What a counter has come to."""
    core = cores[number >> 8]
    counts = (core.stream.engine == (number >> 5 & 7)) & (core.stream.increment == (number & 31))
    return int((counts & core.executed).sum())
