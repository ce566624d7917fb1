"""The conformance vectors: fresh, complete, kept by both paths of the emulator and by others."""

import json
import re
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from npuc.isa.errors import InputError, UsageError
from npuc.isa.instructions import INSTRUCTIONS
from npuc.isa.microops import MICRO_OPS
from npuc.isa.numerics.partial import RESUMABLE
from npuc.runtime.verification.conformance import (
    Case,
    difference,
    emulator,
    foreign,
    load_cases,
)
from tests.command_line import npuc
from tests.conformance import conversions, exact
from tests.conformance.make import FOLDER, SUBJECTS, document

FILES = sorted(FOLDER.glob("*.json"))
MANUAL = Path(__file__).parents[2] / "docs/isa/conformance.md"
FOREIGN = """
import sys
from pathlib import Path
import numpy as np
from npuc.emulator.machine import run
from npuc.isa.container import load
from npuc.isa.errors import TrapError
folder = Path(sys.argv[1])
program = load(folder / "program.npu")
def tensors(kind, arguments):
    return {a.name: np.fromfile(folder / kind / f"{a.name}.bin", a.dtype.numpy).reshape(a.shape)
            for a in arguments}
try:
    result = run(program, tensors("inputs", program.inputs),
                 states=tensors("states", program.states) or None)
except TrapError:
    sys.exit(3)
for kind, found in (("outputs", result.outputs), ("states", result.states)):
    for name, tensor in found.items():
        tensor.tofile(folder / kind / f"{name}.bin")
"""


@pytest.mark.parametrize("path", ["fast", "plain"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_emulator_keeps_every_vector(file: Path, path: str) -> None:
    execute = emulator(path)
    wrong = {case.name: difference(case, execute) for case in load_cases(file)}
    assert not [f"{name}: {what}" for name, what in wrong.items() if what]


@pytest.mark.parametrize("name", SUBJECTS)
def test_files_are_what_the_generator_writes(name: str) -> None:
    text = FOLDER.joinpath(f"{name}.json").read_text(encoding="utf-8")
    assert text == document(name), "run: python -m tests.conformance.make"
    assert {file.stem for file in FILES} == set(SUBJECTS)


def test_every_instruction_and_micro_op_has_a_vector() -> None:
    cases = [case for file in FILES for case in load_cases(file)]
    words = {word for case in cases for word in re.findall(r"[a-z][a-z0-9]*", case.text)}
    assert {cls.mnemonic for cls in INSTRUCTIONS} <= words
    assert {op.name for op in MICRO_OPS} <= words
    opcodes = {int(row[:2], 16) for case in cases for core in case.code for row in core}
    assert opcodes == {cls.opcode for cls in INSTRUCTIONS}
    assert {"sumf", "prodf"} <= set(RESUMABLE)


def test_the_manual_lists_the_files() -> None:
    text = MANUAL.read_text(encoding="utf-8")
    for file in FILES:
        subject = json.loads(file.read_text(encoding="utf-8"))["subject"]
        assert f"| `{file.name}` | {subject} |" in text


def test_halves_are_those_of_ml_dtypes() -> None:
    words = np.array(conversions.float_values(), np.uint32)
    kinds = (("bf16", np.dtype(ml_dtypes.bfloat16)), ("f16", np.dtype(np.float16)))
    for dtype, kind in kinds:
        with np.errstate(all="ignore"):
            theirs = words.view(np.float32).astype(kind).view(np.uint16)
        ours = [conversions.to_half_bits(int(word), dtype) for word in words]
        numbers = ~np.isnan(words.view(np.float32))
        assert np.array_equal(np.array(ours)[numbers], theirs[numbers])


def test_exact_rounding_knows_ties() -> None:
    one = exact.bits_of(1.0)
    half_ulp, more = exact.bits_of(2.0**-24), exact.bits_of(2.0**-24 + 2.0**-40)
    assert exact.add(one, half_ulp) == one and exact.add(one, more) == one + 1
    assert exact.add(one + 1, half_ulp) == one + 2
    assert exact.mul(1, exact.bits_of(0.5)) == 0 and exact.mul(3, exact.bits_of(0.5)) == 2
    assert exact.sqrt(exact.bits_of(2.0)) == 0x3FB504F3


# -- the command line ------------------------------------------------------------------------------


def damaged(tmp_path: Path) -> Path:
    """Two cases of the file, the second with a wrong byte."""
    document = json.loads(FOLDER.joinpath("control.json").read_text(encoding="utf-8"))
    document["cases"] = document["cases"][:2]
    expected = document["cases"][1]["expected"]
    expected["y"] = "ff" + expected["y"][2:]
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_the_command_names_what_differs(tmp_path: Path) -> None:
    result = npuc("isa", str(FOLDER / "control.json"))
    assert result.code == 0 and "control.json" in result.out
    result = npuc("isa", str(damaged(tmp_path)))
    assert result.code == 1
    assert "damaged.json, sub, plain: y, byte 0: 00" in result.out


def test_another_emulator_runs_them(tmp_path: Path) -> None:
    script = tmp_path / "other.py"
    script.write_text(FOREIGN, encoding="utf-8")
    execute = foreign(f"{sys.executable} {script}")
    cases = {case.name: case for case in load_cases(FOLDER / "control.json")}
    for name in ("a state", "trap"):
        assert difference(cases[name], execute) == ""
    own = emulator("fast")
    wrong = Case(**{**vars(cases["shl"]), "expected": {"y": b"\1"}})
    assert difference(wrong, own).startswith("y, byte 0:")
    assert difference(Case(**{**vars(cases["shl"]), "trap": "x"}), own) == "it did not trap (x)"


def test_bad_input_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for text in ("", "[]", '{"format": "npuc-conformance", "version": 1, "cases": [{}]}'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="cannot read the conformance vectors"):
            load_cases(path)
    path.write_text('{"format": "npuc-conformance", "version": 2, "cases": []}', encoding="utf-8")
    with pytest.raises(InputError, match="another format"):
        load_cases(path)
    case = load_cases(FOLDER / "control.json")[0]
    with pytest.raises(InputError, match="text and code of a case differ"):
        difference(Case(**{**vars(case), "code": ()}), emulator("plain"))
    with pytest.raises(UsageError, match="cannot start the emulator"):
        difference(case, foreign(str(tmp_path / "nothing")))
    result = npuc("isa", "--with", "other")
    assert result.code == 2 and "there are no vectors to run" in result.err
