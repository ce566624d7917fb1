"""One function for each ONNX operator that has an equal in TFLite; ``CONVERTERS`` lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import tflite

from tests.bench.vela.convert import Conversion, activation_of, dequantize, quantize
from tests.bench.vela.network import INT8_MIN, Quantisation, Tensor
from tests.bench.vela.qdq import Constant, attributes, refused
from tests.bench.vela.windows import MAX_POOL_EMPTY, padded, window_of

ACTIVATIONS = {
    "NONE": tflite.ActivationFunctionType.NONE,
    "RELU": tflite.ActivationFunctionType.RELU,
    "RELU6": tflite.ActivationFunctionType.RELU6,
}
SOFTMAX_RESULT = Quantisation(np.array([1 / 256], np.float32), INT8_MIN)  # TFLite allows no other


def _conv(made: Conversion, node: onnx.NodeProto) -> None:
    weights, groups = made.qdq.constant(node, 1), int(attributes(node).get("group", 1))
    if weights.data.ndim != 4:
        raise refused(node, "the rank", f"{weights.data.ndim}", "4")
    window = window_of(made, node, weights.data.shape[2:])
    channels, depthwise = made.qdq.shapes[node.input[0]][1], groups > 1
    if depthwise and groups != channels:
        raise refused(node, "groups", f"{groups} of {channels} channels", "1, or one a channel")
    # OIHW; a depthwise filter of TFLite is 1HWO.
    order, axis = ((1, 2, 3, 0), 3) if depthwise else ((0, 2, 3, 1), 0)
    source, padding = padded(made, node, window)
    filters = _weights(
        made, node, Constant(weights.data.transpose(order), weights.quantisation), axis
    )
    inputs = (source, filters, _bias(made, node, source, weights))
    name, activation = made.activation(node)
    fields = {
        **window.stride_fields,
        "Padding": padding,
        "DilationHFactor": window.dilations[0],
        "DilationWFactor": window.dilations[1],
        "FusedActivationFunction": ACTIVATIONS[activation],
    }
    if depthwise:
        fields["DepthMultiplier"] = weights.data.shape[0] // channels
    kind = (
        ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions")
        if depthwise
        else ("CONV_2D", "Conv2DOptions")
    )
    made.emit(kind[0], inputs, made.result(name), options=kind[1], **fields)


def _gemm(made: Conversion, node: onnx.NodeProto) -> None:
    given = attributes(node)
    plain = [given.get("transA", 0), given.get("alpha", 1.0), given.get("beta", 1.0)] == [0, 1, 1]
    if not plain:
        raise refused(node, "transA, alpha or beta", f"{given}", "0, 1, 1")
    weights, turned = made.qdq.constant(node, 1), not given.get("transB", 0)
    if weights.data.ndim != 2:
        raise refused(node, "the rank of weights", f"{weights.data.ndim}", "2")
    w_OI = weights.data.T if turned else weights.data
    source = made.operand(node, 0)
    filters = _weights(made, node, Constant(w_OI, weights.quantisation), 0)
    inputs = (source, filters, _bias(made, node, source, weights))
    name, activation = made.activation(node)
    fused = ACTIVATIONS[activation]
    options = "FullyConnectedOptions"
    out = made.result(name)
    made.emit("FULLY_CONNECTED", inputs, out, options=options, FusedActivationFunction=fused)


def _weights(made: Conversion, node: onnx.NodeProto, weights: Constant, axis: int) -> int:
    """The tensor of weights, their scales along ``axis`` of TFLite's layout."""
    if weights.quantisation is None or weights.data.dtype != np.int8:
        raise refused(node, "weights", f"{weights.data.dtype}", "int8 behind DequantizeLinear")
    if weights.quantisation.zero_point:
        raise refused(node, "the weights' zero point", f"{weights.quantisation.zero_point}", "0")
    quantisation = replace(weights.quantisation, axis=axis)
    return made.network.constant(node.input[1], weights.data, quantisation)


def _bias(made: Conversion, node: onnx.NodeProto, source: int, weights: Constant) -> int:
    """int32 at the scale of the products; that of the model where it has that scale."""
    assert weights.quantisation is not None
    one = made.quantisation(source).scales.astype(np.float64)
    scales = one * weights.quantisation.scales
    if len(node.input) > 2:
        values = made.qdq.constant(node, 2).values
    else:
        values = np.zeros(made.qdq.shapes[node.output[0]][1])
    integers = np.rint(values / scales).astype(np.int32)
    quantisation = Quantisation(scales.astype(np.float32), 0)
    return made.network.constant(f"{node.output[0]}.bias", integers, quantisation)


