"""The event engine on streams small enough to time by hand, and its bookkeeping."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from math import ceil

import numpy as np
import pytest

from npuc.emulator.timing import Account, layer_table, time_streams
from npuc.isa.errors import ExecutionError
from npuc.isa.instructions import Engine
from npuc.isa.instructions.order import Fence, Nop
from tests.emulator.timing_streams import (
    EDGE,
    TINY,
    after,
    pipelined_code,
    program_of,
    stream_of,
    with_groups,
    work_of,
)

LOAD_BYTES = 32 * 128  # box 3
LOAD_MOVING = ceil(LOAD_BYTES / (16 * 0.955))
LOAD_CYCLES = 24 + 120 + LOAD_MOVING


def timed(*cores, target=EDGE):  # type: ignore[no-untyped-def]
    return time_streams(program_of(target, *cores), [stream_of(core) for core in cores])


def test_one_load_alone() -> None:
    timing = timed([work_of(Engine.ld0, 3)])
    times = timing.cores[0]
    assert (times.pushed[0], times.ready[0], times.start[0]) == (1, 1, 1)
    assert timing.wall_cycles == times.end[0] == 1 + LOAD_CYCLES
    assert timing.dram_read_bytes == LOAD_BYTES
    assert times.cause[0] == Account.busy
    assert timing.accounting[0, Engine.ld0.value, Account.busy] == LOAD_CYCLES
    assert timing.accounting[0, Engine.ctl.value, Account.busy] == 1
    assert timing.accounting[0, Engine.mxu.value, Account.idle] == timing.wall_cycles


def test_two_loads_share_the_dram() -> None:
    """Started a cycle apart, they move at half rate together: the second ends as if alone twice."""
    timing = timed([work_of(Engine.ld0, 3), work_of(Engine.ld1, 3)])
    moved = 2 * LOAD_BYTES / (16 * 0.955)
    assert timing.wall_cycles == pytest.approx(1 + 24 + 120 + moved, abs=2)
    stalled = timing.accounting[0, :, Account.dram]
    assert stalled[Engine.ld0.value] == pytest.approx(LOAD_MOVING, abs=2)
    assert stalled[Engine.ld0.value] + LOAD_CYCLES == timing.cores[0].end[0] - 1
    assert timing.cores[0].cause.tolist() == [Account.dram, Account.dram]


def test_more_transfers_than_channels_share_the_channels() -> None:
    one = replace(
        EDGE, dram=replace(EDGE.dram, bytes_per_cycle=1000.0), dma=replace(EDGE.dma, channels=1)
    )
    code = [work_of(Engine.ld0, 3), work_of(Engine.ld1, 3)]
    timing = timed(code, target=one)
    rate = 24 * 128 / 120
    assert timing.wall_cycles == pytest.approx(1 + 24 + 120 + 2 * LOAD_BYTES / rate, abs=3)
    assert timing.accounting[0, Engine.ld1.value, Account.channel] > 0
    assert timing.accounting[:, :, Account.dram].sum() == 0


def test_bank_contention_slows_both_and_is_named() -> None:
    narrow = replace(EDGE, spm=replace(EDGE.spm, banks=1))
    code = [work_of(Engine.mxu, 2), work_of(Engine.vpu, 3)]
    alone = timed(code, target=narrow).works[0].isolated
    timing = timed(code, target=narrow)
    assert timing.accounting[0, Engine.vpu.value, Account.spm] > 0
    assert timing.accounting[0, Engine.mxu.value, Account.busy] == alone[0]
    wide = timed(code, target=replace(EDGE, spm=replace(EDGE.spm, banks=64)))
    assert wide.accounting[:, :, Account.spm].sum() == 0


def test_waits_dispatch_and_idle_are_told_apart() -> None:
    load, mma = replace(work_of(Engine.ld0, 3), increment=0), work_of(Engine.mxu, 0)
    code = [load, replace(mma, waits=(after(Engine.ld0, 1),))]
    timing = timed(code)
    of_mxu = timing.accounting[0, Engine.mxu.value]
    assert of_mxu[Account.dispatch] == 2  # pushed in cycle 2, nothing to do before
    assert of_mxu[Account.counter] == 1 + LOAD_CYCLES - 2
    assert of_mxu[Account.busy] == timing.works[0].isolated[1]
    assert of_mxu[Account.idle] == 0
    assert timing.cores[0].cause[1] == Account.counter


def test_full_queue_stalls_ctl() -> None:
    depth = EDGE.ctl.queue_depth
    code = [work_of(Engine.ld0, 3)] * (depth + 2) + [work_of(Engine.vpu, 0)]
    timing = timed(code)
    pushed = timing.cores[0].pushed
    assert pushed[depth] == depth + 1  # one runs, ``depth`` wait
    assert pushed[depth + 1] == timing.cores[0].end[0]  # room when the second one starts
    assert pushed[depth + 2] == pushed[depth + 1] + 1
    stalled = timing.accounting[0, Engine.ctl.value, Account.queue_full]
    assert stalled == pushed[depth + 1] - (depth + 2)


def test_commands_on_ctl_hold_the_stream() -> None:
    load = replace(work_of(Engine.ld0, 3), increment=0)
    nop = Nop(queue=0, waits=(after(Engine.ld0, 1),))
    timing = timed([load, nop, work_of(Engine.vpu, 0), Fence(), work_of(Engine.ld1, 0)])
    times, ctl = timing.cores[0], timing.accounting[0, Engine.ctl.value]
    assert times.start[1] == times.end[0] and times.end[1] == times.start[1] + 1
    assert times.pushed[2] == times.end[1] + 1
    assert times.start[3] == times.end[2]
    assert ctl[Account.counter] == times.start[1] - 1
    assert ctl[Account.fence] == times.start[3] - times.pushed[3]


def test_wait_across_cores_and_shared_dram() -> None:
    first = [replace(work_of(Engine.ld0, 3), increment=3)]
    wait = replace(after(Engine.ld0, 1), counter=replace(after(Engine.ld0, 1).counter, index=3))
    second = [replace(work_of(Engine.ld0, 3), waits=(wait,))]
    timing = timed(first, second)
    assert timing.cores[1].start[0] == timing.cores[0].end[0]
    assert timing.accounting.shape == (2, 6, len(Account))
    together = timed([work_of(Engine.ld0, 3)], [work_of(Engine.ld0, 3)])
    assert together.accounting[:, Engine.ld0.value, Account.dram].tolist() == [LOAD_MOVING - 1] * 2


def test_deadlock_names_who_waits_for_what() -> None:
    first = [replace(work_of(Engine.ld0, 0), waits=(after(Engine.mxu, 1, core=1),), increment=0)]
    second = [replace(work_of(Engine.mxu, 0), waits=(after(Engine.ld0, 1, core=0),), increment=0)]
    with pytest.raises(ExecutionError) as caught:
        timed(first, second)
    text = str(caught.value)
    assert "waits for ever" in text
    assert "core 0, ld0, instruction 0 waits for mxu0 of core 1 >= 1" in text
    assert "core 1, mxu, instruction 0 waits for ld00 of core 0 >= 1" in text


def test_empty_program_takes_no_time() -> None:
    timing = timed([])
    assert timing.wall_cycles == 0 and timing.accounting.sum() == 0


def test_ctl_cycles_delay_the_push() -> None:
    program = program_of(EDGE, [work_of(Engine.vpu, 0)])
    stream = replace(stream_of([work_of(Engine.vpu, 0)]), ctl_cycles=np.array([50]))
    slow = replace(EDGE, ctl=replace(EDGE.ctl, dispatch_cycles=3))
    timing = time_streams(program, [stream], slow)
    assert timing.cores[0].pushed[0] == 150
    assert timing.target is slow


def test_groups_share_the_wall_time_and_name_their_bound() -> None:
    code = pipelined_code(8, [3, 2])
    program = with_groups(program_of(EDGE, code), (0, 20, 40))
    timing = time_streams(program, [stream_of(code)])
    rows = layer_table(program, timing)
    assert [row.group for row in rows] == ["g0", "g1"]
    assert rows[0].nodes == ("node0",)
    assert sum(row.cycles for row in rows) == timing.wall_cycles
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert sum(row.macs for row in rows) == int(timing.works[0].macs.sum())
    assert sum(row.dram_bytes for row in rows) == timing.dram_read_bytes + timing.dram_written_bytes
    assert all(0 < row.mxu_utilisation < 1 for row in rows)
    assert {row.bound_by for row in rows} == {"dram bandwidth"}
    assert rows[0].cycles == timing.cores[0].end[:20].max()


def test_commands_outside_groups_get_a_row() -> None:
    code = pipelined_code(4, [1])
    program = with_groups(program_of(TINY, code), (0, 5))
    rows = layer_table(program, time_streams(program, [stream_of(code)]))
    assert [row.group for row in rows] == ["g0", "(outside any group)"]


PLAIN = """
import numpy as np
from npuc.isa.jit import HAS_NUMBA
from npuc.emulator.timing import time_streams
from tests.emulator.timing_streams import EDGE, pipelined_code, program_of, stream_of
code = pipelined_code(40, [0, 3, 1, 2, 2])
timing = time_streams(program_of(EDGE, code), [stream_of(code)])
print(HAS_NUMBA, timing.wall_cycles, timing.accounting.ravel().tolist())
"""


def test_plain_python_gives_the_same_cycles() -> None:
    answers = []
    for disable in ("0", "1"):
        environment = {
            **os.environ,
            "NUMBA_DISABLE_JIT": disable,
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        }
        done = subprocess.run(
            [sys.executable, "-c", PLAIN],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        answers.append(done.stdout.split(" ", 1))
    assert answers[1][0] == "False"
    assert answers[0][1] == answers[1][1]
