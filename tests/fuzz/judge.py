"""The judge: what becomes of a program file or program, and whether the emulator behaved.

A file is refused or runs to a defined end. Whatever runs must run alike on the fast path and on the
plain twin, bit for bit over all memories, with the same commands and the same refusals; strict mode
and timing must end as well. Anything else is an ``UnsoundError``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from npuc.emulator.limits import Limits
from npuc.emulator.machine import LoadedProgram, RunOptions, load
from npuc.emulator.memory import Memory, allocate, bind_inputs
from npuc.emulator.stream import CommandStream
from npuc.emulator.strict import check
from npuc.emulator.timing import time_streams
from npuc.isa import container
from npuc.isa.errors import BinaryError, CapacityError, ExecutionError, NpucError
from npuc.isa.program import Program
from npuc.runtime.random_inputs import random_program_inputs

LIMITS = Limits(instructions=3000, commands=500, points=1 << 22, memory_bytes=1 << 28)
SEED = 7


class UnsoundError(AssertionError):
    """The emulator contradicts itself."""


@dataclass(frozen=True)
class End:
    """How one path ended: ``refusal`` is the error, or None with all that the run left."""

    refusal: NpucError | None
    loaded: LoadedProgram | None = None
    memory: Memory | None = None
    streams: tuple[CommandStream, ...] = ()


def judge_file(data: bytes) -> str:
    """The outcome of a file in one word. Raises: UnsoundError, or whatever should not be raised."""
    try:
        program = container.from_bytes(data, "fuzzed.npu")
    except BinaryError as error:
        str(error)
        return "refused: file"
    return judge_program(program)


def judge_program(program: Program) -> str:
    """The outcome of a program in one word. Raises: as ``judge_file``."""
    fast, plain = (_end(program, path) for path in ("fast", "plain"))
    if str(fast.refusal) != str(plain.refusal) and not _differs_in_memory(fast, plain):
        raise UnsoundError(f"fast: {fast.refusal}\nplain: {plain.refusal}")
    findings = _findings(program, fast)
    if fast.refusal is not None or plain.refusal is not None:
        refusal = fast.refusal or plain.refusal
        return f"refused: {type(refusal).__name__}"
    _compare(fast, plain)
    try:
        timing = time_streams(program, fast.streams)
    except ExecutionError as error:
        raise UnsoundError(f"values end, timing does not: {error}") from error
    if timing.wall_cycles < 0 or (timing.accounting.sum(axis=2) != timing.wall_cycles).any():
        raise UnsoundError(f"the accounts of {timing.wall_cycles} cycles do not add up")
    return "ran, with findings" if findings else "ran"


def _differs_in_memory(fast: End, plain: End) -> bool:
    """The twin may run out of the emulator's memory where the fast path does not."""
    return isinstance(plain.refusal, CapacityError) and "emulator's memory" in plain.refusal.what


def _end(program: Program, path: str) -> End:
    try:
        loaded = load(program, RunOptions(path=path, limits=LIMITS))
        memory = _memory(loaded, random_program_inputs(program))
        return End(None, loaded, memory, loaded.execute(memory))
    except (BinaryError, ExecutionError) as error:
        str(error)
        return End(error)


def _memory(loaded: LoadedProgram, inputs: Mapping[str, np.ndarray]) -> Memory:
    """Memories full of seeded bytes, so that reads of what nobody wrote are compared, too."""
    memory = allocate(loaded.decoded.program, loaded.decoded.target)
    rng = np.random.default_rng(SEED)
    for part in (*memory.spm, *memory.acc):
        part[:] = rng.integers(0, 256, part.size, np.uint8)
    bind_inputs(loaded.decoded.program, memory, inputs)
    return memory


def _findings(program: Program, fast: End) -> int:
    try:
        if fast.loaded is not None:
            return len(fast.loaded.findings(fast.streams))
        return len(check(program, limits=LIMITS))
    except NpucError as error:  # a trap; or commands that only a run would know
        str(error)
        return 0


def _compare(fast: End, plain: End) -> None:
    assert fast.memory is not None and plain.memory is not None
    parts = {"spm": (fast.memory.spm, plain.memory.spm), "acc": (fast.memory.acc, plain.memory.acc)}
    parts["dram"] = tuple(tuple(m.segments.values()) for m in (fast.memory, plain.memory))
    for name, (mine, theirs) in parts.items():
        for number, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            if not np.array_equal(a, b):
                at = int(np.flatnonzero(a != b)[0])
                raise UnsoundError(
                    f"{name} {number} differs from byte {at} on: {a[at]} and {b[at]}"
                )
    for core, (a, b) in enumerate(zip(fast.streams, plain.streams, strict=True)):
        for column in ("instruction", "registers", "wait_threshold", "ctl_cycles"):
            if not np.array_equal(getattr(a, column), getattr(b, column)):
                raise UnsoundError(f"{column} of core {core} differs")
