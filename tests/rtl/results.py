"""The whole comparison, as figures: writes ``results.json`` beside this file.

    make rtl        or      python -m tests.rtl.results [--check]

``--check`` compares the figures with the file instead of writing it. The command fails when the
Verilog and the emulator differ where they must not.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tests.rtl import drain_ports
from tests.rtl.commands import Drain
from tests.rtl.machines import ACC_BYTES, LARGE, SMALL, SPM_BYTES, Build, settings_of
from tests.rtl.referee import Comparison, Sample, bench_of, compare
from tests.rtl.sharing import BANKS_BENCH, Requests, differing_cycles, random_requests
from tests.rtl.verilating import build, missing_tools

RESULTS = Path(__file__).with_name("results.json")
SAMPLE = Sample(streams=3, products=8, seed=1)
ARBITER_STREAMS, ARBITER_COMMANDS, ARBITER_SEED = 60, 80, 2
Figures = dict[str, int | float | str]


def machine_figures(machine: Build, comparisons: Iterable[Comparison]) -> Figures:
    """Sums over all commands of one machine."""
    parts = list(comparisons)
    commands = [c for part in parts for c in part.commands]
    cycles = np.concatenate([part.cycle_differences for part in parts])
    durations = np.concatenate([part.emulator.durations for part in parts])
    is_drain = np.array([isinstance(c, Drain) for c in commands])
    even = [
        isinstance(c, Drain) and drain_ports.is_even(c, machine, int(n))
        for c, n in zip(commands, durations, strict=True)
    ]
    is_even = np.array(even, np.bool_)
    uneven = is_drain & ~is_even
    relative = np.abs(cycles[uneven]) / durations[uneven]
    counters = np.sum([part.rtl.counters for part in parts], axis=0).tolist()
    return {
        "machine": machine.name,
        "mma": int((~is_drain).sum()),
        "mma_cycles": int(durations[~is_drain].sum()),
        "elements_compared": len(commands) * (SPM_BYTES + ACC_BYTES // 4),
        "value_mismatches": int(sum(part.value_mismatches.sum() for part in parts)),
        "mma_cycle_differences": int(np.count_nonzero(cycles[~is_drain])),
        "start_differences": int(sum(np.count_nonzero(part.start_differences) for part in parts)),
        "even_drains": int(is_even.sum()),
        "even_drain_cycle_differences": int(np.count_nonzero(cycles[is_even])),
        "uneven_drains": int(uneven.sum()),
        "uneven_drain_cycle_differences": int(np.count_nonzero(cycles[uneven])),
        "uneven_drain_median_percent": _percent(np.median(relative)) if len(relative) else 0.0,
        "uneven_drain_max_percent": _percent(relative.max(initial=0)),
        "acc_accesses_above_ports": counters[0],
        "acc_bank_meetings": counters[1],
        "spm_bank_meetings": counters[2],
    }


def _percent(part: float) -> float:
    return round(100 * float(part), 1)


def arbiter_figures(program: Path, streams: list[Requests]) -> Figures:
    """Engine-cycles compared with the stepped oracle."""
    return {
        "streams": len(streams),
        "commands": sum(len(stream.commands) for stream in streams),
        "cycles": sum(stream.cycles for stream in streams),
        "stretched_commands": sum(_stretched(stream) for stream in streams),
        "differing_engine_cycles": differing_cycles(program, streams),
    }


def _stretched(stream: Requests) -> int:
    alone = stream.work.isolated
    return sum(int(c.end - c.start > alone[c.index]) for c in stream.commands)


def measure(folder: Path) -> dict[str, object]:
    """All figures; what is built goes to ``folder``."""
    machines = (*SMALL, *LARGE)
    programs = build([BANKS_BENCH, *map(bench_of, machines)], folder)
    rows = [
        machine_figures(
            machine,
            (
                part
                for settings in settings_of(machine)
                for part in compare(programs[machine.name], machine, settings, SAMPLE)
            ),
        )
        for machine in machines
    ]
    rng = np.random.default_rng(ARBITER_SEED)
    streams = [random_requests(rng, ARBITER_COMMANDS) for _ in range(ARBITER_STREAMS)]
    arbiter = arbiter_figures(programs[BANKS_BENCH.name], streams)
    return {"command": "make rtl", "machines": rows, "arbiter": arbiter}


MUST_BE_ZERO = (
    "value_mismatches",
    "mma_cycle_differences",
    "start_differences",
    "even_drain_cycle_differences",
    "acc_accesses_above_ports",
)


def failures(figures: dict[str, object]) -> list[str]:
    """What differs and must not."""
    rows = figures["machines"]
    assert isinstance(rows, list), "measure() makes a list"
    found = [
        f"{row['machine']}: {row[name]} {name}"
        for row in rows
        for name in MUST_BE_ZERO
        if row[name]
    ]
    arbiter = figures["arbiter"]
    assert isinstance(arbiter, dict), "measure() makes a mapping"
    if arbiter["differing_engine_cycles"]:
        found.append(f"arbiter: {arbiter['differing_engine_cycles']} differing engine-cycles")
    return found


def main(arguments: list[str]) -> int:
    """Measure, then write or compare; 0 where everything is as it must be."""
    why = missing_tools()
    if why:
        print(f"the RTL referee cannot run: {why}", file=sys.stderr)  # a command
        return 2
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    text = json.dumps(figures, indent=1) + "\n"
    wrong = failures(figures)
    if "--check" in arguments:
        if text != RESULTS.read_text(encoding="utf-8"):
            wrong.append(f"the figures are not those of {RESULTS.name}: run `make rtl`")
    elif not wrong:
        RESULTS.write_text(text, encoding="utf-8")
    print(text if not wrong else "\n".join(wrong))  # a command
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
