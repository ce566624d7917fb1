"""The timing engine as the compiler's oracle says what a profile says."""

from __future__ import annotations

from npuc import api
from npuc.runtime.timing.oracle import TimingEngine
from tests.e2e.whole_path import MNIST


def test_group_cycles_are_those_of_the_profile() -> None:
    program = api.compile(MNIST / "mnist_cnn_qdq_int8.onnx", "tiny", dims={"batch": 1}).program
    assert program is not None
    report = api.profile(program)
    cycles = TimingEngine().group_cycles(program)
    assert list(cycles.items()) == [(row.group, row.cycles) for row in report.layers]
    assert sum(cycles.values()) == report.cycles
