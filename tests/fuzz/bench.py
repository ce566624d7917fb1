"""`make fuzz`: many mutated files and random streams, judged; resumable, seeded, bounded.

Case number i of a kind is always the same case, so that a report says all by kind and count. Work
goes on where the report of an earlier call ended, in chunks, and stops at the count wanted or when
the CPU seconds of this call are used up. A case may take CPU_SECONDS and ADDRESS_BYTES of memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from npuc.emulator.functional.compiled.leaves import leaves
from npuc.emulator.functional.compiled.vector import VECTOR
from npuc.isa.jit import HAS_NUMBA
from tests.fuzz.judge import judge_file, judge_program
from tests.fuzz.mutations import mutate
from tests.fuzz.seeds import seeds
from tests.fuzz.streams import Steps, built, random_steps

REPORT = Path(__file__).parents[2] / "docs/validation/fuzz.json"
CPU_SECONDS = 20  # of one case, far above any that has been seen
ADDRESS_BYTES = 1 << 30  # of address space above what the process has when it starts judging
CHUNK = 100
MAX_KEPT_FAILURES = 20
Case = Callable[[int], tuple[str, str]]  # number of a case to its sort and its outcome


def file_case(number: int) -> tuple[str, str]:
    """Mutated file ``number``: the mutation and what became of it."""
    rng = np.random.default_rng([1, number])
    files = seeds()
    name, data = mutate(files[int(rng.integers(len(files)))], rng)
    return name, judge_file(data)


def stream_case(number: int) -> tuple[str, str]:
    """Random program ``number``: how many cores it uses, and what became of it."""
    program = built(steps_of(number))
    return f"cores: {len(program.code)}", judge_program(program)


def steps_of(number: int) -> Steps:
    """The steps of random program ``number``."""
    return random_steps(np.random.default_rng([0, number]))


CASES: dict[str, Case] = {"mutated files": file_case, "random streams": stream_case}


def shrunk(steps: Steps, fails: Callable[[Steps], bool]) -> Steps:
    """Fewest steps that still fail when single ones are left out."""
    at = 0
    while at < len(steps):
        fewer = steps[:at] + steps[at + 1 :]
        steps, at = (fewer, at) if fails(fewer) else (steps, at + 1)
    return steps


def _fails(steps: Steps) -> bool:
    try:
        judge_program(built(steps))
    except Exception:  # noqa: BLE001  # whatever it is, it should not be
        return True
    return False


def _judged(kind: str, number: int) -> tuple[str, str]:
    """Sort and outcome; an outcome of ``FAILED`` is a fault of npuc."""
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        return CASES[kind](number)
    except Exception as error:  # noqa: BLE001  # the very thing that is looked for
        return "FAILED", f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _run(kind: str, record: dict[str, Any], wanted: int, cpu_seconds: float) -> None:
    """Judge cases until ``wanted`` are done or the time is used up; counts go into ``record``."""
    sorts, outcomes = Counter(record["sorts"]), Counter(record["outcomes"])
    start = time.process_time()
    while record["n"] < wanted and time.process_time() - start < cpu_seconds:
        number = record["n"]
        sort, outcome = _judged(kind, number)
        if sort == "FAILED":
            failure = {"number": number, "error": outcome[:500]}
            if kind == "random streams":
                failure["steps"] = shrunk(steps_of(number), _fails)
            record["failures"] = [*record["failures"], failure][:MAX_KEPT_FAILURES]
            print(f"{kind} {number}: {failure}", file=sys.stderr)
        outcomes["FAILED" if sort == "FAILED" else outcome] += 1
        sorts[sort] += 1
        record["n"] = number + 1
    used = time.process_time() - start
    record |= {"sorts": dict(sorted(sorts.items())), "outcomes": dict(sorted(outcomes.items()))}
    record["cpu_seconds"] = round(record["cpu_seconds"] + used, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    record["peak_mib"] = max(record["peak_mib"], peak)


def _retry(kind: str, record: dict[str, Any]) -> None:
    """Judge the cases that failed anew: what has been mended since counts as what it is now."""
    failures, record["failures"] = record["failures"], []
    for failure in failures:
        sort, outcome = _judged(kind, failure["number"])
        if sort == "FAILED":
            record["failures"].append(failure)
            continue
        for counts, gained in ((record["sorts"], sort), (record["outcomes"], outcome)):
            counts["FAILED"] -= 1
            counts[gained] = counts.get(gained, 0) + 1
        record["mended"] = [*record["mended"], failure]
    for counts in (record["sorts"], record["outcomes"]):
        if counts.get("FAILED") == 0:
            del counts["FAILED"]


def _fresh() -> dict[str, Any]:
    counts: dict[str, Any] = {"n": 0, "cpu_seconds": 0.0, "peak_mib": 0}
    return counts | {"outcomes": {}, "sorts": {}, "failures": [], "mended": []}


def _bound_memory() -> None:
    """From here on the process may take ADDRESS_BYTES more; beyond that is a MemoryError."""
    used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    limit = used * resource.getpagesize() + ADDRESS_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _on_alarm(*_: object) -> None:
    raise TimeoutError(f"a case takes more than {CPU_SECONDS} CPU seconds")


def main() -> int:
    """The command line; 1 where any case failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50_000, help="cases of each kind in all")
    parser.add_argument("--cpu-seconds", type=float, default=3600, help="of this call")
    parser.add_argument("--kind", choices=list(CASES), help="only this kind")
    parser.add_argument("--report", type=Path, default=REPORT)
    parser.add_argument("--fresh", action="store_true", help="forget the earlier report")
    options = parser.parse_args()
    report: dict[str, Any] = {}
    if options.report.exists() and not options.fresh:
        report = json.loads(options.report.read_text(encoding="utf-8"))
    if HAS_NUMBA:
        leaves().address(VECTOR)  # a process that has compiled code uses it for all commands
    for kind, case in CASES.items():
        case(0)  # compiles kernels before memory is bounded
        report[kind] = _fresh() | report.get(kind, {})
    signal.signal(signal.SIGVTALRM, _on_alarm)
    _bound_memory()
    start = time.process_time()
    kinds = [options.kind] if options.kind else list(CASES)
    for share, kind in enumerate(kinds, 1):
        _retry(kind, report[kind])
        while (record := report[kind])["n"] < options.count:
            left = options.cpu_seconds * share / len(kinds) - (time.process_time() - start)
            if left <= 0:
                break
            _run(kind, record, min(record["n"] + CHUNK, options.count), left)
            options.report.parent.mkdir(parents=True, exist_ok=True)
            options.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return int(any(report[kind]["failures"] for kind in kinds))


if __name__ == "__main__":
    sys.exit(main())
