"""``npuc verify``: every level of a compilation, the binary and ONNX against each other."""

from pathlib import Path
from typing import Annotated

import typer

from npuc.compiler.options import CompileOptions
from npuc.runtime.cli.console import show_json, show_lines, show_table, working
from npuc.runtime.cli.failures import CHECK_FAILED, FINE
from npuc.runtime.cli.options import (
    DEFAULTS,
    CoresOption,
    DimsOption,
    InputOption,
    JsonOption,
    LevelOption,
    LoadOption,
    ModelArgument,
    PrecisionOption,
    ScheduleOption,
    ShapesOption,
    TargetOption,
    parse_dims,
    parse_shapes,
)
from npuc.runtime.files import load_arrays
from npuc.runtime.verification import VerifyOptions, verify_model
from npuc.runtime.verification.report import comparison_rows, verdict_lines

SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of the random inputs.")]
OnnxOption = Annotated[
    bool, typer.Option("--onnx/--no-onnx", help="Also compare with ONNX Runtime, or onnx itself.")
]
BisectOption = Annotated[
    bool, typer.Option("--bisect", help="After a failure, find the pass to blame.")
]
ReproduceOption = Annotated[
    Path | None,
    typer.Option(
        "--reproduce", metavar="DIR", help="After a failure, write a folder that replays it."
    ),
]


def command(
    model: ModelArgument,
    *,
    dim: DimsOption,
    shape: ShapesOption,
    load: LoadOption,
    inputs: InputOption = None,
    target: TargetOption = DEFAULTS.target,
    level: LevelOption = DEFAULTS.level,
    precision: PrecisionOption = DEFAULTS.precision,
    schedule: ScheduleOption = None,
    cores: CoresOption = None,
    seed: SeedOption = VerifyOptions().seed,
    onnx: OnnxOption = True,
    bisect: BisectOption = False,
    reproduce: ReproduceOption = None,
    as_json: JsonOption = False,
) -> int:
    """Verify ``model``; 1 when anything differs more than it may."""
    options = CompileOptions(
        target=target,
        level=level,
        dims=parse_dims(dim),
        shapes=parse_shapes(shape),
        precision=precision,
        schedule=schedule,
        cores=cores,
        verify_each_pass=True,
    )
    arrays = load_arrays(inputs) if inputs is not None else None
    chosen = VerifyOptions(
        inputs=arrays,
        seed=seed,
        onnx=onnx,
        plugins=tuple(load),
        bisect=bisect,
        reproduce=reproduce,
    )
    with working(f"verifying {model}"):
        report = verify_model(model, options, chosen)
    if as_json:
        show_json(report.to_json())
    else:
        show_table(comparison_rows(report))
        show_lines(["", *verdict_lines(report)])
    return FINE if report.passed else CHECK_FAILED
