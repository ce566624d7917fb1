"""Parts of a program alone: nothing of what lies before or behind them counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from npuc import api
from npuc.emulator.machine import RunOptions, load
from npuc.emulator.timing import cycles_alone, time_streams
from npuc.isa.instructions import Engine
from npuc.isa.instructions.flow import Halt
from npuc.isa.program import Debug, Program, SourceRange
from npuc.isa.target import load_target
from npuc.runtime.sample_data import QDQ_INT8, sample_model
from tests.emulator.timing_streams import program_of, work_of


@pytest.fixture(scope="module")
def digits() -> Program:
    result = api.compile(sample_model(QDQ_INT8), "edge", dims={"batch": 1})
    assert result.program is not None
    return result.program


def test_one_range_over_all_is_the_whole_run(digits: Program) -> None:
    streams = load(digits, RunOptions()).streams
    everything = SourceRange(0, 0, len(digits.code[0]), "all", (), "")
    whole = replace(digits, debug=Debug((everything,)))
    assert cycles_alone(whole, streams).tolist() == [time_streams(digits, streams).wall_cycles]


def test_parts_of_one_engine_sum_to_the_run_but_for_dispatch() -> None:
    code = [*(replace(work_of(Engine.vpu, 2), increment=0) for _ in range(4)), Halt()]
    ranges = tuple(SourceRange(0, i, i + 2, f"g{i}", (), "") for i in (0, 2))
    program = program_of(load_target("edge"), code)
    program = replace(program, debug=Debug(ranges), scratch_bytes=1 << 29)
    streams = load(program, RunOptions()).streams
    first, second = cycles_alone(program, streams).tolist()
    assert first == second
    assert first * 2 - time_streams(program, streams).wall_cycles in range(4)


def test_a_part_takes_at_least_its_busiest_engine_and_no_more_than_all_in_turn(
    digits: Program,
) -> None:
    streams = load(digits, RunOptions()).streams
    timing = time_streams(digits, streams)
    alone = cycles_alone(digits, streams).tolist()
    assert sum(alone) >= timing.wall_cycles
    (stream,), (core,) = streams, timing.cores
    for source, cycles in zip(digits.debug.sources, alone, strict=True):
        inside = (stream.instruction >= source.start) & (stream.instruction < source.stop)
        busy = [int(core.busy[inside & (stream.engine == e.value)].sum()) for e in Engine]
        ctl = int(stream.ctl_cycles[inside].sum())
        assert max(busy) <= cycles <= sum(busy) + ctl
