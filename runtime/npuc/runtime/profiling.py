"""Profiles: where the cycles, bytes and femtojoules of a program go, layer by layer.

Reads control and time of one run; values are never computed, for time does not depend on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from npuc.emulator.timing import (
    Account,
    Energy,
    LayerRow,
    Timing,
    energy,
    layer_table,
    time_streams,
)
from npuc.isa.instructions import Engine
from npuc.isa.program import Program
from npuc.isa.target import Target
from npuc.runtime.layer_activity import LayerActivity, layer_activities
from npuc.runtime.tables import Cell, Table
from npuc.runtime.timing.recording import Recording, record, refuse_impossible

FJ_PER_NJ = 1e6


@dataclass(frozen=True)
class ProfileReport:
    """What one run of ``program`` costs. The rows of ``layers`` sum to ``timing.wall_cycles``.

    ``activities`` belong to the layers one by one; ``estimates`` are the planner's closed-form
    cycles of a layer, each of its steps alone, known where the program was compiled on the way.
    """

    program: Program
    timing: Timing
    layers: tuple[LayerRow, ...]
    energy: Energy
    activities: tuple[LayerActivity, ...] = ()
    estimates: Mapping[str, int] = field(default_factory=dict)

    @property
    def cycles(self) -> int:
        """Wall cycles of the run."""
        return self.timing.wall_cycles

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the matrix engine."""
        return sum(row.macs for row in self.layers)

    def to_json(self) -> dict[str, object]:
        """The whole report as plain data."""
        return {
            "model": self.program.debug.model_name,
            "target": self.timing.target.name,
            "cycles": self.cycles,
            "seconds": self.timing.seconds,
            "macs": self.macs,
            "dram_read_bytes": self.timing.dram_read_bytes,
            "dram_written_bytes": self.timing.dram_written_bytes,
            "layers": [
                {**_layer_to_json(row, self), **activity.to_json()}
                for row, activity in zip(self.layers, self.activities, strict=True)
            ],
            "engines": engine_cycles(self.timing),
            "energy_fj": dict(self.energy.levels),
            "energy_total_fj": self.energy.total_fj,
            "energy_without_price": list(self.energy.missing),
            "energy_sources": [
                {"event": row.event, "femtojoules": row.femtojoules, "source": row.source,
                 "node": row.node, "confidence": row.confidence}
                for row in self.energy.rows
            ],
        }  # fmt: skip


def profile_program(
    program: Program,
    target: Target | None = None,
    estimates: Mapping[str, int] | None = None,
) -> ProfileReport:
    """Profile one run of ``program``, under another ``target`` if one is given.

    Raises: BinaryError or ExecutionError where the program cannot run on its own target,
    UsageError where it cannot run on the other one.
    """
    return profile_recording(record(program), target, estimates)


def profile_recording(
    recording: Recording,
    target: Target | None = None,
    estimates: Mapping[str, int] | None = None,
) -> ProfileReport:
    """Profile a recorded run, under another ``target`` if one is given.

    Raises: UsageError where that machine cannot run the program.
    """
    if target is not None:
        refuse_impossible(recording, target)
    return report_of(recording, target, estimates)


def report_of(
    recording: Recording,
    target: Target | None = None,
    estimates: Mapping[str, int] | None = None,
) -> ProfileReport:
    """The profile of a recorded run under ``target``, which must be able to run it."""
    program, streams = recording.program, recording.streams
    timing = time_streams(program, streams, target)
    spent = energy(program, streams, timing)
    layers, activities = layer_table(program, timing), layer_activities(program, timing)
    return ProfileReport(program, timing, layers, spent, activities, estimates or {})


def engine_cycles(timing: Timing) -> list[dict[str, str | int]]:
    """One row per core and engine: cycles by account; each row sums to the wall cycles."""
    rows: list[dict[str, str | int]] = []
    for core in range(timing.accounting.shape[0]):
        for engine in Engine:
            counts = timing.accounting[core, engine.value]
            row: dict[str, str | int] = {"core": core, "engine": engine.name}
            row.update({account.name: int(counts[account]) for account in Account})
            rows.append(row)
    return rows


