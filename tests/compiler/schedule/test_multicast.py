"""Weights that cores load for each other: where they lie, who loads what, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc import api
from npuc.compiler.dialects.tile import AwaitOp, LoadOp
from npuc.compiler.driver import compile_model
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Observers
from npuc.compiler.schedule import sharing
from npuc.compiler.schedule.data import parse_schedule
from npuc.compiler.schedule.program import TensorFacts, Work, whole_words
from npuc.compiler.schedule.split import cores as splitting
from npuc.compiler.schedule.split import multicast as multicasts
from npuc.compiler.xdsl_api import ModuleOp
from npuc.emulator.machine import RunOptions, load, run
from npuc.emulator.timing.timing import time_streams
from npuc.isa.errors import ExecutionError
from npuc.isa.program import Program
from npuc.isa.target import Target, load_target
from tests.compiler.ops.case import F32, Builder, Case
from tests.compiler.schedule.small_servers import share_always, small_server
from tests.e2e.random_graphs import Grower
from tests.e2e.whole_path import assert_same_bits

SERVER = load_target("server")
LAYERS, CHANNELS = 4, 96
SMALLER = {"rows": 8, "cols": 8, "capacity_bytes": 81920, "outstanding_bursts": 1}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The target server with small arrays and slow queues, and SPM for two constants at a time."""
    return str(small_server(tmp_path_factory.mktemp("target"), SMALLER))


@pytest.fixture(scope="module")
def layers() -> Case:
    return images_in_layers(4)


def images_in_layers(count: int) -> Case:
    """Products of images with weights that are worth a multicast, one after another."""
    g = Grower(Builder(7), "qdq")
    g.start((count, CHANNELS, 6, 6))
    for _ in range(LAYERS):
        weights = g.b.rng.integers(-128, 128, (CHANNELS, CHANNELS, 1, 1)).astype(np.int8)
        scaled = g.b.node("DequantizeLinear", g.b.const(weights), g.b.const(np.float32(0.01)))
        product = g.b.node("Conv", g.seen[-1].name, scaled)
        g.settle(product, (count, CHANNELS, 6, 6))
    return g.b.case("Conv", g.b.node("Identity", g.seen[-1].name), kind=F32)


def compiled(
    case: Case,
    target: str,
    cores: int,
    watch: Callable[[str, ModuleOp], None] | None = None,
    schedule: Path | None = None,
) -> Program:
    options = CompileOptions(target, 2, cores=cores, schedule=schedule)
    observers = Observers(after_stage=watch) if watch is not None else Observers()
    found = compile_model(case.model.SerializeToString(), options, observers=observers).program
    assert found is not None
    return found


def masks(module: ModuleOp) -> list[int]:
    """The masks of all loads that go to several cores."""
    loads = [op for op in module.walk() if isinstance(op, LoadOp)]
    return [op.cores.data for op in loads if op.cores is not None]


