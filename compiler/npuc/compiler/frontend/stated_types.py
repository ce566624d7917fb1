"""What a model states about its values, against what its nodes make."""

from collections.abc import Mapping

import numpy as np
import onnx

from npuc.compiler.frontend.node import Value
from npuc.compiler.frontend.order import describe_node
from npuc.compiler.frontend.validity import element_type
from npuc.isa.errors import ModelError

Stated = tuple[int, tuple[int | None, ...] | None]


def stated_size(dim: onnx.TensorShapeProto.Dimension) -> int | None:
    """The size that is stated; None where it is free, for which some exporters write -1."""
    return dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None


def stated_types(graph: onnx.GraphProto) -> dict[str, Stated]:
    """Element type and sizes (None where free) that the graph states for its values."""
    stated: dict[str, Stated] = {}
    for info in (*graph.value_info, *graph.output):
        tensor = info.type.tensor_type
        if not info.type.HasField("tensor_type"):
            continue
        sizes: tuple[int | None, ...] | None = None
        if tensor.HasField("shape"):
            sizes = tuple(stated_size(dim) for dim in tensor.shape.dim)
        stated[info.name] = (tensor.elem_type, sizes)
    return stated


def check_stated(
    proto: onnx.NodeProto, values: Mapping[str, Value], stated: Mapping[str, Stated]
) -> None:
    """Raise ModelError where an output of the node is not what the graph states of it."""
    for name in proto.output:
        if name not in stated or name not in values:
            continue
        element, sizes = stated[name]
        made, shape = _element_type(values[name]), values[name].shape
        agrees = sizes is None or (
            len(sizes) == len(shape)
            and all(s in (None, n) for s, n in zip(sizes, shape, strict=True))
        )
        if not agrees or (made is not None and element not in (0, made)):
            raise ModelError(
                "the model contradicts itself: a node makes another tensor than is stated",
                where=describe_node(proto),
                given=f"{name!r} stated as {_text(element, sizes)}",
                allowed=f"{_text(made or element, shape)}, which the node's inputs imply",
                next_step="correct or remove the stated shape, or export the model again",
            )


def _element_type(value: Value) -> int | None:
    """The ONNX element type; None where the import narrows what it holds."""
    if value.array is None and value.ssa is None:
        return None
    is_narrowed = value.array is not None and value.array.dtype == np.float64
    return None if is_narrowed else element_type(value)


def _text(element: int, sizes: tuple[int | None, ...] | None) -> str:
    name = str(onnx.TensorProto.DataType.Name(element))
    if sizes is None:
        return name
    return f"{name} [{', '.join('?' if n is None else str(n) for n in sizes)}]"
