"""Work split over cores: the same bits, no race, and who waits for whom."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import gcd
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.compiler.dialects.tile import AwaitOp, CoreOp, GroupOp, LoadOp, SignalOp, TensorOp
from npuc.compiler.driver import CompileResult, compile_model
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Observers
from npuc.compiler.schedule.data import Resident, Schedule, parse_schedule
from npuc.compiler.schedule.program import Job, TensorFacts, Work
from npuc.compiler.schedule.sharing import divisions
from npuc.compiler.schedule.split.cores import parts_of_rows
from npuc.compiler.schedule.split.division import Division
from npuc.compiler.schedule.split.ranges import even_ranges
from npuc.compiler.xdsl_api import ModuleOp
from npuc.emulator.machine import RunOptions, load, run
from npuc.emulator.timing.timing import time_streams
from npuc.isa.errors import CompileError, UsageError
from npuc.isa.program import Program
from tests.compiler.ops.case import F32, Builder, Case
from tests.compiler.schedule.problems import elementwise
from tests.compiler.schedule.small_servers import share_always, small_server
from tests.e2e.networks.test_stripes import conv
from tests.e2e.random_graphs import Grower, graphs
from tests.e2e.whole_path import MNIST, assert_same_bits

SMALLER = {  # so that layers of a few hundred bytes are split, and their loads cut in halves
    "rows": 8,
    "cols": 8,
    "capacity_bytes": 65536,
    "latency_cycles": 20,
    "setup_cycles": 4,
    "outstanding_bursts": 1,
}
QDQ, FP32 = MNIST / "mnist_cnn_qdq_int8.onnx", MNIST / "mnist_cnn_fp32.onnx"


def program_of(model: Path, batch: int, cores: int, observers: Observers | None = None) -> Program:
    options = CompileOptions("server", 2, {"batch": batch}, cores=cores)
    found = compile_model(model, options, observers=observers or Observers()).program
    assert found is not None
    return found


def images(batch: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(batch)
    return {"x": rng.standard_normal((batch, 1, 28, 28)).astype(np.float32)}


def wall(program: Program) -> int:
    return int(time_streams(program, load(program).streams).wall_cycles)


@pytest.mark.parametrize("model", [QDQ, FP32], ids=["qdq", "fp32"])
@pytest.mark.parametrize(("batch", "cores"), [(4, 4), (3, 2), (1, 4), (2, 3)])
def test_cores_change_no_bit(
    model: Path, batch: int, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = run(program_of(model, batch, 1), images(batch)).outputs
    share_always(monkeypatch)
    split = program_of(model, batch, cores)
    busy = sum(len(code) > 2 for code in split.code)
    assert busy > 1, "one core has all the work: nothing is tried"
    got = run(split, images(batch), RunOptions(strict=True)).outputs
    assert_same_bits(got, want, f"{cores} cores")


@pytest.mark.parametrize("cores", [2, 4])
def test_striped_runs_wait_for_other_cores_only_before_they_start(
    cores: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Windows of pooling read rows of other cores; what has no windows goes in stripes with it."""
    share_always(monkeypatch)
    g = Grower(Builder(cores), "float")
    g.start((1, 8, 96, 96))
    for _ in range(2):
        conv(g, 8)
        last = g.seen[-1].name
        pooled = g.b.node("MaxPool", last, kernel_shape=[3, 3], pads=[1] * 4)
        g.settle(pooled, (1, 8, 96, 96))
        conv(g, 8, kernel=1)
    case = g.b.case("Conv", g.b.node("Identity", g.seen[-1].name), kind=F32)

    def compiled(level: int, cores: int, schedule: Path | None = None) -> Program:
        options = CompileOptions("server", level, cores=cores, schedule=schedule)
        found = compile_model(case.model.SerializeToString(), options).program
        assert found is not None
        return found

    split = compiled(2, cores)
    assert parse_schedule(split.debug.schedule_json, "text").stripes
    want = run(compiled(0, 1), case.inputs).outputs
    assert_same_bits(run(split, case.inputs, RunOptions(strict=True)).outputs, want, "split")
    dumped = tmp_path / "schedule.json"
    dumped.write_text(split.debug.schedule_json, encoding="utf-8")
    replayed = compiled(2, cores, dumped)
    assert all(map(np.array_equal, replayed.code, split.code))


def test_images_of_a_batch_stay_apart() -> None:
    program = program_of(QDQ, 8, 4)
    assert [len(code) > 2 for code in program.code] == [True] * 4
    assert wall(program) < 0.75 * wall(program_of(QDQ, 8, 1))


