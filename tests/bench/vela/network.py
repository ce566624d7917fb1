"""TFLite operators and tensors as plain values: made by a converter, written by ``flatbuffer``."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
INT8_MIN, INT8_MAX = -128, 127


@dataclass(frozen=True)
class Quantisation:
    """``value = scale * (integer - zero_point)``; several scales are those along ``axis``."""

    scales: npt.NDArray[np.float32]
    zero_point: int
    axis: int = 0

    def equals(self, other: Quantisation) -> bool:
        """Whether the same integers mean the same values."""
        same = self.zero_point == other.zero_point and self.axis == other.axis
        return same and np.array_equal(self.scales, other.scales)

    @property
    def interval(self) -> tuple[float, float]:
        """The smallest and the largest value of int8, where one scale serves all."""
        low, high = (float(self.scales[0]) * (n - self.zero_point) for n in (INT8_MIN, INT8_MAX))
        return low, high

    @staticmethod
    def of_interval(low: float, high: float) -> Quantisation:
        """That of int8 over an interval, widened to hold zero."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / (INT8_MAX - INT8_MIN)
        return Quantisation(np.array([scale], np.float32), round(INT8_MIN - low / scale))


@dataclass(frozen=True)
class Tensor:
    """A tensor in TFLite's layout: NHWC where there are four axes."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantisation: Quantisation | None = None
    data: Array | None = None


@dataclass(frozen=True)
class Operator:
    """A built-in operator by its name in the schema; inputs and outputs are numbers of tensors."""

    code: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: str = ""
    fields: dict[str, int | float | bool] = field(default_factory=dict)


@dataclass
class Network:
    """Grows while it is converted."""

    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def add(self, tensor: Tensor) -> int:
        """The number of a new tensor."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, name: str, data: Array, quantisation: Quantisation | None = None) -> int:
        """The number of a new tensor with ``data``."""
        data = np.ascontiguousarray(data)
        return self.add(Tensor(name, data.shape, data.dtype.name, quantisation, data))

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and fully connected layers, padding included."""
        total = 0
        for operator in self.operators:
            if operator.code in MACS_OF_AN_OUTPUT:
                out, weights = (
                    self.tensors[n].shape for n in (operator.outputs[0], operator.inputs[1])
                )
                total += prod(out) * prod(weights[i] for i in MACS_OF_AN_OUTPUT[operator.code])
        return total


# The axes of the weights over which one output element sums.
MACS_OF_AN_OUTPUT = {"CONV_2D": (1, 2, 3), "DEPTHWISE_CONV_2D": (1, 2), "FULLY_CONNECTED": (1,)}
