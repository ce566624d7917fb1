"""How good and how quick the memory planner is, as the page ``docs/planning.md``.

``make bench-planning`` runs this. CPU time, each beside first fit's on the same computer: the
ratios carry over, and so do the counts of candidates, which are the same everywhere.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from npuc.compiler.backend.layout import buffer_of, memories, scratch_buffers
from npuc.compiler.dialects import npu
from npuc.compiler.options import CompileOptions
from npuc.compiler.planning.buffers import Buffer
from npuc.compiler.planning.csv_files import parse_buffers
from npuc.compiler.planning.plan import Plan, PlanOptions, plan
from npuc.isa.target import load_target
from npuc.runtime.building import build
from npuc.runtime.sample_data import QDQ_INT8, sample_model
from tests.compiler.planning.checking import faults

DOCS = Path(__file__).resolve().parents[2] / "docs"
INSTANCES = Path(__file__).resolve().parents[1] / "data" / "minimalloc" / "challenging"
CAPACITY = 1_048_576
TARGET = "edge"
FIRST_FIT = PlanOptions(max_nodes=0)
HEAD = """\
# Memory planning

<!-- Rendered by `make bench-planning` from planning.json; CPU times differ by computer. -->

`npuc plan` and the compiler place buffers with lifetimes by one planner: first fit, the largest
first; where that is above what is asked for, first fit again with what did not fit earlier in the
order, then dives and a branch and bound, bounded by a count of tried candidates. It always has a
plan, a lower bound and the gap between them. How it searches is told in
`compiler/npuc/compiler/planning/search.py`.

`npuc plan BUFFERS.csv --capacity N -o OUT.csv` takes the columns of MiniMalloc (`id`, `lower`,
`upper`, `size`, and where wanted `alignment`, `gaps`, `offset`) and of our own: `hint`, a wished
offset; `group` and `group_offset`, views of one block; `in_place_of`, whose bytes are taken over
at its death; `uses` and `spill_cycles`, by which it says what could be stored while idle where
nothing fits; `banks`, those that may hold it. `--banks N --conflicts PAIRS.csv` (`a`, `b`,
`cycles`) gives each buffer a bank, so that few cycles are lost by pairs in one bank.

## MiniMalloc's challenging instances

Capacity 1,048,576 bytes, of which bounds and peaks are shares. Every plan is checked for overlap by
code that shares nothing with the planner. First fit is the whole call, checks included. Data:
M. D. Moffitt, "MiniMalloc", ASPLOS 2023, doi 10.1145/3623278.3624752.

| | buffers | bound | first fit | CPU ms | planned | CPU s | x first fit | candidates |
|---|---:|---:|---:|---:|---:|---:|---:|---:|"""
MODELS_HEAD = """
## Programs of npuc

The lowest peak found for the buffers of compiled networks (target `edge`, int8), beside the largest
sum of live bytes. On chip the compiler itself plans for capacity, not for the lowest peak: where
there is room it keeps the buffers of neighbouring groups apart, so that groups overlap in time.