def test_who_reads_what_others_wrote_waits_for_their_signals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    share_always(monkeypatch)
    signals: dict[int, Counter[str]] = {}
    awaits: dict[int, Counter[str]] = {}

    def watch(stage: str, module: ModuleOp) -> None:
        for core in module.walk() if stage == "schedule" else ():
            if isinstance(core, CoreOp):
                ops = list(core.walk())
                index = core.index.data
                signals[index] = Counter(o.signal.data for o in ops if isinstance(o, SignalOp))
                awaits[index] = Counter(o.signal.data for o in ops if isinstance(o, AwaitOp))

    program_of(QDQ, 1, 4, Observers(after_stage=watch))
    assert any(awaits.values())
    for core, names in awaits.items():
        for name, count in names.items():
            owner = int(name.removeprefix("core").partition(".")[0])
            assert owner != core
            assert 0 < count <= signals[owner][name]


def test_small_work_stays_on_one_core() -> None:
    options = CompileOptions("server", 2, {"batch": 1}, cores=4)
    found = compile_model(QDQ, options)
    assert found.program is not None
    assert [len(code) > 2 for code in found.program.code] == [True, False, False, False]
    alone = program_of(QDQ, 1, 1)
    assert np.array_equal(found.program.code[0], alone.code[0])
    (remark,) = [r for r in found.remarks if "one core has all the work" in r.message]
    tried = [f"estimated_cycles_of_{cores}" for cores in (1, 2, 4)]
    assert sorted(name for name, _ in remark.figures) == tried


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 6])
def test_more_cores_are_never_slower(batch: int) -> None:
    walls = [wall(program_of(QDQ, batch, cores)) for cores in (1, 2, 3, 4)]
    assert walls == sorted(walls, reverse=True)


def test_fewer_cores_share_what_does_not_divide(small_cores: Path) -> None:
    """Two images: two cores have one each, though four could share the rows of every layer."""
    g = Grower(Builder(5), "float")
    g.start((2, 8, 32, 32))
    for _ in range(4):
        conv(g, 8)
    case = g.b.case("Conv", g.b.node("Identity", g.seen[-1].name), kind=F32)
    options = CompileOptions(f"{small_cores}", 2, cores=4)
    found = compile_model(case.model.SerializeToString(), options)
    assert found.program is not None
    assert [len(code) > 2 for code in found.program.code] == [True, True, False, False]
    assert any("2 cores share the work" in remark.message for remark in found.remarks)


def test_how_cores_share_is_in_the_schedule(tmp_path: Path) -> None:
    """A file may give another division than the one found, if the cores are there."""
    options = CompileOptions("server", 2, {"batch": 6}, cores=4)
    found = compile_model(QDQ, options).program
    assert found is not None
    said = parse_schedule(found.debug.schedule_json, "text")
    assert said.division == Division(3, 6)
    path = tmp_path / "schedule.json"

    def busy(division: Division, cores: int | None, level: int = 2) -> list[bool]:
        path.write_text(Schedule(division=division).to_json(), encoding="utf-8")
        given = CompileOptions("server", level, {"batch": 6}, cores=cores, schedule=path)
        program = compile_model(QDQ, given).program
        assert program is not None
        assert parse_schedule(program.debug.schedule_json, "text").division == division
        want = run(found, images(6)).outputs
        got = run(program, images(6), RunOptions(strict=True)).outputs
        assert_same_bits(got, want, f"{division}")
        return [len(code) > 2 for code in program.code]

    assert busy(Division(2, 6), 4) == [True, True, False, False]
    assert busy(Division(4, multicasts=False), None) == [True] * 4
    assert busy(Division(2, 3), None, level=0) == [True, True, False, False]
    assert busy(Division(1), 4) == [True, False, False, False]
    with pytest.raises(CompileError, match="more cores than may share it") as caught:
        busy(Division(3, 6), 2)
    for words in ("schedule.json, division, cores", "1 to 2 (server)", "give the --cores"):
        assert words in str(caught.value)


