"""Runs random command streams through the Verilog and through the emulator, and compares.

Values: every byte of SPM and every word of ACC after every command. Cycles: the first cycle of
every command and the one after its last, counted from the first command's first.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from npuc.emulator.machine import LoadedProgram, executor, load
from npuc.emulator.memory import Memory, allocate
from npuc.emulator.timing import time_streams
from npuc.isa.target import Target
from tests.rtl.commands import Command, CommandStream, program_of, random_stream
from tests.rtl.machines import ACC_BYTES, SPM_BYTES, Build, Settings, target_of
from tests.rtl.verilating import Bench

NPU_SOURCES = (
    "fp32.sv",
    "delay.sv",
    "bank_grant.sv",
    "mac_cell.sv",
    "weight_cell.sv",
    "systolic_array.sv",
    "mxu.sv",
    "vpu_drain.sv",
    "npu.sv",
)
COUNTERS = 3


@dataclass(frozen=True)
class Trace:
    """What happened: ``times`` (commands, 2) and the memories after each command.

    ``counters``: accesses to ACC above its ports; cycles in which a read and a write of ACC, and a
    row of A and a row of W, met in a bank. Zeros from the emulator, which does not look.
    """

    times: np.ndarray
    spm: np.ndarray
    acc: np.ndarray
    counters: tuple[int, int, int] = (0, 0, 0)

    @property
    def durations(self) -> np.ndarray:
        """Cycles of each command."""
        return self.times[:, 1] - self.times[:, 0]


@dataclass(frozen=True)
class Comparison:
    """One stream on one machine, by the Verilog and by the emulator."""

    build: Build
    settings: Settings
    commands: tuple[Command, ...]
    rtl: Trace
    emulator: Trace

    @property
    def value_mismatches(self) -> np.ndarray:
        """Elements that differ, per command."""
        spm = (self.rtl.spm != self.emulator.spm).sum(axis=1)
        return spm + (self.rtl.acc != self.emulator.acc).sum(axis=1)

    @property
    def cycle_differences(self) -> np.ndarray:
        """Cycles that the Verilog takes more than the emulator, per command."""
        return self.rtl.durations - self.emulator.durations

    @property
    def start_differences(self) -> np.ndarray:
        """By how much each command starts later, apart from what those before take longer."""
        gaps = [trace.times[1:, 0] - trace.times[:-1, 1] for trace in (self.rtl, self.emulator)]
        return gaps[0] - gaps[1]


def bench_of(build: Build) -> Bench:
    """The bench program of a build."""
    return Bench(build.name, "npu", NPU_SOURCES, "npu_bench.cpp", build.parameters)


@dataclass(frozen=True)
class Sample:
    """How many streams of how many matrix commands, from which seed."""

    streams: int
    products: int
    seed: int


def compare(
    program: Path, build: Build, settings: Settings, sample: Sample, fault: int = 0
) -> list[Comparison]:
    """Random streams on one machine; ``fault`` breaks a rule of the Verilog."""
    key = [sample.seed, *build.parameters.values(), *settings.words]
    rng = np.random.default_rng(key)
    streams = [random_stream(rng, build, sample.products) for _ in range(sample.streams)]
    traces = _simulate(program, settings, streams, fault)
    target = target_of(build, settings)
    return [
        Comparison(build, settings, stream.commands, trace, emulate(stream, target))
        for stream, trace in zip(streams, traces, strict=True)
    ]


def _simulate(
    program: Path, settings: Settings, streams: Sequence[CommandStream], fault: int
) -> list[Trace]:
    head = np.array([fault, *settings.words, len(streams)], np.uint32).tobytes()
    given = head + b"".join(stream.image for stream in streams)
    done = subprocess.run([program], input=given, capture_output=True, check=True)
    output, at, traces = np.frombuffer(done.stdout, np.uint8), 0, []
    size = 8 + SPM_BYTES + ACC_BYTES
    for stream in streams:
        stop = at + size * len(stream.commands)
        rows = output[at:stop].reshape(-1, size)
        at = stop + 4 * COUNTERS
        counters = output[stop:at].copy().view(np.uint32).tolist()
        traces.append(
            Trace(
                np.ascontiguousarray(rows[:, :8]).view(np.uint32).astype(np.int64),
                rows[:, 8 : 8 + SPM_BYTES],
                np.ascontiguousarray(rows[:, 8 + SPM_BYTES :]).view(np.uint32),
                (counters[0], counters[1], counters[2]),
            )
        )
    return traces


def emulate(stream: CommandStream, target: Target) -> Trace:
    """The same stream by the emulator: values by its functional pass, times by its time pass."""
    loaded = load(program_of(stream.commands, target))
    times = time_streams(loaded.decoded.program, loaded.streams, target).cores[0]
    spm, acc = _values(stream, loaded, target)
    return Trace(np.column_stack([times.start, times.end]), spm, acc)


def _values(
    stream: CommandStream, loaded: LoadedProgram, target: Target
) -> tuple[np.ndarray, np.ndarray]:
    blank = allocate(loaded.decoded.program, target)
    memory = Memory((stream.spm.copy(),), (stream.acc.view(np.uint8).copy(),), blank.segments)
    execute, snapshots = executor("fast"), []
    for i in range(len(stream.commands)):
        execute(memory, 0, loaded.resolved[0].work(i))
        snapshots.append((memory.spm[0].copy(), memory.acc[0].view(np.uint32).copy()))
    spm, acc = zip(*snapshots, strict=True)
    return np.array(spm), np.array(acc)
