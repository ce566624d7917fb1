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
from npuc.emulator.timing.stepped import stepped_cycles
from npuc.isa.instructions import Engine, Instruction
from npuc.isa.target import Target
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
    assert stepped_cycles(program, streams, timing.works, target) == timing.wall_cycles
