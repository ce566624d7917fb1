"""Laws that every timing keeps: bounds, exact accounting, and that more of anything never slows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from npuc.emulator.timing import Account, Timing, time_streams
from npuc.isa.dtypes import DType
from npuc.isa.errors import NpucError
from npuc.isa.instructions import Engine
from npuc.isa.target import Target
from npuc.runtime.timing.recording import refuse_impossible
from tests.validation.form import Rung, violations
from tests.validation.programs import (
    KINDS,
    Case,
    compiled_cases,
    compiled_network,
    machines,
    random_case,
)

EXCEPTIONS = Path(__file__).with_name("data") / "slower_with_more.json"
MOST_EXCEPTIONS = 5
RANDOM_COMMANDS, SEEDS = 200, 5
NETWORKS = ("light_squeezenet", "mobilenet_v2", "light_resnet50")


def improvements(target: Target) -> dict[str, Target]:
    """Machines with twice of one thing, by its name."""
    return {
        "dram.bytes_per_cycle": replace(
            target, dram=replace(target.dram, bytes_per_cycle=2 * target.dram.bytes_per_cycle)
        ),
        "spm.banks": replace(target, spm=replace(target.spm, banks=2 * target.spm.banks)),
        "acc.banks": replace(target, acc=replace(target.acc, banks=2 * target.acc.banks)),
        "ctl.queue_depth": replace(
            target, ctl=replace(target.ctl, queue_depth=2 * target.ctl.queue_depth)
        ),
        "dma.channels": replace(target, dma=replace(target.dma, channels=2 * target.dma.channels)),
        "dma.outstanding_bursts": replace(
            target,
            dma=replace(target.dma, outstanding_bursts=2 * target.dma.outstanding_bursts),
        ),
    }


def bounds(timing: Timing) -> dict[str, float]:
    """Cycles that no schedule of the same commands can beat, by what bounds."""
    target, works = timing.target, timing.works
    mac_cycles = []
    for work in works:
        rates = {DType.f32: target.mxu.mac_rate_fp32, DType.i8: 1.0}
        cycles = 0.0
        for dtype in DType:
            rate = rates.get(dtype, target.mxu.mac_rate_bf16)
            macs = int(work.macs[work.mac_dtype == dtype.value].sum())
            cycles += macs / (target.mxu.rows * target.mxu.cols * rate)
        mac_cycles.append(cycles)
    dram_bytes = timing.dram_read_bytes + timing.dram_written_bytes
    vpu = target.vpu
    lanes = vpu.lanes * vpu.mac8_lane_factor * vpu.chain_depth
    return {
        "MACs": max(mac_cycles, default=0),
        "DRAM": dram_bytes / (target.dram.bytes_per_cycle * target.dram.efficiency),
        "SPM ports": max((w.spm_words.sum() / target.spm.banks for w in works), default=0),
        "ACC ports": max((w.acc_words.sum() / target.acc.banks for w in works), default=0),
        "vector lanes": max((w.lane_ops.sum() / lanes for w in works), default=0),
    }


def serial_bound(timing: Timing) -> int:
    """All commands one after another, alone, and ctl before each.

    Rates are rounded down to 2^-20 and ends up to whole cycles: a cycle per command is added.
    """
    cycles = 0
    for work, stream in zip(timing.works, timing.streams, strict=True):
        on_ctl = stream.ctl_cycles.sum() * timing.target.ctl.dispatch_cycles
        cycles += int(work.isolated.sum() + on_ctl) + len(stream)
    return cycles


def is_accounted(timing: Timing) -> bool:
    """Busy + stalls + idle = wall cycles for every engine, and busy is the work alone."""
    table = timing.accounting
    exact = bool((table >= 0).all() and (table.sum(axis=2) == timing.wall_cycles).all())
    for core, (work, stream) in enumerate(zip(timing.works, timing.streams, strict=True)):
        for engine in Engine:
            if engine is not Engine.ctl:
                alone = int(work.isolated[stream.engine == engine.value].sum())
                exact &= int(table[core, engine.value, Account.busy]) == alone
    return exact


@dataclass
class Found:
    """What the laws gave over many cases."""

    cases: int = 0
    below: dict[str, int] = field(default_factory=dict)
    above: int = 0
    unaccounted: int = 0
    improved: int = 0
    slower: list[dict[str, object]] = field(default_factory=list)

    def add(self, case: Case) -> None:
        """Check every law on one case."""
        timing = time_streams(case.program, case.streams, case.target)
        self.cases += 1
        for name, bound in bounds(timing).items():
            self.below[name] = self.below.get(name, 0) + (timing.wall_cycles < bound - 1)
        self.above += timing.wall_cycles > serial_bound(timing)
        self.unaccounted += not is_accounted(timing)
        for name, better in improvements(case.target).items():
            if not _can_run(case, better):
                continue
            cycles = time_streams(case.program, case.streams, better).wall_cycles
            self.improved += 1
            if cycles > timing.wall_cycles:
                self.slower.append(
                    {
                        "case": case.name,
                        "more": name,
                        "cycles": timing.wall_cycles,
                        "with_more": cycles,
                    }
                )


def _can_run(case: Case, target: Target) -> bool:
    """Whether the program still suits the machine; streams made by hand suit any."""
    if not case.program.constants.size and not case.program.inputs:
        return True
    try:
        refuse_impossible(case.recording, target)
    except NpucError:
        return False
    return True


def random_cases(seeds: Sequence[int] = range(SEEDS)) -> Iterator[Case]:
    """Random streams of each kind on every machine, one core and three."""
    for target in machines():
        for kind in (*KINDS, "periodic"):
            for seed in seeds:
                yield random_case(target, kind, RANDOM_COMMANDS, 1 + 2 * (seed % 2), seed)


def committed_exceptions() -> list[dict[str, object]]:
    """Where more of something makes a fixed program slower, and why; at most five."""
    data = json.loads(EXCEPTIONS.read_text(encoding="utf-8"))
    return list(data["exceptions"])


def uncovered(slower: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Those of ``slower`` that no committed exception allows."""
    return [found for found in slower if not any(_covers(e, found) for e in committed_exceptions())]


