"""One recorded run under other machines, and why some of them refuse it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from npuc import api
from npuc.emulator.machine import LoadedProgram
from npuc.isa import container
from npuc.isa.errors import BinaryError, UsageError
from npuc.isa.program import Program
from npuc.isa.target import Target, load_target, target_text
from npuc.runtime.files import save_arrays
from npuc.runtime.profiling import profile_program, report_of
from npuc.runtime.sample_data import QDQ_INT8, sample_model
from npuc.runtime.timing.recording import record, refuse_impossible
from npuc.runtime.timing.retiming import bound_of, layer_delta_rows, retime, retiming_rows
from tests.command_line import npuc
from tests.emulator.programs import tiled_product
from tests.emulator.test_stepwise import DATA, copy_rows

EDGE = load_target("edge")


@pytest.fixture(scope="module")
def digits() -> Program:
    program = api.compile(sample_model(QDQ_INT8), "edge", dims={"batch": 1}).program
    assert program is not None
    return program


def slower(target: Target) -> Target:
    return replace(target, name="slow", dram=replace(target.dram, bytes_per_cycle=2.0))


def test_retiming_equals_profiling_on_that_target(digits: Program) -> None:
    base = profile_program(digits)
    targets = (replace(EDGE, name="like edge"), slower(EDGE), load_target("server"))
    for target, again in zip(targets, retime(base, targets), strict=True):
        assert again.report is not None
        alone = profile_program(digits, target)
        assert again.report.cycles == alone.cycles
        assert again.report.layers == alone.layers
        assert again.report.energy == alone.energy
    assert profile_program(digits, slower(EDGE)).cycles > base.cycles


def test_no_value_is_computed(digits: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("values were computed")

    monkeypatch.setattr(LoadedProgram, "run", refuse)
    assert retime(profile_program(digits), [slower(EDGE)])[0].report is not None


def test_commands_that_depend_on_inputs_are_recorded_in_one_run() -> None:
    program = copy_rows()
    with pytest.raises(UsageError, match="depend on its inputs"):
        record(program)
    recording = record(program, {"x": DATA, "rows": np.array(3)})
    base = report_of(recording)
    (again,) = retime(base, [slower(program.target)])
    assert len(recording.streams[0]) == 1 + 3 * 3
    assert again.report is not None and again.report.cycles >= base.cycles > 0


def test_too_little_memory_is_refused_with_the_command_that_needs_it(digits: Program) -> None:
    with pytest.raises(UsageError) as caught:
        refuse_impossible(record(digits), load_target("tiny"))
    text = str(caught.value)
    assert "compiled for edge, cannot run on tiny: a view leaves acc" in text
    assert "allowed: 0 to 8192" in text and "instruction" in text and "node" in text
    assert "compile the model again for tiny" in text


def test_a_missing_extension_is_refused_by_its_letter(digits: Program) -> None:
    needy = replace(digits, extensions=("F",))
    assert "F" in needy.target.extensions
    with pytest.raises(UsageError, match="needs extension F"):
        refuse_impossible(record(needy), replace(EDGE, name="plain", extensions=()))


def test_idle_cores_are_no_reason_to_refuse() -> None:
    program, _, _ = tiled_product()
    halt = program.code[0][-1:]
    wide = replace(
        program,
        code=(program.code[0], halt),
        target=replace(program.target, cores=2),
    )
    assert profile_program(wide, program.target).cycles == profile_program(program).cycles


def test_two_working_cores_do_not_fit_one(digits: Program) -> None:
    twice = replace(
        digits, code=(digits.code[0], digits.code[0]), target=replace(EDGE, cores=2, name="pair")
    )
    with pytest.raises(UsageError, match="more cores than the machine has"):
        refuse_impossible(record(twice), EDGE)


def test_tables_hold_cycles_changes_and_bounds(digits: Program) -> None:
    base = profile_program(digits)
    others = retime(base, [load_target("tiny"), slower(EDGE)])
    summary, layers = retiming_rows(base, others), layer_delta_rows(base, others)
    assert [row[0] for row in summary.rows] == ["edge", "tiny", "slow"]
    assert summary.rows[1][1] == "impossible"
    slow = others[1].report
    assert slow is not None
    assert summary.rows[2][1] == slow.cycles and summary.rows[2][-1] == bound_of(slow)
    for row, before, after in zip(layers.rows, base.layers, slow.layers, strict=True):
        assert row[1] == before.cycles and row[3] == after.cycles
        assert row[4] == f"{after.cycles / before.cycles - 1:+.1%}"
        assert row[5] == after.bound_by


def test_each_machine_is_shown_once(digits: Program) -> None:
    base = profile_program(digits)
    others = retime(base, [EDGE, slower(EDGE), EDGE, slower(EDGE)])
    assert [other.target.name for other in others] == ["slow"]
    assert [row[0] for row in retiming_rows(base, others).rows] == ["edge", "slow"]
    assert retime(base, [EDGE]) == ()


def test_report_of_a_recording_needs_no_second_control_pass(digits: Program) -> None:
    recording = record(digits)
    assert np.array_equal(
        report_of(recording).timing.accounting, profile_program(digits).timing.accounting
    )


def test_command_line(digits: Program, tmp_path: Path) -> None:
    path, slow = tmp_path / "digits.npu", tmp_path / "slow.toml"
    container.save(digits, path)
    text = target_text("edge").replace("bytes_per_cycle = 16.0", "bytes_per_cycle = 2.0")
    slow.write_text(text, encoding="utf-8")
    outcome = npuc("profile", path, "--retime", f"tiny,{slow}")
    assert outcome.code == 0, outcome.err
    for words in ("one run under several machines", "impossible", "cannot run on tiny", "change"):
        assert words in outcome.out
    data = json.loads(npuc("profile", path, "--retime", f"tiny,{slow}", "--json").out)
    tiny, other = data["retiming"]["retimed"]
    assert "cannot run on tiny" in tiny["impossible"]
    assert (
        other["cycles"] == profile_program(digits, load_target(str(slow))).cycles > data["cycles"]
    )


def test_command_line_takes_inputs_for_such_a_program(tmp_path: Path) -> None:
    container.save(copy_rows(), tmp_path / "rows.npu")
    save_arrays(tmp_path / "in.npz", {"x": DATA, "rows": np.array(2)})
    refused = npuc("profile", tmp_path / "rows.npu")
    assert refused.code == 2 and "depend on its inputs" in refused.err
    outcome = npuc("profile", tmp_path / "rows.npu", "--input", tmp_path / "in.npz")
    assert outcome.code == 0, outcome.err
    ran = npuc("run", tmp_path / "rows.npu", "--input", tmp_path / "in.npz", "--json")
    assert f"{json.loads(ran.out)['cycles']:,} cycles" in outcome.out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--retime", "tiny"), "cannot run on tiny"),
        (("--retime", "edge,nosuch"), "unknown target"),
        (("--retime", "edge,"), "unknown target"),
        (("--timing-convention", "gem5"), "scalesim-ws, scalesim-os, scalesim-is, onnxim"),
    ],
)
def test_bad_usage(digits: Program, tmp_path: Path, given: tuple[str, str], said: str) -> None:
    path = tmp_path / "digits.npu"
    container.save(digits, path)
    outcome = npuc("profile", path, *given)
    assert outcome.code == 2
    assert said in outcome.err and "Traceback" not in outcome.err


def test_inputs_of_a_model_are_refused() -> None:
    outcome = npuc("profile", sample_model(QDQ_INT8), "--dim", "batch=1", "--input", "x.npz")
    assert outcome.code == 2 and "leave it out" in outcome.err


def test_without_an_energy_table_a_run_is_timed_and_says_so(
    digits: Program, tmp_path: Path
) -> None:
    text = target_text("edge")
    (tmp_path / "bare.toml").write_text(text[: text.index("[[energy]]")], encoding="utf-8")
    container.save(digits, tmp_path / "digits.npu")
    outcome = npuc("profile", tmp_path / "digits.npu", "--target", tmp_path / "bare.toml")
    assert outcome.code == 0, outcome.err
    assert f"{profile_program(digits).cycles:,} cycles" in outcome.out
    assert "energy: unknown: the target has no energy table" in outcome.out


def test_machines_with_as_much_of_everything_are_not_checked_again(
    digits: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = record(digits)

    def refuse(*_: object) -> None:
        raise BinaryError("checked again")

    monkeypatch.setattr("npuc.runtime.timing.recording.decode", refuse)
    refuse_impossible(recording, slower(EDGE))
    for less in (
        replace(EDGE, spm=replace(EDGE.spm, capacity_bytes=EDGE.spm.capacity_bytes // 2)),
        replace(EDGE, acc=replace(EDGE.acc, capacity_bytes=EDGE.acc.capacity_bytes // 2)),
        replace(EDGE, extensions=()),
    ):
        with pytest.raises(UsageError, match="checked again"):
            refuse_impossible(recording, less)
