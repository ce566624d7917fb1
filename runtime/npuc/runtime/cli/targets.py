"""``npuc targets``: which machines there are."""

from typing import Annotated

import typer

from npuc.isa.target import Target, builtin_target_names, load_target, target_file_text
from npuc.runtime.cli.console import show_json, show_lines, show_table
from npuc.runtime.cli.options import JsonOption
from npuc.runtime.tables import Table

ShowOption = Annotated[
    str,
    typer.Option("--show", metavar="NAME|FILE.toml", help="Check one target and print its file."),
]
COLUMNS = ("target", "cores", "MHz", "array", "SPM KiB", "ACC KiB", "lanes", "DRAM B/cycle")


def command(show: ShowOption = "", as_json: JsonOption = False) -> None:
    """List the machines that npuc knows, or check and print one target file."""
    if show and not as_json:
        load_target(show)
        show_lines(target_file_text(show).splitlines())
        return
    targets = [load_target(name) for name in ([show] if show else builtin_target_names())]
    if as_json:
        show_json([_facts(target) for target in targets])
    else:
        show_table(Table("", COLUMNS, [_row(target) for target in targets]))


def _row(target: Target) -> tuple[str | int | float, ...]:
    return (
        target.name,
        target.cores,
        target.clock_mhz,
        f"{target.mxu.rows}x{target.mxu.cols}",
        target.spm.capacity_bytes // 1024,
        target.acc.capacity_bytes // 1024,
        target.vpu.lanes,
        target.dram.bytes_per_cycle,
    )


def _facts(target: Target) -> dict[str, object]:
    return {
        "name": target.name,
        "description": target.description,
        "extensions": list(target.extensions),
        "cores": target.cores,
        "clock_mhz": target.clock_mhz,
        "mxu_rows": target.mxu.rows,
        "mxu_cols": target.mxu.cols,
        "spm_bytes": target.spm.capacity_bytes,
        "acc_bytes": target.acc.capacity_bytes,
        "vpu_lanes": target.vpu.lanes,
        "dram_bytes_per_cycle": target.dram.bytes_per_cycle,
    }
