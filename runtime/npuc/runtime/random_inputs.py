"""Seeded random inputs that suit an element type, and the range that a model quantises."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from npuc.isa.dtypes import DType
from npuc.isa.program import Program
from npuc.runtime.arrays import AnyArray, Arrays

DEFAULT_SEED = 0


@dataclass(frozen=True)
class InputKind:
    """One input: element type, shape, and the range of values worth trying."""

    dtype: DType
    shape: tuple[int, ...]
    low: float | None = None
    high: float | None = None


def random_inputs(kinds: Mapping[str, InputKind], seed: int = DEFAULT_SEED) -> Arrays:
    """One array per input, the same for the same ``seed`` on every computer.

    Integers are uniform in [low, high], by default their whole range, int64 that of int32, which
    is all that the vector unit takes; floats in [low, high), or
    standard normal.
    """
    return {
        name: _random_array(kind, np.random.default_rng([seed, position]))
        for position, (name, kind) in enumerate(kinds.items())
    }


def random_program_inputs(program: Program, seed: int = DEFAULT_SEED) -> Arrays:
    """One seeded random array per input of ``program``."""
    return random_inputs({a.name: InputKind(a.dtype, a.shape) for a in program.inputs}, seed)


def _random_array(kind: InputKind, generator: np.random.Generator) -> AnyArray:
    numpy_type = kind.dtype.numpy
    if not kind.dtype.is_float:
        limits = np.iinfo("int32" if kind.dtype is DType.i64 else numpy_type.name)
        low = limits.min if kind.low is None else int(kind.low)
        high = limits.max if kind.high is None else int(kind.high)
        values = generator.integers(low, high, kind.shape, np.int64, endpoint=True)
        return np.asarray(values.astype(numpy_type))
    if kind.low is not None and kind.high is not None:
        return np.asarray(generator.uniform(kind.low, kind.high, kind.shape).astype(numpy_type))
    return np.asarray(generator.standard_normal(kind.shape).astype(numpy_type))
