"""A schedule that was dumped is replayed to the same code, whatever the search decided."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.compiler.driver import CompileResult
from npuc.compiler.options import CompileOptions
from npuc.compiler.reranking import rerank
from npuc.compiler.schedule.data import RunSchedule, Schedule, parse_schedule
from npuc.isa.errors import CompileError
from npuc.isa.program import Program
from npuc.runtime.building import build
from tests.compiler.ops.cases import F32, Builder, Case
from tests.e2e.random_graphs import graphs

CASES = st.sampled_from(["float", "qdq", "qop"]).flatmap(graphs)


def conv(b: Builder, x: str, channels: tuple[int, int], kernel: int = 3) -> str:
    """A convolution with bias from so many channels to so many, of the size that it reads."""
    into, out = channels
    w_OIHW = b.weights(out, into, kernel, kernel, scale=(into * kernel**2) ** -0.5)
    return b.node("Conv", x, w_OIHW, b.weights(out), pads=[kernel // 2] * 4)


def squeeze_excite() -> Case:
    """Groups of one row between groups of many, all in one run."""
    b = Builder(1)
    x = b.input((1, 3, 64, 64))
    squeezed = conv(b, b.node("GlobalAveragePool", x), (3, 1), 1)
    excited = conv(b, b.node("Relu", squeezed), (1, 3), 1)
    y = b.node("Mul", x, b.node("Sigmoid", excited))
    for channels in ((3, 16), (16, 16)):
        y = b.node("Relu", conv(b, y, channels))
    return b.case("squeeze-excite", b.node("Identity", y), kind=F32)


def attention(heads: int = 4, length: int = 64, depth: int = 32) -> Case:
    """Rows of heads between rows of the sequence, and a block of products behind them."""
    b = Builder(2)
    width = heads * depth
    x = b.input((1, length, width))
    split = b.const(np.asarray([1, length, heads, depth], np.int64))

    def projected(perm: list[int]) -> str:
        y = b.node("MatMul", x, b.weights(width, width, scale=width**-0.5))
        return b.node("Transpose", b.node("Reshape", y, split), perm=perm)

    q, k, v = (projected(perm) for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
    scores = b.node("Mul", b.node("MatMul", q, k), b.const(np.float32(depth**-0.5)))
    y = b.node("MatMul", b.node("Softmax", scores, axis=-1), v)
    joined = b.const(np.asarray([1, length, width], np.int64))
    y = b.node("Reshape", b.node("Transpose", y, perm=[0, 2, 1, 3]), joined)
    y = b.node("Add", x, b.node("MatMul", y, b.weights(width, width, scale=width**-0.5)))
    return b.case("attention", b.node("Identity", y), kind=F32)


def compiled(case: Case, options: CompileOptions) -> tuple[CompileResult, Program]:
    result = build(case.model.SerializeToString(), options)
    assert result.program is not None
    return result, result.program


def assert_replays(case: Case, target: str, path: Path) -> Program:
    """The program of ``case``; its schedule, written to ``path``, gives the same again."""
    _, found = compiled(case, CompileOptions(target))
    path.write_text(found.debug.schedule_json, encoding="utf-8")
    result, again = compiled(case, CompileOptions(target, schedule=path))
    assert again.debug.schedule_json == found.debug.schedule_json
    assert [c.tobytes() for c in again.code] == [c.tobytes() for c in found.code]
    assert again.constants.tobytes() == found.constants.tobytes()
    assert not [r for r in result.remarks if "it is ignored" in r.message]
    return found


@pytest.mark.parametrize("target", ["tiny", "edge", "server"])
@pytest.mark.parametrize("make", [squeeze_excite, attention])
def test_networks_with_groups_of_few_rows_replay(
    make: Callable[[], Case], target: str, tmp_path: Path
) -> None:
    assert_replays(make(), target, tmp_path / "schedule.json")


def test_squeeze_excite_has_a_group_of_one_row_in_stripes(tmp_path: Path) -> None:
    """Else the test above would not show what it is there for."""
    program = assert_replays(squeeze_excite(), "edge", tmp_path / "schedule.json")
    (run,) = parse_schedule(program.debug.schedule_json, "text").stripes or ()
    assert run.first[0] == "conv3" and run.stripes > 1


def test_runs_of_groups_with_the_same_nodes_are_told_apart(tmp_path: Path) -> None:
    """A softmax is several groups: the run begins with the second of them."""
    b = Builder(3)
    x = b.input((2, 2, 3, 3))
    case = b.case("softmax", b.node("Identity", b.node("Softmax", x, axis=0)), kind=F32)
    path = tmp_path / "schedule.json"
    _, found = compiled(case, CompileOptions("edge"))
    schedule = parse_schedule(found.debug.schedule_json, "text")
    nodes = schedule.groups[0].nodes
    runs = (RunSchedule(nodes, nodes, 2, (0, 1), occurrence=1),)
    path.write_text(Schedule(stripes=runs).to_json(), encoding="utf-8")
    _, again = compiled(case, CompileOptions("edge", schedule=path))
    assert parse_schedule(again.debug.schedule_json, "text").stripes == runs
    assert_replays(case, "edge", path)


def test_more_stripes_than_rows_of_the_last_group_are_refused(tmp_path: Path) -> None:
    case, path = squeeze_excite(), tmp_path / "schedule.json"
    runs = (RunSchedule(("conv3", "sigmoid4"), ("conv6", "relu7"), 65),)
    path.write_text(Schedule(stripes=runs).to_json(), encoding="utf-8")
    with pytest.raises(CompileError) as caught:
        compiled(case, CompileOptions("edge", schedule=path))
    for words in ("schedule.json, groups conv3 to conv6: conv6", "given: 65", "2 to 64"):
        assert words in str(caught.value)


@settings(max_examples=12)
@given(case=CASES, target=st.sampled_from(["tiny", "edge"]))
def test_schedules_of_random_graphs_replay(
    tmp_path_factory: pytest.TempPathFactory, case: Case, target: str
) -> None:
    assert_replays(case, target, tmp_path_factory.mktemp("replay") / "schedule.json")


@pytest.mark.slow
@settings(max_examples=300)
@given(case=CASES, target=st.sampled_from(["tiny", "edge", "server"]))
def test_schedules_of_many_random_graphs_replay(
    tmp_path_factory: pytest.TempPathFactory, case: Case, target: str
) -> None:
    assert_replays(case, target, tmp_path_factory.mktemp("replay") / "schedule.json")


def test_policies_of_level_3_can_stripe_groups_of_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Level 3 replays what it found; it was told that the schedule does not fit."""
    monkeypatch.setattr(rerank, "MIN_TRIALS", 6)
    monkeypatch.setattr(rerank, "MAX_TRIALS", 12)
    result, _ = compiled(squeeze_excite(), CompileOptions("edge", 3))
    assert not [str(r) for r in result.remarks if "does not fit" in f"{r}"]
