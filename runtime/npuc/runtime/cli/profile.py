"""``npuc profile``: where the cycles, bytes and energy of a program or model go."""

from pathlib import Path
from typing import Annotated

import typer

from npuc.compiler.options import CompileOptions
from npuc.compiler.remarks import Remark, parse_remarks
from npuc.isa.container import load as load_program
from npuc.isa.errors import UsageError
from npuc.isa.program import Program
from npuc.isa.target import load_target
from npuc.runtime.cli.console import show_json, show_lines, show_table, working
from npuc.runtime.cli.options import (
    DEFAULTS,
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
)
from npuc.runtime.layer_activity import activity_rows, energy_level_rows, estimates
from npuc.runtime.profiling import (
    ProfileReport,
    energy_rows,
    engine_rows,
    layer_rows,
    profile_program,
    summary_lines,
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
ELF_MAGIC = b"\x7fELF"


def command(
    source: SourceArgument,
    *,
    dim: DimsOption,
    shape: ShapesOption,
    load: LoadOption,
    target: OtherTargetOption = None,
    level: LevelOption = DEFAULTS.level,
    precision: PrecisionOption = DEFAULTS.precision,
    schedule: ScheduleOption = None,
    why: WhyOption = False,
    trace: TraceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Profile one run of the program ``source``, or of the model compiled on the way."""
    remarks: tuple[Remark, ...] = ()
    machine = load_target(target) if target else None
    if _is_program(source):
        chosen = precision if precision != DEFAULTS.precision else None
        _refuse_compile_options([*dim, *shape, *load, *filter(None, (schedule, chosen))])
        program = load_program(source)
        remarks = parse_remarks(program.debug.remarks_json, str(source))
        # What the planner expected holds for the machine that it planned for.
        report = profile_program(program, machine, None if machine else estimates(remarks))
    else:
        options = CompileOptions(
            target=target or DEFAULTS.target,
            level=level,
            dims=parse_dims(dim),
            shapes=parse_shapes(shape),
            precision=precision,
            schedule=schedule,
        )
        with working(f"compiling {source}"):
            program, remarks = _compiled(source, options, load)
        report = profile_program(program, estimates=estimates(remarks))
    if trace is not None:
        save_trace(trace, report.program, machine)
    reasons = [str(remark) for remark in remarks]
    if as_json:
        show_json({**report.to_json(), **({"why": _reasons(report, reasons)} if why else {})})
        return
    _show(report)
    if why:
        _show_reasons(report, reasons)


def _compiled(
    source: Path, options: CompileOptions, plugins: list[Path]
) -> tuple[Program, tuple[Remark, ...]]:
    """The program of a model, and the compiler's remarks."""
    # Here, for a program file needs no compiler and starts at once.
    from npuc.compiler.pipeline import Pipeline  # noqa: PLC0415
    from npuc.runtime.building import build, program_of  # noqa: PLC0415
    from npuc.runtime.plugins import extended  # noqa: PLC0415

    result = build(source, options, extended(Pipeline(), plugins))
    return program_of(result), tuple(result.remarks)


def _is_program(source: Path) -> bool:
    with source.open("rb") as file:
        return file.read(len(ELF_MAGIC)) == ELF_MAGIC


def _refuse_compile_options(given: list[object]) -> None:
    if given:
        raise UsageError(
            "options of compilation have no effect on a compiled program",
            given=" ".join(map(str, given)),
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
