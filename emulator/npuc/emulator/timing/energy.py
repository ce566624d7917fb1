"""Energy: a sum over executed events, each priced by the target's table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from npuc.emulator.stream import CommandStream
from npuc.emulator.timing.groups import group_cycles, group_sum, groups_of
from npuc.emulator.timing.timing import Timing
from npuc.emulator.timing.work import Work
from npuc.isa.cost import Int64s
from npuc.isa.dtypes import DType
from npuc.isa.program import Program
from npuc.isa.target import EnergyRow

MAC_EVENTS = {
    DType.i8: "mac_i8",
    DType.bf16: "mac_bf16",
    DType.f16: "mac_bf16",  # the array treats both 16-bit types alike
    DType.f32: "mac_fp32",
}
LEVELS = ("mac", "vpu", "spm", "acc", "dram", "leakage")


@dataclass(frozen=True)
class Energy:
    """Femtojoules by level (``LEVELS``), over all and per group in order.

    None where the target prices no such event; ``missing`` says which. ``rows`` of the table
    that were used carry source, node and confidence.
    """

    levels: Mapping[str, int | None]
    groups: Mapping[str, Mapping[str, int | None]]
    missing: tuple[str, ...]
    rows: tuple[EnergyRow, ...]

    @property
    def total_fj(self) -> int | None:
        """Sum of all levels; None where one of them has no price."""
        return _total(self.levels.values())


def energy(program: Program, streams: Sequence[CommandStream], timing: Timing) -> Energy:
    """Energy of a timed run, by group and level. Leakage follows each group's wall cycles."""
    groups = groups_of(program, streams)
    counts = {
        event: group_sum(groups, [_events(work)[event] for work in timing.works])
        for event in _events(Work.zeros(0))
    }
    wall = group_cycles(groups, [core.end for core in timing.cores])
    counts["leakage_cycle"] = wall * timing.target.cores  # the table prices one core
    used = {event for event, count in counts.items() if count.any()}
    prices = {event: timing.target.energy_fj(event) for event in sorted(used)}
    by_group = {
        name: {
            level: _level_energy(level, prices, {e: int(c[i]) for e, c in counts.items()})
            for level in LEVELS
        }
        for i, name in enumerate(groups.names)
    }
    levels = {level: _total(g[level] for g in by_group.values()) for level in LEVELS}
    return Energy(
        levels,
        by_group,
        tuple(event for event, price in prices.items() if price is None),
        tuple(row for row in timing.target.energy if row.event in used),
    )


def _events(work: Work) -> dict[str, Int64s]:
    """Counts of each priced event per command."""
    events = {event: np.zeros(len(work.macs), np.int64) for event in MAC_EVENTS.values()}
    for dtype, event in MAC_EVENTS.items():
        events[event] += np.where(work.mac_dtype == dtype.value, work.macs, 0)
    return {
        **events,
        "vpu_lane_op": work.lane_ops,
        "spm_byte": work.spm_bytes,
        "acc_byte": work.acc_bytes,
        "dram_byte": work.dram_read + work.dram_written,
    }


def _level_energy(
    level: str, prices: Mapping[str, float | None], counts: Mapping[str, int]
) -> int | None:
    """Energy of one level; an event that did not happen needs no price."""
    costs = [
        _priced(prices[event], counts[event])
        for event in prices
        if event.split("_")[0] == level and counts[event]
    ]
    return _total(costs)


def _priced(femtojoules: float | None, count: int) -> int | None:
    return None if femtojoules is None else round(femtojoules * count)


def _total(parts: Iterable[int | None]) -> int | None:
    total = 0
    for part in parts:
        if part is None:
            return None
        total += part
    return total
