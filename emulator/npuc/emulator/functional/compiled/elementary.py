"""Elementary functions over rows of values: those of NumPy's way, as leaves.

NOTE: each names its kernel as a global: numba would look up the cached code of a closure over
compiled functions by their identity, and never find it.
"""

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from npuc.emulator.functional import elementary_kernels as kernels
from npuc.emulator.functional.compiled.leaves import Leaf, leaf
from npuc.emulator.functional.compiled.native import carray

Words = npt.NDArray[Any]


@leaf("FFFFnn")
def _exp2(out: Words, a: Words, b: Words, c: Words, count: int, extra: int) -> None:
    kernels.exp2(carray(out, count), carray(a, count))


@leaf("FFFFnn")
def _log2(out: Words, a: Words, b: Words, c: Words, count: int, extra: int) -> None:
    kernels.log2(carray(out, count), carray(a, count))


@leaf("FFFFnn")
def _tanh(out: Words, a: Words, b: Words, c: Words, count: int, extra: int) -> None:
    kernels.tanh(carray(out, count), carray(a, count))


@leaf("FFFFnn")
def _erf(out: Words, a: Words, b: Words, c: Words, count: int, extra: int) -> None:
    kernels.erf(carray(out, count), carray(a, count))


@leaf("FFFFnn")
def _sin(out: Words, a: Words, b: Words, c: Words, count: int, extra: int) -> None:
    kernels.sin(carray(out, count), carray(a, count))


@leaf("FFFFnn")
def _cos(out: Words, a: Words, b: Words, c: Words, count: int, extra: int) -> None:
    kernels.cos(carray(out, count), carray(a, count))


ELEMENTARY: Mapping[str, Leaf] = {
    "exp2": _exp2, "log2": _log2, "tanh": _tanh, "erf": _erf, "sin": _sin, "cos": _cos,
}  # fmt: skip
