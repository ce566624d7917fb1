"""A network for several images at once: the first dimension of inputs, outputs and reshapes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper


def with_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """A copy of ``model``, which takes one image, that takes ``batch`` of them.

    Shapes that constants of Reshape fix to one image let the first dimension follow instead.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del graph.value_info[:]
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for tensor in graph.initializer:
        if tensor.name in shapes:
            tensor.CopyFrom(_following(tensor, batch))
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] in shapes:
            node.attribute[0].t.CopyFrom(_following(node.attribute[0].t, batch))
    return result


def _following(tensor: onnx.TensorProto, batch: int) -> onnx.TensorProto:
    shape = numpy_helper.to_array(tensor).copy()
    if shape[0] == 1:
        shape[0] = batch
    return numpy_helper.from_array(shape.astype(np.int64), tensor.name)
