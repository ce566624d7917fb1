"""Compilation, values and time of int8 networks beside ONNX Runtime's float32.

Each network is measured in a process of its own: ``python -m tests.bench.tables.networks NAME``
prints its figures as JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import shape_inference
from onnx.reference import ReferenceEvaluator

from npuc.compiler.options import CompileOptions
from npuc.emulator.machine import load
from npuc.emulator.timing import time_streams
from npuc.runtime.building import build, program_of
from npuc.runtime.random_inputs import random_program_inputs
from npuc.runtime.sample_data import FP32, QDQ_INT8, sample_model
from tests.bench.tables.clock import best_of, cpu_seconds, paired
from tests.bench.tables.table import Table

TARGET = "edge"
REPEATS = 7
KIB_PER_MB = 1e6 / 1024
ZOO = (
    "light_resnet50",
    "resnet50_v1",
    "light_squeezenet",
    "light_densenet121",
    "light_inception_v1",
    "light_vgg19",
    "light_shufflenet",
    "mobilenet_v2",
)
# The evaluator takes minutes for the others.
WITH_EVALUATOR = ("light_resnet50", "light_squeezenet")
DIGITS = {"digits": 1, "digits-20": 20}
TEXT = f"""\
Target `{TARGET}`, int8, one thread, CPU time, best of {REPEATS} runs after one that warms up.
Emulation is the functional pass on the fast path; ONNX Runtime runs the float32 model of the same
network with all its optimisations, in the same process and in turns with it. Their ratio is what
carries over to other computers; for networks as small as the digit classifier it shows the fixed
cost of a run. GMAC/s are the network's own multiply-accumulates, without padding, over emulation.
The last ratio is how many times longer onnx's `ReferenceEvaluator` takes for the float32 model
(one run). Compilation is the second one of its process, which remembers searches of the first;
[compiled programs](programs.md) has that of a fresh process, and the cycles of each network beside
both roofs at all levels. The timing pass is re-run alone; memory is the largest that the process
needed, with ONNX Runtime's copy of the network.

Published for other functional simulators: VTA 4 to 5 GMAC/s, Gemmini (Spike) 0.2 GMAC/s."""
COLUMNS = (
    "network", "GMAC", "compilation", "emulation", "ONNX Runtime", "ratio", "GMAC/s",
    "evaluator / emulation", "timing pass", "cycles", "memory",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A model to compile and run, and the float model that ONNX Runtime runs for comparison."""

    name: str
    model: Path
    reference: Path
    dims: dict[str, int] = field(default_factory=dict)
    evaluates: bool = False


@dataclass(frozen=True)
class Figures:
    """CPU seconds of each step for one case; ``evaluator_s`` is 0 where it was not asked."""

    case: str
    macs: int
    compile_s: float
    emulate_s: float
    reference_s: float
    evaluator_s: float
    timing_s: float
    cycles: int
    peak_mb: float

    @property
    def ratio(self) -> float:
        """Emulation over ONNX Runtime in float32."""
        return self.emulate_s / self.reference_s

    def row(self) -> tuple[str, ...]:
        """The cells of the table."""
        evaluator = f"{self.evaluator_s / self.emulate_s:.1f}" if self.evaluator_s else ""
        return (
            self.case,
            f"{self.macs / 1e9:.3f}",
            f"{self.compile_s:.2f} s",
            f"{self.emulate_s * 1e3:,.2f} ms",
            f"{self.reference_s * 1e3:,.2f} ms",
            f"{self.ratio:.2f}",
            f"{self.macs / self.emulate_s / 1e9:.1f}",
            evaluator,
            f"{self.timing_s * 1e3:,.1f} ms",
            f"{self.cycles:,}",
            f"{self.peak_mb:,.0f} MB",
        )


def table(names: Sequence[str]) -> Table:
    """The digit classifier and networks of the zoo; these first: they compile all kernels."""
    found = {}
    for name in (*names, *DIGITS):
        command = [sys.executable, "-m", __name__, name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found[name] = Figures(**json.loads(done.stdout.splitlines()[-1]))
        print(f"{name}: emulation {found[name].ratio:.2f} x ONNX Runtime", flush=True)
    rows = [found[name].row() for name in (*DIGITS, *names)]
    return Table("Networks", TEXT, COLUMNS, rows)


def measure(case: Case, repeats: int = REPEATS) -> Figures:
    """Compile, emulate and time ``case``, and run its float model on one thread."""
    options = CompileOptions(target=TARGET, dims=case.dims)
    program = program_of(build(case.model, options))
    compile_s = cpu_seconds(lambda: build(case.model, options))
    machine, inputs = load(program), random_program_inputs(program)
    session = reference_session(case.reference)
    feeds = {name: np.asarray(array) for name, array in inputs.items()}
    emulate_s, reference_s = paired(
        (lambda: machine.run(inputs), lambda: session.run(None, feeds)), repeats
    )
    timing_s = best_of(lambda: time_streams(program, machine.streams), repeats)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MB
    evaluator_s = 0.0
    if case.evaluates:
        evaluator = ReferenceEvaluator(str(case.reference))
        evaluator_s = cpu_seconds(lambda: evaluator.run(None, feeds))
    cycles = time_streams(program, machine.streams).wall_cycles
    macs = macs_of(onnx.load(case.reference), case.dims)
    seconds = compile_s, emulate_s, reference_s, evaluator_s, timing_s
    return Figures(case.name, macs, *seconds, cycles, peak_mb)


def reference_session(model: Path) -> onnxruntime.InferenceSession:
    """ONNX Runtime with all its optimisations, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def macs_of(model: onnx.ModelProto, dims: dict[str, int]) -> int:
    """Multiply-accumulates of convolutions and matrix products, none of them padding."""
    graph = shape_inference.infer_shapes(model).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        sizes = value.type.tensor_type.shape.dim
        shapes[value.name] = tuple(dims.get(size.dim_param, size.dim_value) for size in sizes)
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            total += prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
        elif node.op_type in ("Gemm", "MatMul"):
            weights, out = shapes[node.input[1]], shapes[node.output[0]]
            total += prod(out) * (prod(weights) // out[-1])
    return total


def case_of(name: str) -> Case:
    """The digit classifier that ships with npuc, or a network of the zoo."""
    if name in DIGITS:
        batch = DIGITS[name]
        title = f"digit classifier, batch {batch}"
        return Case(title, sample_model(QDQ_INT8), sample_model(FP32), {"batch": batch})
    from tests.bench.zoo_cache import network  # only those who ask pay for it

    pair = network(name)
    return Case(name, pair.int8, pair.fp32, evaluates=name in WITH_EVALUATOR)


if __name__ == "__main__":
    print(json.dumps(asdict(measure(case_of(sys.argv[1])))))
