"""``npuc plan``: addresses for the buffers of a CSV file; 1 where they do not fit."""

from pathlib import Path
from typing import Annotated

import typer

from npuc.compiler.planning.plan import PlanOptions, plan
from npuc.runtime.cli.console import show_json, show_lines, show_written, working
from npuc.runtime.cli.failures import CHECK_FAILED, FINE
from npuc.runtime.cli.options import JsonOption, OutputOption
from npuc.runtime.files import check_place
from npuc.runtime.planning import load_buffers, plan_json, plan_lines, save_plan

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


def command(
    buffers: BuffersArgument,
    *,
    capacity: CapacityOption = None,
    output: OutputOption = None,
    max_nodes: NodesOption = PlanOptions().max_nodes,
    as_json: JsonOption = False,
) -> int:
    """Plan ``buffers``; the best plan is written even where it is above the capacity."""
    if output is not None:
        check_place(output)
    given = load_buffers(buffers)
    with working(f"planning {buffers}") as say:
        found = plan(given, capacity, PlanOptions(max_nodes, say))
    if output is not None:
        save_plan(output, given, found)
    if as_json:
        show_json(plan_json(given, found))
    else:
        show_lines(plan_lines(given, found))
        show_written(output)
    return FINE if found.fits else CHECK_FAILED
