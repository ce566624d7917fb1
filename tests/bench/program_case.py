"""One compiled program: its cycles, traffic, roof and layers, and what compiling it took.

Measured in a process of its own: ``python -m tests.bench.program_case '{"network": ...}'`` prints
``measure`` of that case as JSON, so that searches start cold and memory is the case's own.
"""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import onnx

from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import Observers
from npuc.compiler.roof import Roof, roof_of
from npuc.compiler.xdsl_api import ModuleOp
from npuc.isa.target import Target, load_target
from npuc.runtime.building import build, program_of
from npuc.runtime.layer_activity import estimates
from npuc.runtime.profiling import ProfileReport, profile_program
from npuc.runtime.sample_data import QDQ_INT8, sample_model

DIGITS = "digits"  # the classifier that ships with npuc: for tests
KIB_PER_MB = 1e6 / 1024


@dataclass(frozen=True)
class Case:
    """What to compile: an int8 network of the zoo (or ``DIGITS``) and how."""

    network: str
    target: str = "edge"
    level: int = 2
    batch: int = 1
    cores: int | None = None


@dataclass(frozen=True)
class Figures:
    """What is the same on every computer: cycles, bytes and counts of one case."""

    case: Case
    cycles: int
    roof_cycles: int
    whole_model_cycles: int
    macs: int
    dram_bytes: int
    compulsory_bytes: int
    instructions: int
    commands: int

    def to_json(self) -> dict[str, object]:
        """One flat row."""
        row = asdict(self)
        return {**row.pop("case"), **row}


@dataclass(frozen=True)
class Layer:
    """Cycles of a layer: by the closed form, alone on the emulator, its own of the whole run."""

    estimate: int
    alone: int
    run: int


@dataclass(frozen=True)
class Measured:
    """A case's figures, its layers by name, CPU time and memory of the compilation."""

    figures: Figures
    layers: dict[str, Layer]
    compile_s: float
    peak_mb: float


def measure(case: Case) -> Measured:
    """Compile and time ``case`` here; CPU time and memory are right in a fresh process only."""
    source, roof = model_of(case), _RoofOfGraph(load_target(case.target))
    gc.collect()
    started = time.process_time()
    result = build(source, options_of(case), observers=Observers(after_stage=roof.after_stage))
    compile_s = time.process_time() - started - roof.seconds
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MB
    report = profile_program(program_of(result), estimates=estimates(result.remarks))
    return Measured(_figures(case, report, roof.roofs[0]), _layers(report), compile_s, peak_mb)


@dataclass
class _RoofOfGraph:
    """Takes the roof in passing; ``seconds`` of CPU time are its own."""

    target: Target
    roofs: list[Roof] = field(default_factory=list)
    seconds: float = 0.0

    def after_stage(self, stage: str, module: ModuleOp) -> None:
        if stage == "partition":
            started = time.process_time()
            self.roofs.append(roof_of(module, self.target))
            self.seconds += time.process_time() - started


def in_fresh_process(case: Case) -> Measured:
    """``measure`` in a process that has compiled nothing before."""
    command = [sys.executable, "-m", __name__, json.dumps(asdict(case))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    data = json.loads(done.stdout.splitlines()[-1])
    figures = Figures(case=Case(**data["figures"].pop("case")), **data["figures"])
    layers = {name: Layer(**layer) for name, layer in data["layers"].items()}
    return Measured(figures, layers, data["compile_s"], data["peak_mb"])


def options_of(case: Case) -> CompileOptions:
    """How the case is compiled."""
    dims = {"batch": case.batch} if case.network == DIGITS else {}
    return CompileOptions(target=case.target, level=case.level, dims=dims, cores=case.cores)


def model_of(case: Case) -> Path | bytes:
    """The int8 model: of the zoo, made if it is not there, or the digit classifier."""
    if case.network == DIGITS:
        return sample_model(QDQ_INT8)
    from models.zoo.batches import with_batch  # only those who ask pay for it
    from tests.bench.zoo_cache import network as of_zoo

    path = of_zoo(case.network).int8
    if case.batch == 1:
        return path
    return with_batch(onnx.load(path), case.batch).SerializeToString()


def _figures(case: Case, report: ProfileReport, roof: Roof) -> Figures:
    timing = report.timing
    return Figures(
        case,
        timing.wall_cycles,
        roof.cycles,
        roof.whole_model_cycles,
        roof.macs,
        timing.dram_read_bytes + timing.dram_written_bytes,
        roof.compulsory_bytes,
        sum(map(len, report.program.code)),
        sum(map(len, timing.streams)),
    )


def _layers(report: ProfileReport) -> dict[str, Layer]:
    return {
        row.group: Layer(report.estimates[row.group], activity.alone_cycles, row.cycles)
        for row, activity in zip(report.layers, report.activities, strict=True)
        if row.group in report.estimates
    }


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Case(**json.loads(sys.argv[1]))))))
