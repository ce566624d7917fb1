"""A recorded run: the commands of a program, once, for any number of timings.

Time depends on descriptors, extents and registers alone, so that the command streams of one run
serve every machine on which the same bits can run. They can where memories are large enough and
extensions are there; speed, bandwidth and queues may differ in any way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from npuc.emulator.machine import RunOptions, load
from npuc.emulator.resolve import ResolvedStream
from npuc.emulator.stream import CommandStream
from npuc.emulator.validate import decode
from npuc.isa.errors import NpucError, UsageError
from npuc.isa.instructions.flow import Halt
from npuc.isa.program import Program
from npuc.isa.target import Target
from npuc.runtime.arrays import Arrays


@dataclass(frozen=True)
class Recording:
    """The commands of one run of ``program``, without the cores that have none."""

    program: Program
    streams: tuple[CommandStream, ...]


def record(program: Program, inputs: Arrays | None = None) -> Recording:
    """The commands of one run. Values are computed only where ``inputs`` are given.

    Raises: BinaryError or ExecutionError where the program cannot run on its own target;
    UsageError where its commands depend on values and there are no ``inputs``.
    """
    loaded = load(program, RunOptions())
    streams = loaded.streams if inputs is None else loaded.run(inputs).streams
    used = len(streams)
    while used > 1 and _is_idle(program, streams, used - 1):
        used -= 1
    return Recording(replace(program, code=program.code[:used]), streams[:used])


def refuse_impossible(recording: Recording, target: Target) -> None:
    """Raises: UsageError where ``target`` lacks cores, memory or an extension, saying which.

    A program that its own target runs can fail only for these: the bits stay the same. So nothing
    is checked again where ``target`` has as much of each.
    """
    if _has_as_much(target, recording.program.target):
        return
    try:
        decoded = decode(recording.program, target)
        for core, stream in enumerate(recording.streams):
            ResolvedStream(decoded, core, stream).raise_first()
    except NpucError as error:
        own = recording.program.target.name
        raise UsageError(
            f"the program, compiled for {own}, cannot run on {target.name}: {error.what}",
            error.where,
            error.given,
            error.allowed,
            f"compile the model again for {target.name}: a program keeps its addresses, tiles and "
            f"extensions, and only a machine with as much memory as they need can take it",
        ) from error


def _is_idle(program: Program, streams: Sequence[CommandStream], core: int) -> bool:
    opcodes = program.code[core][:, 0]
    return len(streams[core]) == 0 and bool((opcodes == Halt.opcode).all())


def _has_as_much(target: Target, other: Target) -> bool:
    """Whether ``target`` has the cores, memories and extensions of ``other``, or more."""
    return (
        target.cores >= other.cores
        and target.spm.capacity_bytes >= other.spm.capacity_bytes
        and target.acc.capacity_bytes >= other.acc.capacity_bytes
        and set(target.extensions) >= set(other.extensions)
    )
