"""Traces: well-formed, monotone, arrows in pairs, counters that agree with the time pass."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from npuc import api
from npuc.emulator.machine import load
from npuc.emulator.timing import time_streams
from npuc.isa import container
from npuc.isa.instructions import Engine
from npuc.isa.program import Program
from npuc.runtime.sample_data import QDQ_INT8, sample_model
from npuc.runtime.spm_use import _Life, _union
from npuc.runtime.trace import DRAM_COUNTER, SPM_COUNTER, trace_program
from tests.command_line import npuc
from tests.emulator.programs import tiled_product

PHASES = {"M", "X", "s", "f", "C"}


@pytest.fixture(scope="module", params=["edge", "tiny"])
def program(request: pytest.FixtureRequest) -> Program:
    compiled = api.compile(sample_model(QDQ_INT8), request.param, dims={"batch": 1}).program
    assert compiled is not None
    return compiled


@pytest.fixture(scope="module")
def events(program: Program) -> list[dict]:
    return trace_program(program)["traceEvents"]


def test_every_event_has_what_its_phase_needs(events: list[dict]) -> None:
    for event in events:
        assert event["ph"] in PHASES
        assert isinstance(event["pid"], int)
        if event["ph"] != "M":
            assert event["ts"] >= 0
            assert event["tid"] in {engine.value for engine in Engine}
    for event in (e for e in events if e["ph"] == "X"):
        assert event["dur"] > 0
        assert {"cycles", "bytes", "stall_cause"} <= set(event["args"])


def test_times_ascend_and_slices_of_a_track_never_overlap(events: list[dict]) -> None:
    times = [event["ts"] for event in events if event["ph"] != "M"]
    assert times == sorted(times)
    ends: dict[tuple[int, int], int] = defaultdict(int)
    for event in (e for e in events if e["ph"] == "X"):
        track, start = (event["pid"], event["tid"]), event["args"]["start_cycle"]
        assert start >= ends[track]
        ends[track] = start + event["args"]["cycles"]


def test_slices_are_the_commands_of_the_time_pass(program: Program, events: list[dict]) -> None:
    timing = time_streams(program, load(program).streams)
    slices = [event for event in events if event["ph"] == "X"]
    assert len(slices) == sum(len(stream) for stream in timing.streams)
    last = max(e["args"]["start_cycle"] + e["args"]["cycles"] for e in slices)
    assert last == timing.wall_cycles
    moved = sum(event["args"]["bytes"] for event in slices)
    assert moved == timing.dram_read_bytes + timing.dram_written_bytes
    assert any(event["name"].endswith(" mma") for event in slices)


def test_arrows_come_in_pairs_and_point_forward(events: list[dict]) -> None:
    starts = {e["id"]: e for e in events if e["ph"] == "s"}
    ends = {e["id"]: e for e in events if e["ph"] == "f"}
    assert starts.keys() == ends.keys()
    assert len(starts) == sum(e["ph"] == "s" for e in events) > 0
    kinds = Counter()
    for number, start in starts.items():
        assert start["ts"] < ends[number]["ts"]
        kinds[Engine(start["tid"]).name, Engine(ends[number]["tid"]).name] += 1
        for end in (start, ends[number]):
            assert any(_holds(event, end) for event in events), "an arrow ends on a slice"
    assert kinds["ld1", "mxu"] and kinds["mxu", "vpu"] and kinds["vpu", "st"]
    assert not kinds["vpu", "ld0"], "waiting for a free slot is no flow of data"


def _holds(event: dict, arrow: dict) -> bool:
    same = event["ph"] == "X" and (event["pid"], event["tid"]) == (arrow["pid"], arrow["tid"])
    return same and event["ts"] <= arrow["ts"] < event["ts"] + event["dur"]


def test_spm_in_use_stays_below_capacity_and_ends_empty(
    program: Program, events: list[dict]
) -> None:
    used = [e["args"]["bytes"] for e in events if e["name"] == SPM_COUNTER]
    assert 0 < max(used) <= program.target.spm.capacity_bytes
    assert used[-1] == 0


def test_the_bandwidth_sums_to_the_bytes(program: Program, events: list[dict]) -> None:
    timing = time_streams(program, load(program).streams)
    steps = [e for e in events if e["name"] == DRAM_COUNTER]
    for way, expected in (("read", timing.dram_read_bytes), ("written", timing.dram_written_bytes)):
        clock = program.target.clock_mhz
        total = sum(
            step["args"][way] * (after["ts"] - step["ts"]) * clock
            for step, after in pairwise(steps)
        )
        assert total == pytest.approx(expected, rel=1e-4)
        assert steps[-1]["args"][way] == 0


def test_shared_bytes_count_once() -> None:
    lives = [_Life(0, 10, 0, 5), _Life(5, 20, 2, 8), _Life(100, 101, 8, 9)]
    assert _union(lives) == ((0, 10), (2, 20), (5, 15), (8, 1), (9, 0))


def test_a_program_without_buffer_records_is_traced_too() -> None:
    program, _, _ = tiled_product()
    trace = trace_program(program)
    used = [e["args"]["bytes"] for e in trace["traceEvents"] if e["name"] == SPM_COUNTER]
    assert max(used) > 0
    assert trace["otherData"]["target"] == "tiny"


def test_run_and_profile_write_the_same_bytes_every_time(program: Program, tmp_path: Path) -> None:
    container.save(program, tmp_path / "p.npu")
    paths = [tmp_path / name for name in ("a.json", "b.json", "c.json")]
    run = npuc("run", tmp_path / "p.npu", "--no-values", "--trace", paths[0])
    profile = npuc("profile", tmp_path / "p.npu", "--trace", paths[1])
    for done, path in ((run, paths[0]), (profile, paths[1])):
        assert done.code == 0 and done.out.endswith(f"written: {path}\n")
    profile_model = ["profile", sample_model(QDQ_INT8), "--dim", "batch=1", "--trace", paths[2]]
    assert npuc(*profile_model, "--target", program.target.name).code == 0
    texts = {path.read_text() for path in paths}
    assert len(texts) == 1
    assert json.loads(texts.pop())["displayTimeUnit"] == "ns"
    assert npuc("run", tmp_path / "p.npu", "--trace", tmp_path / "no" / "t.json").code == 2
