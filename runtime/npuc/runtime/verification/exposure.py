"""Which tensors of an ONNX model can be compared, and under which rule.

A model whose quantised intermediate tensors are made outputs is compiled and judged like any other:
so intermediate values have ONNX's own names and layout on both sides.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from npuc.runtime.arrays import AnyArray, Arrays
from npuc.runtime.verification.comparison import (
    CLOSE,
    EXACT,
    Rule,
)

INTEGER_TYPES = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64)
# Operators that ONNX defines on integers exactly: one possible result, whoever computes it.
INTEGER_OPERATORS = frozenset(
    (
        "QuantizeLinear",
        "QLinearConv",
        "QLinearMatMul",
        "QGemm",
        "ConvInteger",
        "MatMulInteger",
        "MaxPool",
        "Relu",
        "Clip",
        "Reshape",
        "Flatten",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Concat",
    )
)


def expose_quantised(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of ``model`` whose outputs are its quantised tensors in order, then its own outputs.

    ``model`` must hold its external data, or none.
    """
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    present = {output.name for output in model.graph.output}
    types = _element_types(model)
    del exposed.graph.output[:]
    for name in _quantised_tensors(model):
        if name not in present:
            value = helper.make_tensor_value_info(name, types.get(name, TensorProto.INT8), None)
            exposed.graph.output.append(value)
    exposed.graph.output.extend(model.graph.output)
    return exposed


def output_rules(model: onnx.ModelProto) -> dict[str, Rule]:
    """The rule for each output of ``model``: exact, steps or close, by how ONNX computes it."""
    exact = _integer_chain_tensors(model)
    steps = _step_sizes(model)
    types, averages = _element_types(model), _averages(model)
    rules = {}
    for output in model.graph.output:
        name = output.name
        if name in exact:
            rules[name] = EXACT
        elif name in steps or types.get(name) in INTEGER_TYPES:
            rules[name] = Rule("steps", steps.get(name, 1.0), but_ties=name in averages)
        else:
            rules[name] = CLOSE
    return rules


@dataclass(frozen=True)
class Rounding:
    """How a quantised tensor is made: of which float tensor, by which scale."""

    source: str
    scale: float


def roundings(model: onnx.ModelProto) -> dict[str, Rounding]:
    """The rounding of each quantised tensor that comes from an average."""
    averages, scales = _averages(model), _scales(model)
    return {
        node.output[0]: Rounding(node.input[0], float(scales[node.input[1]]))
        for node in model.graph.node
        if node.op_type == "QuantizeLinear"
        and node.output[0] in averages
        and node.input[1] in scales
        and scales[node.input[1]].size == 1
    }


