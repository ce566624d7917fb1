"""Conformance vectors: programs with the bytes that an emulator must leave, run on any emulator.

The format of the files is the page ``docs/isa/conformance.md``.
"""

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from npuc.emulator.machine import RunOptions, run
from npuc.isa.assembler import assemble
from npuc.isa.container import save
from npuc.isa.errors import InputError, TrapError, UsageError
from npuc.isa.program import Argument, Program

FORMAT, VERSION = "npuc-conformance", 1
TRAPPED = 3  # exit code of a foreign emulator whose machine trapped
Blobs = Mapping[str, bytes]
# A case to what it left, by name of output or state; None for a trap.
Emulator = Callable[["Case"], Blobs | None]


@dataclass(frozen=True)
class Case:
    """One program; ``expected`` is by name of output and state, ``trap`` a word of the message."""

    file: str
    name: str
    text: str
    code: tuple[tuple[str, ...], ...]
    inputs: Blobs
    states: Blobs
    expected: Blobs
    trap: str

    @property
    def program(self) -> Program:
        """The program that the text describes. Raises: InputError where ``code`` is another."""
        program = assemble(self.text, f"{self.file}, case {self.name}")
        found = tuple(tuple(row.tobytes().hex() for row in core) for core in program.code)
        if found != self.code:
            raise InputError("text and code of a case differ", f"{self.file}, case {self.name}",
                             str(self.code), str(found), "mend the file")  # fmt: skip
        return program


def load_cases(path: Path) -> tuple[Case, ...]:
    """The cases of one file. Raises: InputError where it is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        kind = (document["format"], document["version"])
        cases = tuple(_case(path.name, row) for row in document["cases"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "cannot read the conformance vectors",
            str(path),
            repr(error),
            f"a file of format {FORMAT}",
            "see docs/isa/conformance.md",
        ) from error
    if kind != (FORMAT, VERSION):
        raise InputError("conformance vectors of another format", str(path), str(kind),
                         f"{FORMAT}, {VERSION}", "take those of this npuc")  # fmt: skip
    return cases


def _case(file: str, row: Mapping[str, Any]) -> Case:
    inputs, states, expected = (
        {name: bytes.fromhex(text) for name, text in row.get(key, {}).items()}
        for key in ("inputs", "states", "expected")
    )
    code = tuple(tuple(core) for core in row["code"])
    trap = row.get("trap", "")
    if ("expected" in row) == bool(trap):
        raise ValueError(f"case {row['name']} has not just one of expected and trap")
    return Case(file, row["name"], row["text"], code, inputs, states, expected, trap)


def emulator(path: str) -> Emulator:
    """npuc's own, on path fast or plain."""

    def execute(case: Case) -> Blobs | None:
        program = case.program
        inputs = dict(_tensors(program.inputs, case.inputs))
        states = dict(_tensors(program.states, case.states)) if case.states else None
        try:
            result = run(program, inputs, RunOptions(path=path), states)
        except TrapError as trap:
            return None if case.trap in str(trap) else {}
        tensors = {**result.outputs, **result.states}
        return {name: tensor.tobytes() for name, tensor in tensors.items()}

    return execute


def _tensors(
    arguments: tuple[Argument, ...], blobs: Blobs
) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    for a in arguments:
        yield a.name, np.frombuffer(blobs[a.name], a.dtype.numpy).reshape(a.shape)


def foreign(command: str) -> Emulator:
    """Another emulator: ``command FOLDER``. Raises: UsageError where it cannot be started."""

    def execute(case: Case) -> Blobs | None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            save(case.program, folder / "program.npu")
            for kind, blobs in (("inputs", case.inputs), ("states", case.states)):
                (folder / kind).mkdir()
                for blob, data in blobs.items():
                    (folder / kind / f"{blob}.bin").write_bytes(data)
            (folder / "outputs").mkdir()
            code = _call(command, folder)
            if code == TRAPPED:
                return None
            left = {p.stem: p.read_bytes() for k in ("states", "outputs")
                    for p in (folder / k).glob("*.bin")}  # fmt: skip
            return left if code == 0 else {}

    return execute


def _call(command: str, folder: Path) -> int:
    try:
        return subprocess.run([*command.split(), str(folder)], check=False).returncode
    except OSError as error:
        raise UsageError("cannot start the emulator", given=command, allowed="a program",
                         next_step=str(error)) from error  # fmt: skip


def difference(case: Case, execute: Emulator) -> str:
    """What is wrong with an emulator on one case; empty where nothing is."""
    left = execute(case)
    if left is None:
        return "" if case.trap else "it trapped"
    if case.trap:
        return f"it did not trap ({case.trap})"
    for name, expected in case.expected.items():
        found = left.get(name, b"")
        if found != expected:
            pairs = zip(found, expected, strict=False)
            at = next(
                (i for i, (a, b) in enumerate(pairs) if a != b), min(len(found), len(expected))
            )
            return (f"{name}, byte {at}: {found[at : at + 8].hex() or 'nothing'}, "
                    f"expected {expected[at : at + 8].hex() or 'nothing'}")  # fmt: skip
    return ""
