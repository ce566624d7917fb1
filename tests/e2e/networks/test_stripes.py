"""Models whose feature maps exceed SPM run in row stripes: same bits, less traffic, no slower."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from npuc.compiler.dialects.tile_structure import BufferOp, CoreOp
from npuc.compiler.driver import compile_model
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Observers
from npuc.compiler.xdsl_api import ModuleOp
from npuc.emulator.machine import RunOptions, RunResult, load, run
from npuc.emulator.strict import check
from npuc.emulator.timing.timing import Timing, time_streams
from npuc.isa.errors import CompileError
from npuc.isa.instructions import Engine
from npuc.isa.program import Program
from tests.compiler.ops.case import F32, Builder, Case
from tests.e2e.random_graphs import Grower
from tests.e2e.whole_path import assert_same_bits

TARGET = "tiny"  # 64 KiB of SPM
CHANNELS = 8
SIDES = {"qdq": 92, "float": 47}  # a map of CHANNELS is larger than SPM


def conv(g: Grower, channels: int, kernel: int = 3, stride: int = 1, group: int = 1) -> str:
    """A convolution of the newest tensor with its bias, and what follows it."""
    last = g.seen[-1]
    w = g.weights(channels, last.shape[1] // group, kernel, kernel)
    pads = [kernel // 2] * 4
    attributes = {"pads": pads, "strides": [stride] * 2, "group": group}
    y = g.b.node("Conv", last.name, w, g.b.weights(channels), **attributes)
    side = (last.shape[2] + 2 * pads[0] - kernel) // stride + 1
    g.settle(g.b.node("Relu", y), (1, channels, side, side))
    return g.seen[-1].name


def max_pool(g: Grower) -> None:
    last = g.seen[-1]
    side = last.shape[2] // 2
    y = g.b.node("MaxPool", last.name, kernel_shape=[2, 2], strides=[2, 2])
    g.settle(y, (1, last.shape[1], side, side))


def convs_and_pool(g: Grower) -> None:
    conv(g, CHANNELS)
    conv(g, CHANNELS)
    max_pool(g)


def bottleneck(g: Grower) -> None:
    """The skip connection is held for as long as the convolutions are behind."""
    skip = conv(g, CHANNELS, 1)
    conv(g, CHANNELS // 2, 1)
    conv(g, CHANNELS // 2, 3)
    conv(g, CHANNELS, 1)
    last = g.seen[-1]
    g.settle(g.b.node("Add", last.name, skip), last.shape)
    conv(g, CHANNELS // 2, 3, 2)


def separable(g: Grower) -> None:
    conv(g, CHANNELS, 3, group=CHANNELS)
    conv(g, CHANNELS, 1)
    conv(g, CHANNELS, 3, 2, group=CHANNELS)


def two_branches(g: Grower) -> None:
    conv(g, CHANNELS, 1)
    trunk = g.seen[-1]
    left = conv(g, CHANNELS // 2, 1)
    g.seen.append(trunk)
    right = conv(g, CHANNELS // 2, 3)
    y = g.b.node("Concat", left, right, axis=1)
    g.settle(y, trunk.shape)
    conv(g, CHANNELS // 2, 3, 2)


MODELS: dict[str, Callable[[Grower], None]] = {
    "convs and pool": convs_and_pool,
    "bottleneck": bottleneck,
    "separable": separable,
    "two branches": two_branches,
}


def case_of(name: str, notation: str) -> Case:
    g = Grower(Builder(3), notation)
    g.start((1, CHANNELS, SIDES[notation], SIDES[notation]))
    MODELS[name](g)
    last = g.seen[-1].name
    return g.b.case(name, last if notation == "qdq" else g.b.node("Identity", last), kind=F32)


def compiled(case: Case, level: int, schedule: Path | None = None) -> tuple[Program, list[str]]:
    """The program at ``level``, and the names of the buffers that outlive a group."""
    names: list[str] = []

    def watch(stage: str, module: ModuleOp) -> None:
        if stage == "schedule":
            cores = [op for op in module.walk() if isinstance(op, CoreOp)]
            buffers = [b for core in cores for b in core.body.block.ops if isinstance(b, BufferOp)]
            names.extend(b.buffer_name.data for b in buffers)

    options = CompileOptions(TARGET, level, schedule=schedule)
    result = compile_model(
        case.model.SerializeToString(), options, observers=Observers(after_stage=watch)
    )
    assert result.program is not None
    return result.program, names


def timed(program: Program, case: Case) -> tuple[RunResult, Timing, int]:
    result = run(program, case.inputs)
    timing = time_streams(program, result.streams)
    return result, timing, sum(int((w.dram_read + w.dram_written).sum()) for w in timing.works)


def with_halos(schedule: str, path: Path, recomputes: list[int]) -> Path:
    """A file of the schedule whose first run computes the halos of these groups again."""
    data = json.loads(schedule)
    assert data["stripes"][0]["recomputes"] == []
    data["stripes"][0]["recomputes"] = recomputes
    path.write_text(json.dumps(data | {"groups": []}), encoding="utf-8")
    return path


def test_halos_computed_again_change_no_bit(tmp_path: Path) -> None:
    case = case_of("convs and pool", "float")
    found, _ = compiled(case, 2)
    halos = with_halos(found.debug.schedule_json, tmp_path / "s.json", [0])
    again, _ = compiled(case, 2, halos)
    want = run(found, case.inputs).outputs
    assert_same_bits(run(again, case.inputs, RunOptions(strict=True)).outputs, want, "halos")
    copied, computed = (vector_commands(program) for program in (found, again))
    assert computed < copied, "halos are copied all the same"
    assert timed(found, case)[2] < timed(again, case)[2], "no row of the input is read again"
    replayed, _ = compiled(case, 2, dumped(again, tmp_path / "again.json"))
    assert all(map(np.array_equal, replayed.code, again.code))


def dumped(program: Program, path: Path) -> Path:
    path.write_text(program.debug.schedule_json, encoding="utf-8")
    return path


def vector_commands(program: Program) -> int:
    return sum(int((s.engine == Engine.vpu.value).sum()) for s in load(program).streams)


@pytest.mark.parametrize(
    ("recomputes", "words"),
    [([9], "numbers from 0 to 1"), ([1], "whose one result")],
)
def test_halos_that_cannot_be_computed_again(
    tmp_path: Path, recomputes: list[int], words: str
) -> None:
    case = case_of("convs and pool", "float")
    found, _ = compiled(case, 2)
    with pytest.raises(CompileError, match=words) as caught:
        compiled(case, 2, with_halos(found.debug.schedule_json, tmp_path / "s.json", recomputes))
    assert "recomputes" in str(caught.value)


FAST = [("separable", "float"), ("two branches", "float")]
SLOW = [(name, kind) for name in MODELS for kind in SIDES if (name, kind) not in FAST]


@pytest.mark.parametrize(
    ("name", "notation"), [*FAST, *(pytest.param(*pair, marks=pytest.mark.slow) for pair in SLOW)]
)
def test_stripes_save_traffic_and_change_no_bit(name: str, notation: str) -> None:
    case = case_of(name, notation)
    program, buffers = compiled(case, 2)
    assert any("@1" in buffer for buffer in buffers), f"no stripes: {buffers}"
    want = run(compiled(case, 0)[0], case.inputs).outputs
    assert all(np.unique(value).size > 20 for value in want.values())
    result, timing, traffic = timed(program, case)
    assert_same_bits(result.outputs, want, "fast")
    plain = run(program, case.inputs, RunOptions(path="plain")).outputs
    assert_same_bits(plain, want, "plain")
    assert check(program, result.streams) == ()
    _, whole_timing, whole_traffic = timed(compiled(case, 1)[0], case)
    assert traffic < whole_traffic
    assert timing.wall_cycles <= whole_timing.wall_cycles
