"""``npuc compile``: from a model to a program file, or to the IR of any stage."""

from pathlib import Path
from typing import Annotated

import typer

from npuc.compiler.options import CompileOptions
from npuc.runtime.building import build
from npuc.runtime.cli.console import working
from npuc.runtime.cli.options import (
    DEFAULTS,
    DimsOption,
    JsonOption,
    LevelOption,
    LoadOption,
    ModelArgument,
    ScheduleOption,
    ShapesOption,
    TargetOption,
    parse_dims,
    parse_shapes,
)

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
    typer.Option("--start-from", metavar="STAGE", help="MODEL is IR of the stage before this one."),
]
PrintOption = Annotated[
    list[str],
    typer.Option("--print-after", metavar="STAGE|all", help="Print the stage's IR; repeatable.",
                 default_factory=list),
]  # fmt: skip
ExplainOption = Annotated[
    bool, typer.Option("--explain", help="Print what each pass did or did not do, and why.")
]


def command(
    model: ModelArgument,
    *,
    dim: DimsOption,
    shape: ShapesOption,
    load: LoadOption,
    print_after: PrintOption,
    output: OutputOption = None,
    target: TargetOption = DEFAULTS.target,
    level: LevelOption = DEFAULTS.level,
    schedule: ScheduleOption = None,
    dump_schedule: DumpOption = None,
    stop_after: StopOption = None,
    start_from: StartOption = None,
    explain: ExplainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compile ``model``; nothing is written unless all of it succeeds."""
    _check_outputs(output, dump_schedule, stop_after)
    options = CompileOptions(
        target=target,
        level=level,
        dims=parse_dims(dim),
        shapes=parse_shapes(shape),
        schedule=schedule,
        stop_after=stop_after,
        start_from=start_from,
        print_after=tuple(print_after),
    )
    with working(f"compiling {model}"):
        result = build(model, options, load)
