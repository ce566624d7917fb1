"""``npuc bench``: cycles of models against a baseline; a regression names its layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Pipeline
from npuc.isa.errors import UsageError
from npuc.runtime.baseline import load_baseline, save_baseline
from npuc.runtime.cli.console import show_json, show_lines, show_table, working
from npuc.runtime.cli.failures import CHECK_FAILED, FINE
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
    TargetOption,
    parse_dims,
    parse_shapes,
    target_files,
)
from npuc.runtime.drift import Drift, drifts, parse_share, worst_first
from npuc.runtime.files import check_outputs
from npuc.runtime.measuring import Measurement, measure
from npuc.runtime.plugins import extended
from npuc.runtime.tables import Table

ModelsArgument = Annotated[
    list[Path], typer.Argument(metavar="MODEL.onnx...", help="The models.", show_default=False)
]
BaselineOption = Annotated[
    Path | None,
    typer.Option("--baseline", metavar="B.json", help="Compare with the figures in this file."),
]
UpdateOption = Annotated[
    bool, typer.Option("--update", help="Write the figures into the baseline instead.")
]
RegressOption = Annotated[
    str,
    typer.Option(
        "--max-regress", metavar="SHARE%", help="How much slower model and layers may become."
    ),
]


@dataclass(frozen=True)
class _Outcome:
    """One model: its figures, and what is slower or faster than the baseline by too much.

    ``shifts`` are layers whose own work is the same while their share of the wall time moved.
    """

    measurement: Measurement
    regressions: list[Drift]
    improvements: list[Drift]
    shifts: list[Drift]


def command(
    models: ModelsArgument,
    *,
    dim: DimsOption,
    shape: ShapesOption,
    load: LoadOption,
    target: TargetOption = DEFAULTS.target,
    level: LevelOption = DEFAULTS.level,
    precision: PrecisionOption = DEFAULTS.precision,
    schedule: ScheduleOption = None,
    cores: CoresOption = None,
    baseline: BaselineOption = None,
    update: UpdateOption = False,
    max_regress: RegressOption = "1%",
    as_json: JsonOption = False,
) -> int:
    """Measure ``models``; 1 when one of them, or one of their layers, has become slower."""
    share = parse_share(max_regress)
    inputs = [*models, schedule, *load, *target_files(target)]
    check_outputs({"--baseline": baseline if update else None}, inputs)
    stored = _stored(baseline, update)
    options = CompileOptions(
        target=target,
        level=level,
        dims=parse_dims(dim),
        shapes=parse_shapes(shape),
        precision=precision,
        schedule=schedule,
        cores=cores,
    )
    pipeline, outcomes = extended(Pipeline(), load), {}
    for model, name in zip(models, _names(models, options), strict=True):
        with working(f"measuring {model}"):
            now = measure(model, options, pipeline)
        outcomes[name] = _judged(now, stored.get(name), share)
    if update and baseline is not None:
        measured = {name: outcome.measurement for name, outcome in outcomes.items()}
        save_baseline(baseline, {**stored, **measured})
        outcomes = {name: _judged(m, None, share) for name, m in measured.items()}
    unknown = [name for name in outcomes if baseline and not update and name not in stored]
    _show(outcomes, unknown, as_json)
    return CHECK_FAILED if any(o.regressions for o in outcomes.values()) else FINE


def _stored(baseline: Path | None, update: bool) -> dict[str, Measurement]:
    if baseline is None:
        if update:
            raise UsageError(
                "--update needs a baseline to write",
                given="no --baseline",
                next_step="add --baseline B.json",
            )
        return {}
    if not update:
        return load_baseline(baseline)
    return load_baseline(baseline) if baseline.exists() else {}


def _names(models: list[Path], options: CompileOptions) -> list[str]:
    """What each model is called in a baseline. Raises: UsageError where two would be one."""
    target = Path(options.target).stem
    narrow = "" if options.precision == DEFAULTS.precision else f" in {options.precision}"
    dims = [f"{name}={size}" for name, size in sorted(options.dims.items())]
    shapes = [f"{name}={'x'.join(map(str, s))}" for name, s in sorted(options.shapes.items())]
    sizes = "".join(f" {bound}" for bound in (*dims, *shapes))
    names = [f"{model.stem}{sizes} on {target} at -O{options.level}{narrow}" for model in models]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UsageError(
            "two models have one name",
            given=", ".join(sorted(twice)),
            next_step="measure them in two runs with a baseline each",
        )
    return names


def _judged(now: Measurement, before: Measurement | None, share: float) -> _Outcome:
    if before is None:
        return _Outcome(now, [], [], [])
    found = worst_first(d for d in drifts(before, now, "cycles") if abs(d.change) > share)
    slower = [drift for drift in found if drift.is_own and drift.change > 0]
    faster = [drift for drift in found if drift.is_own and drift.change < 0]
    return _Outcome(now, slower, faster[::-1], [drift for drift in found if not drift.is_own])


def _show(outcomes: Mapping[str, _Outcome], unknown: list[str], as_json: bool) -> None:
    if as_json:
        show_json({name: _as_json(outcome) for name, outcome in outcomes.items()})
        return
    rows = [
        (name, o.measurement.cycles, o.measurement.dram_bytes, _verdict(o))
        for name, o in outcomes.items()
    ]
    show_table(Table("", ("model", "cycles", "DRAM bytes", ""), rows))
    for name, outcome in outcomes.items():
        show_lines([f"REGRESSION {name}, {drift}" for drift in outcome.regressions])
        show_lines([f"improvement {name}, {drift}" for drift in outcome.improvements])
        if outcome.regressions or outcome.improvements:
            show_lines([f"shifted {name}, {drift}" for drift in outcome.shifts])
    show_lines([f"not in the baseline: {name}; --update adds it" for name in unknown])


def _verdict(outcome: _Outcome) -> str:
    if outcome.regressions:
        return "SLOWER"
    return "faster" if outcome.improvements else ""


def _as_json(outcome: _Outcome) -> dict[str, object]:
    return {
        **outcome.measurement.to_json(),
        "regressions": [drift.to_json() for drift in outcome.regressions],
        "improvements": [drift.to_json() for drift in outcome.improvements],
        "shifts": [drift.to_json() for drift in outcome.shifts],
    }
