"""A writer of ONNX graphs of convolutional networks: one call per layer, seeded weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.zoo.weights import (
    EPSILON,
    RELU_GAIN,
    Floats,
    contraction,
    generator,
    near_one,
    near_zero,
)

OPSET = 17
IR_VERSION = 8
SIZE = 224
CLASSES = 1000


@dataclass(frozen=True)
class Conv:
    """A square convolution with 'same' padding, normalised after; ``scale`` is the norm's gain."""

    channels: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    gain: float = RELU_GAIN
    scale: float = 1.0


@dataclass
class GraphWriter:
    """Nodes and weights so far; ``channels`` of each value by name."""

    seed: int
    fold_norm: bool
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    channels: dict[str, int] = field(default_factory=lambda: {"x": 3})

    def node(self, op_type: str, inputs: list[str], output: str, **attributes: object) -> str:
        """Append a node of one output; its channels are those of its first input."""
        self.nodes.append(
            helper.make_node(op_type, inputs, [output], name=output, **attributes)  # type: ignore[arg-type]
        )
        self.channels[output] = self.channels[inputs[0]]
        return output

    def conv(self, x: str, layer: Conv, name: str) -> str:
        """Conv and BatchNormalization, or one Conv of the same function with a bias."""
        shape = (layer.channels, self.channels[x] // layer.groups, layer.kernel, layer.kernel)
        w_OIHW = contraction(self._generator(f"{name}.w"), shape, layer.gain)
        norm = self._norm(layer, name)
        attributes = {
            "kernel_shape": [layer.kernel] * 2,
            "strides": [layer.stride] * 2,
            "pads": [(layer.kernel - 1) // 2] * 4,
            "group": layer.groups,
        }
        if self.fold_norm:
            gamma, beta, mean, variance = norm
            factor = gamma / np.sqrt(variance + np.float32(EPSILON))
            w = self._weight(f"{name}.w", w_OIHW * factor[:, None, None, None])
            b = self._weight(f"{name}.b", beta - mean * factor)
            y = self.node("Conv", [x, w, b], name, **attributes)
        else:
            w = self._weight(f"{name}.w", w_OIHW)
            y = self.node("Conv", [x, w], name, **attributes)
            parts = zip(("gamma", "beta", "mean", "variance"), norm, strict=True)
            inputs = [self._weight(f"{name}.{part}", array) for part, array in parts]
            y = self.node("BatchNormalization", [y, *inputs], f"{name}.norm", epsilon=EPSILON)
        self.channels[name] = self.channels[y] = layer.channels
        return y

    def relu6(self, x: str) -> str:
        """Clip from 0 to 6."""
        for name, bound in (("zero", 0.0), ("six", 6.0)):
            if all(tensor.name != name for tensor in self.weights):
                self._weight(name, np.asarray(bound, np.float32))
        return self.node("Clip", [x, "zero", "six"], f"{x}.relu6")

    def classifier(self, x: str) -> str:
        """The mean over space and a linear layer to the classes."""
        pooled = self.node("GlobalAveragePool", [x], "pool")
        flat = self.node("Flatten", [pooled], "flat", axis=1)
        shape = (CLASSES, self.channels[x])
        w = self._weight("classes.w", contraction(self._generator("classes.w"), shape, 1.0))
        b = self._weight("classes.b", near_zero(self._generator("classes.b"), (CLASSES,)))
        return self.node("Gemm", [flat, w, b], "logits", transB=1)

    def model(self, name: str, output: str) -> onnx.ModelProto:
        """The checked model: x[1,3,224,224] to ``output``[1,1000]."""
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIZE, SIZE])
        y = helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, CLASSES])
        graph = helper.make_graph(self.nodes, name, [x], [y], self.weights)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return model

    def _generator(self, name: str) -> np.random.Generator:
        return generator(self.seed, name)

    def _norm(self, layer: Conv, name: str) -> tuple[Floats, Floats, Floats, Floats]:
        """gamma, beta, mean, variance."""
        size = (layer.channels,)
        return (
            near_one(self._generator(f"{name}.gamma"), size, layer.scale),
            near_zero(self._generator(f"{name}.beta"), size),
            near_zero(self._generator(f"{name}.mean"), size),
            near_one(self._generator(f"{name}.variance"), size),
        )

    def _weight(self, name: str, array: Floats) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name