def _add(made: Conversion, node: onnx.NodeProto) -> None:
    inputs = (made.operand(node, 0), made.operand(node, 1))
    name, activation = made.activation(node)
    low, high = (
        sum(ends) for ends in zip(*(made.quantisation(n).interval for n in inputs), strict=True)
    )
    low = low if activation == "NONE" else 0.0
    out = made.result(name, Quantisation.of_interval(low, high))
    fused = ACTIVATIONS[activation]
    made.emit("ADD", inputs, out, options="AddOptions", FusedActivationFunction=fused)


def _pool(made: Conversion, node: onnx.NodeProto) -> None:
    """Both poolings keep the scale of their input in TFLite; another one needs a QUANTIZE."""
    kernel, maximum = tuple(attributes(node)["kernel_shape"]), node.op_type == "MaxPool"
    window = window_of(made, node, kernel)
    if window.dilations != (1, 1):
        raise refused(node, "dilations", f"{window.dilations}", "1, 1")
    if not maximum and any(map(sum, window.pads)):
        raise refused(node, "padding", f"{window.pads}", "none")
    source, padding = padded(made, node, window, empty=MAX_POOL_EMPTY if maximum else None)
    shape = made.qdq.shapes[node.output[0]]
    kept = replace(made.tensor(source), name=node.output[0], shape=(shape[0], *shape[2:], shape[1]))
    fields = {**window.stride_fields, "FilterHeight": kernel[0], "FilterWidth": kernel[1]}
    code, out = f"{'MAX' if maximum else 'AVERAGE'}_POOL_2D", made.carry(node.output[0], kept)
    made.emit(code, (source,), out, options="Pool2DOptions", Padding=padding, **fields)


def _mean(made: Conversion, node: onnx.NodeProto) -> None:
    """The mean of each channel, which keeps its axes."""
    given = attributes(node)
    if node.op_type == "ReduceMean":
        axes = given.get("axes") or made.qdq.constant(node, 1).data.tolist()
        if sorted(axes) not in ([2, 3], [-2, -1]) or not given.get("keepdims", 1):
            raise refused(node, "axes", f"{axes}", "those of the image, kept")
    source = made.operand(node, 0)
    out = made.result(node.output[0], made.quantisation(source))
    axes = made.network.constant(f"{node.output[0]}.axes", np.array([1, 2], np.int32))
    made.emit("MEAN", (source, axes), out, options="ReducerOptions", KeepDims=True)


def _view(made: Conversion, node: onnx.NodeProto) -> None:
    """The order of elements is ONNX's: an image is turned first where that moves anything."""
    source, shape = made.operand(node, 0), made.qdq.shapes[node.output[0]]
    tensor = made.tensor(source)
    if len(shape) == 4:
        raise refused(node, "the rank of the result", "4", "1 to 3")
    if len(tensor.shape) == 4 and tensor.shape[1] * tensor.shape[2] > 1:
        n, h, w, c = tensor.shape
        turned = replace(tensor, name=f"{tensor.name}.nchw", shape=(n, c, h, w))
        order = made.network.constant(f"{turned.name}.by", np.array([0, 3, 1, 2], np.int32))
        view = made.network.add(turned)
        made.emit("TRANSPOSE", (source, order), view, options="TransposeOptions")
        source = view
    to = made.network.constant(f"{node.output[0]}.shape", np.array(shape, np.int32))
    out = made.carry(node.output[0], replace(tensor, name=node.output[0], shape=shape))
    made.emit("RESHAPE", (source, to), out)


def _activation(made: Conversion, node: onnx.NodeProto) -> None:
    """One that no operator before it took over."""
    kind = activation_of(made.qdq, node)
    if kind == "NONE":
        raise refused(node, "its limits", "others", "0 and 6")
    source = made.operand(node, 0)
    made.emit(kind, (source,), made.result(node.output[0], made.quantisation(source)))


def _softmax(made: Conversion, node: onnx.NodeProto) -> None:
    source = made.operand(node, 0)
    shape = made.tensor(source).shape
    if len(shape) != 2 or attributes(node).get("axis", -1) not in (-1, 1):
        raise refused(node, "axis and rank", f"{shape}", "the last of two axes")
    name = node.output[0]
    out = made.carry(name, Tensor(name, shape, "int8", SOFTMAX_RESULT))
    made.emit("SOFTMAX", (source,), out, options="SoftmaxOptions", Beta=1.0)


CONVERTERS: dict[str, Callable[[Conversion, onnx.NodeProto], None]] = {
    "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize,
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _gemm,
    "Add": _add,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _mean,
    "ReduceMean": _mean,
    "Flatten": _view,
    "Reshape": _view,
    "Relu": _activation,
    "Clip": _activation,
    "Softmax": _softmax,
}
