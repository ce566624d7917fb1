"""One result for every way to compile: levels, targets, and schedules edited at random."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.compiler.dialects.nn import GroupOp
from npuc.compiler.driver import compile_model
from npuc.compiler.locations import node_names
from npuc.compiler.ops.group_problem import problem_of
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Observers
from npuc.compiler.reranking import rerank
from npuc.compiler.schedule.data import (
    MAX_DEPTH,
    GroupSchedule,
    RunSchedule,
    Schedule,
    parse_schedule,
    shape_hash,
)
from npuc.compiler.schedule.legal import check_tiling
from npuc.compiler.schedule.problem import PARALLEL, GroupProblem
from npuc.compiler.schedule.tiling import Tiling
from npuc.compiler.xdsl_api import ModuleOp
from npuc.emulator.machine import RunOptions, run
from npuc.isa.errors import CompileError
from npuc.isa.program import Program
from npuc.isa.target import Target, load_target
from npuc.runtime.building import build
from tests.compiler.ops.cases import Case
from tests.e2e.random_graphs import graphs
from tests.e2e.whole_path import MNIST, Tensor, assert_same_bits

CASES = st.sampled_from(["float", "qdq", "qop"]).flatmap(graphs)
TARGETS = ("tiny", "edge")
LEVELS = (0, 1, 2, 3)
MAX_TILES = 150  # of one group: more only take longer
Problems = dict[tuple[str, ...], GroupProblem]


@pytest.fixture(autouse=True, scope="module")
def few_trials() -> Iterator[None]:
    """Level 3 would compile each case two dozen times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rerank, "MIN_TRIALS", 1)
        patch.setattr(rerank, "MAX_TRIALS", 3)
        yield


def outputs_of(
    model: Path | bytes, options: CompileOptions, inputs: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    program = build(model, options).program
    assert program is not None
    return run(program, inputs, RunOptions(strict=True)).outputs


@cache
def digits(batch: int) -> Tensor:
    with np.load(MNIST / "digits.npz") as arrays:
        images = arrays["images"][:batch, np.newaxis]
    return images.astype(np.float32) / np.float32(255)


@pytest.mark.parametrize(
    "kind", ["qdq_int8", *(pytest.param(k, marks=pytest.mark.slow) for k in ("fp32", "qop_s8s8"))]
)
def test_levels_and_targets_change_no_bit_of_the_classifiers(kind: str) -> None:
    path, inputs = MNIST / f"mnist_cnn_{kind}.onnx", {"x": digits(2)}
    want = outputs_of(path, CompileOptions("edge", 2, {"batch": 2}), inputs)
    for target in TARGETS:
        for level in LEVELS:
            got = outputs_of(path, CompileOptions(target, level, {"batch": 2}), inputs)
            assert_same_bits(got, want, f"-O{level} on {target}")


@settings(max_examples=3)
@given(case=CASES)
def test_levels_and_targets_change_no_bit_of_random_graphs(case: Case) -> None:
    model = case.model.SerializeToString()
    want = outputs_of(model, CompileOptions("edge", 2), case.inputs)
    for target in TARGETS:
        for level in LEVELS:
            got = outputs_of(model, CompileOptions(target, level), case.inputs)
            assert_same_bits(got, want, f"-O{level} on {target}")


def problems(model: Path | bytes, options: CompileOptions) -> Problems:
    """The scheduler's problem of every group, by node names."""
    found: Problems = {}

    def watch(stage: str, module: ModuleOp) -> None:
        if stage == "partition":
            groups = [op for op in module.walk() if isinstance(op, GroupOp)]
            found.update((node_names(group), problem_of(group)) for group in groups)

    compile_model(
        model, replace(options, stop_after="partition"), observers=Observers(after_stage=watch)
    )
    return found


def random_schedule(groups: Problems, target: Target, rng: np.random.Generator) -> Schedule:
    """A legal decision of any quality for most groups; the rest is searched."""
    decisions = []
    for nodes, problem in groups.items():
        tiling = random_tiling(problem, target, rng)
        if tiling is not None:
            decisions.append(GroupSchedule(nodes, shape_hash(problem), tiling))
    return Schedule(tuple(decisions), resident=(), stripes=())


def random_tiling(problem: GroupProblem, target: Target, rng: np.random.Generator) -> Tiling | None:
    """The first legal one of many drawn, or None."""
    for _ in range(400):
        tile = tuple(random_size(extent, rng) for extent in problem.extents)
        order = tuple(int(d) for d in rng.permutation(PARALLEL))
        depths = rng.integers(1, MAX_DEPTH + 1, 2).tolist()
        tiling = Tiling(tile, order, *depths)
        if prod(tiling.trips(problem)) <= MAX_TILES and is_legal(problem, tiling, target):
            return tiling
    return None


def random_size(extent: int, rng: np.random.Generator) -> int:
    """The whole extent half of the time, else any size: ragged edges are the rule."""
    return extent if rng.integers(2) else int(rng.integers(1, extent + 1))


def is_legal(problem: GroupProblem, tiling: Tiling, target: Target) -> bool:
    try:
        check_tiling(problem, tiling, target, "test")
    except CompileError:
        return False
    return True


def check_schedules(
    model: Path | bytes, options: CompileOptions, case: tuple[Mapping[str, Tensor], int, Path]
) -> int:
    """Compile and run under a random schedule file; how many decisions it holds."""
    inputs, seed, folder = case
    want = outputs_of(model, options, inputs)
    groups = problems(model, options)
    schedule = random_schedule(groups, load_target(options.target), np.random.default_rng(seed))
    path = folder / "schedule.json"
    path.write_text(schedule.to_json(), encoding="utf-8")
    assert parse_schedule(schedule.to_json(), "text") == schedule
    result = compile_model(model, replace(options, schedule=path))
    replayed = [r for r in result.remarks if "replayed" in r.message]
    assert len(replayed) == len(schedule.groups)
    assert result.program is not None
    got = run(result.program, inputs, RunOptions(strict=True)).outputs
    assert_same_bits(got, want, f"schedule {schedule.to_json()}")
    return len(schedule.groups)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", ["fp32", "qdq_int8"])
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))]
)
def test_schedule_files_change_no_bit_of_the_classifiers(
    kind: str, target: str, seed: int, tmp_path: Path
) -> None:
    options = CompileOptions(target, 2, {"batch": 2})
    path = MNIST / f"mnist_cnn_{kind}.onnx"
    decisions = check_schedules(path, options, ({"x": digits(2)}, seed, tmp_path))
    assert decisions >= 8


