"""What the engines did for each layer: busy cycles, stalls by cause, energy by level, estimate."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from npuc.compiler.remarks import LAYER_CYCLES, Remark
from npuc.emulator.timing import Account, Energy, Timing, cycles_alone
from npuc.emulator.timing.groups import Groups, group_sum, groups_of
from npuc.isa.instructions import Engine
from npuc.isa.program import Program
from npuc.runtime.tables import Cell, Table

WORKING = tuple(engine for engine in Engine if engine is not Engine.ctl)
STALLS = tuple(a for a in Account if a not in (Account.busy, Account.dispatch, Account.idle))
FJ_PER_NJ = 1e6


@dataclass(frozen=True)
class LayerActivity:
    """One group. ``span_cycles``: from its first command's start to its last one's end.

    ``alone_cycles``: of its steps, each with the machine to itself, as the estimate supposes; of
    the slowest core.
    ``busy`` cycles by engine and ``stalls`` by cause are sums over the cores.
    """

    group: str
    nodes: tuple[str, ...]
    span_cycles: int
    alone_cycles: int
    busy: Mapping[str, int]
    stalls: Mapping[str, int]

    @property
    def main_stall(self) -> str:
        """The cause of most stalled cycles; ``none`` where nothing stalled."""
        worst = max(self.stalls, key=lambda cause: self.stalls[cause])
        return worst if self.stalls[worst] else "none"

    def utilisation(self, engine: str, cores: int) -> float:
        """Part of the layer's span in which ``engine`` was busy, mean over ``cores``."""
        return self.busy[engine] / max(self.span_cycles * cores, 1)

    def to_json(self) -> dict[str, object]:
        """The activity as plain data."""
        return {
            "span_cycles": self.span_cycles,
            "alone_cycles": self.alone_cycles,
            "engine_busy_cycles": dict(self.busy),
            "stall_cycles": dict(self.stalls),
        }


def layer_activities(program: Program, timing: Timing) -> tuple[LayerActivity, ...]:
    """One activity per group, in the order of ``layer_table``."""
    groups = groups_of(program, timing.streams)
    spans, alone = _spans(groups, timing), _alone(program, timing)
    busy = {
        engine.name: group_sum(
            groups,
            [
                np.where(stream.engine == engine.value, core.busy, 0)
                for stream, core in zip(timing.streams, timing.cores, strict=True)
            ],
        )
        for engine in WORKING
    }
    stalls = {
        cause.name: group_sum(groups, [core.stalls[:, cause] for core in timing.cores])
        for cause in STALLS
    }
    return tuple(
        LayerActivity(
            name,
            groups.nodes[i],
            spans[i],
            alone.get(name, 0),
            {engine: int(cycles[i]) for engine, cycles in busy.items()},
            {cause: int(cycles[i]) for cause, cycles in stalls.items()},
        )
        for i, name in enumerate(groups.names)
    )


def estimates(remarks: Iterable[Remark]) -> dict[str, int]:
    """The planner's closed-form cycles of each group: the sum of its steps, each alone.

    Of the slowest core, where several share the group.
    """
    found: dict[str, int] = {}
    for remark in remarks:
        cycles = dict(remark.figures).get(LAYER_CYCLES)
        if cycles is not None:
            found[remark.group] = max(found.get(remark.group, 0), round(cycles))
    return found


def activity_rows(activities: Iterable[LayerActivity], cores: int) -> Table:
    """How busy each engine was while a layer ran, and what held its commands back."""
    rows: list[tuple[Cell, ...]] = [
        (
            activity.group,
            activity.span_cycles,
            *(f"{activity.utilisation(engine.name, cores):.1%}" for engine in WORKING),
            sum(activity.stalls.values()),
            activity.main_stall,
        )
        for activity in activities
    ]
    engines = (engine.name for engine in WORKING)
    columns = ("layer", "span", *engines, "stalled", "mostly by")
    return Table("engine use and stalls by layer", columns, rows)


def energy_level_rows(spent: Energy) -> Table:
    """Energy of each layer in nanojoules, by level; ``?`` where the target has no price."""
    levels = [level for level, value in spent.levels.items() if value != 0]
    rows: list[tuple[Cell, ...]] = [
        (group, *(_nanojoules(by_level[level]) for level in levels))
        for group, by_level in spent.groups.items()
    ]
    total = ("all", *(_nanojoules(spent.levels[level]) for level in levels))
    return Table("energy by layer and level, nJ", ("layer", *levels), rows, total)


def _spans(groups: Groups, timing: Timing) -> list[int]:
    first = np.full(len(groups.names), timing.wall_cycles, np.int64)
    last = np.zeros(len(groups.names), np.int64)
    for of_command, core in zip(groups.of_command, timing.cores, strict=True):
        np.minimum.at(first, of_command, core.start)
        np.maximum.at(last, of_command, core.end)
    return [int(cycles) for cycles in np.maximum(last - first, 0)]


def _alone(program: Program, timing: Timing) -> dict[str, int]:
    cycles: dict[tuple[str, int], int] = {}
    each = cycles_alone(program, timing.streams, timing.target)
    for source, alone in zip(program.debug.sources, each.tolist(), strict=True):
        key = source.group, source.core
        cycles[key] = cycles.get(key, 0) + alone
    slowest: dict[str, int] = {}
    for (group, _), alone in cycles.items():
        slowest[group] = max(slowest.get(group, 0), alone)
    return slowest


def _nanojoules(femtojoules: int | None) -> str:
    return "?" if femtojoules is None else f"{femtojoules / FJ_PER_NJ:,.2f}"