def _covers(exception: dict[str, object], found: dict[str, object]) -> bool:
    slowdown = float(str(found["with_more"])) / float(str(found["cycles"])) - 1
    return (
        exception["more"] == found["more"]
        and str(exception["case"]) in str(found["case"])
        and 100 * slowdown <= float(str(exception["most_percent"]))
    )


def rung() -> Rung:
    """Every law on compiled programs and on random streams."""
    rows: list[dict[str, object]] = []
    networks = [compiled_network(name) for name in NETWORKS]
    for name, cases in (
        ("compiled", [*compiled_cases(), *networks]),
        ("random", list(random_cases())),
    ):
        found = Found()
        for case in cases:
            found.add(case)
        rows += [
            violations(f"{name}: not below the bound of {bound}", found.cases, int(count))
            for bound, count in found.below.items()
        ]
        rows += [
            violations(f"{name}: not above all commands alone, in turn", found.cases, found.above),
            violations(f"{name}: every engine-cycle accounted", found.cases, found.unaccounted),
            violations(
                f"{name}: twice of one thing is not slower", found.improved, len(found.slower)
            ),
        ]
        left = uncovered(found.slower)
        rows.append(
            violations(f"{name}: slower, and no listed exception", found.improved, len(left))
        )
    notes = [
        f"Exception: twice `{e['more']}`, {e['text']}, by at most {e['most_percent']} %: {e['why']}"
        for e in committed_exceptions()
    ]
    return Rung(
        "properties",
        "Laws",
        "wall cycles and accounting of compiled networks and of random streams",
        "bounds that hold for any schedule, and the same run on machines with twice of one thing",
        rows,
        notes,
    )
