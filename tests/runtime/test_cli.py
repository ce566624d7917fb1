"""The frame of the command line: help, exit codes, messages, output that nobody reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from npuc.isa.errors import ModelError, NpucError
from npuc.isa.target import builtin_target_names
from npuc.runtime.cli import app as app_module
from npuc.runtime.cli.app import COMMANDS
from npuc.runtime.cli.failures import report
from tests.command_line import npuc

REPOSITORY = Path(__file__).resolve().parents[2]
ROOTS = os.pathsep.join(str(REPOSITORY / r) for r in ("isa", "compiler", "emulator", "runtime"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": ROOTS}


def reported(error: BaseException) -> tuple[int, list[str]]:
    said: list[str] = []
    return report(error, said.append), said


def raising(error: BaseException) -> object:
    def command() -> None:
        raise error

    return lambda _entry: command


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_help_of_every_command_shows_its_example(entry: app_module.Entry) -> None:
    outcome = npuc(entry.name, "--help")
    assert outcome.code == 0
    assert entry.example in outcome.out
    assert entry.summary in outcome.out
    assert outcome.err == ""


def test_top_help_lists_every_command() -> None:
    outcome = npuc("--help")
    assert outcome.code == 0
    for entry in COMMANDS:
        assert f"\n  {entry.name} " in outcome.out


def test_no_arguments_show_the_help_but_are_wrong_usage() -> None:
    outcome = npuc()
    assert outcome.code == 2
    assert outcome.out.startswith("Usage: npuc")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["frob"], "frob"),
        (["targets", "--frob"], "--frob"),
        (["targets", "surplus"], "surplus"),
        (["disasm"], "P.npu"),
        (["compile", "m.onnx", "-o", "p.npu", "-O7"], "7"),
        (["compile", "m.onnx", "-o"], "-o"),
    ],
)
def test_wrong_usage_is_code_2_and_points_to_help(arguments: list[str], expected: str) -> None:
    outcome = npuc(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert expected in outcome.err
    assert "--help" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_users_mistake_is_told_with_all_its_parts() -> None:
    error = ModelError("no such thing", "node conv1", "7", "1 to 3", "use another")
    code, said = reported(error)
    assert code == 2
    text = "\n".join(said)
    for part in ("error: no such thing", "node conv1", "7", "1 to 3", "use another"):
        assert part in text


@pytest.mark.parametrize("kind", NpucError.__subclasses__())
def test_every_kind_of_mistake_gets_a_next_step(kind: type[NpucError]) -> None:
    _, said = reported(kind("no such thing"))
    assert "next:" in said[-1]
    _, said = reported(kind("no such thing", next_step="do that"))
    assert said == ["error: no such thing\n     next: do that"]


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file or directory", "models/a.onnx"),
        PermissionError(13, "Permission denied", "models/a.onnx"),
        IsADirectoryError(21, "Is a directory", "models/a.onnx"),
    ],
)
def test_file_errors_are_the_users(error: OSError) -> None:
    code, said = reported(error)
    assert code == 2
    assert "models/a.onnx" in said[0]
    assert "next:" in said[0]


def test_a_defect_is_ours_in_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NPUC_DEBUG", raising=False)
    monkeypatch.setattr(app_module, "_load", raising(ValueError("index 3\nis odd")))
    outcome = npuc("targets")
    assert outcome.code == 70
    lines = outcome.err.splitlines()
    assert len(lines) == 2
    assert "ValueError: index 3" in lines[0]
    assert "NPUC_DEBUG=1" in lines[1]


def test_the_traceback_of_a_defect_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPUC_DEBUG", "1")
    monkeypatch.setattr(app_module, "_load", raising(ValueError("odd")))
    outcome = npuc("targets")
    assert outcome.code == 70
    assert "Traceback (most recent call last)" in outcome.err


def test_an_interruption_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "_load", raising(KeyboardInterrupt()))
    outcome = npuc("targets")
    assert (outcome.code, outcome.err) == (130, "interrupted\n")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    # More output than a pipe holds, and a reader that takes one byte of it.
    writer = (
        "import sys; from npuc.runtime.cli import app, main, console; "
        "app._load = lambda _: lambda: console.show_lines(['x' * 100] * 10000); "
        "sys.exit(main(['targets']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", writer], env=ENVIRONMENT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_light_commands_import_no_heavy_library() -> None:
    program = (
        "import sys; from npuc.runtime.cli import main; main(['--help']); main(['targets']); "
        "heavy = {'numba', 'onnx', 'xdsl', 'scipy', 'rich', 'onnxruntime'} & set(sys.modules); "
        "sys.exit(f'imported: {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_python_dash_m_is_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "npuc", "frob"], env=ENVIRONMENT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == npuc("frob").err


def test_targets_lists_every_machine() -> None:
    outcome = npuc("targets")
    assert outcome.code == 0
    listed = {line.split()[0] for line in outcome.out.splitlines()[2:]}
    assert listed == set(builtin_target_names())


def test_targets_as_json_are_plain_data() -> None:
    facts = json.loads(npuc("targets", "--json").out)
    assert {fact["name"] for fact in facts} == set(builtin_target_names())
    assert all(fact["mxu_rows"] > 0 for fact in facts)


def test_a_shown_target_can_be_used_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(npuc("targets", "--show", "tiny").out)
    outcome = npuc("targets", "--show", tmp_path / "mine.toml", "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out) == json.loads(npuc("targets", "--show", "tiny", "--json").out)


def test_version_is_shown() -> None:
    outcome = npuc("--version")
    assert outcome.code == 0
    assert outcome.out.startswith("npuc")
