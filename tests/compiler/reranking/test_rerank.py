"""-O3: the oracle decides, and nobody else; what is given stays; the search ends and says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from npuc.compiler.context import make_context
from npuc.compiler.driver import CompileResult, compile_ir, compile_model
from npuc.compiler.ir_text import print_module
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Pipeline
from npuc.compiler.reranking import rerank
from npuc.compiler.schedule.data import Schedule, parse_schedule
from npuc.isa.container import to_bytes
from npuc.isa.errors import ExecutionError
from npuc.isa.oracle import CycleOracle
from npuc.isa.program import Program
from npuc.runtime.building import build
from npuc.runtime.timing.oracle import TimingEngine
from tests.compiler.ops.cases import Case
from tests.e2e.random_graphs import graphs
from tests.e2e.whole_path import MNIST

MODEL = MNIST / "mnist_cnn_qdq_int8.onnx"
OPTIONS = CompileOptions("tiny", 3, {"batch": 1})


@dataclass
class Liar:
    """Says of every group how many instructions it has, or how many it lacks."""

    likes_many: bool
    asked: int = 0

    def group_cycles(self, program: Program) -> Mapping[str, int]:
        self.asked += 1
        cycles: dict[str, int] = {}
        for source in program.debug.sources:
            count = source.stop - source.start
            said = 10_000 - count if self.likes_many else count
            cycles[source.group] = cycles.get(source.group, 0) + said
        return cycles


class Decliner:
    """Can time nothing."""

    def group_cycles(self, program: Program) -> Mapping[str, int]:
        raise ExecutionError("no time today", given=program.target.name)


@dataclass
class Recorder:
    """The emulator's engine; ``totals`` are what it said, in order."""

    totals: list[int] = field(default_factory=list)

    def group_cycles(self, program: Program) -> Mapping[str, int]:
        cycles = TimingEngine().group_cycles(program)
        self.totals.append(sum(cycles.values()))
        return cycles


