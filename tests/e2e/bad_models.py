"""ONNX files that must be refused, and what the message must name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.transcripts import REPOSITORY

QDQ = REPOSITORY / "models" / "mnist" / "mnist_cnn_qdq_int8.onnx"
Maker = Callable[[Path], None]


def tensor(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray] | None = None,
    shape: tuple[int | str, ...] = (1, 4, 8, 8),
) -> None:
    """Write a model from input ``x`` of ``shape`` to output ``y``, unchecked."""
    initializers = [numpy_helper.from_array(a, name) for name, a in (weights or {}).items()]
    x, y = tensor("x", list(shape)), helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "bad", [x], [y], initializers)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.example", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


def node(operator: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    name = f"node_{outputs}"
    return helper.make_node(operator, inputs.split(), outputs.split(), name, **attributes)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("this is no model\n" * 40)


def truncated(path: Path) -> None:
    path.write_bytes(QDQ.read_bytes()[:20000])


def program_file(path: Path) -> None:
    path.write_bytes(b"\x7fELF" + bytes(400))


def folder(path: Path) -> None:
    path.mkdir()


def missing(path: Path) -> None:
    assert not path.exists()


def unknown_operator(path: Path) -> None:
    save(path, [node("Relu", "x", "a"), node("Frobnicate", "a", "y", domain="com.example")])


def unsupported_operator(path: Path) -> None:
    save(path, [node("Relu", "x", "a"), node("Det", "a", "y")])


def unsupported_attribute(path: Path) -> None:
    save(path, [node("MaxPool", "x", "y", kernel_shape=[2, 2], auto_pad="SAME_SIDEWAYS")])


def unbound_dimension(path: Path) -> None:
    save(path, [node("Relu", "x", "y")], shape=("rows", 4))


def cyclic(path: Path) -> None:
    save(path, [node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "a", "y")])


def dangling(path: Path) -> None:
    save(path, [node("Add", "x nowhere", "y")])


def no_producer_of_output(path: Path) -> None:
    save(path, [node("Relu", "x", "a")])


def two_producers(path: Path) -> None:
    save(path, [node("Relu", "x", "y"), node("Sigmoid", "x", "y")])


def contradicting_shapes(path: Path) -> None:
    save(path, [node("MatMul", "x w", "y")], {"w": np.zeros((7, 3), np.float32)}, (5, 4))


def wrong_channels(path: Path) -> None:
    save(path, [node("Conv", "x w", "y")], {"w": np.zeros((2, 3, 1, 1), np.float32)})


def invalid_tensor_type(path: Path) -> None:
    model = onnx.load(QDQ)
    model.graph.initializer[0].data_type = 89
    path.write_bytes(model.SerializeToString())


def attribute_without_type(path: Path) -> None:
    model = onnx.load(QDQ)
    wanted = (n for n in model.graph.node if n.name == "18.weight_bias_DequantizeLinear")
    next(wanted).attribute[0].ClearField("type")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    path.write_bytes(model.SerializeToString())


def name_that_is_no_text(path: Path) -> None:
    data = QDQ.read_bytes()
    assert b"node_Conv_151" in data
    path.write_bytes(data.replace(b"node_Conv_151", b"node_Conv_\xff51"))


def _external(path: Path, location: str) -> None:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 4])
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "64")):
        weight.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [node("MatMul", "x w", "y")], "bad", [tensor("x", [1, 4])], [tensor("y", [1, 4])], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(model.SerializeToString())


def external_above(path: Path) -> None:
    outside = path.parent.parent / "secret.bin"
    outside.write_bytes(bytes(64))
    _external(path, "../secret.bin")


def external_absolute(path: Path) -> None:
    secret = path.parent / "secret.bin"
    secret.write_bytes(bytes(64))
    _external(path, str(secret))


def external_link(path: Path) -> None:
    outside = path.parent.parent / f"{path.parent.name}_outside.bin"
    outside.write_bytes(bytes(64))
    (path.parent / "weights.bin").symlink_to(outside)
    _external(path, "weights.bin")


def external_missing(path: Path) -> None:
    _external(path, "weights.bin")


def one_large_mean(path: Path) -> None:
    """A good model, but the sum behind one output reads 64 KiB at once."""
    save(path, [node("GlobalAveragePool", "x", "y")], shape=(1, 4, 64, 64))


# name: how the file is made, words that the message must have
BAD_MODELS: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "missing": (missing, ("model.onnx",)),
    "folder": (folder, ("model.onnx",)),
    "empty": (empty, ("model.onnx", "empty")),
    "text": (text, ("model.onnx", "ONNX")),
    "truncated": (truncated, ("model.onnx", "ONNX")),
    "another format": (program_file, ("model.onnx", "ONNX")),
    "unknown operator": (unknown_operator, ("Frobnicate", "node_y")),
    "unsupported operator": (unsupported_operator, ("Det", "node_y")),
    "unsupported attribute": (unsupported_attribute, ("auto_pad", "SAME_SIDEWAYS", "node_y")),
    "unbound dimension": (unbound_dimension, ("rows", "--dim")),
    "cycle": (cyclic, ("cycl",)),
    "dangling input": (dangling, ("nowhere", "node_y")),
    "output without producer": (no_producer_of_output, ("y",)),
    "two producers": (two_producers, ("y",)),
    "contradicting shapes": (contradicting_shapes, ("node_y",)),
    "wrong channels": (wrong_channels, ("node_y",)),
    "tensor of unknown type": (invalid_tensor_type, ("89",)),
    "attribute without type": (attribute_without_type, ("18.weight_bias_DequantizeLinear",)),
    "name that is no text": (name_that_is_no_text, ("model.onnx", "UTF-8")),
    "external data above": (external_above, ("secret.bin",)),
    "external data absolute": (external_absolute, ("secret.bin",)),
    "external data through a link": (external_link, ("weights.bin",)),
    "external data missing": (external_missing, ("weights.bin",)),
}
