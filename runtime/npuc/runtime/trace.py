"""Traces: one run as Chrome's JSON trace, which Perfetto and chrome://tracing open.

A process for each core, a track for each engine, a slice for each command; arrows from transfers
to what waited for them and from computation to stores; counters of SPM in use and DRAM traffic.
Times are those of the time pass, so the same program gives the same bytes.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from npuc.emulator.machine import LoadedProgram, RunOptions, load
from npuc.emulator.order import NEVER, NONE, producers
from npuc.emulator.timing import Account, Timing, time_streams
from npuc.emulator.timing.groups import Groups, groups_of
from npuc.isa.instructions import BY_OPCODE, Engine
from npuc.isa.instructions.order import Fence, Nop
from npuc.isa.program import Program
from npuc.isa.target import Target
from npuc.runtime.files import write_text
from npuc.runtime.spm_use import spm_steps

Event: TypeAlias = dict[str, object]
Timed: TypeAlias = tuple[int, int, Event]  # cycle, rank among events of the cycle, event
Int64s: TypeAlias = npt.NDArray[np.int64]
LOADS = frozenset((Engine.ld0.value, Engine.ld1.value))
COMPUTES = frozenset((Engine.mxu.value, Engine.vpu.value))
STORE = Engine.st.value
SPM_COUNTER, DRAM_COUNTER = "SPM bytes in use", "DRAM bytes per cycle"
_COUNTERS, _SLICES, _ARROWS = range(3)  # a slice stands before the arrows that touch it


@dataclass(frozen=True)
class _Run:
    """One timed run and what its events are named after."""

    loaded: LoadedProgram
    timing: Timing
    groups: Groups

    def micros(self, cycle: int) -> float:
        """A cycle as microseconds since the start of the program."""
        return cycle / self.timing.target.clock_mhz


def trace_program(program: Program, target: Target | None = None) -> dict[str, object]:
    """The trace of one run of ``program`` as plain data, under another ``target`` if given.

    Raises: BinaryError or ExecutionError where the program cannot run.
    """
    loaded = load(program, RunOptions(target=target))
    timing = time_streams(program, loaded.streams, target)
    run = _Run(loaded, timing, groups_of(program, timing.streams))
    timed = [*_arrows(run), *_bandwidth(run)]
    for core in range(len(timing.cores)):
        timed += [*_slices(run, core), *_spm(run, core)]
    ordered = sorted(timed, key=lambda entry: entry[:2])
    return {
        "traceEvents": [*_names(run), *(event for _, _, event in ordered)],
        "displayTimeUnit": "ns",
        "otherData": {
            "model": program.debug.model_name,
            "target": timing.target.name,
            "clock_mhz": timing.target.clock_mhz,
            "cycles": timing.wall_cycles,
            "spm_bytes": timing.target.spm.capacity_bytes,
        },
    }


def save_trace(path: Path, program: Program, target: Target | None = None) -> None:
    """Write the trace of one run to ``path``, complete or not at all.

    Raises: as ``trace_program``; OSError where the file cannot be written.
    """
    write_text(path, json.dumps(trace_program(program, target), separators=(",", ":")) + "\n")


def _names(run: _Run) -> Iterator[Event]:
    """Metadata: cores are processes, engines are threads in the order of their numbers."""
    for core in range(len(run.timing.cores)):
        yield {"ph": "M", "name": "process_name", "pid": core, "args": {"name": f"core {core}"}}
        for engine in Engine:
            place = {"ph": "M", "pid": core, "tid": engine.value}
            yield {**place, "name": "thread_name", "args": {"name": engine.name}}
            yield {**place, "name": "thread_sort_index", "args": {"sort_index": engine.value}}


def _slices(run: _Run, core: int) -> Iterator[Timed]:
    """One complete event for each command, named by group and mnemonic."""
    timing = run.timing
    stream, times, work = timing.streams[core], timing.cores[core], timing.works[core]
    moved, stalls, causes = work.dram_read + work.dram_written, times.stalls, times.cause
    opcodes = run.loaded.decoded.cores[core].opcode[stream.instruction]
    for i, group in enumerate(run.groups.of_command[core].tolist()):
        start, cycles = int(times.start[i]), int(times.end[i] - times.start[i])
        arguments: Event = {
            "group": run.groups.names[group],
            "instruction": int(stream.instruction[i]),
            "start_cycle": start,
            "cycles": cycles,
            "bytes": int(moved[i]),
            "stall_cycles": int(stalls[i].sum()),
            "stall_cause": Account(int(causes[i])).name if stalls[i].any() else "none",
        }
        yield start, _SLICES, {
            "ph": "X",
            "name": f"{run.groups.names[group]} {BY_OPCODE[int(opcodes[i])].mnemonic}",
            "cat": "command",
            "ts": run.micros(start),
            "dur": run.micros(cycles),
            "pid": core,
            "tid": int(stream.engine[i]),
            "args": arguments,
        }  # fmt: skip


# -- arrows ---------------------------------------------------------------------------------------


def _arrows(run: _Run) -> Iterator[Timed]:
    """From the last cycle of a producer to the first of what waited for its data."""
    edges = sorted(_edges(run))
    for number, (core, command, to_core, to_command) in enumerate(edges):
        made, used = run.timing.cores[core], run.timing.cores[to_core]
        ends = (
            ("s", core, command, int(made.end[command]) - 1),
            ("f", to_core, to_command, int(used.start[to_command])),
        )
        for phase, at, row, cycle in ends:
            event: Event = {"ph": phase, "id": number, "name": "data", "cat": "data"}
            place: Event = {"ts": run.micros(cycle), "pid": at}
            engine = int(run.timing.streams[at].engine[row])
            bound: Event = {"bp": "e"} if phase == "f" else {}
            yield cycle, _ARROWS, {**event, **place, "tid": engine, **bound}


def _edges(run: _Run) -> set[tuple[int, int, int, int]]:
    """(core, producer, core, consumer) of every wait for data; waits for free slots are left out.

    A nop stands for the working commands around it in its queue: before it where it is waited
    for, behind it where it waits.
    """
    streams = run.timing.streams
    before = [_working(run, core, backwards=True) for core in range(len(streams))]
    behind = [_working(run, core, backwards=False) for core in range(len(streams))]
    found = set()
    for core, waits in enumerate(producers(streams)):
        for consumer, wait in np.argwhere((waits.command != NONE) & (waits.command != NEVER)):
            from_core = int(waits.core[consumer, wait])
            made = int(before[from_core][waits.command[consumer, wait]])
            used = int(behind[core][consumer])
            if min(made, used) < 0:
                continue
            engines = int(streams[from_core].engine[made]), int(streams[core].engine[used])
            if _carries_data(*engines):
                found.add((from_core, made, core, used))
    return found


def _carries_data(producer: int, consumer: int) -> bool:
    if producer in LOADS:
        return consumer in COMPUTES
    if producer in COMPUTES:
        return consumer in COMPUTES or consumer == STORE
    return producer == STORE and consumer in LOADS


def _working(run: _Run, core: int, *, backwards: bool) -> Int64s:
    """For each command itself or, for a nop, the nearest working one of its queue; else -1."""
    stream = run.timing.streams[core]
    opcodes = run.loaded.decoded.cores[core].opcode[stream.instruction]
    idle = np.isin(opcodes, (Nop.opcode, Fence.opcode))
    result = np.full(len(stream), -1, np.int64)
    latest: dict[int, int] = {}
    order = range(len(stream)) if backwards else range(len(stream) - 1, -1, -1)
    for row in order:
        engine = int(stream.engine[row])
        if not idle[row]:
            latest[engine] = row
        result[row] = latest.get(engine, -1)
    return result


# -- counters -------------------------------------------------------------------------------------


def _spm(run: _Run, core: int) -> Iterator[Timed]:
    steps = spm_steps(run.loaded, core, run.timing.cores[core], run.groups)
    for cycle, n_bytes in steps:
        yield _counter(run, SPM_COUNTER, (cycle, core), {"bytes": n_bytes})


def _bandwidth(run: _Run) -> Iterator[Timed]:
    """DRAM traffic of the chip, shown with core 0: each transfer's bytes even over its cycles."""
    changes: dict[int, list[float]] = {0: [0.0, 0.0]}
    for times, work in zip(run.timing.cores, run.timing.works, strict=True):
        for way, moved in enumerate((work.dram_read, work.dram_written)):
            for row in np.flatnonzero(moved).tolist():
                start, end = int(times.start[row]), int(times.end[row])
                rate = int(moved[row]) / (end - start)
                changes.setdefault(start, [0.0, 0.0])[way] += rate
                changes.setdefault(end, [0.0, 0.0])[way] -= rate
    for cycle, (read, written) in _running_sums(changes):
        values = {"read": round(read, 6), "written": round(written, 6)}
        yield _counter(run, DRAM_COUNTER, (cycle, 0), values)


def _running_sums(changes: dict[int, list[float]]) -> Iterable[tuple[int, tuple[float, float]]]:
    cycles = sorted(changes)
    sums = np.cumsum([changes[cycle] for cycle in cycles], axis=0)
    # Sums of floats leave crumbs below zero where nothing moves.
    return zip(cycles, (tuple(row) for row in np.maximum(sums, 0.0).tolist()), strict=True)


def _counter(
    run: _Run, name: str, place: tuple[int, int], values: dict[str, int] | dict[str, float]
) -> Timed:
    cycle, core = place
    event: Event = {"ph": "C", "name": name, "ts": run.micros(cycle), "pid": core}
    return cycle, _COUNTERS, {**event, "tid": Engine.ctl.value, "args": values}
