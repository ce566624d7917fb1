"""Every kind of bad input: code 2, a message with the next step, no traceback, nothing written."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from npuc.isa import container
from npuc.isa.container import files as container_files
from npuc.isa.target import builtin_target_names, target_text
from tests.command_line import Outcome, npuc
from tests.e2e.bad_models import BAD_MODELS, QDQ, one_large_mean
from tests.emulator.programs import tiled_product

# A program that does nothing, with one input and one output.
PROGRAM_TEXT = """
.target "tiny"
.model "copy"
.input "x" f32 [2, 3] at 0
.output "y" f32 [2, 3] at 0
.core 0 {
  halt
}
"""


def listing_of(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def refuses(folder: Path, says: tuple[str, ...], arguments: list[object]) -> Outcome:
    """The outcome of a command that must be refused and must leave ``folder`` as it was."""
    before = listing_of(folder)
    outcome = npuc(*arguments)
    shown = f"npuc {' '.join(map(str, arguments))}\n{outcome.err}"
    assert outcome.code == 2, shown
    assert outcome.out == "", shown
    assert "Traceback" not in outcome.err, shown
    assert "next:" in outcome.err, shown
    for words in says:
        assert words in outcome.err, f"no {words!r} in:\n{shown}"
    assert listing_of(folder) == before, shown
    return outcome


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A valid program file of the tiny target, made by the assembler."""
    source = tmp_path / "copy.s"
    source.write_text(PROGRAM_TEXT)
    outcome = npuc("asm", source, "-o", tmp_path / "copy.npu")
    assert outcome.code == 0, outcome.err
    return tmp_path / "copy.npu"


# --- models -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", BAD_MODELS)
def test_bad_model(tmp_path: Path, case: str) -> None:
    make, says = BAD_MODELS[case]
    folder = tmp_path / "models"
    folder.mkdir()
    make(folder / "model.onnx")
    refuses(folder, says, ["compile", folder / "model.onnx", "-o", folder / "p.npu"])


@pytest.mark.parametrize("command", ["verify", "profile"])
def test_bad_model_of_other_commands(tmp_path: Path, command: str) -> None:
    BAD_MODELS["truncated"][0](tmp_path / "model.onnx")
    refuses(tmp_path, ("ONNX",), [command, tmp_path / "model.onnx"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(QDQ.read_bytes())
    path.chmod(0)
    refuses(tmp_path, ("model.onnx",), ["compile", path, "-o", tmp_path / "p.npu"])


def test_output_in_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    output = tmp_path / "nowhere" / "p.npu"
    refuses(tmp_path, ("nowhere",), ["compile", QDQ, "-o", output, "--dim", "batch=1"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--dim", "batch"], ("--dim", "batch=1")),
        (["--dim", "batch=0"], ("--dim", "batch=0")),
        (["--dim", "batch=1", "--dim", "rows=2"], ("rows",)),
        (["--shape", "x=1x28x28"], ("x",)),
        (["--shape", "z=1x1x28x28"], ("z",)),
        (["--shape", "x=1x3x28x28"], ("x",)),
        (["--dim", "batch=1", "--stop-after", "nowhere"], ("nowhere", "quantize")),
        (["--dim", "batch=1", "--print-after", "nowhere"], ("nowhere", "quantize")),
        (["--dim", "batch=1", "--start-from", "nowhere"], ("nowhere", "quantize")),
        (["--dim", "batch=1", "--target", "nowhere"], ("nowhere", "edge")),
        (["--dim", "batch=1", "--schedule", "nowhere.json"], ("nowhere.json",)),
        (["--dim", "batch=1", "--load", "nowhere.py"], ("nowhere.py",)),
        (["--dim", "batch=1", "-O9"], ("9",)),
    ],
)
def test_bad_options_of_compile(tmp_path: Path, options: list[str], says: tuple[str, ...]) -> None:
    refuses(tmp_path, says, ["compile", QDQ, "-o", tmp_path / "p.npu", *options])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no json", ("JSON",)),
        ("[]", ("version",)),
        ('{"version": 999, "groups": []}', ("999",)),
        ('{"version": 2, "groups": [{"nodes": []}]}', ("group 0",)),
    ],
)
def test_bad_schedule(tmp_path: Path, text: str, says: tuple[str, ...]) -> None:
    schedule = tmp_path / "s.json"
    schedule.write_text(text)
    command = ["compile", QDQ, "-o", tmp_path / "p.npu", "--dim", "batch=1"]
    refuses(tmp_path, ("s.json", *says), [*command, "--schedule", schedule])


