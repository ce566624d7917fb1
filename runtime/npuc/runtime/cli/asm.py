"""``npuc asm``: from text to a program file."""

from pathlib import Path
from typing import Annotated

import typer

from npuc.isa.assembler import assemble
from npuc.isa.container import save
from npuc.runtime.cli.options import ProgramOutput
from npuc.runtime.files import check_outputs, read_text

SourceArgument = Annotated[
    Path, typer.Argument(metavar="X.s", help="Assembly text.", show_default=False)
]


def command(source: SourceArgument, output: ProgramOutput) -> None:
    """Assemble ``source`` into the program file ``output``."""
    check_outputs({"--output": output}, [source])
    save(assemble(read_text(source), str(source)), output)
