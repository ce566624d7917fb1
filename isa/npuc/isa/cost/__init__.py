"""Cycles of single commands in closed form: what the planner minimises and the engine runs.

Every function takes NumPy integer arrays of any broadcastable shape, or plain integers, and gives
int64 arrays. Cycles are those of a command alone on an idle machine; sharing is the emulator's.
"""

from npuc.isa.cost.conventions import CONVENTIONS, Product
from npuc.isa.cost.matrix import (
    MmaOptions,
    RowAccess,
    mac_rate,
    mma_acc_rows,
    mma_cycles,
    mma_fetches,
    mma_row_access,
)
from npuc.isa.cost.ordered import scan_cycles, sort_cycles, sort_stages, topk_cycles
from npuc.isa.cost.ports import ACC_BYTES, Access, Port, acc_port, spm_port, stream_access
from npuc.isa.cost.rounding import Int64s, Ints, ceil_div
from npuc.isa.cost.transfer import (
    channel_rate,
    contiguous_runs,
    transfer_bursts,
    transfer_cycles,
    transfer_fixed_cycles,
    transfer_moving_cycles,
    transfer_rate,
    word_fixed_cycles,
)
from npuc.isa.cost.vector import (
    VEXEC_WALKS,
    KernelCost,
    VexecPorts,
    kernel_cost,
    vexec_cycles,
    vexec_lane_ops,
)

__all__ = [
    "ACC_BYTES",
    "CONVENTIONS",
    "VEXEC_WALKS",
    "Access",
    "Int64s",
    "Ints",
    "KernelCost",
    "MmaOptions",
    "Port",
    "Product",
    "RowAccess",
    "VexecPorts",
    "acc_port",
    "ceil_div",
    "channel_rate",
    "contiguous_runs",
    "kernel_cost",
    "mac_rate",
    "mma_acc_rows",
    "mma_cycles",
    "mma_fetches",
    "mma_row_access",
    "scan_cycles",
    "sort_cycles",
    "sort_stages",
    "spm_port",
    "stream_access",
    "topk_cycles",
    "transfer_bursts",
    "transfer_cycles",
    "transfer_fixed_cycles",
    "transfer_moving_cycles",
    "transfer_rate",
    "vexec_cycles",
    "vexec_lane_ops",
    "word_fixed_cycles",
]
