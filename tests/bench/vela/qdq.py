"""An int8 ONNX model of QuantizeLinear and DequantizeLinear, as a converter asks for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

from npuc.isa.errors import ModelError
from tests.bench.vela.network import Array, Quantisation

VIEWS = ("Flatten", "Reshape", "Identity")


@dataclass(frozen=True)
class Constant:
    """A constant of integers and what they mean; ``quantisation`` is None of plain floats."""

    data: Array
    quantisation: Quantisation | None = None

    @property
    def values(self) -> Array:
        """In float64."""
        if self.quantisation is None:
            return self.data.astype(np.float64)
        shape = [1] * self.data.ndim
        if len(self.quantisation.scales) > 1:
            shape[self.quantisation.axis] = -1
        scales = self.quantisation.scales.astype(np.float64).reshape(shape)
        return (self.data.astype(np.float64) - self.quantisation.zero_point) * scales


@dataclass
class QdqModel:
    """The graph with all shapes inferred, and who reads what."""

    model: onnx.ModelProto
    shapes: dict[str, tuple[int, ...]] = field(init=False)
    constants: dict[str, Constant] = field(init=False)
    readers: dict[str, list[onnx.NodeProto]] = field(init=False)

    def __post_init__(self) -> None:
        graph = shape_inference.infer_shapes(self.model, strict_mode=True).graph
        self.shapes = {
            value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
            for value in (*graph.input, *graph.value_info, *graph.output)
        }
        self.constants = {t.name: Constant(numpy_helper.to_array(t)) for t in graph.initializer}
        self.readers = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
            if node.op_type == "Constant":
                value = attributes(node).get("value")
                if value is not None:
                    self.constants[node.output[0]] = Constant(numpy_helper.to_array(value))

    def sole_reader(self, name: str) -> onnx.NodeProto | None:
        """The node that alone reads a tensor which is no output of the graph."""
        found = self.readers.get(name, [])
        is_output = any(value.name == name for value in self.model.graph.output)
        return found[0] if len(found) == 1 and not is_output else None

    def quantisation_after(self, name: str) -> Quantisation | None:
        """That of the first QuantizeLinear that reads ``name``, perhaps through views."""
        for node in self.readers.get(name, []):
            if node.op_type == "QuantizeLinear":
                return self.quantisation_of(node)
            if node.op_type in VIEWS:
                return self.quantisation_after(node.output[0])
        return None

    def quantisation_of(self, node: onnx.NodeProto) -> Quantisation:
        """Scale and zero point of a QuantizeLinear or DequantizeLinear.

        Raises: ModelError where they are not constants or the zero points of axes differ.
        """
        scale, point = (self.constant(node, place).data for place in (1, 2))
        if point.dtype not in (np.int8, np.int32) or len(np.unique(point)) != 1:
            raise refused(node, "its zero point", f"{point.dtype} {point}", "one number, int8")
        axis = int(attributes(node).get("axis", 1))
        scales = np.atleast_1d(scale.astype(np.float32))
        return Quantisation(scales, int(np.ravel(point)[0]), axis if len(scales) > 1 else 0)

    def constant(self, node: onnx.NodeProto, place: int) -> Constant:
        """The input of a node that has to be constant.

        Raises: ModelError where it is absent or computed.
        """
        name = node.input[place] if place < len(node.input) else ""
        if name not in self.constants:
            raise refused(node, f"input {place}", name or "absent", "a constant")
        return self.constants[name]


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Name to value; text as str."""
    found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}


def refused(node: onnx.NodeProto, what: str, given: str, allowed: str) -> ModelError:
    """The error of a node that has no equal in TFLite as this converter writes it."""
    return ModelError(
        f"cannot convert {node.op_type} to TFLite: {what}",
        where=f"node {node.name or node.output[0]}",
        given=given,
        allowed=allowed,
        next_step="compare another network, or extend tests/bench/vela/operators.py",
    )
