"""The ``npu`` dialect: one operation per instruction, register numbers explicit.

``lower`` makes it from ``tile`` group by group; ``place`` replaces references to buffers and
tensors by addresses; ``emit`` walks it once.

Legality: instructions stand in groups and loops of a core; after ``place`` no operation refers
to a buffer or tensor by number and every buffer and tensor has an offset.
"""

from npuc.compiler.dialects.npu_attributes import (
    DramMapAttr,
    Known,
    Order,
    OrderAttr,
    References,
    ReferencesAttr,
    Touch,
    Usage,
    UsageAttr,
)
from npuc.compiler.dialects.npu_instructions import (
    GatherOp,
    HaltOp,
    LdOp,
    LoopOp,
    MmaOp,
    NopOp,
    ScalarOp,
    StOp,
    VexecOp,
)
from npuc.compiler.dialects.npu_structure import (
    BufferOp,
    CoreOp,
    GroupOp,
    Life,
    ProgramOp,
    TensorOp,
)
from npuc.compiler.xdsl_api import Dialect, Operation, walk

Npu = Dialect(
    "npu",
    [
        ProgramOp,
        TensorOp,
        CoreOp,
        BufferOp,
        GroupOp,
        ScalarOp,
        LoopOp,
        LdOp,
        GatherOp,
        StOp,
        MmaOp,
        VexecOp,
        NopOp,
        HaltOp,
    ],
    [OrderAttr, ReferencesAttr, DramMapAttr, UsageAttr],
)


def unplaced(module: Operation) -> list[Operation]:
    """Operations that still lack addresses: what ``place`` must leave none of."""
    return [op for op in walk(module) if _is_unplaced(op)]


def _is_unplaced(op: Operation) -> bool:
    if type(op) is TensorOp or type(op) is BufferOp:
        return op.offset is None
    return "references" in op.properties


__all__ = [
    "BufferOp",
    "CoreOp",
    "DramMapAttr",
    "GatherOp",
    "GroupOp",
    "HaltOp",
    "Known",
    "LdOp",
    "Life",
    "LoopOp",
    "MmaOp",
    "NopOp",
    "Npu",
    "Order",
    "OrderAttr",
    "ProgramOp",
    "References",
    "ReferencesAttr",
    "ScalarOp",
    "StOp",
    "TensorOp",
    "Touch",
    "Usage",
    "UsageAttr",
    "VexecOp",
    "unplaced",
]
