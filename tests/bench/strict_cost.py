"""What strict mode costs, as a multiple of a functional pass: writes docs/validation/strict.json.

``python -m tests.bench.strict_cost [P.npu ..]``: the networks below, or programs that are compiled
already. CPU time, the least of several runs in one process. A run decodes, resolves and computes
values; the cost is (run + strict checks) / run. Checks depend on no values: a loaded program is
checked once; beside the values alone of a program that is loaded they cost more.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from models.zoo import build, quantised
from npuc import api
from npuc.emulator.machine import load
from npuc.isa.program import Program
from npuc.runtime.random_inputs import random_program_inputs
from npuc.runtime.sample_data import QDQ_INT8, sample_model

REPORT = Path(__file__).resolve().parents[2] / "docs/validation/strict.json"
NETWORKS = ("light_squeezenet", "mobilenet_v2", "light_resnet50")
REPEATS = 15
LIMIT = 5.0


def program_of(name: str, folder: Path) -> Program:
    """An int8 network of the zoo, or the digit classifier, compiled for ``edge``."""
    if name == "digits":
        return api.compile(sample_model(QDQ_INT8), target="edge", dims={"batch": 1}).program
    path = folder / f"{name}.onnx"
    path.write_bytes(quantised(build(name)).SerializeToString())
    return api.compile(path, target="edge").program


def least_cpu_seconds(work: Callable[[], object]) -> float:
    """The least CPU time of several runs."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def cost_of(program: Program) -> dict[str, float]:
    """CPU seconds of each pass; the cost beside a whole run and beside its values alone."""
    machine, inputs = load(program), random_program_inputs(program)
    machine.run(inputs)  # compiles kernels
    assert machine.findings(machine.streams) == ()
    run = least_cpu_seconds(lambda: load(program).run(inputs))
    values = least_cpu_seconds(lambda: machine.run(inputs))
    strict = least_cpu_seconds(lambda: machine.findings(machine.streams))
    return {
        "commands": sum(len(stream) for stream in machine.streams),
        "run_cpu_seconds": round(run, 4),
        "values_alone_cpu_seconds": round(values, 4),
        "strict_cpu_seconds": round(strict, 4),
        "cost": round((run + strict) / run, 2),
        "cost_beside_values_alone": round((values + strict) / values, 2),
    }


def main() -> int:
    """The command line; 1 where strict mode costs LIMIT or more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", nargs="*", type=Path, help="measure these programs")
    parser.add_argument("--report", type=Path, default=REPORT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        names = () if options.programs else ("digits", *NETWORKS)
        report = {name: cost_of(program_of(name, Path(folder))) for name in names}
    report |= {path.stem: cost_of(api.load(path)) for path in options.programs}
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))
    return int(any(row["cost"] >= LIMIT for row in report.values()))


if __name__ == "__main__":
    sys.exit(main())
