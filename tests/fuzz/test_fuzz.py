"""Mutated files and random programs in small numbers; `make fuzz` judges many more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from npuc.isa import container
from npuc.isa.assembler import assemble
from npuc.isa.disassembler import disassemble
from tests.fuzz import bench
from tests.fuzz.judge import UnsoundError, judge_file, judge_program
from tests.fuzz.mutations import MUTATIONS
from tests.fuzz.seeds import seeds
from tests.fuzz.streams import CHOICE, MAX_STEPS, ProgramBuilder, built, random_steps

FEW, MANY = 100, 2000
DONE = ("ran", "ran, with findings")


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_mutated_files_are_refused_or_run_to_an_end(count: int) -> None:
    outcomes = [bench.file_case(number) for number in range(count)]
    assert len({sort for sort, _ in outcomes}) >= len(MUTATIONS) - 3
    assert any(outcome in DONE for _, outcome in outcomes)
    assert any(outcome == "refused: file" for _, outcome in outcomes)


def test_the_files_themselves_run() -> None:
    outcomes = [judge_file(data) for data in seeds()]
    assert outcomes[0] == "ran" and sum(outcome in DONE for outcome in outcomes) > 20


class Programs(RuleBasedStateMachine):
    """Appends to a program, step by step; in the end the program is judged."""

    def __init__(self) -> None:
        super().__init__()
        self.builder = ProgramBuilder()

    @rule(kind=st.sampled_from(CHOICE), seed=st.integers(0, 1 << 16))
    def add(self, kind: str, seed: int) -> None:
        self.builder.add(kind, seed)

    def teardown(self) -> None:
        program = self.builder.program()
        assert container.to_bytes(assemble(disassemble(program), "text")) == container.to_bytes(
            program
        )
        judge_program(program)


@pytest.mark.parametrize("count", [FEW // 4, pytest.param(MANY, marks=pytest.mark.slow)])
def test_random_programs_run_alike_on_both_paths(count: int) -> None:
    few = settings(max_examples=count, stateful_step_count=MAX_STEPS)
    run_state_machine_as_test(Programs, settings=few)


def test_most_random_programs_reach_their_end() -> None:
    outcomes = [bench.stream_case(number)[1] for number in range(40)]
    assert sum(outcome in DONE for outcome in outcomes) >= 20


def test_the_judge_sees_a_difference_and_shrinking_finds_the_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fast path that is wrong in one command is caught, and the program becomes that command."""
    from npuc.emulator.functional import fast

    real = fast.execute_mma

    def wrong(memory, core, work, weights):  # type: ignore[no-untyped-def]
        real(memory, core, work, weights)
        memory.acc[core][0] ^= 1

    monkeypatch.setattr(fast, "execute_mma", wrong)
    steps = [("scalar", 1), ("mma", 4), ("transfer", 2), ("nop", 3)]
    with pytest.raises(UnsoundError, match="acc 0 differs from byte 0"):
        judge_program(built(steps))
    assert bench.shrunk(steps, bench._fails) == [("mma", 4)]


def test_cases_are_the_same_every_time() -> None:
    first, second = (random_steps(np.random.default_rng([0, 3])) for _ in range(2))
    assert first == second == bench.steps_of(3)
    assert bench.file_case(5) == bench.file_case(5)


def test_a_report_goes_on_and_counts_what_was_mended() -> None:
    record = bench._fresh()
    bench._run("mutated files", record, 6, 60)
    bench._run("mutated files", record, 10, 60)
    whole = bench._fresh()
    bench._run("mutated files", whole, 10, 60)
    assert record["n"] == 10 and record["outcomes"] == whole["outcomes"]
    sort, outcome = bench.file_case(4)
    for counts, kind in ((record["sorts"], sort), (record["outcomes"], outcome)):
        counts[kind] -= 1
        counts["FAILED"] = 1
    record["failures"] = [{"number": 4, "error": "as it was"}]
    bench._retry("mutated files", record)
    counted = {kind: n for kind, n in record["outcomes"].items() if n}
    assert counted == whole["outcomes"] and record["failures"] == []
    assert [failure["number"] for failure in record["mended"]] == [4]
