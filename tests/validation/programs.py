"""Programs and streams that the ladder runs: compiled ones, and random ones of stated length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np

from models.zoo import build as build_network
from models.zoo import quantised
from npuc import api
from npuc.emulator.stream import CommandStream
from npuc.isa.instructions import Instruction
from npuc.isa.program import Program
from npuc.isa.target import Target, builtin_target_names, load_target, target_text
from npuc.runtime.sample_data import FP32, QDQ_INT8, sample_model
from npuc.runtime.timing.recording import Recording, record
from tests.emulator.timing_streams import (
    QUEUES,
    pipelined_code,
    program_of,
    stream_of,
    work_of,
)

KINDS = ("pipeline", "unordered")  # and "periodic": a pipeline whose rounds repeat
PERIOD = 7


@dataclass(frozen=True)
class Case:
    """A recorded run and the machine that times it."""

    name: str
    recording: Recording
    target: Target

    @property
    def program(self) -> Program:
        """The program of the run."""
        return self.recording.program

    @property
    def streams(self) -> tuple[CommandStream, ...]:
        """Its commands by core."""
        return self.recording.streams

    @property
    def commands(self) -> int:
        """How many commands all cores have."""
        return sum(len(stream) for stream in self.streams)


def crowded(target: Target) -> Target:
    """One bank of each memory: every pair of engines meets there."""
    return replace(
        target,
        name=f"{target.name}, one bank each",
        spm=replace(target.spm, banks=1),
        acc=replace(target.acc, banks=1),
    )


def machines() -> tuple[Target, ...]:
    """All targets that ship with npuc, and the two small ones with one bank of each memory."""
    targets = {name: load_target(name) for name in builtin_target_names()}
    return (*targets.values(), crowded(targets["tiny"]), crowded(targets["edge"]))


def random_case(target: Target, kind: str, commands: int, cores: int = 1, seed: int = 0) -> Case:
    """Streams of ``commands`` in all over ``cores``: pipelines with waits, or independent work."""
    rng = Random(seed)
    each = commands // cores
    codes = [_code(rng, kind, each) for _ in range(cores)]
    program = program_of(replace(target, cores=cores), *codes)
    streams = [_own_counters(core, stream_of(code)) for core, code in enumerate(codes)]
    name = f"{kind}, {cores} core{'s' if cores > 1 else ''}, {target.name}"
    return Case(name, Recording(program, tuple(streams)), target)


def _code(rng: Random, kind: str, commands: int) -> Sequence[Instruction]:
    rounds = commands // 5
    if kind == "pipeline":
        return pipelined_code(rounds, [rng.randrange(4) for _ in range(rounds)])
    if kind == "periodic":
        return pipelined_code(rounds, [rng.randrange(4) for _ in range(PERIOD)])
    return [
        replace(work_of(engine, rng.randrange(4)), increment=0)
        for engine in rng.choices(QUEUES, k=commands)
    ]


def _own_counters(core: int, stream: CommandStream) -> CommandStream:
    """The stream on ``core``, waiting for that core's counters."""
    waits = np.where(stream.wait_counter >= 0, stream.wait_counter + (core << 8), -1)
    return replace(stream, wait_counter=waits)


@cache
def compiled(model: str, target: str, batch: int = 1, level: int = 2) -> Case:
    """A digit network of the repository, compiled."""
    result = api.compile(sample_model(model), target, dims={"batch": batch}, level=level)
    assert result.program is not None
    kind = "int8" if model == QDQ_INT8 else "float32"
    name = f"digits {kind}, batch {batch}, -O{level}, {target}"
    return Case(name, record(result.program), load_target(target))


@cache
def compiled_on_cores(cores: int, batch: int) -> Case:
    """The int8 digits split over the cores of an ``edge`` that has several; they share DRAM."""
    text = target_text("edge").replace("\ncores = 1\n", f"\ncores = {cores}\n")
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"edge-{cores}.toml"
        path.write_text(text, encoding="utf-8")
        target = load_target(str(path))
        result = api.compile(sample_model(QDQ_INT8), str(path), dims={"batch": batch})
    assert result.program is not None
    return Case(
        f"digits int8, batch {batch}, edge of {cores} cores", record(result.program), target
    )


@cache
def compiled_network(name: str, target: str = "edge") -> Case:
    """A network of ``models.zoo`` in int8, compiled."""
    model = quantised(build_network(name)).SerializeToString()
    result = api.compile(model, target)
    assert result.program is not None
    return Case(f"{name} int8, {target}", record(result.program), load_target(target))


def compiled_cases(batch: int = 1) -> Iterator[Case]:
    """The digit networks, int8 and float, on every target, and at every level on tiny."""
    for target in builtin_target_names():
        yield compiled(QDQ_INT8, target, batch)
        yield compiled(FP32, target, batch)
    for level in (0, 1, 3):
        yield compiled(QDQ_INT8, "tiny", batch, level)
