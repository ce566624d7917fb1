"""Cycles of ``vexec``: a kernel streamed over its points, then its epilogue over the outputs.

Rules that hardware could also have otherwise; the drain of tests/rtl has them:

- *start-up* counts one cycle of reading and one of writing, the first and the last group's.
- *passes* of a group follow one another without a gap.
- *even groups*: the ports' time is the words of whole streams over the banks that they reach. That
  is exact where no group of lanes meets a bank more often than it passes down the chain, or where
  each output has a word of its own, in a chain of one pass. Elsewhere groups that crowd a bank take
  longer, and words that runs share are counted for each. tests/rtl draws such drains on purpose:
  362 of 389 differ, for its machines by 3.0 to 31.0 % in the median and at most by 93.0 %.
"""

from dataclasses import dataclass
from typing import TypedDict, Unpack

import numpy as np

from npuc.isa.cost.rounding import Int64s, Ints, ceil_div, int64s
from npuc.isa.descriptors import Kernel
from npuc.isa.target import Target

PACKED_OP = "mac8"
# Two orders in which the vpu may walk (p0, p1, p2, p3, r0, r1, r2): lanes along r2, or along p3.
# It takes the one whose busier memory port is done first.
VEXEC_WALKS = ((0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 4, 5, 6, 3))


@dataclass(frozen=True)
class KernelCost:
    """Lane work of a kernel on one target.

    ``body_ops`` and ``epilogue_ops`` are sums of micro-op costs; ``body_passes`` and
    ``epilogue_passes`` how often a point or an output goes down the chain; ``body_lanes`` the
    points taken per cycle and pass. Arrays stand for many kernels at once.
    """

    body_ops: Ints
    epilogue_ops: Ints
    body_passes: Ints
    epilogue_passes: Ints
    body_lanes: Ints


class VexecPorts(TypedDict, total=False):
    """Cycles that all streams of a command need at the memories' ports (``stream_access``)."""

    spm_cycles: Ints
    acc_cycles: Ints


def kernel_cost(target: Target, kernel: Kernel) -> KernelCost:
    """The lane work of ``kernel``: each micro-op costs 1 or what ``vpu.op_cost`` says.

    A section of c cost takes ceil(c / chain_depth) passes; a section that only copies takes one.
    A body of nothing but mac8 packs ``mac8_lane_factor`` points into a lane.
    Source: machine.md, sections 2 and 5.
    """
    names = [op.name for op in kernel.ops]
    body, epilogue = names[: kernel.body_count], names[kernel.body_count :]
    has_body = bool(body) or not all(out.epilogue for out in kernel.outputs)
    is_packed = bool(body) and all(name == PACKED_OP for name in body)
    vpu = target.vpu
    body_ops = sum(vpu.cost_of(name) for name in body)
    epilogue_ops = sum(vpu.cost_of(name) for name in epilogue)
    copies = int(not has_body)  # the epilogue alone moves the data
    return KernelCost(
        body_ops,
        epilogue_ops,
        max(int(has_body), passes_of(body_ops, vpu.chain_depth)),
        max(copies, passes_of(epilogue_ops, vpu.chain_depth)),
        vpu.lanes * (vpu.mac8_lane_factor if is_packed else 1),
    )


def vexec_cycles(
    target: Target, points: Ints, outputs: Ints, cost: KernelCost, **ports: Unpack[VexecPorts]
) -> Int64s:
    """Cycles of one vexec alone.

    start-up + max(ceil(points / lanes) x body passes + ceil(outputs / lanes) x epilogue passes,
    SPM port cycles, ACC port cycles). ``points`` is the size of the whole space, ``outputs`` that
    of its parallel dimensions. Source: machine.md, sections 2 and 5.
    """
    body = ceil_div(points, cost.body_lanes) * cost.body_passes
    epilogue = ceil_div(outputs, target.vpu.lanes) * cost.epilogue_passes
    at_ports = np.maximum(int64s(ports.get("spm_cycles", 0)), int64s(ports.get("acc_cycles", 0)))
    return np.asarray(target.vpu.startup_cycles + np.maximum(body + epilogue, at_ports), np.int64)


def vexec_lane_ops(cost: KernelCost, points: Ints, outputs: Ints) -> Int64s:
    """Lane operations of one vexec, weighted by micro-op cost: what its energy counts."""
    return np.asarray(
        int64s(points) * cost.body_ops + int64s(outputs) * cost.epilogue_ops, np.int64
    )


def passes_of(ops: int, chain_depth: int) -> int:
    """How often a point goes down the chain."""
    return -(-ops // chain_depth)
