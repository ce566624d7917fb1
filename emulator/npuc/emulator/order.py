"""Which commands a wait holds for, and an order in which all cores' commands can execute.

A wait names a value of a counter that only one engine increments, in its own order: so it names
one command, the producer. From these edges come the order of execution, cross-core deadlock and,
in strict mode, happens-before.
"""

from dataclasses import dataclass

import numpy as np

from npuc.emulator.decode import DecodedProgram
from npuc.emulator.site import counter_text
from npuc.emulator.stream import CommandStream, Int64s
from npuc.isa.errors import ExecutionError
from npuc.isa.instructions import Counter, Engine

NONE = -1
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Producers:
    """For each wait of a stream (n x 2): core and command number of its producer.

    ``command`` is NONE where nothing is awaited and NEVER where no command ever produces it.
    """

    core: Int64s
    command: Int64s


def producers(streams: tuple[CommandStream, ...]) -> tuple[Producers, ...]:
    """The producer of every wait of every core."""
    increments = [_increments(stream) for stream in streams]
    return tuple(_producers(stream, increments) for stream in streams)


def _increments(stream: CommandStream) -> dict[int, Int64s]:
    """Commands that increment each counter (engine * 32 + index), ascending."""
    number = np.where(stream.increment >= 0, stream.engine * 32 + stream.increment, -1)
    return {int(c): np.flatnonzero(number == c) for c in np.unique(number) if c >= 0}


def _producers(stream: CommandStream, increments: list[dict[int, Int64s]]) -> Producers:
    command = np.full(stream.wait_counter.shape, NONE, np.int64)
    active = (stream.wait_counter >= 0) & (stream.wait_threshold > 0)
    for counter in np.unique(stream.wait_counter[active]).tolist():
        mask = active & (stream.wait_counter == counter)
        made = increments[counter >> 8].get(counter & 0xFF, np.zeros(0, np.int64))
        threshold = stream.wait_threshold[mask]
        table = np.append(made, NEVER)
        command[mask] = table[np.minimum(threshold - 1, len(made))]
    return Producers(stream.wait_counter >> 8, command)


def execution_order(
    decoded: DecodedProgram, streams: tuple[CommandStream, ...]
) -> list[tuple[int, int, int]]:
    """Runs (core, first command, stop) in an order that satisfies every wait.

    Raises: ExecutionError when a wait of a core names a value that no earlier command of it
    produces, or when cores wait for each other for ever, naming the waits.
    """
    edges = producers(streams)
    for core, made in enumerate(edges):
        _check_own_waits(decoded, streams[core], core, made)
    done = [0] * len(streams)
    runs: list[tuple[int, int, int]] = []
    holds = [_foreign_waits(core, made) for core, made in enumerate(edges)]
    while any(done[core] < len(stream) for core, stream in enumerate(streams)):
        before = len(runs)
        for core in range(len(streams)):
            stop = _runs_until(holds[core], edges[core], done, core)
            if stop > done[core]:
                runs.append((core, done[core], stop))
                done[core] = stop
        if len(runs) == before:
            raise _deadlock(decoded, streams, edges, done)
    return runs


def _check_own_waits(
    decoded: DecodedProgram, stream: CommandStream, core: int, made: Producers
) -> None:
    rows = np.arange(len(stream))[:, np.newaxis]
    bad = (made.command >= rows) & (made.core == core)
    if bad.any():
        command, wait = (int(v) for v in np.argwhere(bad)[0])
        raise ExecutionError(
            "a wait names a value that no earlier command of its core produces",
            str(decoded.site(core, int(stream.instruction[command]))),
            describe_wait(stream, command, wait),
            "a value that is produced before",
            "correct the wait: the core would wait for ever",
        )


def _foreign_waits(core: int, made: Producers) -> list[int]:
    """Commands that wait for another core, ascending."""
    foreign = (made.command != NONE) & (made.core != core)
    return np.flatnonzero(foreign.any(axis=1)).tolist()


def _runs_until(holds: list[int], made: Producers, done: list[int], core: int) -> int:
    """The first command from ``done[core]`` on that must still wait, or the end."""
    while holds:
        command = holds[0]
        for wait in range(2):
            source = int(made.core[command, wait])
            awaited = int(made.command[command, wait])
            if source != core and awaited != NONE and awaited >= done[source]:
                return command
        holds.pop(0)
    return len(made.command)


def describe_wait(stream: CommandStream, command: int, wait: int) -> str:
    """A resolved wait as ``core0.vpu.0 >= 7``."""
    number = int(stream.wait_counter[command, wait])
    counter = Counter(number >> 8, Engine(number >> 5 & 7), number & 31)
    return f"{counter_text(counter)} >= {int(stream.wait_threshold[command, wait])}"


def _deadlock(
    decoded: DecodedProgram,
    streams: tuple[CommandStream, ...],
    edges: tuple[Producers, ...],
    done: list[int],
) -> ExecutionError:
    stuck = []
    for core, stream in enumerate(streams):
        at = done[core]
        if at == len(stream):
            continue
        waits = [
            describe_wait(stream, at, wait)
            for wait in range(2)
            if int(edges[core].command[at, wait]) != NONE
            and int(edges[core].command[at, wait]) >= done[int(edges[core].core[at, wait])]
        ]
        site = decoded.site(core, int(stream.instruction[at]))
        stuck.append(f"{site} waits for {' and '.join(waits)}")
    return ExecutionError(
        "the cores wait for each other for ever (deadlock)",
        "; ".join(stuck),
        next_step="increment the awaited counters before these commands",
    )
