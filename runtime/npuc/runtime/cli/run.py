"""``npuc run``: values and cycles of one run on the emulator."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from npuc.emulator.machine import RunOptions
from npuc.emulator.machine import load as load_machine
from npuc.emulator.strict import Finding, check
from npuc.emulator.timing import time_streams
from npuc.isa.container import load
from npuc.isa.errors import UsageError
from npuc.isa.program import Program
from npuc.runtime.arrays import AnyArray, Arrays
from npuc.runtime.cli.console import show_json, show_lines, show_table
from npuc.runtime.cli.failures import CHECK_FAILED, FINE
from npuc.runtime.cli.options import InputOption, JsonOption, ProgramArgument, TraceOption
from npuc.runtime.files import load_arrays, save_arrays
from npuc.runtime.random_inputs import random_program_inputs
from npuc.runtime.tables import Table
from npuc.runtime.trace import save_trace

ArraysOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="O.npz", help="Write the output arrays here."),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Also look for races and uninitialised reads.")
]
NoValuesOption = Annotated[
    bool, typer.Option("--no-values", help="Cycles only: compute no values.")
]
PlainOption = Annotated[
    bool, typer.Option("--plain", help="Run the slow, plain twin of the emulator.")
]
SHOWN_VALUES = 6


def command(
    program: ProgramArgument,
    *,
    inputs: InputOption = None,
    output: ArraysOption = None,
    strict: StrictOption = False,
    no_values: NoValuesOption = False,
    plain: PlainOption = False,
    trace: TraceOption = None,
    as_json: JsonOption = False,
) -> int:
    """Run ``program`` once; 1 when the strict checks find something."""
    if no_values and (output is not None or inputs is not None):
        raise UsageError(
            "--no-values computes no outputs and reads no inputs",
            given="--no-values with --input or --output",
            next_step="leave one of them out",
        )
    loaded = load(program)
    machine = load_machine(loaded, RunOptions(path="plain" if plain else "fast"))
    outputs = {} if no_values else machine.run(_inputs(loaded, inputs)).outputs
    findings = check(loaded, machine.streams) if strict else ()
    if output is not None:
        save_arrays(output, outputs)
    if trace is not None:
        save_trace(trace, loaded)
    cycles = time_streams(loaded, machine.streams).wall_cycles
    result = _Run(loaded, outputs, cycles, findings, strict)
    if as_json:
        show_json(_as_json(result))
    else:
        _show(result)
    return CHECK_FAILED if findings else FINE


def _inputs(program: Program, path: Path | None) -> Arrays:
    return random_program_inputs(program) if path is None else load_arrays(path)


@dataclass(frozen=True)
class _Run:
    """What one run gave."""

    program: Program
    outputs: Mapping[str, AnyArray]
    cycles: int
    findings: tuple[Finding, ...]
    is_strict: bool


def _show(run: _Run) -> None:
    rows = [
        (name, str(array.dtype), "x".join(map(str, array.shape)), _first_values(array))
        for name, array in run.outputs.items()
    ]
    if rows:
        show_table(Table("", ("output", "type", "shape", "first values"), rows))
    clock_mhz = run.program.target.clock_mhz
    show_lines([f"{run.cycles:,} cycles, {run.cycles / clock_mhz:,.1f} us at {clock_mhz:,} MHz"])
    show_lines([str(finding) for finding in run.findings])
    if run.is_strict and not run.findings:
        show_lines(["strict: no race, every byte written before it is read, nothing out of bounds"])


def _first_values(array: AnyArray) -> str:
    shown = array.reshape(-1)[:SHOWN_VALUES]
    text = " ".join(f"{value:.5g}" for value in shown.tolist())
    return text + (" ..." if array.size > SHOWN_VALUES else "")


def _as_json(run: _Run) -> dict[str, object]:
    return {
        "outputs": {
            name: {"dtype": str(array.dtype), "shape": list(array.shape)}
            for name, array in run.outputs.items()
        },
        "cycles": run.cycles,
        "clock_mhz": run.program.target.clock_mhz,
        "findings": [str(finding) for finding in run.findings],
    }