| network | memory | buffers | bound, bytes | peak, bytes | above the bound |
|---|---|---:|---:|---:|---:|"""


@dataclass(frozen=True)
class Instance:
    """One problem of the set: peaks as shares of the capacity, CPU time of both ways."""

    name: str
    buffers: int
    bound: float
    first_peak: float
    first_ms: float
    peak: float
    seconds: float
    nodes: int
    fits: bool


@dataclass(frozen=True)
class Memory:
    """One memory of one compiled network."""

    network: str
    memory: str
    buffers: int
    bound_bytes: int
    peak_bytes: int


def timed(buffers: Sequence[Buffer], options: PlanOptions, repeats: int) -> tuple[Plan, float]:
    """A plan and the CPU seconds of the best of ``repeats`` calls after one that warms up."""
    gc.collect()
    gc.freeze()  # else walking over all that the compiler has loaded is measured too
    seconds = []
    found = plan(buffers, CAPACITY, options if repeats > 1 else PlanOptions(max_nodes=1))
    for _ in range(repeats):
        started = time.process_time()
        found = plan(buffers, CAPACITY, options)
        seconds.append(time.process_time() - started)
    return found, min(seconds)


def measure_instance(path: Path) -> Instance:
    """First fit and the whole planner on one file."""
    buffers = parse_buffers(path.read_text(), path.name)
    first, first_s = timed(buffers, FIRST_FIT, 9)
    found, seconds = timed(buffers, PlanOptions(), 1)
    wrong = faults(buffers, found.offsets, CAPACITY if found.fits else None)
    if wrong:
        raise AssertionError(wrong[0])
    return Instance(
        path.name[0],
        len(buffers),
        found.lower_bound_bytes / CAPACITY,
        first.peak_bytes / CAPACITY,
        first_s * 1e3,
        found.peak_bytes / CAPACITY,
        seconds,
        found.stats.nodes,
        found.fits,
    )


def measure_model(name: str, model: Path | bytes) -> Iterator[Memory]:
    """The lowest peaks found for the memories of one compiled network."""
    options = CompileOptions(target=TARGET, dims={"batch": 1} if name == "digits" else {})
    module = build(model, options).module
    program = next(op for op in module.body.block.ops if isinstance(op, npu.ProgramOp))
    ops = list(program.body.block.ops)
    tensors = [op for op in ops if isinstance(op, npu.TensorOp)]
    yield _memory(name, "DRAM scratch", scratch_buffers(program, tensors))
    core = next(op for op in ops if isinstance(op, npu.CoreOp))
    placed = [op for op in core.body.block.ops if isinstance(op, npu.BufferOp)]
    for memory in memories(load_target(TARGET)):
        mine = [op for op in placed if op.buffer_type.data.space is memory.space]
        yield _memory(name, memory.space.name.upper(), [buffer_of(op, memory) for op in mine])


def _memory(network: str, memory: str, buffers: Sequence[Buffer]) -> Memory:
    found = plan(buffers, None, PlanOptions(max_nodes=200_000))
    return Memory(network, memory, len(buffers), found.lower_bound_bytes, found.peak_bytes)


def page(instances: Sequence[Instance], models: Sequence[Memory]) -> str:
    """The text of ``docs/planning.md``."""
    rows = [
        f"| {i.name} | {i.buffers} | {i.bound:.3f} | {i.first_peak:.3f} | {i.first_ms:.1f} "
        f"| {i.peak:.3f} | {i.seconds:.1f} | {i.seconds * 1e3 / i.first_ms:,.0f} | {i.nodes:,} |"
        for i in instances
    ]
    met = sum(i.fits for i in instances)
    rows += ["", f"{met} of {len(instances)} meet the capacity."]
    if models:
        rows.append(MODELS_HEAD)
    rows += [
        f"| {m.network} | {m.memory} | {m.buffers} | {m.bound_bytes:,} | {m.peak_bytes:,} "
        f"| {m.peak_bytes / m.bound_bytes - 1:.2%} |"
        for m in models
        if m.bound_bytes
    ]
    return "\n".join([HEAD, *rows, ""])


def main(arguments: Sequence[str]) -> int:
    """Measure, write the figures and the page; 1 where an instance is not met."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.planning")
    parser.add_argument("--zoo", action="append", default=[], metavar="NAME", help="also this one")
    parser.add_argument("--out", type=Path, default=DOCS, help="the folder to write into")
    given = parser.parse_args(arguments)
    instances = []
    for path in sorted(INSTANCES.glob("*.csv")):
        instances.append(measure_instance(path))
        print(instances[-1], flush=True)
    models = list(measure_model("digits", sample_model(QDQ_INT8)))
    for name in given.zoo:
        from models.zoo import build as build_network  # only those who ask pay for it
        from models.zoo import quantised

        models += measure_model(name, quantised(build_network(name)).SerializeToString())
        print(models[-3:], flush=True)
    figures = {"instances": [asdict(i) for i in instances], "models": [asdict(m) for m in models]}
    (given.out / "planning.json").write_text(json.dumps(figures, indent=1) + "\n")
    (given.out / "planning.md").write_text(page(instances, models))
    return 0 if all(i.fits for i in instances) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
