"""``npuc profile``: where the cycles, bytes and energy of a program or model go."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from npuc.compiler.options import CompileOptions
from npuc.compiler.remarks import Remark, parse_remarks
from npuc.isa.container import load as load_program
from npuc.isa.cost import CONVENTIONS
from npuc.isa.errors import UsageError
from npuc.isa.program import Program
from npuc.isa.target import load_target
from npuc.runtime.cli.console import show_json, show_lines, show_table, show_written, working
from npuc.runtime.cli.options import (
    DEFAULTS,
    CoresOption,
    DimsOption,
    JsonOption,
    LevelOption,
    LoadOption,
    PrecisionOption,
    ScheduleOption,
    ShapesOption,
    TraceOption,
    parse_dims,
    parse_shapes,
    target_files,
)
from npuc.runtime.files import check_outputs, load_arrays
from npuc.runtime.layer_activity import activity_rows, energy_level_rows, estimates
from npuc.runtime.profiling import (
    ProfileReport,
    energy_rows,
    engine_rows,
    layer_rows,
    profile_program,
    profile_recording,
    summary_lines,
)
from npuc.runtime.timing.conventions import (
    check_conventions,
    convention_rows,
    layer_conventions,
)
from npuc.runtime.timing.recording import record
from npuc.runtime.timing.retiming import (
    Retimed,
    layer_delta_rows,
    retime,
    retiming_json,
    retiming_rows,
)
from npuc.runtime.trace import save_trace

SourceArgument = Annotated[
    Path,
    typer.Argument(
        metavar="P.npu|MODEL.onnx", help="A program, or a model to compile.", show_default=False
    ),
]
WhyOption = Annotated[
    bool,
    typer.Option("--why", help="Also show the schedule, the remarks and where prices come from."),
]
OtherTargetOption = Annotated[
    str | None,
    typer.Option(
        "--target", "-t", metavar="NAME|FILE.toml",
        help="The machine; edge for a model, its own for a program.",
    ),
]  # fmt: skip
NO_REMARKS = "none: older programs and assembled ones hold none"
ConventionOption = Annotated[
    list[str],
    typer.Option(
        "--timing-convention",
        metavar="NAME",
        help="Also show the matrix cycles that another simulator counts; repeatable: "
        + ", ".join(CONVENTIONS) + ".",
        default_factory=list,
        show_default=False,
    ),
]  # fmt: skip
RetimeOption = Annotated[
    str | None,
    typer.Option(
        "--retime", metavar="T1,T2,...", help="Time the same commands under these machines, too."
    ),
]
RunInputOption = Annotated[
    Path | None,
    typer.Option(
        "--input",
        "-i",
        metavar="I.npz",
        help="Inputs, for a program whose commands depend on them: it is run once.",
    ),
]
ELF_MAGIC = b"\x7fELF"


def command(
    source: SourceArgument,
    *,
    dim: DimsOption,
    shape: ShapesOption,
    load: LoadOption,
    timing_convention: ConventionOption,
    target: OtherTargetOption = None,
    level: LevelOption = DEFAULTS.level,
    precision: PrecisionOption = DEFAULTS.precision,
    schedule: ScheduleOption = None,
    cores: CoresOption = None,
    why: WhyOption = False,
    trace: TraceOption = None,
    retime_under: RetimeOption = None,
    inputs: RunInputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Profile one run of the program ``source``, or of the model compiled on the way."""
    check_conventions(timing_convention)
    machines = target_files(target, *_names(retime_under))
    check_outputs({"--trace": trace}, [source, schedule, inputs, *load, *machines])
    others = tuple(load_target(name) for name in _names(retime_under))
    machine = load_target(target) if target else None
    if _is_program(source):
        _refuse_compile_options([*dim, *shape, *load, schedule, cores, *_unusual(level, precision)])
        program = load_program(source)
        remarks = parse_remarks(program.debug.remarks_json, str(source))
        recording = record(program, None if inputs is None else load_arrays(inputs))
        # What the planner expected holds for the machine that it planned for.
        report = profile_recording(recording, machine, None if machine else estimates(remarks))
    else:
        _refuse_inputs(inputs)
        options = CompileOptions(
            target=target or DEFAULTS.target,
            level=level,
            dims=parse_dims(dim),
            shapes=parse_shapes(shape),
            precision=precision,
            schedule=schedule,
            cores=cores,
        )
        program, remarks = _compiled(source, options, load)
        report = profile_program(program, estimates=estimates(remarks))
    if trace is not None:
        save_trace(trace, report.program, machine)
    beside = _Beside(tuple(timing_convention), retime(report, others))
    _tell(report, beside, [str(remark) for remark in remarks] if why else None, as_json)
    if not as_json:
        show_written(trace)


