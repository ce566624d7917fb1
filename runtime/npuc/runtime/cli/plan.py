"""``npuc plan``: addresses for the buffers of a CSV file; 1 where they do not fit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from npuc.compiler.planning.banks import BankPlan, Banks, assign_banks
from npuc.compiler.planning.buffers import Buffer
from npuc.compiler.planning.plan import PlanOptions, plan
from npuc.isa.errors import UsageError
from npuc.runtime.cli.console import show_json, show_lines, show_written, working
from npuc.runtime.cli.failures import CHECK_FAILED, FINE
from npuc.runtime.cli.options import JsonOption, OutputOption
from npuc.runtime.files import check_outputs
from npuc.runtime.planning import (
    bank_plan_json,
    bank_plan_lines,
    load_buffers,
    load_conflicts,
    plan_json,
    plan_lines,
    save_bank_plan,
    save_plan,
)

MOST_BANKS = 4096
BuffersArgument = Annotated[
    Path,
    typer.Argument(
        metavar="BUFFERS.csv", help="Columns id,lower,upper,size and more.", show_default=False
    ),
]
CapacityOption = Annotated[
    int | None,
    typer.Option("--capacity", metavar="BYTES", help="Bytes to fit into; else as few as possible."),
]
NodesOption = Annotated[
    int,
    typer.Option(
        "--max-nodes", metavar="N", min=0, help="Candidates to try at most; 0 for first fit."
    ),
]
BanksOption = Annotated[
    int | None,
    typer.Option(
        "--banks",
        metavar="N",
        min=1,
        max=MOST_BANKS,
        help="Equal banks that the capacity is cut into.",
    ),
]
ConflictsOption = Annotated[
    Path | None,
    typer.Option(
        "--conflicts", metavar="PAIRS.csv", help="Columns a,b,cycles: lost if in one bank."
    ),
]


def command(
    buffers: BuffersArgument,
    *,
    capacity: CapacityOption = None,
    banks: BanksOption = None,
    conflicts: ConflictsOption = None,
    output: OutputOption = None,
    max_nodes: NodesOption = PlanOptions().max_nodes,
    as_json: JsonOption = False,
) -> int:
    """Plan ``buffers``; the best plan is written even where it is above the capacity.

    With banks each buffer gets one, and its offset in it.
    """
    check_outputs({"--output": output}, [buffers, *([conflicts] if conflicts else [])])
    cut = _banks(capacity, banks, conflicts)
    given = load_buffers(buffers)
    pairs = {} if conflicts is None else load_conflicts(conflicts)
    with working(f"planning {buffers}") as say:
        options = PlanOptions(max_nodes, say)
        if cut is not None:
            return _show_banks(given, assign_banks(given, pairs, cut, options), output, as_json)
        found = plan(given, capacity, options)
    if output is not None:
        save_plan(output, given, found)
    if as_json:
        show_json(plan_json(given, found))
    else:
        show_lines(plan_lines(given, found))
        show_written(output)
    return FINE if found.fits else CHECK_FAILED


def _banks(capacity: int | None, count: int | None, conflicts: Path | None) -> Banks | None:
    """The banks that are asked for; None for one address space."""
    if count is None:
        if conflicts is not None:
            raise UsageError(
                "--conflicts is for banks", given="no --banks", next_step="add --banks N"
            )
        return None
    if capacity is None or capacity < count or capacity % count:
        raise UsageError(
            "the capacity is not a number of equal banks",
            given=f"--banks {count} and {'no --capacity' if capacity is None else capacity}",
            allowed=f"--capacity with a multiple of {count} bytes, and at least as many",
        )
    return Banks(count, capacity // count)


def _show_banks(
    given: Sequence[Buffer], found: BankPlan, output: Path | None, as_json: bool
) -> int:
    if output is not None:
        save_bank_plan(output, given, found)
    if as_json:
        show_json(bank_plan_json(found))
    else:
        show_lines(bank_plan_lines(found))
        show_written(output)
    return CHECK_FAILED if found.striped else FINE