def summary_lines(report: ProfileReport) -> list[str]:
    """The run in three lines: time, traffic, energy."""
    timing, clock_mhz = report.timing, report.timing.target.clock_mhz
    peak = timing.target.mxu.macs_per_cycle * timing.target.cores
    share = report.macs / max(report.cycles * peak, 1)
    traffic = f"{timing.dram_read_bytes:,} bytes read, {timing.dram_written_bytes:,} written"
    work = f"{report.macs:,} MACs, {share:.1%} of the array's peak"
    duration = f"{report.cycles / clock_mhz:,.1f} us at {clock_mhz:,} MHz"
    return [
        f"{report.cycles:,} cycles on {timing.target.name}, {duration}; {work}",
        f"DRAM: {traffic}",
        f"energy: {_energy_text(report.energy)}",
    ]


def layer_rows(report: ProfileReport) -> Table:
    """The per-layer cycle table; its last row is the whole run."""
    known = bool(report.estimates)
    rows: list[tuple[Cell, ...]] = [
        (
            row.group,
            row.cycles,
            *(_alone_and_estimate(report, row.group, activity) if known else ()),
            f"{row.share:.1%}",
            row.macs,
            f"{row.mxu_utilisation:.1%}",
            row.dram_bytes,
            _nanojoules(report.energy.groups[row.group]),
            row.bound_by,
        )
        for row, activity in zip(report.layers, report.activities, strict=True)
    ]
    dram = sum(row.dram_bytes for row in report.layers)
    blank, title = (("", ""), ("alone", "estimate")) if known else ((), ())
    total = ("all", report.cycles, *blank, "100.0%", report.macs, "", dram,
             _nanojoules(report.energy.levels), "")  # fmt: skip
    columns = ("layer", "cycles", *title, "share", "MACs", "array", "DRAM bytes", "nJ", "bound by")
    return Table("", columns, rows, total)


def engine_rows(report: ProfileReport) -> Table:
    """Where each engine's cycles went; accounts that are zero everywhere are left out."""
    rows = engine_cycles(report.timing)
    accounts = [a.name for a in Account if any(row[a.name] for row in rows)]
    columns = ("engine", *(name.replace("_", " ") for name in accounts), "sum")
    several = len({row["core"] for row in rows}) > 1
    cells: list[tuple[Cell, ...]] = [
        (
            f"core {row['core']} {row['engine']}" if several else row["engine"],
            *(row[name] for name in accounts),
            sum(int(row[name]) for name in accounts),
        )
        for row in rows
    ]
    return Table("engine cycles", columns, cells)


def energy_rows(report: ProfileReport) -> Table:
    """The prices that were used, and where they come from."""
    rows: list[tuple[Cell, ...]] = [
        (row.event, row.femtojoules, row.node, row.confidence, row.source)
        for row in report.energy.rows
    ]
    return Table("energy table", ("event", "fJ", "node", "confidence", "source"), rows)


def _alone_and_estimate(
    report: ProfileReport, group: str, activity: LayerActivity
) -> tuple[Cell, Cell]:
    estimate = report.estimates.get(group)
    return activity.alone_cycles, "" if estimate is None else f"{estimate:,}"


def _layer_to_json(row: LayerRow, report: ProfileReport) -> dict[str, object]:
    return {
        "group": row.group,
        "nodes": list(row.nodes),
        "cycles": row.cycles,
        "share": row.share,
        "macs": row.macs,
        "mxu_utilisation": row.mxu_utilisation,
        "dram_bytes": row.dram_bytes,
        "bound_by": row.bound_by,
        "estimated_cycles": report.estimates.get(row.group),
        "energy_fj": dict(report.energy.groups[row.group]),
    }


def _nanojoules(levels: Mapping[str, int | None]) -> str:
    known = [value for value in levels.values() if value is not None]
    mark = "" if len(known) == len(levels) else " + ?"
    return f"{sum(known) / FJ_PER_NJ:,.1f}{mark}"


def _energy_text(spent: Energy) -> str:
    if not spent.rows and spent.missing:
        return "unknown: the target has no energy table"
    parts = ", ".join(
        f"{level} {value / FJ_PER_NJ:,.1f}" for level, value in spent.levels.items() if value
    )
    unpriced = f"; no price for {', '.join(spent.missing)}" if spent.missing else ""
    return f"{_nanojoules(spent.levels)} nJ = {parts}{unpriced}; --why shows whose prices"
