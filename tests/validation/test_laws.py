"""Laws of time on compiled programs and random streams, and that the checks can fail."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from npuc.emulator.timing import Account, time_streams
from npuc.isa.target import load_target
from npuc.runtime.sample_data import QDQ_INT8
from tests.validation.oracle import cycles
from tests.validation.programs import (
    Case,
    compiled,
    compiled_cases,
    compiled_network,
    compiled_on_cores,
)
from tests.validation.properties import (
    MOST_EXCEPTIONS,
    Found,
    bounds,
    committed_exceptions,
    improvements,
    is_accounted,
    random_cases,
    serial_bound,
    uncovered,
)


def check(found: Found) -> None:
    assert found.cases and found.improved
    assert set(found.below.values()) == {0}
    assert (found.above, found.unaccounted) == (0, 0)
    assert uncovered(found.slower) == []


def checked(cases: Iterable[Case]) -> None:
    found = Found()
    for case in cases:
        found.add(case)
    check(found)


def test_compiled_digits_keep_every_law() -> None:
    checked([compiled(QDQ_INT8, "edge"), compiled(QDQ_INT8, "tiny", level=1)])


def test_digits_split_over_cores_keep_every_law() -> None:
    case = compiled_on_cores(2, batch=2)
    assert len(case.streams) == 2 and all(len(stream) for stream in case.streams)
    checked([case])
    ours, theirs = cycles(case)
    assert abs(ours / theirs - 1) <= 0.02


def test_random_streams_keep_every_law() -> None:
    checked(random_cases(seeds=(1,)))


@pytest.mark.slow
def test_all_digits_and_more_random_streams_keep_every_law() -> None:
    checked([*compiled_cases(), *random_cases()])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["light_squeezenet", "mobilenet_v2"])
def test_compiled_networks_keep_every_law(name: str) -> None:
    found = Found()
    found.add(compiled_network(name))
    check(found)


def test_exceptions_are_few_and_explained() -> None:
    exceptions = committed_exceptions()
    assert 0 < len(exceptions) <= MOST_EXCEPTIONS
    for exception in exceptions:
        assert str(exception["why"]).endswith(".")
        assert 0 < float(str(exception["most_percent"])) <= 2
        assert exception["more"] in improvements(load_target("edge"))
    assert not any(e["more"].startswith("dram") for e in exceptions), "bandwidth never slows"


def test_an_exception_covers_only_what_it_names() -> None:
    found = {"case": "pipeline, 1 core, edge", "cycles": 1000, "with_more": 1010}
    assert uncovered([{**found, "more": "ctl.queue_depth"}]) == []
    for slower in (
        {**found, "more": "dram.bytes_per_cycle"},
        {**found, "more": "ctl.queue_depth", "with_more": 1016},
        {**found, "more": "ctl.queue_depth", "case": "digits int8, batch 1, -O2, edge"},
    ):
        assert uncovered([slower]) == [slower]


def test_the_checks_see_what_is_wrong() -> None:
    case = compiled(QDQ_INT8, "edge")
    timing = time_streams(case.program, case.streams, case.target)
    assert is_accounted(timing)
    wrong = timing.accounting.copy()
    wrong[0, 1, Account.idle] += 1
    assert not is_accounted(replace(timing, accounting=wrong))
    moved = timing.accounting.copy()
    moved[0, 4, Account.busy] -= 1
    moved[0, 4, Account.idle] += 1
    assert not is_accounted(replace(timing, accounting=moved))
    assert max(bounds(timing).values()) > timing.wall_cycles / 10, "the bounds mean something"
    assert serial_bound(timing) < 10 * timing.wall_cycles
