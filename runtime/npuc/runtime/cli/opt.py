"""``npuc opt``: chosen passes over IR text."""

from pathlib import Path
from typing import Annotated

import typer

from npuc.compiler.ir_text import print_module
from npuc.compiler.options import CompileOptions
from npuc.runtime.cli.console import show_json, show_lines
from npuc.runtime.cli.ir_files import consts_path, ir_outputs, read_consts, write_ir
from npuc.runtime.cli.options import (
    DEFAULTS,
    ConstsOption,
    JsonOption,
    LevelOption,
    LoadOption,
    TargetOption,
    target_files,
)
from npuc.runtime.files import check_outputs
from npuc.runtime.optimising import parse_passes, run_passes

SourceArgument = Annotated[
    Path, typer.Argument(metavar="IR.mlir", help="IR text.", show_default=False)
]
PassesOption = Annotated[
    str,
    typer.Option("--passes", "-p", metavar="PIPELINE", help="For example pass{option=value},pass."),
]
IrOutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT.mlir", help="Write the IR here.")
]
ExplainOption = Annotated[bool, typer.Option("--explain", help="Also print the remarks.")]


def command(
    source: SourceArgument,
    *,
    passes: PassesOption,
    load: LoadOption,
    consts: ConstsOption = None,
    target: TargetOption = DEFAULTS.target,
    level: LevelOption = DEFAULTS.level,
    output: IrOutputOption = None,
    explain: ExplainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run ``passes`` over the module in ``source`` and print or write what becomes of it."""
    inputs = [source, consts or consts_path(source), *load, *target_files(target)]
    check_outputs(ir_outputs(output), inputs)
    options = CompileOptions(target=target, level=level, verify_each_pass=True)
    chosen = parse_passes(passes, load)
    module, ctx = run_passes(source, chosen, options, read_consts(source, consts))
    if output is not None:
        write_ir(output, module, ctx.consts)
    if as_json:
        remarks = [remark.to_json() for remark in ctx.remarks]
        show_json({"ir": print_module(module), "remarks": remarks})
        return
    if output is None:
        show_lines(print_module(module).splitlines())
    if explain:
        show_lines([f"// {remark}" for remark in ctx.remarks])