def test_parts_that_rows_do_not_have_are_told(tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    path.write_text(Schedule(division=Division(3, 7)).to_json(), encoding="utf-8")
    options = CompileOptions("server", 2, {"batch": 6}, cores=4, schedule=path)
    messages = [remark.message for remark in compile_model(QDQ, options).remarks]
    assert "division over 3 cores replayed from the file" in messages
    assert any("not 7 equal parts: they are cut anywhere" in message for message in messages)


@pytest.mark.parametrize(
    ("images", "cores", "tried"),
    [
        (1, 4, [Division(4), Division(2)]),
        (1, 5, [Division(5), Division(3), Division(2)]),
        (2, 4, [Division(2, 2), Division(4)]),
        (3, 4, [Division(3, 3), Division(4), Division(2)]),
        (5, 4, [Division(3, 5), Division(4), Division(2)]),
        (6, 3, [Division(3, 6)]),
        (8, 4, [Division(4, 8)]),
    ],
)
def test_divisions_that_are_tried(images: int, cores: int, tried: list[Division]) -> None:
    """Rows of layers are images, or rows of images one after another."""
    assert divisions(layers_of_rows(images, 49 * images, 196 * images), cores) == tried


@given(st.integers(2, 9), st.lists(st.integers(1, 64), min_size=1), st.integers(2, 8))
def test_parts_are_cut_at_one_place_in_all_layers(images: int, rows: list[int], cores: int) -> None:
    work = layers_of_rows(*[images * n for n in rows])
    parts = parts_of_rows(work)
    assert parts == gcd(*[images * n for n in rows])
    for extent in [images * n for n in rows]:
        granule = Division(cores, parts).granule(extent)
        assert granule * parts == extent
        first, last = even_ranges(extent, granule, cores)[0]
        assert last - first == -(-parts // cores) * granule


def layers_of_rows(*rows: int) -> Work:
    """Jobs whose results have so many rows."""
    problems = [elementwise((n, 1, 1, 8), (True,) * 4) for n in rows]
    facts = TensorFacts("t", 1 << 20, "scratch")
    return Work(tuple(Job(p, (0,) * len(p.operands), ("node",)) for p in problems), (facts,))


def test_what_stays_may_be_said_of_one_core(tmp_path: Path) -> None:
    """Of three cores two have two images and one has one: not the same suits all."""
    options = CompileOptions("server", 2, {"batch": 5}, cores=4)
    split = compile_model(QDQ, options).program
    assert split is not None
    found = parse_schedule(split.debug.schedule_json, "text")
    assert found.resident is not None
    assert {entry.core for entry in found.resident} > {0}, "cores keep what others stripe"
    name = found.resident[0].tensor
    path = tmp_path / "schedule.json"

    def compiled(*resident: Resident) -> CompileResult:
        path.write_text(replace(found, resident=resident, stripes=()).to_json(), encoding="utf-8")
        return compile_model(QDQ, replace(options, schedule=path))

    result = compiled(Resident(name, 0), Resident(name, 2), Resident(name, 7))
    assert result.program is not None
    kept = parse_schedule(result.program.debug.schedule_json, "text")
    assert kept.resident == (Resident(name, 0), Resident(name, 2))
    assert any("a tensor of another core" in remark.message for remark in result.remarks)
    want = run(split, images(5)).outputs
    got = run(result.program, images(5), RunOptions(strict=True)).outputs
    assert_same_bits(got, want, "two of three cores")
    everywhere = compiled(*(Resident(name, core) for core in range(3))).program
    assert everywhere is not None
    again = parse_schedule(everywhere.debug.schedule_json, "text")
    assert again.resident == (Resident(name),)


def test_more_cores_than_the_target_has_are_refused() -> None:
    with pytest.raises(UsageError, match="fewer cores") as caught:
        program_of(QDQ, 1, 5)
    assert "1 to 4" in str(caught.value)


def test_what_need_not_wait_is_loaded_before_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    share_always(monkeypatch)
    loads: Counter[tuple[str, bool]] = Counter()  # segment, whether a wait stands before

    def watch(stage: str, module: ModuleOp) -> None:
        for group in module.walk() if stage == "schedule" else ():
            if isinstance(group, GroupOp):
                count_loads(group)

    def count_loads(group: GroupOp) -> None:
        block = group.body.block
        is_waiting = any(isinstance(op, AwaitOp) for op in block.ops)
        has_waited = False
        for op in block.ops if is_waiting else ():
            has_waited |= isinstance(op, AwaitOp)
            if isinstance(op, LoadOp):
                tensor = group.arguments[block.args.index(op.tensor)].owner
                assert isinstance(tensor, TensorOp)
                loads[tensor.segment.data.value, has_waited] += 1

    program_of(QDQ, 1, 4, Observers(after_stage=watch))
    assert loads["constant", False]
    assert loads["scratch", True]
    assert not loads["constant", True]
    assert not loads["scratch", False]


@pytest.fixture(scope="module")
def small_cores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The target server with small cores."""
    return small_server(tmp_path_factory.mktemp("target"), SMALLER)


@settings(max_examples=8)
@given(case=graphs("qdq"))
def test_random_graphs_on_small_cores(small_cores: Path, case: Case) -> None:
    def compiled(level: int, cores: int) -> Program:
        options = CompileOptions(f"{small_cores}", level, cores=cores)
        found = compile_model(case.model.SerializeToString(), options).program
        assert found is not None
        return found

    want = run(compiled(0, 1), case.inputs).outputs
    with pytest.MonkeyPatch.context() as patch:
        share_always(patch)
        for cores in (1, 3, 4):
            got = run(compiled(2, cores), case.inputs, RunOptions(strict=True)).outputs
            assert_same_bits(got, want, f"{cores} cores")
