"""The bench of a million commands, in small: what it runs and that it measures both passes."""

from __future__ import annotations

from npuc.emulator.control import control
from npuc.emulator.timing import Account, time_streams
from npuc.emulator.validate import decode
from npuc.isa.instructions import Engine
from tests.bench.million import ROUND, measure, program


def test_the_program_is_a_pipeline_that_keeps_all_engines_busy() -> None:
    decoded = decode(program(50))
    streams = control(decoded)
    timing = time_streams(decoded.program, streams)
    assert len(streams[0]) == 50 * ROUND
    busy = timing.accounting[0, 1:, Account.busy]
    assert (busy > 0).all()
    assert timing.wall_cycles < busy.sum(), "the engines overlap"
    assert timing.accounting[0, Engine.mxu.value, Account.counter] > 0


def test_both_passes_are_measured() -> None:
    figures = measure(commands=500, repeats=1)
    assert figures.commands == 500
    assert figures.control_s > 0 and figures.timing_s > 0
    assert figures.total_s == figures.control_s + figures.timing_s
