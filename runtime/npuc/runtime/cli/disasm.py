"""``npuc disasm``: from a program file to text."""

from typing import Annotated

import typer

from npuc.isa.container import load
from npuc.isa.disassembler import disassemble, listing
from npuc.isa.errors import UsageError
from npuc.isa.program import Program
from npuc.runtime.cli.console import show_lines
from npuc.runtime.cli.options import OutputOption, ProgramArgument
from npuc.runtime.files import check_outputs, write_text

GroupOption = Annotated[
    str,
    typer.Option("--group", "-g", metavar="NAME", help="List only this group, with its nodes."),
]


def command(program: ProgramArgument, output: OutputOption = None, group: GroupOption = "") -> None:
    """Print ``program`` as text, or write it to ``output``."""
    check_outputs({"--output": output}, [program])
    loaded = load(program)
    text = group_listing(loaded, group) if group else disassemble(loaded)
    if output is None:
        show_lines(text.splitlines())
    else:
        write_text(output, text)


def group_listing(program: Program, group: str) -> str:
    """The annotated listing of one group. Raises: UsageError naming the groups that exist."""
    names = tuple(dict.fromkeys(source.group for source in program.debug.sources))
    if group not in names:
        raise UsageError(
            "the program has no such group",
            given=group,
            allowed=", ".join(names) or "none: the program has no debug section",
            next_step="npuc objdump P.npu lists the groups",
        )
    return listing(program, group)
