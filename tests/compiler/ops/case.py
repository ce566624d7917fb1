"""What an operator case is, and the builder that writes one.

``exact`` cases hold integers from end to end and must equal ONNX Runtime; ``steps`` is the allowed
distance in quantisation steps; all others are compared as float32 within ``tolerance``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray
F32, I8, U8 = TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8
I32, I64 = TensorProto.INT32, TensorProto.INT64
_NUMPY = {F32: np.float32, I8: np.int8, U8: np.uint8, I32: np.int32, I64: np.int64}
MS = "com.microsoft"


@dataclass(frozen=True)
class Case:
    """A model, how its inputs look, and how close the results must be."""

    name: str
    model: onnx.ModelProto
    inputs: dict[str, Array]
    tolerance: float = 1e-5
    exact: bool = False
    steps: int | None = None


@dataclass
class Builder:
    """Collects one model: ``x = b.input(..)``, ``y = b.node(..)``, ``b.case(..)``."""

    seed: int = 0
    opset: int = 20
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    inputs: dict[str, Array] = field(default_factory=dict)
    infos: list[onnx.ValueInfoProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def input(self, shape: Sequence[int], kind: int = F32, scale: float = 1.0) -> str:
        name = f"in{len(self.inputs)}"
        if kind == F32:
            array = (self.rng.standard_normal(shape) * scale).astype(np.float32)
        else:
            info = np.iinfo(_NUMPY[kind])
            array = self.rng.integers(info.min, info.max + 1, shape).astype(_NUMPY[kind])
        self.inputs[name] = array
        self.infos.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def const(self, array: object) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weights(self, *shape: int, scale: float = 0.5) -> str:
        return self.const((self.rng.standard_normal(shape) * scale).astype(np.float32))

    def int8(self, *shape: int, kind: type = np.int8) -> str:
        info = np.iinfo(kind)
        return self.const(self.rng.integers(info.min, info.max + 1, shape).astype(kind))

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(
                op, list(inputs), [f"{name}_out"], name=name, domain=domain, **attributes
            )
        )
        return f"{name}_out"

    def nodes_of(
        self, op: str, inputs: Sequence[str], count: int, **attributes: object
    ) -> list[str]:
        """A node of several outputs."""
        name = f"{op.lower()}{len(self.nodes)}"
        outputs = [f"{name}_out{i}" for i in range(count)]
        self.nodes.append(helper.make_node(op, list(inputs), outputs, name=name, **attributes))
        return outputs

    def model(self, *outputs: str, kind: int = F32) -> onnx.ModelProto:
        infos = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "case", self.infos, infos, self.initializers)
        opsets = [helper.make_opsetid("", self.opset)]
        if any(node.domain == MS for node in self.nodes):
            opsets.append(helper.make_opsetid(MS, 1))
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def case(self, name: str, *outputs: str, kind: int = F32, **expectations: object) -> Case:
        return Case(name, self.model(*outputs, kind=kind), self.inputs, **expectations)