@settings(max_examples=6)
@given(case=CASES, target=st.sampled_from(TARGETS), seed=st.integers(0, 9999))
def test_schedule_files_change_no_bit_of_random_graphs(
    tmp_path_factory: pytest.TempPathFactory, case: Case, target: str, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("schedule")
    model = case.model.SerializeToString()
    check_schedules(model, CompileOptions(target), (case.inputs, seed, folder))


@pytest.mark.slow
@settings(max_examples=300)
@given(case=CASES, target=st.sampled_from(TARGETS), seed=st.integers(0, 9999))
def test_many_schedule_files_change_no_bit_of_random_graphs(
    tmp_path_factory: pytest.TempPathFactory, case: Case, target: str, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("schedule")
    model = case.model.SerializeToString()
    check_schedules(model, CompileOptions(target), (case.inputs, seed, folder))


def program_unless_illegal(model: Path, options: CompileOptions) -> Program | None:
    """The program, or None where the schedule file is refused as such."""
    try:
        return compile_model(model, options).program
    except CompileError as error:
        if "schedule" not in str(error):
            raise
        return None


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))]
)
def test_what_stays_and_what_is_striped_changes_no_bit(
    target: str, seed: int, tmp_path: Path
) -> None:
    options, rng = CompileOptions(target, 2, {"batch": 1}), np.random.default_rng(seed)
    model, inputs = MNIST / "mnist_cnn_qdq_int8.onnx", {"x": digits(1)}
    found = compile_model(model, options).program
    assert found is not None
    want = run(found, inputs).outputs
    schedule = parse_schedule(found.debug.schedule_json, "text")
    assert schedule.resident is not None
    kept = tuple(name for name in schedule.resident if rng.integers(3))
    groups = list(dict.fromkeys(group.nodes for group in schedule.groups))
    start = int(rng.integers(1, 5))
    end = int(rng.integers(start + 1, 7))
    turns = tuple(map(int, rng.permutation(end - start + 1)))
    stripes = (RunSchedule(groups[start], groups[end], int(rng.integers(2, 5)), turns),)
    path = tmp_path / "schedule.json"
    path.write_text(replace(schedule, resident=kept, stripes=stripes).to_json(), encoding="utf-8")
    program = program_unless_illegal(model, replace(options, schedule=path))
    if program is None:
        return
    edited = parse_schedule(program.debug.schedule_json, "text")
    assert edited.stripes == stripes
    assert set(edited.resident or ()) <= set(kept)
    assert_same_bits(run(program, inputs, RunOptions(strict=True)).outputs, want, f"{stripes}")
