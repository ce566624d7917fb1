"""The nn dialect: tensors and operations of the graph level.

Tensors are builtin ``tensor`` types of i8, ui8, i32, i64, f32, bf16 or f16 with static shapes;
activations with height and width are NHWC. Constants are keys into the store. Which operations may
stand after which stage is written in ``npuc.compiler.legality``.
"""

from npuc.compiler.dialects.nn_generic import GenericOp, MicroOp, Scalars, Space
from npuc.compiler.dialects.nn_movement import ConcatOp, GatherOp, PadOp, SliceOp
from npuc.compiler.dialects.nn_structure import (
    ConstantOp,
    GraphOp,
    GroupOp,
    ReturnOp,
    YieldOp,
)
from npuc.compiler.dialects.nn_tensor import (
    ClipOp,
    Conv2dOp,
    DequantizeOp,
    ElementwiseOp,
    MatmulOp,
    Pool2dOp,
    QuantizeOp,
    ReduceOp,
    RequantizeOp,
    Rescale,
    ReshapeOp,
    SoftmaxOp,
    TransposeOp,
)
from npuc.compiler.xdsl_api import Dialect

NN = Dialect(
    "nn",
    [
        GraphOp,
        ReturnOp,
        GroupOp,
        YieldOp,
        ConstantOp,
        GenericOp,
        MicroOp,
        Conv2dOp,
        MatmulOp,
        ReshapeOp,
        TransposeOp,
        ConcatOp,
        SliceOp,
        GatherOp,
        PadOp,
        QuantizeOp,
        DequantizeOp,
        ElementwiseOp,
        ClipOp,
        Pool2dOp,
        ReduceOp,
        RequantizeOp,
        SoftmaxOp,
    ],
    [],
)

__all__ = [
    "NN",
    "ClipOp",
    "ConcatOp",
    "ConstantOp",
    "Conv2dOp",
    "DequantizeOp",
    "ElementwiseOp",
    "GatherOp",
    "GenericOp",
    "GraphOp",
    "GroupOp",
    "MatmulOp",
    "MicroOp",
    "PadOp",
    "Pool2dOp",
    "QuantizeOp",
    "ReduceOp",
    "RequantizeOp",
    "Rescale",
    "ReshapeOp",
    "ReturnOp",
    "Scalars",
    "SliceOp",
    "SoftmaxOp",
    "Space",
    "TransposeOp",
    "YieldOp",
]