def linked(model: onnx.ModelProto, values: Arrays) -> tuple[onnx.ModelProto, dict[str, AnyArray]]:
    """A copy in which whoever reads an output of ``model`` reads what ``values`` say of it.

    Also the inputs that this adds. A difference in one link then shows in that link alone.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    read = {name for node in model.graph.node for name in node.input}
    given = {name: f"{name} as given" for name in values if name in read}
    for node in copy.graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = given.get(name, name)
    stated = _element_types(model)
    for name, renamed in given.items():
        is_bool = stated.get(name) == TensorProto.BOOL
        held = helper.np_dtype_to_tensor_dtype(values[name].dtype)
        kind = TensorProto.BOOL if is_bool else held
        copy.graph.input.append(helper.make_tensor_value_info(renamed, kind, values[name].shape))
    return copy, {renamed: values[name] for name, renamed in given.items()}


def input_ranges(model: onnx.ModelProto) -> dict[str, tuple[float, float]]:
    """Lowest and highest value that each input keeps: bools, floats to be quantised, indices."""
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    inputs = {value.name for value in model.graph.input}
    bools = [v.name for v in model.graph.input if v.type.tensor_type.elem_type == TensorProto.BOOL]
    ranges: dict[str, tuple[float, float]] = dict.fromkeys(bools, (0.0, 1.0))
    for node in model.graph.node:
        given = node.op_type == "QuantizeLinear" and node.input[0] in inputs
        if given and len(node.input) > 2 and set(node.input[1:]) <= set(constants):
            scale, zero = constants[node.input[1]], constants[node.input[2]]
            if zero.dtype not in (np.int8, np.uint8):
                continue
            limits = np.iinfo(zero.dtype)
            low = (limits.min - zero.astype(np.float64)) * scale
            high = (limits.max - zero.astype(np.float64)) * scale
            ranges[node.input[0]] = (float(low.min()), float(high.max()))
    return ranges | _index_ranges(model)


_SAME_ELEMENTS = ("Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze")


def _index_ranges(model: onnx.ModelProto) -> dict[str, tuple[float, float]]:
    """Of inputs that name rows: from 0 to the last row of the smallest table that has a shape."""
    inputs = {value.name for value in model.graph.input}
    inputs -= {tensor.name for tensor in model.graph.initializer}
    origin = {name: name for name in inputs}
    lookups: list[tuple[str, onnx.NodeProto]] = []
    for node in model.graph.node:
        if node.op_type in _SAME_ELEMENTS and node.input[0] in origin:
            origin[node.output[0]] = origin[node.input[0]]
        if node.op_type == "Gather" and node.input[1] in origin:
            lookups.append((origin[node.input[1]], node))
    shapes = _shapes(model) if lookups else {}
    ranges: dict[str, tuple[float, float]] = {}
    for index, node in lookups:
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        shape = shapes.get(node.input[0], ())
        if -len(shape) <= axis < len(shape) and shape[axis] > 0:
            last = float(shape[axis] - 1)
            ranges[index] = (0.0, min(last, ranges.get(index, (0.0, last))[1]))
    return ranges


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor as far as ONNX can tell; a size that it cannot is 0.

    Of constants only int64 ones, of which shapes are made, are looked at: others may be large.
    """
    graph = model.graph
    bare = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    bare.graph.node.extend(graph.node)
    bare.graph.input.extend(graph.input)
    inputs = {value.name for value in graph.input}  # old models have constants among them
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.INT64:
            bare.graph.initializer.append(tensor)
        elif tensor.name not in inputs:
            info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            bare.graph.input.append(info)
    inferred = onnx.shape_inference.infer_shapes(bare).graph
    known = {v.name: v.type.tensor_type.shape.dim for v in (*inferred.input, *inferred.value_info)}
    shapes = {name: tuple(size.dim_value for size in sizes) for name, sizes in known.items()}
    return shapes | {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}


def _quantised_tensors(model: onnx.ModelProto) -> Iterator[str]:
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        is_quantised = node.op_type == "QuantizeLinear" or node.op_type in _QUANTISED_RESULT
        if is_quantised and node.input[0] not in constants:
            yield node.output[0]


_QUANTISED_RESULT = ("QLinearConv", "QLinearMatMul", "QGemm")


def _integer_chain_tensors(model: onnx.ModelProto) -> set[str]:
    """Tensors that come from inputs and constants through integer operators alone."""
    chain = {tensor.name for tensor in model.graph.initializer} | {""}
    chain |= {value.name for value in model.graph.input}
    for node in model.graph.node:
        quantised = node.op_type in INTEGER_OPERATORS
        if quantised and all(name in chain for name in node.input):
            chain.update(node.output)
        elif node.op_type == "DequantizeLinear" and node.input[0] in chain:
            chain.update(_dequantised_output(model, node))
    return chain


def _dequantised_output(model: onnx.ModelProto, node: onnx.NodeProto) -> list[str]:
    """Outputs only: dequantising is one exact product, but what follows it is float work."""
    outputs = {value.name for value in model.graph.output}
    consumed = {name for other in model.graph.node for name in other.input}
    return [name for name in node.output if name in outputs and name not in consumed]


def _step_sizes(model: onnx.ModelProto) -> dict[str, float]:
    """Size of a quantisation step of tensors that QuantizeLinear or DequantizeLinear make."""
    scales = _scales(model)
    steps: dict[str, float] = {}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[1] in scales:
            steps[node.output[0]] = float(scales[node.input[1]].max())
    return steps


def _scales(model: onnx.ModelProto) -> dict[str, AnyArray]:
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT
    }


def _averages(model: onnx.ModelProto) -> set[str]:
    """Tensors that come from an average with no quantised tensor between."""
    found: set[str] = set()
    ends = set(_quantised_tensors(model))
    for node in model.graph.node:
        passes_on = any(name in found and name not in ends for name in node.input)
        if node.op_type in _AVERAGES or passes_on:
            found.update(node.output)
    return found


_AVERAGES = ("AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "Softmax")


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    graph = model.graph
    known = [*graph.input, *graph.output, *graph.value_info]
    types = {value.name: value.type.tensor_type.elem_type for value in known}
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and len(node.input) > 2:
            types.setdefault(node.output[0], stored.get(node.input[2], TensorProto.UINT8))
    return types