@dataclass(frozen=True)
class _Beside:
    """What stands beside the profile: conventions by name, and the run under other machines."""

    conventions: tuple[str, ...]
    retimed: tuple[Retimed, ...]


def _tell(report: ProfileReport, beside: _Beside, why: list[str] | None, as_json: bool) -> None:
    """Show everything; ``why`` holds the remarks, None where nobody asked."""
    if as_json:
        reasons = {} if why is None else {"why": _reasons(report, why)}
        show_json({**report.to_json(), **reasons, **_beside_json(report, beside)})
        return
    _show(report)
    _show_beside(report, beside)
    if why is not None:
        _show_reasons(report, why)


def _refuse_inputs(inputs: Path | None) -> None:
    if inputs is not None:
        raise UsageError(
            "--input is for compiled programs; the commands of a model depend on no input",
            given=str(inputs),
            next_step="leave it out",
        )


def _names(targets: str | None) -> list[str]:
    return [name.strip() for name in targets.split(",")] if targets else []


def _show_beside(report: ProfileReport, beside: _Beside) -> None:
    if beside.conventions:
        layers = layer_conventions(report, beside.conventions)
        show_lines([""])
        show_table(convention_rows(layers, beside.conventions))
    if not beside.retimed:
        return
    for table in (retiming_rows, layer_delta_rows):
        show_lines([""])
        show_table(table(report, beside.retimed))
    for other in beside.retimed:
        show_lines([] if other.refusal is None else ["", *str(other.refusal).splitlines()])


def _beside_json(report: ProfileReport, beside: _Beside) -> dict[str, object]:
    data: dict[str, object] = {}
    if beside.conventions:
        layers = layer_conventions(report, beside.conventions)
        data["conventions"] = [layer.to_json() for layer in layers]
    if beside.retimed:
        data["retiming"] = retiming_json(report, beside.retimed)
    return data


def _compiled(
    source: Path, options: CompileOptions, plugins: list[Path]
) -> tuple[Program, tuple[Remark, ...]]:
    """The program of a model, and the compiler's remarks."""
    # Here, for a program file needs no compiler and starts at once.
    from npuc.compiler.pipeline import Pipeline  # noqa: PLC0415
    from npuc.runtime.building import build, program_of  # noqa: PLC0415
    from npuc.runtime.plugins import extended  # noqa: PLC0415

    with working(f"compiling {source}"):
        result = build(source, options, extended(Pipeline(), plugins))
    return program_of(result), tuple(result.remarks)


def _is_program(source: Path) -> bool:
    with source.open("rb") as file:
        return file.read(len(ELF_MAGIC)) == ELF_MAGIC


def _unusual(level: int, precision: str) -> list[str]:
    """Those of the two that are not as they are when left out."""
    levels = [f"-O {level}"] if level != DEFAULTS.level else []
    return levels + [precision] * (precision != DEFAULTS.precision)


def _refuse_compile_options(given: list[object]) -> None:
    said = [option for option in given if option is not None]
    if said:
        raise UsageError(
            "options of compilation have no effect on a compiled program",
            given=" ".join(map(str, said)),
            next_step="profile the model, or leave the options out",
        )


def _show(report: ProfileReport) -> None:
    show_lines([*summary_lines(report), ""])
    show_table(layer_rows(report))
    show_lines([""])
    show_table(engine_rows(report))


def _show_reasons(report: ProfileReport, remarks: list[str]) -> None:
    show_lines([""])
    show_table(activity_rows(report.activities, report.timing.target.cores))
    show_lines([""])
    show_table(energy_level_rows(report.energy))
    show_lines(["", "schedule", *report.program.debug.schedule_json.splitlines()])
    show_lines(["", "remarks", *(remarks or [NO_REMARKS]), ""])
    show_table(energy_rows(report))


def _reasons(report: ProfileReport, remarks: list[str]) -> dict[str, object]:
    return {"schedule": report.program.debug.schedule_json, "remarks": remarks}
