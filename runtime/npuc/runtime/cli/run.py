"""``npuc run``: values and cycles of one run on the emulator."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from npuc.emulator.limits import DEFAULT_LIMITS, MIB, Limits
from npuc.emulator.machine import RunOptions
from npuc.emulator.machine import load as load_machine
from npuc.emulator.strict import KINDS, Finding, check, finding_of, is_fault
from npuc.emulator.timing import time_streams
from npuc.isa.container import load
from npuc.isa.errors import NpucError, UsageError
from npuc.isa.program import Program
from npuc.runtime.arrays import AnyArray, Arrays
from npuc.runtime.cli.console import show_json, show_lines, show_table, show_written
from npuc.runtime.cli.failures import CHECK_FAILED, FINE
from npuc.runtime.cli.options import InputOption, JsonOption, ProgramArgument, TraceOption
from npuc.runtime.files import check_outputs, load_arrays, save_arrays
from npuc.runtime.random_inputs import random_program_inputs
from npuc.runtime.tables import Table
from npuc.runtime.trace import save_trace

ArraysOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="O.npz", help="Write the output arrays here."),
]
_KINDS_TEXT = "; ".join(f"{kind}: {what}" for kind, what in KINDS.items())
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Hold the run against the machine's definition; exit code 1 and a witness for each "
        f"fault. Kinds of faults: {_KINDS_TEXT}.",
    ),
]
InstructionsOption = Annotated[
    int, typer.Option("--instructions", min=1, help="Most instructions that a core may execute.")
]
CommandsOption = Annotated[
    int, typer.Option("--commands", min=1, help="Most commands that all cores may dispatch.")
]
PointsOption = Annotated[
    float,
    typer.Option("--points", min=1, help="Most work: products, vector points, moved elements."),
]
MemoryOption = Annotated[
    int, typer.Option("--memory-mib", min=1, help="Most MiB for memories, and for one command.")
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
    instructions: InstructionsOption = DEFAULT_LIMITS.instructions,
    commands: CommandsOption = DEFAULT_LIMITS.commands,
    points: PointsOption = DEFAULT_LIMITS.points,
    memory_mib: MemoryOption = DEFAULT_LIMITS.memory_bytes // MIB,
    as_json: JsonOption = False,
) -> int:
    """Run ``program`` once; 1 when the strict checks find something."""
    if no_values and (output is not None or inputs is not None):
        raise UsageError(
            "--no-values computes no outputs and reads no inputs",
            given="--no-values with --input or --output",
            next_step="leave one of them out",
        )
    check_outputs({"--output": output, "--trace": trace}, [program, inputs])
    loaded = load(program)
    limits = Limits(instructions, commands, int(points), memory_mib * MIB)
    try:
        machine = load_machine(loaded, RunOptions("plain" if plain else "fast", limits=limits))
        ran = None if no_values else machine.run(_inputs(loaded, inputs))
        outputs, streams = (ran.outputs, ran.streams) if ran else ({}, machine.streams)
        findings = machine.findings(streams) if strict else ()
    except NpucError as error:
        if not (strict and is_fault(error)):
            raise
        return _show_faults(_all_faults(loaded, error, limits), as_json)
    if output is not None:
        save_arrays(output, outputs)
    if trace is not None:
        save_trace(trace, loaded)
    cycles = time_streams(loaded, streams).wall_cycles
    run = _Run(loaded, outputs, cycles, findings, strict)
    if as_json:
        show_json(_as_json(run))
    else:
        _show(run)
        show_written(output, trace)
    return CHECK_FAILED if findings else FINE


def _all_faults(program: Program, error: NpucError, limits: Limits) -> tuple[Finding, ...]:
    """All that strict mode finds in a program that cannot run to its end because of ``error``."""
    try:
        return check(program, limits=limits) or (finding_of(error),)
    except UsageError:  # its commands depend on its inputs
        return (finding_of(error),)


def _show_faults(faults: tuple[Finding, ...], as_json: bool) -> int:
    if as_json:
        show_json({"findings": [str(fault) for fault in faults]})
    else:
        show_lines([str(fault) for fault in faults])
    return CHECK_FAILED


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
