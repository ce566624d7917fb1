"""Laws that every timing keeps, on random streams, and the error against the stepped oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.emulator.stream import CommandStream
from npuc.emulator.timing import Timing, time_streams
from npuc.emulator.timing.stepped import (
    Controller,
    SteppedCommand,
    SteppedMachine,
    stepped_cycles,
    steps,
)
from npuc.isa.instructions import Command, Engine, Instruction
from npuc.isa.target import Target, load_target
from tests.emulator.timing_streams import (
    EDGE,
    QUEUES,
    TINY,
    pipelined_code,
    program_of,
    random_code,
    stream_of,
    work_of,
)

TARGETS = st.sampled_from([TINY, EDGE])
REF_512 = load_target("ref-512")


def streams_of(cores: Sequence[Sequence[Instruction]]) -> list[CommandStream]:
    """Streams in which each core waits for its own counters."""
    streams = [stream_of(code) for code in cores]
    return [
        replace(s, wait_counter=np.where(s.wait_counter >= 0, s.wait_counter + (core << 8), -1))
        for core, s in enumerate(streams)
    ]


def timed(target: Target, cores: Sequence[Sequence[Instruction]]) -> Timing:
    return time_streams(program_of(target, *cores), streams_of(cores), target)


@given(TARGETS, st.lists(random_code(), min_size=1, max_size=3))
def test_every_engine_cycle_is_accounted(target: Target, cores: list[list[Instruction]]) -> None:
    timing = timed(target, cores)
    assert (timing.accounting >= 0).all()
    assert (timing.accounting.sum(axis=2) == timing.wall_cycles).all()


@given(TARGETS, st.lists(random_code(), min_size=1, max_size=3))
def test_commands_keep_their_order(target: Target, cores: list[list[Instruction]]) -> None:
    timing = timed(target, cores)
    for times, work, stream in zip(timing.cores, timing.works, timing.streams, strict=True):
        assert (times.pushed <= times.ready).all() and (times.ready <= times.start).all()
        assert (times.end - times.start >= work.isolated).all()
        assert (times.busy == work.isolated).all()
        assert (np.diff(times.pushed) >= 0).all()
        for engine in Engine:
            mine = stream.engine == engine.value
            assert (times.start[mine][1:] >= times.end[mine][:-1]).all()


@given(TARGETS, random_code())
def test_waits_hold_at_the_start(target: Target, code: list[Instruction]) -> None:
    timing = timed(target, [code])
    times, stream = timing.cores[0], timing.streams[0]
    for i, counters in enumerate(stream.wait_counter):
        for counter, needs in zip(counters, stream.wait_threshold[i], strict=True):
            if counter < 0 or needs <= 0:
                continue
            grows = (stream.engine == counter >> 5) & (stream.increment >= 0)
            assert np.sort(times.end[grows])[needs - 1] <= times.start[i]


@given(TARGETS, st.lists(random_code(), min_size=1, max_size=3))
def test_wall_time_lies_between_the_bounds(target: Target, cores: list[list[Instruction]]) -> None:
    timing = timed(target, cores)
    wall = timing.wall_cycles
    dram_bytes = timing.dram_read_bytes + timing.dram_written_bytes
    assert wall >= dram_bytes / (target.dram.bytes_per_cycle * target.dram.efficiency) - 1
    serial = 0
    for work, stream in zip(timing.works, timing.streams, strict=True):
        assert wall >= work.macs.sum() / target.mxu.macs_per_cycle
        assert wall >= work.spm_words.sum() / target.spm.banks
        for engine in Engine:
            assert wall >= work.isolated[stream.engine == engine.value].sum()
        serial += work.isolated.sum() + stream.ctl_cycles.sum() * target.ctl.dispatch_cycles
    # Sharing rounds rates down to 2^-20 and ends up to whole cycles: one cycle per command.
    assert wall <= serial + sum(len(s) for s in timing.streams)


@given(TARGETS, random_code())
def test_timing_is_deterministic(target: Target, code: list[Instruction]) -> None:
    first, second = timed(target, [code]), timed(target, [code])
    assert first.wall_cycles == second.wall_cycles
    assert (first.accounting == second.accounting).all()
    assert (first.cores[0].start == second.cores[0].start).all()


def faster(target: Target) -> list[Target]:
    """Targets with more of one thing."""
    dram = replace(target.dram, bytes_per_cycle=2 * target.dram.bytes_per_cycle)
    return [
        replace(target, dram=dram),
        replace(target, spm=replace(target.spm, banks=2 * target.spm.banks)),
        replace(target, acc=replace(target.acc, banks=2 * target.acc.banks)),
        replace(target, ctl=replace(target.ctl, queue_depth=2 * target.ctl.queue_depth)),
        replace(target, dma=replace(target.dma, channels=2 * target.dma.channels)),
    ]


@pytest.mark.parametrize("target", [TINY, EDGE], ids=lambda t: t.name)
@pytest.mark.parametrize("sizes", [(3, 2), (0,), (3,), (1, 2, 0, 3)])
def test_more_of_anything_is_never_slower(target: Target, sizes: tuple[int, ...]) -> None:
    code = pipelined_code(30, sizes)
    program, streams = program_of(target, code), [stream_of(code)]
    base = time_streams(program, streams).wall_cycles
    for better in faster(target):
        assert time_streams(program, streams, better).wall_cycles <= base


@given(random_code())
@settings(max_examples=25)
def test_a_second_idle_core_changes_nothing(code: list[Instruction]) -> None:
    assert timed(EDGE, [code]).wall_cycles == timed(EDGE, [code, []]).wall_cycles


# --- against the cycle-stepped oracle ---


@pytest.mark.parametrize("target", [TINY, EDGE], ids=lambda t: t.name)
@pytest.mark.parametrize("engine", QUEUES)
@pytest.mark.parametrize("choice", range(4))
def test_a_command_alone_takes_the_same_cycles(target: Target, engine: Engine, choice: int) -> None:
    code = [work_of(engine, choice)]
    program, streams = program_of(target, code), [stream_of(code)]
    timing = time_streams(program, streams)
    assert (
        stepped_cycles(program, streams, timing.works, SteppedMachine(target)) == timing.wall_cycles
    )


def stepped(
    target: Target, code: list[Command], controller: Controller = Controller.interleaved
) -> list[SteppedCommand]:
    """The commands of one core after the oracle has run them."""
    program, streams = program_of(target, code), [stream_of(code)]
    works = time_streams(program, streams).works
    *_, system = steps(program, streams, works, SteppedMachine(target, controller))
    return list(system.cores[0].commands)


@pytest.mark.parametrize("dispatch_cycles", [1, 3])
def test_the_oracle_pushes_one_command_after_the_other(dispatch_cycles: int) -> None:
    target = replace(EDGE, ctl=replace(EDGE.ctl, dispatch_cycles=dispatch_cycles))
    code = [work_of(engine, 0) for engine in QUEUES]
    starts = [command.start for command in stepped(target, code)]
    assert starts == [dispatch_cycles * (i + 1) for i in range(len(QUEUES))]
    assert starts == timed(target, [code]).cores[0].start.tolist()


@pytest.mark.parametrize("queue_depth", [1, 2])
def test_the_oracle_pushes_into_the_room_of_the_same_cycle(queue_depth: int) -> None:
    target = replace(EDGE, ctl=replace(EDGE.ctl, queue_depth=queue_depth))
    code = [work_of(Engine.ld0, 1)] * 6 + [work_of(Engine.mxu, 1)] * 2
    starts = [command.start for command in stepped(target, code)]
    assert starts == timed(target, [code]).cores[0].start.tolist()


def moving_cycles(commands: list[SteppedCommand], target: Target) -> list[int]:
    fixed = target.dma.setup_cycles + target.dram.latency_cycles
    return [command.end - command.start - fixed for command in commands]


@pytest.mark.parametrize("target", [TINY, EDGE, REF_512], ids=lambda t: t.name)
def test_interleaved_dram_gives_equal_parts(target: Target) -> None:
    """Three equal transfers that start a cycle apart: each has a third of DRAM almost to the end.

    The first has 1 1/2 cycles of DRAM before the third comes, the second 1/2: so at the first's end
    one cycle is left to the second and 1 1/2 to the third, each at half of DRAM, then at all of it.
    """
    code = [work_of(engine, 3) for engine in (Engine.ld0, Engine.ld1, Engine.st)]
    commands = stepped(target, code)
    first, second, third = moving_cycles(commands, target)
    assert 3 * (commands[0].moving - 1) <= third + 2 <= 3 * commands[0].moving + 1
    assert (second + 1) - first == 2 and (third + 2) - first in {2, 3}


@pytest.mark.parametrize("target", [TINY, EDGE, REF_512], ids=lambda t: t.name)
def test_whole_bursts_come_one_after_another(target: Target) -> None:
    code = [work_of(engine, 0) for engine in (Engine.ld0, Engine.ld1)]
    first, second = stepped(target, code, Controller.whole_bursts)
    assert first.bursts == second.bursts == 1
    assert moving_cycles([first], target) == [first.moving]
    assert second.end - first.end == pytest.approx(first.moving, abs=1)
    first, second = stepped(target, code)
    assert second.end - first.end == 1


def test_a_channel_brings_no_more_than_it_has_outstanding() -> None:
    """DRAM has room for all; one burst in flight at a time comes each latency."""
    dma = replace(EDGE.dma, outstanding_bursts=1)
    target = replace(EDGE, dma=dma, dram=replace(EDGE.dram, bytes_per_cycle=1000))
    code = [work_of(Engine.ld0, 3)]
    for controller in Controller:
        (command,) = stepped(target, code, controller)
        slow = moving_cycles([command], target)[0]
        assert slow == pytest.approx(command.bursts * EDGE.dram.latency_cycles, abs=1)
