"""The banks' arbiter: random request streams by the Verilog and by the stepped oracle.

The oracle decides when a command starts; from there on both are compared after every cycle: moving
cycles that are over, words taken at SPM and at ACC, and whether the command runs.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from npuc.emulator.timing.stepped import SteppedCommand, SteppedMachine, steps
from npuc.emulator.timing.work import Work
from npuc.isa.instructions import Command
from npuc.isa.target import Target, load_target
from tests.emulator.timing_streams import QUEUES, after, program_of, stream_of, work_of
from tests.rtl.verilating import Bench

BANKS_BENCH = Bench(
    "banks",
    "shared_banks",
    ("bank_arbiter.sv", "requester.sv", "shared_banks.sv"),
    "banks_bench.cpp",
    {"ENGINES": len(QUEUES)},
)
FACTS = 4  # moved, SPM words, ACC words, runs


@dataclass(frozen=True)
class Requests:
    """A stream of commands with made-up work, and the oracle's account of it.

    ``commands`` have their starts and ends; ``states`` (cycles + 1, commands, 3): moved, words
    taken at SPM and at ACC after so many cycles.
    """

    target: Target
    work: Work
    commands: tuple[SteppedCommand, ...]
    states: np.ndarray

    @property
    def cycles(self) -> int:
        return len(self.states) - 1


def random_requests(rng: np.random.Generator, length: int) -> Requests:
    """Commands on all queues with waits among them, demands below and above what the banks have."""
    tiny = load_target("tiny")
    spm_banks, acc_banks = (int(2 ** rng.integers(low, 5)) for low in (1, 0))
    target = replace(
        tiny,
        spm=replace(tiny.spm, banks=spm_banks),
        acc=replace(tiny.acc, banks=acc_banks),
        ctl=replace(tiny.ctl, queue_depth=int(rng.integers(1, 9))),
    )
    code = _random_code(rng, length)
    work = _random_work(rng, length, (spm_banks, acc_banks))
    states = [np.zeros((length, FACTS - 1), np.int64)]
    commands: list[SteppedCommand] = []
    machine = SteppedMachine(target)
    for system in steps(program_of(target, code), [stream_of(code)], [work], machine):
        commands = system.cores[0].commands
        states.append(np.array([(c.moved, c.spm_taken, c.acc_taken) for c in commands]))
    return Requests(target, work, tuple(commands), np.array(states))


def _random_code(rng: np.random.Generator, length: int) -> list[Command]:
    issued = dict.fromkeys(QUEUES, 0)
    code = []
    for _ in range(length):
        engine = QUEUES[rng.integers(len(QUEUES))]
        others = [e for e in QUEUES if issued[e] and e is not engine]
        other = others[rng.integers(len(others))] if others and rng.random() < 0.3 else None
        waits = (after(other, issued[other]),) if other else ()
        code.append(replace(work_of(engine, 0), waits=waits, increment=0))
        issued[engine] += 1
    return code


def _random_work(rng: np.random.Generator, length: int, banks: tuple[int, int]) -> Work:
    """Fixed and moving cycles, and words of up to one and a half of what the banks give alone."""
    moving = rng.integers(0, 60, length)
    fixed = np.where(moving == 0, 1, 0) + rng.integers(0, 12, length)
    spm, acc = (
        np.minimum(moving * limit, (moving * limit * rng.uniform(0, 1.5, length)).astype(np.int64))
        * rng.integers(0, 2, length)
        for limit in banks
    )
    work = Work.zeros(length)
    work.put(np.arange(length), fixed=fixed, moving=moving, spm_words=spm, acc_words=acc)
    return work


def differing_cycles(program: Path, streams: Sequence[Requests], *, fault: bool = False) -> int:
    """Pairs of (engine, cycle) in which the Verilog's state is not the oracle's."""
    head = np.array([fault, len(streams)], np.uint32).tobytes()
    given = head + b"".join(_image(stream) for stream in streams)
    done = subprocess.run([program], input=given, capture_output=True, check=True)
    output, differences = np.frombuffer(done.stdout, np.uint32).astype(np.int64), 0
    for stream in streams:
        size = (stream.cycles + 1) * len(QUEUES) * FACTS
        rows, output = output[:size].reshape(-1, len(QUEUES), FACTS), output[size:]
        expected, known = expected_states(stream)
        differences += int((known & (rows != expected).any(axis=2)).sum())
    return differences


def _image(stream: Requests) -> bytes:
    target, ordered = stream.target, sorted(stream.commands, key=lambda c: c.start)
    words = [target.spm.banks, target.acc.banks, stream.cycles, len(ordered)]
    for c in ordered:
        fixed = int(stream.work.fixed[c.index])
        words += [QUEUES.index(c.engine), c.start, fixed, c.moving, c.spm_words, c.acc_words]
    return np.array(words, np.uint32).tobytes()


def expected_states(stream: Requests) -> tuple[np.ndarray, np.ndarray]:
    """(cycles + 1, queues, FACTS) of each queue's latest command, and where there is one."""
    expected = np.zeros((stream.cycles + 1, len(QUEUES), FACTS), np.int64)
    known = np.zeros(expected.shape[:2], np.bool_)
    for i, command in sorted(enumerate(stream.commands), key=lambda pair: pair[1].start):
        queue, start = QUEUES.index(command.engine), command.start
        expected[start:, queue, :-1] = stream.states[start:, i]
        expected[start:, queue, -1] = np.arange(start, stream.cycles + 1) < command.end
        known[start:, queue] = True
    return expected, known


def engine_cycles(stream: Requests) -> int:
    """Engine-cycles in which a command runs: what is compared while it matters."""
    return sum(c.end - c.start for c in stream.commands)
