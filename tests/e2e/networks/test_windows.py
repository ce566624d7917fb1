"""Padding of tensors that stay in SPM is shown by windows of views: the same bits as copied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from npuc.compiler.schedule.data import Schedule
from npuc.emulator.machine import RunOptions, run
from npuc.emulator.strict import check
from tests.compiler.ops.case import F32, Builder, Case
from tests.e2e.networks.test_stripes import compiled
from tests.e2e.random_graphs import Grower
from tests.e2e.whole_path import assert_same_bits

PADS = [(1, 1, 1, 1), (0, 1, 2, 0), (2, 0, 0, 1), (0, 0, 2, 2)]
CHANNELS, SIDE = 6, 11  # every tensor fits


def case_of(op: str, notation: str, pads: tuple[int, ...], stride: int) -> Case:
    """A pointwise convolution, whose result stays, then ``op`` over it with padding."""
    g = Grower(Builder(sum(pads) + stride), notation)
    g.start((1, CHANNELS, SIDE, SIDE))
    x = g.b.node("Conv", g.seen[-1].name, g.weights(CHANNELS, CHANNELS, 1, 1))
    g.settle(x, (1, CHANNELS, SIDE, SIDE))
    window = {"pads": list(pads), "strides": [stride, 1], "kernel_shape": [3, 3]}
    inputs, x = [], g.seen[-1].name
    if op in ("Conv", "Depthwise"):
        group = CHANNELS if op == "Depthwise" else 1
        inputs, window["group"] = [g.weights(CHANNELS, CHANNELS // group, 3, 3)], group
    elif op == "AveragePool":
        window["count_include_pad"] = 1
    y = g.b.node("Conv" if inputs else op, x, *inputs, **window)
    high = (SIDE + pads[0] + pads[2] - 3) // stride + 1
    g.settle(y, (1, CHANNELS, high, SIDE + pads[1] + pads[3] - 2))
    last = g.seen[-1].name
    return g.b.case(op, last if notation == "qdq" else g.b.node("Identity", last), kind=F32)


@pytest.mark.parametrize("notation", ["qdq", "float"])
@pytest.mark.parametrize("op", ["Conv", "Depthwise", "MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    ("pads", "stride"),
    [((0, 1, 2, 0), 2), *(pytest.param(p, 1, marks=pytest.mark.slow) for p in PADS)],
)
def test_windows_in_place_change_no_bit(
    pads: tuple[int, ...], stride: int, op: str, notation: str, tmp_path: Path
) -> None:
    case = case_of(op, notation, pads, stride)
    unstriped = tmp_path / "schedule.json"
    unstriped.write_text(Schedule(stripes=()).to_json(), encoding="utf-8")
    program, buffers = compiled(case, 2, unstriped)
    assert buffers, "nothing stays in SPM"
    assert not any("@" in buffer for buffer in buffers), "stripes, though the file says none"
    whole, none = compiled(case, 0)
    assert not none
    want = run(whole, case.inputs).outputs
    assert all(np.unique(value).size > 20 for value in want.values())
    result = run(program, case.inputs)
    assert_same_bits(result.outputs, want, "fast")
    plain = run(program, case.inputs, RunOptions(path="plain")).outputs
    assert_same_bits(plain, want, "plain")
    assert check(program, result.streams) == ()
