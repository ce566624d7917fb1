"""The ``tile`` dialect: what moves where and what computes on what, tile by tile.

A program has DRAM tensors and one region per core; a core runs groups in order; a group is
isolated from above, so that equal layers have equal bodies. Inside a group, loops with static
trip counts surround transfers and compute commands on *slots* of ring buffers::

    tile.program {
      %x = tile.tensor "x" input : !tile.dram<[28, 28, 1] i8>
      tile.core 0 {
        tile.group "conv1" (%a = %x : !tile.dram<[28, 28, 1] i8>) {
          %rows = tile.buffer "x" : !tile.buffer<spm 784 x 2>
          tile.for %i = 0 to 7 step 1 {
            %s = tile.acquire %rows : !tile.buffer<spm 784 x 2>
            tile.load %s, %a dynamic(%i) map <…> at <[0 ?1, 0, 0]> on ld0 : …
            tile.release %rows : !tile.buffer<spm 784 x 2>
          }
        }
      }
    }

Meaning: per core, sequential program order. ``acquire`` takes the next slot of a ring (its
number is the count of acquires so far modulo the depth), ``release`` gives back the oldest one
held, ``held[k]`` names the k-th oldest slot that is held. Nothing here waits: order between
engines follows from the slots and tensors that commands touch. Only between cores ``signal`` and
``await`` are written: the n-th await of a name waits for the n-th signal.

Buffers of a core have one slot, may be acquired in one group and released in a later one, and
enter groups as arguments.

Legality: no tensor types and no unplaced work; every operation is of this dialect.
"""

from npuc.compiler.dialects.tile_attributes import (
    BufferSpec,
    BufferType,
    DramType,
    KernelAttr,
    MapAttr,
    ParamsAttr,
    PlaceAttr,
    SlotType,
    TensorSpec,
    ViewAttr,
)
from npuc.compiler.dialects.tile_commands import (
    AcquireOp,
    AwaitOp,
    GatherOp,
    HeldOp,
    LoadOp,
    MmaOp,
    Operands,
    QueueAttr,
    QueueName,
    ReleaseOp,
    SignalOp,
    StoreOp,
    VexecOp,
    slot_spec,
)
from npuc.compiler.dialects.tile_group import GroupOp
from npuc.compiler.dialects.tile_structure import (
    MAX_LOOP_NEST,
    AffineOp,
    BufferOp,
    CoreOp,
    ForOp,
    MaxOp,
    MinOp,
    ProgramOp,
    SegmentAttr,
    SegmentName,
    TensorOp,
    loop_nest,
)
from npuc.compiler.dialects.tile_text import Place
from npuc.compiler.xdsl_api import Dialect

Tile = Dialect(
    "tile",
    [
        ProgramOp,
        TensorOp,
        CoreOp,
        GroupOp,
        BufferOp,
        ForOp,
        AffineOp,
        MinOp,
        MaxOp,
        AcquireOp,
        HeldOp,
        ReleaseOp,
        LoadOp,
        GatherOp,
        StoreOp,
        MmaOp,
        VexecOp,
        SignalOp,
        AwaitOp,
    ],
    [
        DramType,
        BufferType,
        SlotType,
        ViewAttr,
        MapAttr,
        KernelAttr,
        ParamsAttr,
        PlaceAttr,
        SegmentAttr,
        QueueAttr,
    ],
)

__all__ = [
    "MAX_LOOP_NEST",
    "AcquireOp",
    "AffineOp",
    "AwaitOp",
    "BufferOp",
    "BufferSpec",
    "BufferType",
    "CoreOp",
    "DramType",
    "ForOp",
    "GatherOp",
    "GroupOp",
    "HeldOp",
    "KernelAttr",
    "LoadOp",
    "MapAttr",
    "MaxOp",
    "MinOp",
    "MmaOp",
    "Operands",
    "ParamsAttr",
    "Place",
    "PlaceAttr",
    "ProgramOp",
    "QueueAttr",
    "QueueName",
    "ReleaseOp",
    "SegmentAttr",
    "SegmentName",
    "SignalOp",
    "SlotType",
    "StoreOp",
    "TensorOp",
    "TensorSpec",
    "Tile",
    "VexecOp",
    "ViewAttr",
    "loop_nest",
    "slot_spec",
]
