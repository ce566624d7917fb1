"""One recorded run under other machines: cycles, changes by layer, and what bounds each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from npuc.isa.errors import UsageError
from npuc.isa.target import Target
from npuc.runtime.profiling import ProfileReport, report_of
from npuc.runtime.tables import Cell, Table
from npuc.runtime.timing.recording import Recording, refuse_impossible


@dataclass(frozen=True)
class Retimed:
    """The run under ``target``: a report, or why the machine cannot run the program."""

    target: Target
    report: ProfileReport | None
    refusal: UsageError | None = None


def retime(report: ProfileReport, targets: Sequence[Target]) -> tuple[Retimed, ...]:
    """The run of ``report`` under each of ``targets``, in order, each once and not its own again.

    Raises: UsageError, that of the first target, where none of them can run the program.
    """
    recording = Recording(report.program, report.timing.streams)
    others = [target for target in dict.fromkeys(targets) if target != report.timing.target]
    found = tuple(_retimed(recording, target) for target in others)
    refusals = [other.refusal for other in found if other.refusal is not None]
    if refusals and len(refusals) == len(found):
        raise refusals[0]
    return found


def _retimed(recording: Recording, target: Target) -> Retimed:
    try:
        refuse_impossible(recording, target)
    except UsageError as refusal:
        return Retimed(target, None, refusal)
    return Retimed(target, report_of(recording, target))


def retiming_rows(own: ProfileReport, others: Sequence[Retimed]) -> Table:
    """One row for the run as recorded and for each other machine."""
    rows: list[tuple[Cell, ...]] = [_target_row(own, own)]
    for other in others:
        if other.report is not None:
            rows.append(_target_row(other.report, own))
        else:
            rows.append((other.target.name, "impossible", "", "", "", ""))
    columns = ("target", "cycles", "ratio", "us", "nJ", "bound by")
    return Table("one run under several machines", columns, rows)


def layer_delta_rows(own: ProfileReport, others: Sequence[Retimed]) -> Table:
    """Cycles of each layer under each machine, the change from the own one, and what bounds it."""
    reports = [other.report for other in others if other.report is not None]
    rows: list[tuple[Cell, ...]] = []
    for i, row in enumerate(own.layers):
        cells: list[Cell] = [row.group, row.cycles, row.bound_by]
        for report in reports:
            other = report.layers[i]
            cells += [other.cycles, _change(other.cycles, row.cycles), other.bound_by]
        rows.append(tuple(cells))
    titles = ["layer", own.timing.target.name, "bound by"]
    for report in reports:
        titles += [report.timing.target.name, "change", "bound by"]
    return Table("cycles by layer", tuple(titles), rows)


def bound_of(report: ProfileReport) -> str:
    """What bounds most of the run's cycles, by layers."""
    cycles: dict[str, int] = {}
    for row in report.layers:
        cycles[row.bound_by] = cycles.get(row.bound_by, 0) + row.cycles
    return max(cycles, key=lambda name: cycles[name], default="nothing")


def retiming_json(own: ProfileReport, others: Sequence[Retimed]) -> dict[str, object]:
    """The comparison as plain data."""
    return {
        "own": _summary(own),
        "retimed": [
            {"target": other.target.name, "impossible": str(other.refusal)}
            if other.report is None
            else _summary(other.report)
            for other in others
        ],
    }


def _summary(report: ProfileReport) -> dict[str, object]:
    layers: list[Mapping[str, object]] = [
        {"group": row.group, "cycles": row.cycles, "bound_by": row.bound_by}
        for row in report.layers
    ]
    return {
        "target": report.timing.target.name,
        "cycles": report.cycles,
        "seconds": report.timing.seconds,
        "energy_total_fj": report.energy.total_fj,
        "bound_by": bound_of(report),
        "layers": layers,
    }


def _target_row(report: ProfileReport, own: ProfileReport) -> tuple[Cell, ...]:
    total = report.energy.total_fj
    return (
        report.timing.target.name,
        report.cycles,
        f"{report.cycles / max(own.cycles, 1):.2f}",
        f"{report.timing.seconds * 1e6:,.1f}",
        "?" if total is None else f"{total / 1e6:,.1f}",
        bound_of(report),
    )


def _change(cycles: int, before: int) -> str:
    return f"{(cycles - before) / max(before, 1):+.1%}"