A_PASS = """
from dataclasses import dataclass
from npuc.compiler.xdsl_api import ModulePass

@dataclass(frozen=True)
class Nothing(ModulePass):
    name = "nothing"

    def apply(self, ctx, op):
        pass

"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def extend(:", ("line 1",)),
        ("import no_such_module_anywhere", ("ModuleNotFoundError",)),
        ("x = 1", ("no pass",)),
        (A_PASS, ("extend",)),
        (A_PASS + "def extend(pipeline):\n    return 3", ("int", "Pipeline")),
        (A_PASS + "def extend(pipeline):\n    raise KeyError('gone')", ("KeyError",)),
        (A_PASS + "def extend(pipeline):\n    return pipeline.remove('gone')", ("gone", "fuse")),
    ],
)
def test_bad_plug_in(tmp_path: Path, text: str, says: tuple[str, ...]) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(text)
    command = ["compile", QDQ, "-o", tmp_path / "p.npu", "--dim", "batch=1", "--load", plugin]
    refuses(tmp_path, says, command)


# --- targets ------------------------------------------------------------------------------------


def changed(key: str, value: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        lines = text.splitlines()
        rows = [i for i, line in enumerate(lines) if line.split("=")[0].strip() == key]
        assert rows, f"no key {key}"
        lines[rows[0]] = f"{key} = {value}" if value else ""
        return "\n".join(lines) + "\n"

    return change


BAD_TARGETS: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "syntax": (lambda text: text + "\n[spm", ("TOML",)),
    "empty": (lambda _: "", ("missing key",)),
    "missing key": (changed("rows", ""), ("mxu.rows", "missing")),
    "unknown key": (lambda text: "frobs = 3\n" + text, ("frobs",)),
    "wrong type": (changed("rows", '"many"'), ("mxu.rows", "many")),
    "out of range": (changed("rows", "0"), ("mxu.rows", "0")),
    "contradiction": (changed("banks", "3"), ("spm.banks", "3")),
}


@pytest.mark.parametrize("case", BAD_TARGETS)
@pytest.mark.parametrize("command", ["compile", "targets"])
def test_broken_target_file(tmp_path: Path, case: str, command: str) -> None:
    change, says = BAD_TARGETS[case]
    file = tmp_path / "mine.toml"
    file.write_text(change(target_text("tiny")))
    compile_it = ["compile", QDQ, "-o", tmp_path / "p.npu", "--dim", "batch=1", "-t", file]
    arguments = compile_it if command == "compile" else ["targets", "--show", file]
    refuses(tmp_path, ("mine.toml", *says), arguments)


def test_target_too_small_names_bytes_and_tensor(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(changed("capacity_bytes", "1024")(target_text("tiny")))
    model = tmp_path / "model.onnx"
    one_large_mean(model)
    command = ["compile", model, "-o", tmp_path / "p.npu", "-t", file]
    refuses(tmp_path, ("1024", "bytes", "node_y"), command)


# --- programs -----------------------------------------------------------------------------------


def sections_of(data: bytes) -> dict[str, tuple[int, int]]:
    """Offset and size of each section, read from the ELF headers alone."""
    (table,) = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    rows = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * size) for i in range(count)]
    names_at = rows[names][4]
    found = {}
    for row in rows[1:]:
        start = names_at + row[0]
        found[data[start : data.index(b"\0", start)].decode()] = (row[4], row[5])
    return found


def test_damage_in_any_section_is_found_and_named(tmp_path: Path) -> None:
    program, broken = tmp_path / "product.npu", tmp_path / "broken.npu"
    container.save(tiled_product()[0], program)
    data = program.read_bytes()
    sections = {name: place for name, place in sections_of(data).items() if place[1]}
    tables = {f".npuc.{name}" for name in ("views", "maps", "kernels", "params", "const", "args")}
    assert {".text.core0", ".npuc.target", ".note.npuc", ".npuc.debug.sources"} <= set(sections)
    assert tables <= set(sections)
    for name, (offset, size) in sections.items():
        # A damaged checksum looks like damage of the section that it belongs to.
        shown = "checksum" if name == ".npuc.checksums" else name
        for position in sorted({offset, offset + size // 2, offset + size - 1}):
            damaged = bytearray(data)
            damaged[position] ^= 0x55
            broken.write_bytes(damaged)
            for command in ("run", "disasm", "objdump", "profile"):
                refuses(tmp_path, ("section", shown), [command, broken])


@pytest.mark.parametrize("keep", [0, 3, 64, 0.5, 0.99])
def test_truncated_program(program: Path, keep: float) -> None:
    data = program.read_bytes()
    kept = int(keep * len(data)) if isinstance(keep, float) else keep
    program.write_bytes(data[:kept])
    refuses(program.parent, (program.name,), ["run", program])


@pytest.mark.parametrize("case", ["missing", "folder", "text", "npz"])
def test_not_a_program(tmp_path: Path, case: str) -> None:
    path = tmp_path / "p.npu"
    if case == "folder":
        path.mkdir()
    elif case == "text":
        path.write_text("hello")
    elif case == "npz":
        np.savez(tmp_path / "p", x=np.zeros(3))
        (tmp_path / "p.npz").rename(path)
    refuses(tmp_path, ("p.npu",), ["run", path])


def test_program_for_another_machine(program: Path) -> None:
    data = bytearray(program.read_bytes())
    data[18:20] = struct.pack("<H", 62)
    program.write_bytes(data)
    refuses(program.parent, ("machine", "0x3e"), ["run", program])


@pytest.mark.parametrize("part", [0, 1])
def test_program_of_a_newer_version(
    program: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    current = container_files.VERSION
    newer = tuple(number + (i == part) for i, number in enumerate(current))
    with monkeypatch.context() as patch:
        patch.setattr(container_files, "VERSION", newer)
        made = npuc("asm", program.with_suffix(".s"), "-o", program)
        assert made.code == 0, made.err
    refuses(program.parent, (".".join(map(str, newer)),), ["run", program])


# --- inputs of a run ----------------------------------------------------------------------------

GOOD = {"x": np.zeros((2, 3), np.float32)}
BAD_INPUTS: dict[str, tuple[dict[str, np.ndarray], tuple[str, ...]]] = {
    "wrong name": ({"z": GOOD["x"]}, ("z", "x")),
    "surplus": ({**GOOD, "z": GOOD["x"]}, ("z",)),
    "none": ({}, ("x",)),
    "wrong shape": ({"x": np.zeros((3, 2), np.float32)}, ("x", "3", "2")),
    "wrong rank": ({"x": np.zeros(6, np.float32)}, ("x", "6")),
    "wrong type": ({"x": np.zeros((2, 3), np.float64)}, ("x", "float64")),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_of_a_run(program: Path, case: str) -> None:
    arrays, says = BAD_INPUTS[case]
    np.savez(program.with_name("in.npz"), **arrays)
    output = program.with_name("out.npz")
    arguments = ["run", program, "--input", program.with_name("in.npz"), "--output", output]
    refuses(program.parent, says, arguments)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(50)])
def test_input_file_that_is_no_archive(program: Path, content: bytes) -> None:
    program.with_name("in.npz").write_bytes(content)
    arguments = ["run", program, "--input", program.with_name("in.npz")]
    refuses(program.parent, ("in.npz", ".npz"), arguments)


def test_input_and_no_values_contradict(program: Path) -> None:
    arguments = ["run", program, "--no-values", "--output", program.with_name("out.npz")]
    refuses(program.parent, ("--no-values",), arguments)


# --- text ---------------------------------------------------------------------------------------

BAD_ASSEMBLY: dict[str, tuple[str, tuple[str, ...]]] = {
    "empty": ("", ("target",)),
    "syntax": ('.target "tiny"\n.core 0 {\n  add r1 r2\n}\n', ("line 3", "column 10")),
    "unclosed": ('.target "tiny"\n.core 0 {\n  halt\n', ("line",)),
    "unknown instruction": ('.target "tiny"\n.core 0 {\n  frob r1\n}\n', ("line 3", "frob")),
    "unknown label": ('.target "tiny"\n.core 0 {\n  jump gone\n  halt\n}\n', ("line 3", "gone")),
    "unknown target": ('.target "huge"\n.core 0 {\n  halt\n}\n', ("huge", "edge")),
    "register out of range": ('.target "tiny"\n.core 0 {\n  add r1, r99, 1\n}\n', ("line 3", "99")),
}


@pytest.mark.parametrize("case", BAD_ASSEMBLY)
def test_bad_assembly(tmp_path: Path, case: str) -> None:
    text, says = BAD_ASSEMBLY[case]
    source = tmp_path / "x.s"
    source.write_text(text)
    refuses(tmp_path, ("x.s", *says), ["asm", source, "-o", tmp_path / "p.npu"])


def test_assembly_syntax_error_says_what_was_expected(tmp_path: Path) -> None:
    source = tmp_path / "x.s"
    source.write_text(BAD_ASSEMBLY["syntax"][0])
    outcome = refuses(tmp_path, (), ["asm", source, "-o", tmp_path / "p.npu"])
    assert "allowed:" in outcome.err


def test_assembly_that_is_no_text(tmp_path: Path) -> None:
    source = tmp_path / "x.s"
    source.write_bytes(b"\xff\xfe\x00")
    refuses(tmp_path, ("x.s", "UTF-8"), ["asm", source, "-o", tmp_path / "p.npu"])


def test_unknown_group_of_a_program(program: Path) -> None:
    refuses(program.parent, ("conv9",), ["disasm", program, "--group", "conv9"])


EMPTY_GRAPH = 'builtin.module { nn.graph "g" args [] results [] { nn.return } }'
BAD_IR: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "syntax": ("builtin.module {", "form-groups", ("x.mlir",)),
    "unknown operation": ('builtin.module { "no.such"() : () -> () }', "form-groups", ("no.such",)),
    "open string": (
        "builtin.module {\n" + '  "a" // "b"\n' * 30 + '  nn.constant "open\n}',
        "form-groups",
        ("line 32", "does not end"),
    ),
    "no graph": ("builtin.module {}", "form-groups", ("nn.graph",)),
    "unknown pass": (EMPTY_GRAPH, "no-such-pass", ("no-such-pass", "form-groups")),
    "bad pass string": (EMPTY_GRAPH, "form-groups{", ("form-groups{",)),
    "unknown pass option": (EMPTY_GRAPH, "form-groups{frobs=3}", ("frobs",)),
}


@pytest.mark.parametrize("case", BAD_IR)
def test_bad_ir(tmp_path: Path, case: str) -> None:
    text, passes, says = BAD_IR[case]
    source = tmp_path / "x.mlir"
    source.write_text(text)
    refuses(tmp_path, says, ["opt", source, "-p", passes, "-o", tmp_path / "y.mlir"])


# --- files that a command reads and writes ------------------------------------------------------

IN_USE: dict[str, list[str]] = {
    "model": ["compile", "m.onnx", "-o", "m.onnx"],
    "dump into the model": ["compile", "m.onnx", "-o", "p.npu", "--dump-schedule", "m.onnx"],
    "schedule": ["compile", "m.onnx", "--schedule", "k.json", "-o", "k.json"],
    "both outputs": ["compile", "m.onnx", "-o", "s.json", "--dump-schedule", "./s.json"],
    "replayed into the program": [
        "compile", "m.onnx", "--schedule", "k.json", "-o", "k.json", "--dump-schedule", "k.json"
    ],
    "link to the model": ["compile", "m.onnx", "-o", "link.onnx"],
    "hard link to the model": ["compile", "m.onnx", "-o", "hard.onnx"],
    "plug-in": ["compile", "m.onnx", "--load", "x.py", "-o", "x.py"],
    "target": ["compile", "m.onnx", "--target", "t.toml", "-o", "t.toml"],
    "IR": ["compile", "g.mlir", "--start-from", "fuse", "--stop-after", "fuse", "-o", "g.mlir"],
    "constants beside the IR": [
        "compile", "m.onnx", "--load", "g.consts.npz", "--stop-after", "fuse", "-o", "g.mlir"
    ],
    "IR of opt": ["opt", "g.mlir", "-p", "form-groups", "-o", "g.mlir"],
    "constants of opt": [
        "opt", "m.mlir", "--consts", "g.consts.npz", "-p", "form-groups", "-o", "g.mlir"
    ],
    "program of run": ["run", "copy.npu", "--output", "copy.npu"],
    "inputs of run": ["run", "copy.npu", "--input", "i.npz", "--output", "i.npz"],
    "trace of run": ["run", "copy.npu", "--trace", "copy.npu"],
    "both outputs of run": ["run", "copy.npu", "--output", "o", "--trace", "o"],
    "trace of profile": ["profile", "copy.npu", "--trace", "copy.npu"],
    "machine of profile": ["profile", "copy.npu", "--retime", "edge,t.toml", "--trace", "t.toml"],
    "assembly": ["asm", "copy.s", "-o", "copy.s"],
    "program of disasm": ["disasm", "copy.npu", "-o", "copy.npu"],
    "buffers": ["plan", "b.csv", "-o", "b.csv"],
    "baseline": ["bench", "m.onnx", "--baseline", "m.onnx", "--update"],
}  # fmt: skip


@pytest.mark.parametrize("case", IN_USE)
def test_an_output_that_is_in_use(
    program: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    folder = program.parent
    monkeypatch.chdir(folder)
    for name in ("m.onnx", "k.json", "x.py", "t.toml", "g.mlir", "g.consts.npz", "i.npz", "b.csv"):
        (folder / name).write_text("kept")
    (folder / "link.onnx").symlink_to(folder / "m.onnx")
    (folder / "hard.onnx").hardlink_to(folder / "m.onnx")
    refuses(folder, ("would overwrite", "where: ", "given: ", "allowed: "), [*IN_USE[case]])


def test_a_schedule_may_be_updated_in_place(tmp_path: Path) -> None:
    """It is read before the work, and replaced when all of it has succeeded."""
    schedule = tmp_path / "s.json"
    schedule.write_text('{"version": 2, "groups": []}')
    command = ["compile", QDQ, "-o", tmp_path / "p.npu", "--dim", "batch=1"]
    outcome = npuc(*command, "--schedule", schedule, "--dump-schedule", schedule)
    assert outcome.code == 0, outcome.err
    assert json.loads(schedule.read_text())["groups"]
    schedule.write_text("no json")
    refuses(tmp_path, ("JSON",), [*command, "--schedule", schedule, "--dump-schedule", schedule])


def test_every_target_that_ships_is_good() -> None:
    for name in builtin_target_names():
        assert json.loads(npuc("targets", "--show", name, "--json").out)
