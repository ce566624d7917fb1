"""Seeded random weights under which activations neither explode nor die.

Each tensor has its own generator, seeded by the model's seed and the tensor's name: adding or
reordering layers changes no other tensor.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

RELU_GAIN = math.sqrt(2.0)  # He: a rectifier halves the mean square
LINEAR_GAIN = 1.0
BRANCH_SCALE = 0.5  # of a branch that is added to another: sums of many blocks stay small
EPSILON = 1e-5  # of BatchNormalization: ONNX's default


def generator(seed: int, name: str) -> np.random.Generator:
    """The generator of the tensor ``name``."""
    return np.random.default_rng((seed, zlib.crc32(name.encode())))


def contraction(
    rng: np.random.Generator, shape: Sequence[int], gain: float, axis: int = 1
) -> Floats:
    """Weights summed over the axes from ``axis`` on: normal, of deviation gain / sqrt(terms)."""
    deviation = gain / math.sqrt(math.prod(shape[axis:]))
    return (rng.standard_normal(shape, np.float32) * np.float32(deviation)).astype(np.float32)


def near_one(rng: np.random.Generator, shape: Sequence[int], scale: float = 1.0) -> Floats:
    """Uniform from 0.8 to 1.2, times ``scale``: gains and variances."""
    return (rng.uniform(0.8, 1.2, shape) * scale).astype(np.float32)


def near_zero(rng: np.random.Generator, shape: Sequence[int]) -> Floats:
    """Normal of deviation 0.05: biases and means."""
    return (rng.standard_normal(shape) * 0.05).astype(np.float32)
