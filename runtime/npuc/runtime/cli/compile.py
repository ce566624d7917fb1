"""``npuc compile``: from a model to a program file, or to the IR of any stage."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from npuc.compiler.driver import CompileResult
from npuc.compiler.ir_text import print_module
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import STAGES, Pipeline
from npuc.compiler.remarks import counts_by_kind
from npuc.compiler.reranking.rerank import SCHEDULE
from npuc.isa.container import save
from npuc.isa.errors import UsageError
from npuc.isa.program import Program
from npuc.runtime.building import build, resume
from npuc.runtime.cli.console import show_json, show_lines, show_written, working
from npuc.runtime.cli.ir_files import consts_path, ir_outputs, read_consts, write_ir
from npuc.runtime.cli.options import (
    DEFAULTS,
    ConstsOption,
    CoresOption,
    DimsOption,
    JsonOption,
    LevelOption,
    LoadOption,
    PrecisionOption,
    ScheduleOption,
    ShapesOption,
    TargetOption,
    parse_dims,
    parse_shapes,
    target_files,
)
from npuc.runtime.files import check_outputs, is_same_file, write_text
from npuc.runtime.plugins import extended

SourceArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL.onnx", help="The model; with --start-from, IR text.", show_default=False
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="P.npu", help="The program file, or IR file, to write."),
]
DumpOption = Annotated[
    Path | None,
    typer.Option("--dump-schedule", metavar="S.json", help="Write the schedule's decisions here."),
]
StopOption = Annotated[
    str | None,
    typer.Option("--stop-after", metavar="STAGE", help="Stop there and write the stage's IR."),
]
StartOption = Annotated[
    str | None,
    typer.Option("--start-from", metavar="STAGE", help="Begin there, with IR text as MODEL."),
]
PrintOption = Annotated[
    list[str],
    typer.Option(
        "--print-after",
        metavar="STAGE|all",
        help="Print the stage's IR; repeatable.",
        default_factory=list,
        show_default=False,
    ),
]
ExplainOption = Annotated[
    bool, typer.Option("--explain", help="Print what each pass did or did not do, and why.")
]


def command(
    model: SourceArgument,
    *,
    dim: DimsOption,
    shape: ShapesOption,
    load: LoadOption,
    print_after: PrintOption,
    output: OutputOption = None,
    target: TargetOption = DEFAULTS.target,
    level: LevelOption = DEFAULTS.level,
    precision: PrecisionOption = DEFAULTS.precision,
    schedule: ScheduleOption = None,
    cores: CoresOption = None,
    dump_schedule: DumpOption = None,
    stop_after: StopOption = None,
    start_from: StartOption = None,
    consts: ConstsOption = None,
    explain: ExplainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compile ``model``; nothing is written unless all of it succeeds."""
    options = CompileOptions(
        target=target,
        level=level,
        dims=parse_dims(dim),
        shapes=parse_shapes(shape),
        precision=precision,
        schedule=schedule,
        cores=cores,
        stop_after=stop_after,
        start_from=start_from,
        print_after=tuple(print_after),
    )
    beside = [consts_path(model)] if start_from is not None and consts is None else []
    _check_files(options, output, dump_schedule, [model, consts, *load, *beside])
    pipeline = extended(Pipeline(), load)
    with working(f"compiling {model}"):
        if start_from is None:
            result = build(model, options, pipeline)
        else:
            result = resume(model, options, pipeline, read_consts(model, consts))
    _write(result, output, dump_schedule)
    if as_json:
        show_json(_facts(result, output))
    else:
        _show(result, output, explain=explain)


def _check_files(
    options: CompileOptions,
    output: Path | None,
    dump_schedule: Path | None,
    inputs: Iterable[Path | None],
) -> None:
    """Refuse before the work what cannot be written after it."""
    stop_after, schedule = options.stop_after, options.schedule
    if output is None and stop_after is None:
        raise UsageError(
            "the program needs a name",
            given="no --output",
            next_step="add -o P.npu, or --stop-after STAGE to see the stage's IR",
        )
    if dump_schedule is not None and stop_after is not None:
        raise UsageError(
            "a compilation that stops early has no schedule to write",
            given="--dump-schedule with --stop-after",
            next_step="leave one of them out",
        )
    stages = [stage.name for stage in STAGES]
    if schedule is not None and stop_after in stages[: stages.index(SCHEDULE)]:
        raise UsageError(
            "a compilation that stops before its schedule replays none",
            given=f"--schedule with --stop-after {stop_after}",
            allowed=f"--stop-after {', '.join(stages[stages.index(SCHEDULE) :])}",
            next_step="leave one of them out",
        )
    written = {"--output": output} if stop_after is None else ir_outputs(output)
    read = [*inputs, *target_files(options.target)]
    if schedule is None or dump_schedule is None or not is_same_file(schedule, dump_schedule):
        read.append(schedule)  # else it is read first, and replaced whole when all has succeeded
    check_outputs({**written, "--dump-schedule": dump_schedule}, read)


def _write(result: CompileResult, output: Path | None, dump_schedule: Path | None) -> None:
    if dump_schedule is not None and result.program is not None:
        write_text(dump_schedule, result.program.debug.schedule_json)
    if output is None:
        return
    if result.program is None:
        write_ir(output, result.module, result.ctx.consts)
    else:
        save(result.program, output)


def _show(result: CompileResult, output: Path | None, *, explain: bool) -> None:
    for stage, text in result.snapshots.items():
        show_lines([f"// after {stage}", *text.splitlines()])
    if explain:
        show_lines([str(remark) for remark in result.remarks])
    if result.program is None and output is None:
        show_lines(print_module(result.module).splitlines())
    if result.program is not None:
        show_lines(_summary(result.program, result))
    show_written(output)


def _summary(program: Program, result: CompileResult) -> list[str]:
    groups = len({source.group for source in program.debug.sources})
    counts = counts_by_kind(result.remarks)
    remarks = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    instructions = sum(len(code) for code in program.code)
    size = f"{instructions:,} instructions, {program.constants.size:,} bytes of constants"
    return [
        f"for {program.target.name}: {groups} groups, {size}",
        f"remarks: {remarks or 'none'} (--explain shows them)",
    ]


def _facts(result: CompileResult, output: Path | None) -> dict[str, object]:
    program = result.program
    facts: dict[str, object] = {
        "target": result.ctx.target.name,
        "output": str(output) if output else None,
        "remarks": [remark.to_json() for remark in result.remarks],
        "snapshots": result.snapshots,
    }
    if program is None:
        return {**facts, "ir": print_module(result.module)}
    return {
        **facts,
        "model": program.debug.model_name,
        "groups": len({source.group for source in program.debug.sources}),
        "instructions": sum(len(code) for code in program.code),
        "constant_bytes": int(program.constants.size),
        "scratch_bytes": program.scratch_bytes,
    }
