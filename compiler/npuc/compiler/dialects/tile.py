"""The ``tile`` dialect: what moves where and what computes on what, tile by tile.

A program has DRAM tensors and one region per core; a core runs groups in order; a group is
isolated from above, so that equal layers have equal bodies. Inside a group, loops with static
trip counts surround transfers and compute commands on *slots* of ring buffers.

Meaning: per core, sequential program order. ``acquire`` takes the next slot of a ring (slot
number = acquires so far modulo depth), ``release`` gives back the oldest one held, ``held k`` names
the k-th oldest slot that is held. Nothing here waits: order between engines follows from which
slots and tensors the commands touch. Only between cores ``signal`` and ``await`` are written by
hand: the n-th await of a name waits for the n-th signal.

Legality: no tensor types, no unplaced work; every op of the level is of this dialect.
"""

from enum import StrEnum, auto

from npuc.compiler.xdsl_api import (
    EnumAttribute,
    irdl_attr_definition,
)

"""A signed constant and an index operand appear all over; ``index`` is xDSL's builtin type."""


class SegmentName(StrEnum):
    """Where a DRAM tensor lives; the names of ``npuc.isa.descriptors.Segment``."""

    constant = auto()
    input = auto()
    output = auto()
    scratch = auto()
    state = auto()


@irdl_attr_definition
class SegmentAttr(EnumAttribute[SegmentName]):
    """A DRAM segment by name."""

    name = "tile.segment"
