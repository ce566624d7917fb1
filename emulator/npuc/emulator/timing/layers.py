"""The per-layer table: what each group costs and what bounds it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npuc.emulator.stream import CommandStream
from npuc.emulator.timing.accounting import Account
from npuc.emulator.timing.groups import Groups, group_cycles, group_sum, groups_of
from npuc.emulator.timing.timing import Timing
from npuc.isa import cost
from npuc.isa.cost import Int64s
from npuc.isa.dtypes import DType
from npuc.isa.instructions import Engine
from npuc.isa.program import Program

Float64s = npt.NDArray[np.float64]
TRANSFERS = (Engine.ld0, Engine.ld1, Engine.st)


@dataclass(frozen=True)
class LayerRow:
    """One group. ``cycles`` are its own wall cycles and ``share`` their part of all.

    ``mxu_utilisation``: MACs over what the array could do in these cycles at the MACs' types.
    ``bound_by``: the busiest of mxu, vpu, DRAM, transfer set-up, ctl, or the largest memory stall.
    """

    group: str
    nodes: tuple[str, ...]
    cycles: int
    share: float
    macs: int
    mxu_utilisation: float
    dram_bytes: int
    bound_by: str


def layer_table(program: Program, timing: Timing) -> tuple[LayerRow, ...]:
    """One row per group, in order; their cycles sum to the wall time."""
    groups = groups_of(program, timing.streams)
    cycles = group_cycles(groups, [core.end for core in timing.cores])
    macs = group_sum(groups, [work.macs for work in timing.works])
    dram = group_sum(groups, [w.dram_read + w.dram_written for w in timing.works])
    needed = _array_cycles(groups, timing)
    causes = _causes(groups, timing)
    available = np.maximum(cycles * len(timing.cores), 1)
    return tuple(
        LayerRow(
            name,
            groups.nodes[i],
            int(cycles[i]),
            int(cycles[i]) / max(timing.wall_cycles, 1),
            int(macs[i]),
            float(needed[i] / available[i]),
            int(dram[i]),
            max(causes, key=lambda cause: int(causes[cause][i])),
        )
        for i, name in enumerate(groups.names)
    )


def _array_cycles(groups: Groups, timing: Timing) -> Float64s:
    """Cycles per group that the full array would need for the group's MACs."""
    total = np.zeros(len(groups.names))
    for dtype in DType:
        macs = group_sum(
            groups, [np.where(w.mac_dtype == dtype.value, w.macs, 0) for w in timing.works]
        )
        peak = timing.target.mxu.macs_per_cycle * cost.mac_rate(timing.target, dtype)
        total += macs / peak
    return total


def _causes(groups: Groups, timing: Timing) -> dict[str, Int64s]:
    """Cycles per group by candidate bound; an earlier name wins a tie."""
    streams = timing.streams

    def busy(*engines: Engine) -> Int64s:
        return group_sum(
            groups,
            [
                np.where(np.isin(s.engine, [e.value for e in engines]), core.busy, 0)
                for s, core in zip(streams, timing.cores, strict=True)
            ],
        )

    def stalled(account: Account) -> Int64s:
        return group_sum(groups, [core.stalls[:, account] for core in timing.cores])

    dram_rate = timing.target.dram.bytes_per_cycle * timing.target.dram.efficiency
    dram_bytes = group_sum(groups, [w.dram_read + w.dram_written for w in timing.works])
    ctl = [s.ctl_cycles * timing.target.ctl.dispatch_cycles for s in streams]
    moving = [_on(s, TRANSFERS, w.fixed) for s, w in zip(streams, timing.works, strict=True)]
    return {
        "mxu": busy(Engine.mxu),
        "vpu": busy(Engine.vpu),
        "dram bandwidth": np.ceil(dram_bytes / dram_rate).astype(np.int64),
        "transfer latency": group_sum(groups, moving) // len(TRANSFERS),
        "dispatch": group_sum(groups, ctl),
        "dma channels": stalled(Account.channel),
        "spm banks": stalled(Account.spm),
        "acc banks": stalled(Account.acc),
    }


def _on(stream: CommandStream, engines: tuple[Engine, ...], values: Int64s) -> Int64s:
    return np.where(np.isin(stream.engine, [engine.value for engine in engines]), values, 0)
