"""A network of TFLite operators as the bytes of a ``.tflite`` file.

Needs the package ``tflite`` (the schema's own code), which the extra ``vela`` brings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
import tflite

from tests.bench.vela.network import Network, Operator, Tensor

VERSION = 3
IDENTIFIER = b"TFL3"
BUFFER_ALIGN_BYTES = 16
TYPES = {"int8": tflite.TensorType.INT8, "int32": tflite.TensorType.INT32}


def emit(network: Network) -> bytes:
    """The file; constants are aligned as the runtime wants them."""
    builder = flatbuffers.Builder(1 << 20)
    # Buffer 0 is the empty one of every tensor without data.
    buffers = [_table(builder, "Buffer")]
    tensors = []
    for tensor in network.tensors:
        tensors.append(_tensor(builder, tensor, len(buffers) if tensor.data is not None else 0))
        if tensor.data is not None:
            buffers.append(_table(builder, "Buffer", Data=_bytes(builder, tensor.data.tobytes())))
    codes = sorted({operator.code for operator in network.operators})
    operators = [_operator(builder, one, codes.index(one.code)) for one in network.operators]
    subgraph = _table(
        builder,
        "SubGraph",
        Tensors=_offsets(builder, tensors),
        Inputs=_ints(builder, network.inputs),
        Outputs=_ints(builder, network.outputs),
        Operators=_offsets(builder, operators),
        Name=builder.CreateString("main"),
    )
    model = _table(
        builder,
        "Model",
        Version=VERSION,
        OperatorCodes=_offsets(builder, [_code(builder, code) for code in codes]),
        Subgraphs=_offsets(builder, [subgraph]),
        Description=builder.CreateString("converted from ONNX QDQ"),
        Buffers=_offsets(builder, buffers),
    )
    builder.Finish(model, IDENTIFIER)
    return bytes(builder.Output())


def _tensor(builder: Any, tensor: Tensor, buffer: int) -> int:
    fields = {}
    if tensor.quantisation is not None:
        scales = tensor.quantisation.scales
        points = np.full(len(scales), tensor.quantisation.zero_point, np.int64)
        fields["Quantization"] = _table(
            builder,
            "QuantizationParameters",
            Scale=builder.CreateNumpyVector(scales),
            ZeroPoint=builder.CreateNumpyVector(points),
            QuantizedDimension=tensor.quantisation.axis,
        )
    return _table(
        builder,
        "Tensor",
        Shape=_ints(builder, tensor.shape),
        Type=TYPES[tensor.dtype],
        Buffer=buffer,
        Name=builder.CreateString(tensor.name),
        **fields,
    )


def _operator(builder: Any, operator: Operator, code: int) -> int:
    fields = {"OpcodeIndex": code, "Inputs": _ints(builder, operator.inputs)}
    fields["Outputs"] = _ints(builder, operator.outputs)
    if operator.options:
        fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, operator.options)
        fields["BuiltinOptions"] = _table(builder, operator.options, **operator.fields)
    return _table(builder, "Operator", **fields)


def _code(builder: Any, name: str) -> int:
    number = getattr(tflite.BuiltinOperator, name)
    # Readers of before the 128th operator look at the first field alone.
    fields = {"DeprecatedBuiltinCode": min(number, 127), "BuiltinCode": number}
    return _table(builder, "OperatorCode", **fields, Version=1)


def _table(builder: Any, name: str, **fields: Any) -> int:
    """A table of the schema; offsets among ``fields`` must be made before."""
    getattr(tflite, f"{name}Start")(builder)
    for field, value in fields.items():
        getattr(tflite, f"{name}Add{field}")(builder, value)
    return int(getattr(tflite, f"{name}End")(builder))


def _ints(builder: Any, values: Sequence[int]) -> int:
    return int(builder.CreateNumpyVector(np.array(values, np.int32)))


def _offsets(builder: Any, values: Sequence[int]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependUOffsetTRelative(value)
    return int(builder.EndVector())


def _bytes(builder: Any, data: bytes) -> int:
    builder.StartVector(1, len(data), BUFFER_ALIGN_BYTES)
    builder.head -= len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data
    return int(builder.EndVector())
