"""The table of commands, and how one is called. typer stays within this folder.

Each command is the function ``command`` of the module with its name. Only the module of the command
that is called gets imported, so that ``--help`` and light commands start at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, TypeAlias

import typer
import typer.main

from npuc.isa.errors import UsageError
from npuc.runtime.cli.failures import FINE, WRONG_INPUT

PROGRAM = "npuc"
Command: TypeAlias = Callable[..., int | None]
# typer exports its usage error only through this class, which derives from it.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]


@dataclass(frozen=True)
class Entry:
    """One command: its name, which is its module's too, a summary and an example."""

    name: str
    summary: str
    example: str


COMMANDS = (
    Entry(
        "compile",
        "Compile an ONNX model into a program for the NPU.",
        "npuc compile model.onnx -o model.npu --target edge --dim batch=1",
    ),
    Entry(
        "run",
        "Run a program on the emulator: output values and cycles.",
        "npuc run model.npu --input inputs.npz --output outputs.npz",
    ),
    Entry(
        "verify",
        "Check every level of a compilation, the binary and ONNX against each other.",
        "npuc verify model.onnx --target tiny --dim batch=1",
    ),
    Entry(
        "profile",
        "Show where the cycles, bytes and energy of a program or model go.",
        "npuc profile model.onnx --dim batch=1 --why",
    ),
    Entry(
        "bench",
        "Measure models and hold their cycles against a baseline, layer by layer.",
        "npuc bench model.onnx --baseline cycles.json --max-regress 1%",
    ),
    Entry(
        "plan",
        "Place buffers with lifetimes in a memory.",
        "npuc plan buffers.csv --capacity 1048576 -o planned.csv",
    ),
    Entry(
        "opt",
        "Run chosen passes over IR text.",
        "npuc opt graph.mlir -p 'compose-generics,form-groups' -o result.mlir",
    ),
    Entry("asm", "Assemble text into a program file.", "npuc asm program.s -o program.npu"),
    Entry(
        "disasm",
        "Print a program as assembly text that asm takes back.",
        "npuc disasm program.npu --group GROUP",
    ),
    Entry(
        "objdump",
        "Show what a program file holds: arguments, tables, groups.",
        "npuc objdump program.npu",
    ),
    Entry(
        "targets",
        "List the machines, or check and print one target file.",
        "npuc targets --show edge > mine.toml",
    ),
    Entry("isa", "List the instructions, or print the whole definition.", "npuc isa --json"),
    Entry("ops", "List the ONNX operators that npuc compiles.", "npuc ops --json"),
    Entry("passes", "List the stages and their passes in order.", "npuc passes --json"),
)


def _nothing() -> None:
    """What is done where nobody asks for more."""


def run_command(arguments: Sequence[str], loaded: Callable[[], None] = _nothing) -> int:
    """Parse ``arguments``, run the command, return its exit code.

    ``loaded`` is called when all modules of the command are there, before it runs.

    Raises: NpucError, UsageError for typer's own complaints too, and whatever a defect raises.
    """
    given = list(arguments)
    app = build_app(next((word for word in given if not word.startswith("-")), ""))
    command = typer.main.get_command(app)
    try:
        # NOTE: not command.main(): it turns interrupts and closed pipes into exits of its own.
        with command.make_context(PROGRAM, list(given) or ["--help"]) as context:
            loaded()
            code = command.invoke(context)
    except typer.Exit as end:
        return end.exit_code if given else WRONG_INPUT
    except _USAGE_ERROR as error:
        raise _as_usage_error(error) from None
    return code if isinstance(code, int) else FINE


def build_app(called: str) -> typer.Typer:
    """The application with every command's summary, and all of the command that is ``called``."""
    app = typer.Typer(
        name=PROGRAM,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        epilog="Start with:  npuc compile --help",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_top)
    for entry in COMMANDS:
        function = _load(entry) if entry.name == called else _not_loaded
        epilog = f"\b\nExample:\n  {entry.example}"
        app.command(entry.name, help=entry.summary, epilog=epilog)(function)
    return app


def _load(entry: Entry) -> Command:
    command: Command = import_module(f"npuc.runtime.cli.{entry.name}").command
    return command


def _not_loaded() -> None:
    raise AssertionError("only the command that is called can run")


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"{PROGRAM} {version(PROGRAM)}")
        except PackageNotFoundError:
            typer.echo(f"{PROGRAM}, run from its sources")
        raise typer.Exit


def _top(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Compile ONNX models for an NPU, run them on its emulator, verify and profile."""


def _as_usage_error(error: Exception) -> UsageError:
    context = getattr(error, "ctx", None)
    command = str(getattr(context, "command_path", PROGRAM))
    format_message = getattr(error, "format_message", error.__str__)
    return UsageError(
        str(format_message()).rstrip("."),
        where=f"the command line of {command}",
        next_step=f"{command} --help shows the options and an example",
    )
