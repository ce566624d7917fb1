"""SCALE-Sim 3.0.0's printed cycles beside our option sets, row by row of ``data/scalesim.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from npuc.isa.cost import CONVENTIONS, Product, ceil_div
from npuc.isa.target import Mxu, load_target
from tests.validation.form import Rung, errors

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
    def suffices(self) -> bool:
        """Whether bandwidth is limited and yet nothing stalls."""
        return self.bandwidth is not None and not self.stall_cycles

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


NAMES = (
    "What remains there has these names. *First fill*: a buffer is full before the clock starts, "
    "and those words are not in `total_cycles`. *Refetch*: the prefetcher slides forward only, so "
    "a miss behind it brings the whole operand past again; we take its word counts as given. "
    "*Slack kept twice*: the stall of a miss is added to the clock twice when positive and once "
    "when negative, so that early data shortens a run: this alone can make it faster than its "
    "port (`os` at 1). *Fill and drain* of the array around the first and last miss are not "
    "hidden: 75 to 139 cycles."
)


def rung() -> Rung:
    """All rows: free memory, memory that suffices, and too little bandwidth."""
    known = tuple(rows())
    table = []
    for dataflow in ("ws", "os", "is"):
        free = [r for r in known if r.bandwidth is None and r.mxu.dataflow == dataflow]
        table.append(_row(f"`{dataflow}`, mode calc", free))
    table.append(_row("bandwidth given, no stall", [r for r in known if r.suffices]))
    stalled = [r for r in known if r.stall_cycles]
    table.append(_row("bandwidth too low: option set or busiest port", stalled))
    differences = "; ".join(
        f"{row.layer} at {row.bandwidth}: {row.cycles:,} against our {row.bandwidth_bound:,}"
        for row in stalled
    )
    return Rung(
        "scalesim",
        "SCALE-Sim option sets",
        "closed forms of `scalesim-ws`, `-os`, `-is`",
        "cycles that SCALE-Sim 3.0.0 printed (tests/validation/data)",
        table,
        (
            f"The bandwidth-limited rows, words per cycle and port: {differences}.",
            NAMES,
        ),
    )


def _row(name: str, of_set: Sequence[Row]) -> dict[str, object]:
    return errors(name, [r.bandwidth_bound for r in of_set], [r.cycles for r in of_set])
