"""Questions about single waits: is it needed, and what is the program without it?"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from npuc.emulator.stream import CommandStream
from npuc.emulator.strict.check import Strict
from npuc.emulator.strict.clocks import NO_COMMAND, clocks
from npuc.isa.encoding import decode_one, encode
from npuc.isa.errors import UsageError
from npuc.isa.instructions import Command
from npuc.isa.program import Program


@dataclass(frozen=True)
class WaitField:
    """Wait ``which`` (0 or 1, in the order of the waits that exist) of an instruction."""

    core: int
    instruction: int
    which: int


def wait_fields(program: Program) -> Iterator[WaitField]:
    """Every wait of every instruction of a program."""
    for core, rows in enumerate(program.code):
        for at, row in enumerate(rows):
            instruction = decode_one(int.from_bytes(row.tobytes(), "little"), at)
            if isinstance(instruction, Command):
                yield from (WaitField(core, at, which) for which in range(len(instruction.waits)))


def without_wait(program: Program, field: WaitField) -> Program:
    """The program with one wait taken out. Raises: UsageError when there is no such wait."""
    rows = program.code[field.core]
    bits = int.from_bytes(rows[field.instruction].tobytes(), "little")
    instruction = decode_one(bits, field.instruction)
    if not isinstance(instruction, Command) or field.which >= len(instruction.waits):
        raise UsageError(
            "the instruction has no such wait",
            f"core {field.core}, instruction {field.instruction}",
            str(field.which),
        )
    waits = instruction.waits[: field.which] + instruction.waits[field.which + 1 :]
    changed = rows.copy()
    changed[field.instruction] = encode([replace(instruction, waits=waits)])[0]
    code = (*program.code[: field.core], changed, *program.code[field.core + 1 :])
    return replace(program, code=code)


def redundant_waits(
    program: Program, streams: tuple[CommandStream, ...] | None = None
) -> tuple[WaitField, ...]:
    """The waits that can each be taken out alone without losing any needed order.

    Raises: UsageError when the program has races or a deadlock as it is.
    """
    strict = Strict.of(program, streams)
    if strict.graph is None or strict.trace is None:
        raise UsageError("the program deadlocks", given=str(strict.deadlock))
    needed = strict.trace.needed
    if (needed > clocks(strict.graph)).any():
        raise UsageError("the program has races as it is", next_step="run strict mode on it")
    graph = strict.graph
    redundant = []
    for field in wait_fields(program):
        rows = (graph.core == field.core) & (graph.instruction == field.instruction)
        slot = _slot(strict, field)
        edges = graph.producer.copy()
        edges[rows, slot] = NO_COMMAND
        if not (needed > clocks(graph, edges)).any():
            redundant.append(field)
    return tuple(redundant)


def _slot(strict: Strict, field: WaitField) -> int:
    """The encoded slot of a wait: empty slots do not count."""
    counter = strict.decoded.cores[field.core].wait_counter[field.instruction]
    return int(np.flatnonzero(counter >= 0)[field.which])
