"""Stated bounds of the vector functions: the measured figures, and a sample that repeats them."""

from collections.abc import Iterator

import numpy as np
import pytest

from npuc.emulator.functional.elementary_kernels import ELEMENTARY
from npuc.isa.microops import BY_NAME
from npuc.isa.numerics.accuracy import BOUNDS_ULP, measured
from tests.bench.ulp import REFEREES, accuracy, every_float, machine_function

STRATUM = 1 << 13  # one argument out of each so many neighbours
HOST = 1e-6  # float64 functions differ a little from host to host


def sample(seed: int) -> Iterator[np.ndarray]:
    """One random argument of each stratum, ascending, one sign in each block."""
    starts = np.arange(0, 1 << 32, STRATUM, dtype=np.uint64)
    within = np.random.default_rng(seed).integers(STRATUM, size=len(starts), dtype=np.uint64)
    words = (starts + within).astype(np.uint32)
    return iter(np.split(words.view(np.float32), 16))


def test_every_function_has_been_measured_over_all_arguments() -> None:
    figures = measured()
    assert figures.keys() == BOUNDS_ULP.keys() == REFEREES.keys()
    assert all(figure.arguments == 1 << 32 for figure in figures.values())


@pytest.mark.parametrize("name", BOUNDS_ULP)
def test_measured_errors_keep_the_bound(name: str) -> None:
    figure = measured()[name]
    assert max(figure.worst_ulp, figure.worst_subnormal_ulp) <= BOUNDS_ULP[name] + HOST
    assert figure.wrong_special == 0
    assert name == "erf" or not figure.order_breaks
    if BOUNDS_ULP[name] == 0.5:
        assert figure.not_nearest == 0


@pytest.mark.parametrize("name", BOUNDS_ULP)
def test_a_sample_confirms_what_was_measured(name: str) -> None:
    figure, found = measured()[name], accuracy(name, sample(7))
    assert found.arguments == (1 << 32) // STRATUM and found.wrong_special == 0
    assert 0.4 < found.worst_ulp <= figure.worst_ulp + HOST
    assert found.worst_subnormal_ulp <= figure.worst_subnormal_ulp + HOST
    expected = figure.not_nearest / STRATUM
    assert abs(found.not_nearest - expected) <= 6 * np.sqrt(expected + 1)


@pytest.mark.parametrize("name", BOUNDS_ULP)
def test_the_worst_arguments_are_as_bad_as_stated(name: str) -> None:
    figure = measured()[name]
    pairs = ((figure.worst_bits, figure.worst_ulp),
             (figure.worst_subnormal_bits, figure.worst_subnormal_ulp))  # fmt: skip
    for bits, stated in pairs:
        again = accuracy(name, iter([np.array([bits], np.uint32).view(np.float32)]))
        assert max(again.worst_ulp, again.worst_subnormal_ulp) == pytest.approx(stated, abs=HOST) \
            or stated == 0  # fmt: skip


@pytest.mark.parametrize("name", ELEMENTARY)
def test_the_measured_functions_are_those_of_the_definition(name: str) -> None:
    for x in sample(11):
        expected = BY_NAME[name].meaning(x[::4])
        assert machine_function(name)(x[::4].copy()).tobytes() == expected.tobytes()


def test_all_arguments_means_all() -> None:
    blocks = every_float()
    first = next(blocks).view(np.uint32)
    second = next(blocks).view(np.uint32)
    assert (first[0], second[0]) == (0, len(first)) and len(first) == len(second)