@pytest.fixture
def all_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Split and multicast whatever can be."""
    share_always(monkeypatch)
    monkeypatch.setattr(multicasts, "WORTH_CYCLES", 0)


@pytest.mark.usefixtures("all_gain")
@pytest.mark.parametrize("cores", [2, 3, 4])
def test_multicasts_change_no_bit(small: str, layers: Case, cores: int, tmp_path: Path) -> None:
    sent: list[int] = []

    def watch(stage: str, module: ModuleOp) -> None:
        sent.extend(masks(module) if stage == "schedule" else ())

    split = compiled(layers, small, cores, watch)
    queues = len(multicasts.sending_queues(load_target(small)))
    assert sent == [(1 << cores) - 1] * (LAYERS * cores * queues)
    want = run(compiled(layers, small, 1), layers.inputs).outputs
    got = run(split, layers.inputs, RunOptions(strict=True)).outputs
    assert_same_bits(got, want, f"{cores} cores")
    model = tmp_path / "layers.onnx"
    onnx.save(layers.model, model)
    assert api.verify(model, small, cores=cores).passed
    dumped = tmp_path / "schedule.json"
    dumped.write_text(split.debug.schedule_json, encoding="utf-8")
    assert parse_schedule(split.debug.schedule_json, "text").groups
    replayed = compiled(layers, small, cores, schedule=dumped)
    assert all(map(np.array_equal, replayed.code, split.code))


@pytest.mark.usefixtures("all_gain")
def test_dram_gives_each_weight_once(small: str, layers: Case) -> None:
    def dram_bytes(cores: int) -> int:
        program = compiled(layers, small, cores)
        return int(time_streams(program, load(program).streams).dram_read_bytes)

    scales = 3 * LAYERS * CHANNELS * 4  # of every channel, for three more cores
    assert dram_bytes(4) == dram_bytes(1) + scales


@pytest.mark.usefixtures("all_gain")
@pytest.mark.parametrize("signal", ["room", "sent"])
def test_without_its_waits_a_multicast_is_a_race(small: str, layers: Case, signal: str) -> None:
    def forget(stage: str, module: ModuleOp) -> None:
        for op in list(module.walk()) if stage == "schedule" else ():
            if isinstance(op, AwaitOp) and f".{signal}." in op.signal.data:
                op.detach()
                op.erase()

    program = compiled(layers, small, 4, forget)
    with pytest.raises(ExecutionError, match="race"):
        run(program, layers.inputs, RunOptions(strict=True))


@pytest.mark.usefixtures("all_gain")
def test_a_dumped_schedule_suits_cores_without_a_part(small: str, tmp_path: Path) -> None:
    """Three images on four cores: the last core has nothing to do with what stays on the others."""
    case = images_in_layers(3)
    split = compiled(case, small, 4)
    dumped = tmp_path / "schedule.json"
    dumped.write_text(split.debug.schedule_json, encoding="utf-8")
    assert parse_schedule(split.debug.schedule_json, "text").resident
    replayed = compiled(case, small, 4, schedule=dumped)
    assert all(map(np.array_equal, replayed.code, split.code))


def test_where_nothing_fits_beside_them_each_core_loads_all(
    small: str, layers: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multicasts, "WORTH_CYCLES", 0)
    monkeypatch.setattr(Work, "room", crowded)
    monkeypatch.setattr(sharing, "_planned", sharing._planned.__wrapped__)  # nothing of before
    loads: list[int] = []

    def watch(stage: str, module: ModuleOp) -> None:
        loads.extend(masks(module) if stage == "schedule" else ())

    options = CompileOptions(small, 2, cores=4)
    result = compile_model(
        layers.model.SerializeToString(), options, observers=Observers(after_stage=watch)
    )
    assert not loads
    assert any("each core loads all" in remark.message for remark in result.remarks)
    assert result.program is not None
    want = run(compiled(layers, small, 1), layers.inputs).outputs
    assert_same_bits(run(result.program, layers.inputs).outputs, want, "without multicasts")


def crowded(work: Work, target: Target) -> Target:
    """No room for anything beside multicast weights."""
    size = 16 if work.multicasts else target.spm.capacity_bytes
    return replace(target, spm=replace(target.spm, capacity_bytes=size))


def test_messages_tell_what_multicast_weights_take() -> None:
    room = Work((), (), multicast_bytes=4096).room(SERVER)
    assert room.spm.capacity_bytes == SERVER.spm.capacity_bytes - 4096
    assert room.name == "server beside 4096 bytes of multicast weights"
    assert Work((), ()).room(SERVER) is SERVER


@pytest.mark.usefixtures("all_gain")
def test_their_loads_have_names_of_their_own(small: str) -> None:
    case = images_in_layers(4)
    products = [node for node in case.model.graph.node if node.op_type == "Conv"]
    for node, name in zip(products, ("a", "a.weights", "a.weights.all", "b"), strict=True):
        node.name = name
    program = compiled(case, small, 4)
    sources = {source.group for source in program.debug.sources}
    assert {"a", "a.weights", "a.weights.all", "a.weights.all.all", "b.weights"} <= sources
    assert "a.weights.weights" in sources


@pytest.mark.usefixtures("all_gain")
def test_loads_that_the_array_hides_are_no_reason(small: str) -> None:
    """A map so large that the load is a small part of the products of each core."""
    share = splitting.LEAST_LOAD_SHARE
    loads: list[int] = []

    def watch(stage: str, module: ModuleOp) -> None:
        loads.extend(masks(module) if stage == "schedule" else ())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splitting, "LEAST_LOAD_SHARE", 1e9 * share)
        compiled(images_in_layers(4), small, 4, watch)
    assert not loads
    compiled(images_in_layers(4), small, 4, watch)
    assert loads


def test_small_weights_are_loaded_by_each(layers: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    share_always(monkeypatch)

    def watch(stage: str, module: ModuleOp) -> None:
        assert stage != "schedule" or not masks(module)

    program = compiled(layers, "server", 4, watch)
    assert [len(code) > 2 for code in program.code] == [True] * 4


@given(
    sizes=st.lists(st.integers(1, SERVER.spm.capacity_bytes // 3), min_size=1, max_size=12),
    gaps=st.lists(st.integers(1, 5), min_size=12, max_size=12),
)
def test_constants_in_use_at_a_time_are_apart(sizes: list[int], gaps: list[int]) -> None:
    jobs = np.cumsum(gaps).tolist()[: len(sizes)]
    facts = [TensorFacts(f"w{n}", size, "constant") for n, size in enumerate(sizes)]
    placed = multicasts.place_multicasts(
        dict(zip(jobs, range(len(sizes)), strict=True)), facts, SERVER
    )
    room = SERVER.spm.capacity_bytes // multicasts.SPM_PARTS
    ends = {m.job: m.address + whole_words(sizes[m.tensor], SERVER) for m in placed}
    assert max(ends.values(), default=0) <= room
    assert [m.job for m in placed] == sorted(m.job for m in placed)
    for one, other in combinations(placed, 2):
        assert one.before <= one.job
        if other.before <= one.job:
            assert ends[one.job] <= other.address or ends[other.job] <= one.address
    small = [n for n, size in enumerate(sizes) if size <= room // (2 * len(sizes))]
    assert set(small) <= {m.tensor for m in placed}


@given(n_bytes=st.integers(1024, 1 << 24), cores=st.integers(2, 8))
def test_parts_are_all_bytes_once(n_bytes: int, cores: int) -> None:
    whole = multicasts.Multicast(0, 1, 0, 0)
    parts = multicasts.parts_of(whole, n_bytes, SERVER, cores)
    queued = [cut for m in parts for _, cut in multicasts.slices(m.part, SERVER)]
    assert queued[0][0] == 0
    assert queued[-1][1] == n_bytes
    assert all(one[1] == other[0] for one, other in pairwise(queued))
    sizes = [m.part[1] - m.part[0] for m in parts]
    assert max(sizes) - min(sizes) <= 2 * SERVER.spm.bank_width_bytes


def test_both_queues_send_where_dram_feeds_them() -> None:
    assert multicasts.sending_queues(SERVER) == ("ld0", "ld1")
    slow = replace(SERVER, dram=replace(SERVER.dram, bytes_per_cycle=100.0))
    assert multicasts.sending_queues(slow) == ("ld1",)
