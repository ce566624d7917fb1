"""Wall times of compiler and emulator beside ONNX Runtime's, as the page ``docs/performance.md``.

``make bench`` runs this on one thread. Each time is the best of several runs in one process; ratios
compare times of the same run, for they alone carry over to other computers.
"""

from __future__ import annotations

import argparse
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from npuc.compiler.options import CompileOptions
from npuc.emulator.machine import load
from npuc.emulator.timing import time_streams
from npuc.runtime.building import build, program_of
from npuc.runtime.random_inputs import random_program_inputs
from npuc.runtime.sample_data import FP32, QDQ_INT8, sample_model

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
TARGET = "edge"
REPEATS = 5
KIB_PER_MB = 1e6 / 1024
HEAD = """\
# Performance

<!-- Rendered by `make bench`; measured, so it differs from computer to computer. -->

Target `{target}`, one thread, best of {repeats} runs (compilation: of 3) after one that warms up.
Emulation computes values on the fast path; ONNX Runtime runs the float32 model of the same network
in the same process, with all its optimisations. Their ratio is what carries over to other
computers; for networks as small as the digit classifier it shows the emulator's fixed cost of each
command. The timing pass is re-run alone. Memory is the largest that the process needed so far.
`make bench ARGS="--zoo NAME"` adds a network of `models/zoo`.

| model | compilation | emulation | ONNX Runtime, fp32 | ratio | timing pass | cycles | memory |
|---|---:|---:|---:|---:|---:|---:|---:|"""


@dataclass(frozen=True)
class Case:
    """A model to compile and run, and the float model that ONNX Runtime runs for comparison."""

    name: str
    model: Path
    reference: Path
    dims: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Figures:
    """Seconds of each step, best of several, for one case; ``peak_mb`` is the process's so far."""

    case: str
    compile_s: float
    emulate_s: float
    reference_s: float
    timing_s: float
    cycles: int
    peak_mb: float

    @property
    def ratio(self) -> float:
        """Emulation over ONNX Runtime in float32."""
        return self.emulate_s / self.reference_s


def best_of(action: Callable[[], object], repeats: int = REPEATS) -> float:
    """Seconds of the fastest of ``repeats`` calls, after one that warms up."""
    action()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def measure(case: Case, repeats: int = REPEATS) -> Figures:
    """Compile, emulate and time ``case``, and run its float model on one thread."""
    options = CompileOptions(target=TARGET, dims=case.dims)
    program = program_of(build(case.model, options))
    machine, inputs = load(program), random_program_inputs(program)
    session = reference_session(case.reference)
    feeds = {name: np.asarray(array) for name, array in inputs.items()}
    return Figures(
        case.name,
        best_of(lambda: build(case.model, options), min(repeats, 3)),
        best_of(lambda: machine.run(inputs), repeats),
        best_of(lambda: session.run(None, feeds), repeats),
        best_of(lambda: time_streams(program, machine.streams), repeats),
        time_streams(program, machine.streams).wall_cycles,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MB,
    )


def reference_session(model: Path) -> onnxruntime.InferenceSession:
    """ONNX Runtime with all its optimisations, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def digits(batch: int) -> Case:
    """The int8 digit classifier that ships with npuc."""
    name = f"digit classifier, int8, batch {batch}"
    return Case(name, sample_model(QDQ_INT8), sample_model(FP32), {"batch": batch})


def zoo_cases(names: Sequence[str], folder: Path) -> Iterator[Case]:
    """Networks of ``models.zoo`` in int8, written into ``folder`` as they are needed."""
    from models.zoo import build as build_network  # only those who ask pay for it
    from models.zoo import quantised

    for name in names:
        float_model = build_network(name)
        paths = folder / f"{name}_int8.onnx", folder / f"{name}_fp32.onnx"
        onnx.save_model(float_model, paths[1])
        onnx.save_model(quantised(float_model), paths[0])
        yield Case(f"{name}, int8", *paths)


def page(figures: Sequence[Figures]) -> str:
    """The text of ``docs/performance.md``."""
    rows = [
        f"| {f.case} | {f.compile_s:.2f} s | {f.emulate_s * 1e3:,.2f} ms "
        f"| {f.reference_s * 1e3:,.2f} ms | {f.ratio:.1f} | {f.timing_s * 1e3:,.1f} ms "
        f"| {f.cycles:,} | {f.peak_mb:,.0f} MB |"
        for f in figures
    ]
    head = HEAD.format(target=TARGET, repeats=REPEATS)
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, "
    versions += f"ONNX Runtime {onnxruntime.__version__}, numba {version('numba')}"
    return "\n".join([head, *rows, "", f"Measured with {versions} on {platform.machine()}.", ""])


def main(arguments: Sequence[str]) -> int:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.performance")
    parser.add_argument("--zoo", action="append", default=[], metavar="NAME", help="also this one")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        cases = [digits(1), digits(20), *zoo_cases(given.zoo, Path(folder))]
        found = []
        for case in cases:
            found.append(measure(case))
            print(f"{case.name}: emulation {found[-1].ratio:.1f} x ONNX Runtime", flush=True)
    given.out.write_text(page(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
