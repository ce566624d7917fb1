"""Import and compilation as models grow: a chain, one of ten times the layers, a deep network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from npuc.compiler.options import CompileOptions
from npuc.runtime.building import build
from tests.bench.tables.clock import cpu_seconds
from tests.bench.tables.table import Table
from tests.bench.zoo_cache import network

LAYERS = 40
FACTOR = 10
CHANNELS, SIZE = 8, 16
DEEP = "light_densenet121"
COLUMNS = ("model", "nodes", "import", "compilation", "import / node", "compilation / node")
TEXT = f"""\
CPU time, one thread. The chains are 3x3 convolutions of {CHANNELS} channels with weights of their
own, each with a Relu; `{DEEP}` is in float32 for its import."""


@dataclass(frozen=True)
class Growth:
    """CPU seconds of one model's import, and of its whole compilation where it was measured."""

    name: str
    nodes: int
    import_s: float
    compile_s: float | None = None

    def row(self) -> tuple[str, ...]:
        """The cells of its row."""
        whole = self.compile_s
        return (
            self.name,
            f"{self.nodes:,}",
            f"{self.import_s:.2f} s",
            "" if whole is None else f"{whole:.2f} s",
            f"{self.import_s / self.nodes * 1e3:.2f} ms",
            "" if whole is None else f"{whole / self.nodes * 1e3:.2f} ms",
        )


def chain(layers: int) -> bytes:
    """A model of ``layers`` convolutions that differ in their weights."""
    rng = np.random.default_rng(layers)
    nodes, weights = [], []
    for n in range(layers):
        array = rng.standard_normal((CHANNELS, CHANNELS, 3, 3)).astype(np.float32) / 9
        weights.append(numpy_helper.from_array(array, f"w{n}"))
        nodes += [
            helper.make_node("Conv", [f"x{n}", f"w{n}"], [f"c{n}"], name=f"c{n}", pads=[1] * 4),
            helper.make_node("Relu", [f"c{n}"], [f"x{n + 1}"], name=f"r{n}"),
        ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, CHANNELS, SIZE, SIZE])
        for name in ("x0", f"x{layers}")
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def measure(name: str, model: bytes, *, is_whole: bool = True) -> Growth:
    """Import, and compile where ``is_whole``, once each."""
    nodes = len(onnx.load_model_from_string(model).graph.node)
    import_s = cpu_seconds(lambda: build(model, CompileOptions(stop_after="import")))
    compile_s = cpu_seconds(lambda: build(model, CompileOptions())) if is_whole else None
    return Growth(name, nodes, import_s, compile_s)


def table(layers: int = LAYERS, deep: str | None = DEEP) -> Table:
    """The section of the page; ``deep`` None leaves the network out."""
    build(chain(2), CompileOptions())  # warms up
    found = [measure(f"chain of {n}", chain(n)) for n in (layers, FACTOR * layers)]
    if deep is not None:
        found.append(measure(deep, network(deep).fp32.read_bytes(), is_whole=False))
    ratio = (found[1].compile_s or 0) / (found[0].compile_s or 1)
    text = f"{TEXT}\nTen times the layers take {ratio:.1f} times as long to compile."
    return Table("Growth", text, COLUMNS, [growth.row() for growth in found])
