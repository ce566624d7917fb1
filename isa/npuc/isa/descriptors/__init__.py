"""Immutable descriptors: views, tensor maps, kernels, parameter records, lookup tables."""

from npuc.isa.descriptors.kernel import Kernel, Op, Output, Params, Stream
from npuc.isa.descriptors.table import Table
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
    "Table",
    "TensorMap",
    "View",
    "Window",
]
