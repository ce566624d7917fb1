"""An int8 QDQ ONNX model as a network of TFLite: same integers, scales and zero points.

The file takes and gives int8: quantising inputs and dequantising outputs is left to the caller.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import onnx

from npuc.isa.errors import ModelError
from tests.bench.vela.network import Network, Operator, Quantisation, Tensor
from tests.bench.vela.qdq import Constant, QdqModel, attributes, refused

RELU6_MAX = 6.0


@dataclass
class Conversion:
    """What is made so far: the number of the tensor that carries each ONNX value."""

    qdq: QdqModel
    network: Network = field(default_factory=Network)
    carriers: dict[str, int] = field(default_factory=dict)
    folded: set[str] = field(default_factory=set)  # first outputs of nodes that others took over

    def operand(self, node: onnx.NodeProto, place: int) -> int:
        """The tensor of a computed input.

        Raises: ModelError where it is constant, or float in the model.
        """
        name = node.input[place]
        if name not in self.carriers:
            raise refused(node, f"input {place}", f"{name}, float or constant", "a computed int8")
        return self.carriers[name]

    def tensor(self, number: int) -> Tensor:
        """A tensor by its number."""
        return self.network.tensors[number]

    def quantisation(self, number: int) -> Quantisation:
        """Of a computed tensor: it has one."""
        found = self.tensor(number).quantisation
        assert found is not None
        return found

    def activation(self, node: onnx.NodeProto) -> tuple[str, str]:
        """The name that the result has after an activation that alone reads it, and which.

        ``RELU6`` is what Clip from 0 to 6 is; another Clip stays where it is, and is refused there.
        """
        reader = self.qdq.sole_reader(node.output[0])
        kind = activation_of(self.qdq, reader) if reader is not None else "NONE"
        if reader is None or kind == "NONE":
            return node.output[0], "NONE"
        self.folded.add(reader.output[0])
        return reader.output[0], kind

    def result(self, name: str, unsaid: Quantisation | None = None) -> int:
        """A new tensor for an ONNX value, quantised as the model says behind it.

        ``unsaid`` serves where the model leaves the value float.
        Raises: ModelError where both are absent.
        """
        found = self.qdq.quantisation_after(name) or unsaid
        if found is None:
            what = "cannot convert to TFLite: a value is float in the model"
            raise ModelError(what, where=name, allowed="QuantizeLinear behind each layer")
        return self.carry(name, Tensor(name, nhwc(self.qdq.shapes[name]), "int8", found))

    def carry(self, name: str, tensor: Tensor) -> int:
        """A new tensor that carries the ONNX value ``name``."""
        self.carriers[name] = self.network.add(tensor)
        return self.carriers[name]

    def emit(self, code: str, inputs: tuple[int, ...], output: int, **fields: int | float) -> None:
        """A new operator; ``options`` among the fields names their table."""
        options = str(fields.pop("options", ""))
        self.network.operators.append(Operator(code, inputs, (output,), options, fields))


def convert(model: onnx.ModelProto) -> Network:
    """The network, with one tensor of int8 for each input and output of the model.

    Raises: ModelError for what has no equal.
    """
    from tests.bench.vela.operators import CONVERTERS  # they know this class

    made = Conversion(QdqModel(model))
    for node in model.graph.node:
        if node.output[0] in made.folded or node.output[0] in made.qdq.constants:
            continue
        if node.op_type not in CONVERTERS:
            raise refused(node, "the operator", node.op_type, ", ".join(sorted(CONVERTERS)))
        CONVERTERS[node.op_type](made, node)
    for value in model.graph.output:
        if value.name not in made.carriers:
            what = "cannot convert to TFLite: an output is not computed in int8"
            raise ModelError(what, where=value.name)
        made.network.outputs.append(made.carriers[value.name])
    return made.network


def quantize(made: Conversion, node: onnx.NodeProto) -> None:
    """Of an input: the input itself is int8. Of what is int8: another scale, or nothing."""
    name, wanted = node.input[0], made.qdq.quantisation_of(node)
    if any(value.name == name for value in made.qdq.model.graph.input):
        tensor = Tensor(name, nhwc(made.qdq.shapes[name]), "int8", wanted)
        made.network.inputs.append(made.carry(node.output[0], tensor))
        return
    source = made.operand(node, 0)
    if made.quantisation(source).equals(wanted):
        made.carriers[node.output[0]] = source
        return
    tensor = Tensor(node.output[0], made.tensor(source).shape, "int8", wanted)
    made.emit("QUANTIZE", (source,), made.carry(node.output[0], tensor), options="QuantizeOptions")


def dequantize(made: Conversion, node: onnx.NodeProto) -> None:
    """The value stays in its integers."""
    if node.input[0] in made.qdq.constants:
        data = made.qdq.constant(node, 0).data
        made.qdq.constants[node.output[0]] = Constant(data, made.qdq.quantisation_of(node))
    else:
        made.carriers[node.output[0]] = made.operand(node, 0)


def activation_of(qdq: QdqModel, node: onnx.NodeProto) -> str:
    """``RELU``, ``RELU6`` or ``NONE``."""
    if node.op_type == "Relu":
        return "RELU"
    if node.op_type != "Clip":
        return "NONE"
    given = attributes(node)
    limits = [given.get("min"), given.get("max")]
    for place, name in enumerate(node.input[1:]):
        limits[place] = float(qdq.constants[name].values) if name in qdq.constants else None
    return "RELU6" if limits == [0.0, RELU6_MAX] else "NONE"


def nhwc(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in TFLite's layout: channels last where there are four axes."""
    return shape if len(shape) != 4 else (shape[0], *shape[2:], shape[1])
