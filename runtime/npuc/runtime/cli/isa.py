"""``npuc isa``: the instruction set, as a list or as one document; conformance of emulators."""

from pathlib import Path
from typing import Annotated

import typer

from npuc.isa.disassembler import instruction_text
from npuc.isa.errors import UsageError
from npuc.isa.instructions import INSTRUCTIONS, Command
from npuc.isa.manual.definition import definition
from npuc.runtime.cli.console import show_json, show_lines, show_table
from npuc.runtime.cli.failures import CHECK_FAILED, FINE
from npuc.runtime.cli.options import JsonOption
from npuc.runtime.tables import Table
from npuc.runtime.verification.conformance import (
    Emulator,
    difference,
    emulator,
    foreign,
    load_cases,
)

COLUMNS = ("opcode", "least text", "runs on", "does")
PATHS = ("fast", "plain")
VectorsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="[VECTORS.json]...",
        help="Conformance vectors to run on both paths of the emulator.",
        default_factory=list,
        show_default=False,
    ),
]
WithOption = Annotated[
    str,
    typer.Option("--with", metavar="COMMAND", help="Run VECTORS on this emulator instead."),
]


def command(
    *, vectors: VectorsArgument, with_: WithOption = "", as_json: JsonOption = False
) -> int:
    """List the instructions, print the whole definition, or run conformance vectors."""
    if vectors:
        return _conformance(vectors, with_)
    if with_:
        raise UsageError("there are no vectors to run", given=f"--with {with_}",
                         next_step="name files of tests/conformance/vectors")  # fmt: skip
    if as_json:
        show_json(definition())
        return FINE
    rows = [
        (
            f"{cls.opcode:#04x}",
            instruction_text(cls()),
            cls().engine.name if issubclass(cls, Command) else "ctl",
            (cls.__doc__ or "").strip().split("\n")[0].rstrip("."),
        )
        for cls in INSTRUCTIONS
    ]
    show_table(Table("", COLUMNS, rows))
    return FINE


def _conformance(files: list[Path], command: str) -> int:
    emulators: dict[str, Emulator] = {path: emulator(path) for path in PATHS}
    if command:
        emulators = {command: foreign(command)}
    rows, wrong = [], []
    for file in files:
        cases = load_cases(file)
        for name, execute in emulators.items():
            found = [(case.name, difference(case, execute)) for case in cases]
            bad = [f"{file.name}, {case}, {name}: {what}" for case, what in found if what]
            rows.append((file.name, name, len(cases), len(cases) - len(bad)))
            wrong += bad
    show_table(Table("", ("file", "emulator", "cases", "equal"), rows))
    show_lines(wrong)
    return CHECK_FAILED if wrong else FINE