@pytest.fixture(autouse=True)
def few_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough to see what is decided, by whom."""
    monkeypatch.setattr(rerank, "MIN_TRIALS", 1)
    monkeypatch.setattr(rerank, "MAX_TRIALS", 6)


def compiled(oracle: CycleOracle | None, options: CompileOptions = OPTIONS) -> CompileResult:
    return compile_model(MODEL, options, Pipeline(oracle=oracle))


def program_of(result: CompileResult) -> Program:
    assert result.program is not None
    return result.program


def cycles_of(result: CompileResult) -> int:
    return sum(TimingEngine().group_cycles(program_of(result)).values())


def code_of(result: CompileResult) -> list[bytes]:
    return [code.tobytes() for code in program_of(result).code]


def said(result: CompileResult) -> str:
    return "\n".join(map(str, result.remarks.of(rerank.SOURCE)))


def instructions_of(result: CompileResult) -> int:
    return sum(len(code) for code in program_of(result).code)


def test_an_oracle_that_lies_changes_the_choice() -> None:
    few, many, honest = (compiled(o) for o in (Liar(False), Liar(True), TimingEngine()))
    assert instructions_of(few) < instructions_of(many)
    assert code_of(honest) not in (code_of(few), code_of(many))
    assert cycles_of(honest) < min(cycles_of(few), cycles_of(many))


def test_the_program_is_the_fastest_that_was_timed() -> None:
    recorder = Recorder()
    result = compiled(recorder)
    plain = compile_model(MODEL, replace(OPTIONS, level=2))
    assert recorder.totals[0] == cycles_of(plain), "the program of -O2 is the first"
    assert cycles_of(result) == min(recorder.totals) < recorder.totals[0]
    figures = dict(result.remarks.of(rerank.SOURCE)[-1].figures)
    assert figures == {
        "trials": len(recorder.totals),
        "cycles_before": recorder.totals[0],
        "cycles": min(recorder.totals),
    }
    assert " stays in SPM no more" in said(result)


def test_without_an_oracle_the_closed_form_serves() -> None:
    result, plain = compiled(None), compile_model(MODEL, replace(OPTIONS, level=2))
    assert "missed: no timing engine at hand: the closed form serves" in said(result)
    assert code_of(result) == code_of(plain)
    assert not plain.remarks.of(rerank.SOURCE)


def test_an_oracle_that_declines_is_no_failure() -> None:
    result = compiled(Decliner())
    assert "the timing engine declines, the closed form serves: no time today" in said(result)
    assert code_of(result) == code_of(compiled(None))


@pytest.mark.parametrize(("name", "value"), [("MAX_TRIALS", 3), ("MAX_STEPS", 90)])
def test_a_spent_budget_is_told(monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> None:
    monkeypatch.setattr(rerank, name, value)
    recorder = Recorder()
    result = compiled(recorder)
    assert "stopped early after" in said(result)
    assert "not tried: " in said(result)
    assert len(recorder.totals) <= 4, "the replay of the best comes after the trials"
    assert cycles_of(result) == min(recorder.totals)


def test_the_schedule_taken_is_in_the_program_and_replays_at_level_2(tmp_path: Path) -> None:
    result = compiled(TimingEngine())
    path = tmp_path / "s.json"
    path.write_text(program_of(result).debug.schedule_json, encoding="utf-8")
    replayed = compile_model(MODEL, replace(OPTIONS, level=2, schedule=path))
    assert code_of(replayed) == code_of(result)
    asked = Liar(True)
    again = compiled(asked, replace(OPTIONS, schedule=path))
    assert code_of(again) == code_of(result)
    assert asked.asked == 1
    assert "the schedule file decides every group: nothing is re-ranked" in said(again)


def test_what_the_file_gives_is_kept_and_the_rest_re_ranked(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(Schedule((), (), ()).to_json(), encoding="utf-8")
    whole = program_of(compiled(None, replace(OPTIONS, schedule=path))).debug.schedule_json
    given = Schedule(parse_schedule(whole, "text").groups[:3], (), ())
    path.write_text(given.to_json(), encoding="utf-8")
    liar = Liar(True)
    result = compiled(liar, replace(OPTIONS, schedule=path))
    kept = parse_schedule(program_of(result).debug.schedule_json, "text")
    assert liar.asked > 2
    assert kept.resident == () and kept.stripes == ()
    for group in given.groups:
        assert kept.find(group.nodes, group.shape) == group


def test_what_the_file_has_for_nothing_in_the_model_is_told(tmp_path: Path) -> None:
    known = parse_schedule(program_of(compiled(None)).debug.schedule_json, "text")
    stranger = replace(known.groups[0], nodes=("nobody",))
    path = tmp_path / "s.json"
    path.write_text(Schedule((known.groups[0], stranger), None, None).to_json(), encoding="utf-8")
    result = compiled(Liar(True), replace(OPTIONS, schedule=path))
    figures = dict(result.remarks.of(rerank.SOURCE)[-1].figures)
    assert figures["cycles"] < figures["cycles_before"], "re-ranked nevertheless"
    told = [r for r in result.remarks.of("schedule-groups") if "suits nothing" in r.message]
    assert [r.nodes for r in told] == [("nobody",)]


@pytest.mark.parametrize("stage", ["partition", "schedule"])
def test_a_resumed_compilation_is_re_ranked(stage: str) -> None:
    early = compile_model(MODEL, replace(OPTIONS, stop_after="partition"))
    assert not early.remarks.of(rerank.SOURCE), "nothing to re-rank before the schedule"
    ctx = make_context(replace(OPTIONS, start_from=stage))
    ctx.consts = early.ctx.consts
    result = compile_ir(print_module(early.module), ctx, Pipeline(oracle=Liar(True)))
    assert code_of(result) == code_of(compiled(Liar(True)))


def test_the_same_bytes_each_time() -> None:
    one, other = (program_of(compiled(Liar(True))) for _ in range(2))
    assert to_bytes(one) == to_bytes(other)


@settings(max_examples=3)
@given(case=graphs("qdq"))
def test_never_slower_than_level_2(case: Case) -> None:
    model = case.model.SerializeToString()
    for target in ("tiny", "edge"):
        cycles = [cycles_of(build(model, CompileOptions(target, level))) for level in (2, 3)]
        assert cycles[1] <= cycles[0]
