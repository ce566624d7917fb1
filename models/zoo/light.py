"""The ``light_*`` graphs of the onnx wheel, their constant weights replaced by seeded random ones.

As shipped, every weight is 0.02, made by a ConstantOfShape node: all classes get the same value, so
that dropped, swapped or transposed weights go unseen. Here each weight becomes an initializer of
the same name and shape, drawn according to the operator that reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from models.zoo.weights import (
    BRANCH_SCALE,
    LINEAR_GAIN,
    RELU_GAIN,
    Floats,
    contraction,
    generator,
    near_one,
    near_zero,
)

LIGHT_GRAPHS = tuple(
    f"light_{name}"
    for name in (
        "bvlc_alexnet",
        "densenet121",
        "inception_v1",
        "inception_v2",
        "resnet50",
        "shufflenet",
        "squeezenet",
        "vgg19",
        "zfnet512",
    )
)
IR_VERSION = 8  # from 4 on an initializer need not be a graph input: weights are constants
# Operators between a contraction and its rectifier.
_PASSES_ON = frozenset({"BatchNormalization", "Mul", "Add", "Reshape", "Dropout"})

_SHAPES = frozenset({"Unsqueeze", "Reshape"})  # between a weight and its reader

Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]


def light_model(name: str, seed: int = 0) -> onnx.ModelProto:
    """The light graph ``name`` with seeded weights, BatchNormalization and all else as shipped."""
    model = onnx.load(Path(onnx.__file__).parent / "backend/test/data/light" / f"{name}.onnx")
    graph = model.graph
    shapes = _weight_shapes(graph)
    drawn = {
        weight: draw(generator(seed, weight), shapes[weight])
        for weight, draw in _roles(graph, shapes)
    }
    nodes = [node for node in graph.node if node.output[0] not in drawn]
    used = {name for node in nodes for name in node.input}
    kept = [t for t in graph.initializer if t.name not in drawn and t.name in used]
    kept += [numpy_helper.from_array(array, name) for name, array in drawn.items()]
    inputs = [value for value in graph.input if value.name in used - {t.name for t in kept}]
    _replace(graph.node, nodes)
    _replace(graph.initializer, kept)
    _replace(graph.input, inputs)
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    return model


def _weight_shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Shapes of all float constants: initializers and outputs of ConstantOfShape."""
    arrays = {tensor.name: tensor for tensor in graph.initializer}
    shapes = {
        tensor.name: tuple(tensor.dims)
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    }
    for node in graph.node:
        if node.op_type == "ConstantOfShape":
            sizes = numpy_helper.to_array(arrays[node.input[0]])
            shapes[node.output[0]] = tuple(int(size) for size in sizes)
    return shapes


def _roles(
    graph: onnx.GraphProto, shapes: dict[str, tuple[int, ...]]
) -> Iterator[tuple[str, Draw]]:
    """Each weight with how it is drawn."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    sources = {n.output[0]: n.input[0] for n in graph.node if n.op_type in _SHAPES}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in graph.node:
        draws = _draws(node, readers)
        for name, draw in zip(node.input, draws, strict=False):
            weight = sources.get(name, name)
            if weight in shapes:
                yield weight, draw


def _draws(node: onnx.NodeProto, readers: dict[str, list[onnx.NodeProto]]) -> tuple[Draw, ...]:
    """How each input of ``node`` is drawn, should it be a weight."""
    if node.op_type in ("Conv", "Gemm"):
        gain = RELU_GAIN if _feeds(node, "Relu", readers) else LINEAR_GAIN
        axis = 1 if node.op_type == "Conv" else -1  # from here on a weight's axes are summed
        return near_zero, lambda rng, shape: contraction(rng, shape, gain, axis), near_zero
    if node.op_type == "BatchNormalization":
        scale = BRANCH_SCALE if any(r.op_type == "Sum" for r in readers[node.output[0]]) else 1.0
        gamma: Draw = lambda rng, shape: near_one(rng, shape, scale)  # noqa: E731
        return near_zero, gamma, near_zero, near_zero, near_one
    if node.op_type == "Mul":
        return near_one, near_one
    return (near_zero,) * 2 if node.op_type == "Add" else ()


def _feeds(node: onnx.NodeProto, op_type: str, readers: dict[str, list[onnx.NodeProto]]) -> bool:
    while following := readers.get(node.output[0], []):
        if any(reader.op_type == op_type for reader in following):
            return True
        node = following[0]
        if node.op_type not in _PASSES_ON:
            return False
    return False


def _replace(field, values) -> None:  # type: ignore[no-untyped-def]  # protobuf's repeated fields
    copies = list(values)
    del field[:]
    field.extend(copies)
