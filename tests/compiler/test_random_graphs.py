"""Random small graphs, float and quantised: every stage and level, and ONNX Runtime, must agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compiler.ops.cases import Case, Qdq
from tests.compiler.ops.test_cases import assert_same_bits, runtime_outputs, stage_outputs

SCALE, ZERO = 0.06, 3
STEPS = (
    "conv",
    "pointwise",
    "depthwise",
    "relu",
    "clip",
    "max_pool",
    "average_pool",
    "residual",
    "scale",
    "global_mean",
)
steps_of_graph = st.lists(st.sampled_from(STEPS), min_size=1, max_size=5)


class Chain:
    """A graph that grows by one step at a time, with or without quantisation between steps."""

    def __init__(self, seed: int, *, is_quantised: bool) -> None:
        self.q = Qdq(seed)
        self.b = self.q.b
        self.is_quantised = is_quantised
        self.shape = [1, 4, 6, 6]
        self.value = self._settled(self.b.input(self.shape))

    def _settled(self, value: str) -> str:
        return self.q.act(value, SCALE, ZERO) if self.is_quantised else value

    def _weights(self, *shape: int) -> str:
        if self.is_quantised:
            return self.q.weights(*shape, per_channel=True)
        return self.b.weights(*shape, scale=0.3)

    def step(self, kind: str) -> None:
        value = getattr(self, f"_{kind}")()
        if value is not None:
            self.value = self._settled(value)

    def _conv(self) -> str | None:
        return self._convolution(self.shape[1], 3)

    def _pointwise(self) -> str | None:
        return self._convolution(self.shape[1], 1)

    def _convolution(self, channels: int, taps: int) -> str:
        pad = [taps // 2] * 4
        w = self._weights(channels, channels, taps, taps)
        return self.b.node("Conv", self.value, w, self.b.weights(channels), pads=pad)

    def _depthwise(self) -> str | None:
        channels = self.shape[1]
        w = self._weights(channels, 1, 3, 3)
        return self.b.node("Conv", self.value, w, pads=[1, 1, 1, 1], group=channels)

    def _relu(self) -> str | None:
        return self.b.node("Relu", self.value)

    def _clip(self) -> str | None:
        low, high = self.b.const(np.float32(-0.5)), self.b.const(np.float32(2))
        return self.b.node("Clip", self.value, low, high)

    def _max_pool(self) -> str | None:
        return self._pooled("MaxPool")

    def _average_pool(self) -> str | None:
        return self._pooled("AveragePool")

    def _pooled(self, op: str) -> str | None:
        if self.shape[2] < 2:
            return None
        self.shape[2:] = [self.shape[2] // 2, self.shape[3] // 2]
        return self.b.node(op, self.value, kernel_shape=[2, 2], strides=[2, 2])

    def _residual(self) -> str | None:
        other = self._settled(self._convolution(self.shape[1], 1))
        return self.b.node("Add", self.value, other)

    def _scale(self) -> str | None:
        return self.b.node("Mul", self.value, self.b.weights(self.shape[1], 1, 1))

    def _global_mean(self) -> str | None:
        self.shape[2:] = [1, 1]
        return self.b.node("GlobalAveragePool", self.value)

    def case(self) -> Case:
        flat = self.b.node("Flatten", self.value)
        return self.b.case("random", self._settled(self.b.node("Relu", flat)))


def agree(chain: Chain, kinds: list[str]) -> tuple[Any, Any]:
    """The results of npuc and of ONNX Runtime, after all of npuc's own agree to the bit."""
    for kind in kinds:
        chain.step(kind)
    case = chain.case()
    _, values = stage_outputs(case, level=2)
    _, plain = stage_outputs(case, level=0)
    assert_same_bits(values["quantize"], values["partition"], "fusing")
    assert_same_bits(plain["partition"], values["partition"], "the optimisation level")
    return values["partition"][0], runtime_outputs(case)[0]


@pytest.mark.parametrize("is_quantised", [False, True], ids=["float", "quantised"])
@settings(max_examples=20)
@given(kinds=steps_of_graph, seed=st.integers(0, 999))
def test_random_graphs(is_quantised: bool, kinds: list[str], seed: int) -> None:
    got, want = agree(Chain(seed, is_quantised=is_quantised), kinds)
    if not is_quantised:
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)
        return
    # A difference of one step early in a chain can grow: products of weights amplify it.
    steps = np.rint(np.abs(got - want) / SCALE)
    assert np.mean(steps > 0) <= 0.2 and np.mean(steps > 2) <= 0.05
