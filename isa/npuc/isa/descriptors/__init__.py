"""Immutable descriptors that commands name by index: views, tensor maps, kernels, parameters."""

from npuc.isa.descriptors.kernel import Kernel, Op, Output, Params, Stream
from npuc.isa.descriptors.tensor_map import Segment, TensorMap
from npuc.isa.descriptors.view import Space, View, Window

__all__ = [
    "Kernel",
    "Op",
    "Output",
    "Params",
    "Segment",
    "Space",
    "Stream",
    "TensorMap",
    "View",
    "Window",
]
