"""The pages about what a machine is made of, how commands are ordered, and time."""

from npuc.isa.cost import matrix, ordered, ports, rounding, transfer, vector
from npuc.isa.descriptors import Segment
from npuc.isa.instructions.base import COUNTERS_PER_ENGINE, MAX_LOOP_DEPTH
from npuc.isa.instructions.maps import MAP_REGISTERS
from npuc.isa.manual.markdown import filled, module_prose, page, source


def machine_page() -> str:
    """The page of the machine's parts and what ctl does."""
    text = filled(
        "machine",
        map_registers=str(MAP_REGISTERS),
        segments=", ".join(f"`{segment.name}`" for segment in Segment),
        loop_depth=str(MAX_LOOP_DEPTH),
    )
    return page("The machine", [text])


def order_page() -> str:
    """The page of counters, waits and races."""
    return page("Order", [filled("order", counters=str(COUNTERS_PER_ENGINE))])


def time_page() -> str:
    """The page of cycles and energy."""
    text = filled(
        "time",
        transfer_source=source(
            rounding.ceil_div, rounding.ceil_rate, transfer.contiguous_runs,
            transfer.transfer_bursts, transfer.transfer_rate, transfer.channel_rate,
            transfer.transfer_fixed_cycles, transfer.transfer_moving_cycles,
        ),
        ports=module_prose(ports),
        ports_source=source(ports.spm_port, ports.acc_port, ports.stream_access),
        matrix=module_prose(matrix),
        matrix_source=source(
            matrix.mma_cycles, matrix.Loads, matrix.stationary, matrix.spacing,
            matrix.output_stationary, matrix.mma_fetches, matrix.mma_row_access,
        ),
        vector=module_prose(vector),
        vector_source=source(vector.kernel_cost, vector.passes_of, vector.vexec_cycles),
        ordered_source=source(
            ordered.scan_cycles, ordered.topk_cycles, ordered.sort_cycles, ordered.sort_exponent
        ),
    )  # fmt: skip
    return page("Time", [text])
