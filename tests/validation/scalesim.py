"""SCALE-Sim 3.0.0's printed cycles beside our option sets, row by row of ``data/scalesim.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from npuc.isa.cost import CONVENTIONS, Product, ceil_div
from npuc.isa.target import Mxu, load_target

DATA = Path(__file__).with_name("data") / "scalesim.csv"


@dataclass(frozen=True)
class Row:
    """One run of SCALE-Sim. ``bandwidth`` words per cycle and port; None where memory is free."""

    layer: str
    product: Product
    mxu: Mxu
    bandwidth: int | None
    buffer_words: int
    cycles: int
    stall_cycles: int
    cycles_with_prefetch: int
    port_words: tuple[int, int, int]

    @property
    def ours(self) -> int:
        """What the option set of the row's dataflow gives: memory is free."""
        return CONVENTIONS[f"scalesim-{self.mxu.dataflow}"](self.mxu, self.product)

    @property
    def bandwidth_bound(self) -> int:
        """The option set, or the time of the busiest operand port if that is longer.

        An operand that fits its buffer is there before SCALE-Sim's clock starts.
        """
        busiest = max(self.port_words[:2])
        if self.bandwidth is None or busiest <= self.buffer_words:
            return self.ours
        return max(self.ours, int(ceil_div(busiest, self.bandwidth)))


def rows() -> Iterator[Row]:
    """Every committed row."""
    mxu = load_target("edge").mxu
    with DATA.open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            bandwidth = line["bw_words_per_cycle"]
            ports = ("dram_ifmap_reads", "dram_filter_reads", "dram_ofmap_writes")
            yield Row(
                f"{line['layer']} {line['dataflow']} on {line['rows']}x{line['cols']}",
                Product(int(line["M"]), int(line["K"]), int(line["N"])),
                replace(
                    mxu,
                    rows=int(line["rows"]),
                    cols=int(line["cols"]),
                    dataflow=line["dataflow"],
                ),
                int(bandwidth) if bandwidth else None,
                int(line["sram_kb_each"]) << 10,
                int(line["total_cycles"]),
                int(line["stall_cycles"]),
                int(line["cycles_incl_prefetch"]),
                (int(line[ports[0]]), int(line[ports[1]]), int(line[ports[2]])),
            )
