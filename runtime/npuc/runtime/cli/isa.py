"""``npuc isa``: the instruction set, as a list or as one document for other programs."""

from npuc.isa.disassembler import instruction_text
from npuc.isa.instructions import INSTRUCTIONS, Command
from npuc.isa.manual.definition import definition
from npuc.runtime.cli.console import show_json, show_table
from npuc.runtime.cli.options import JsonOption
from npuc.runtime.tables import Table

COLUMNS = ("opcode", "least text", "runs on", "does")


def command(*, as_json: JsonOption = False) -> None:
    """List the instructions; --json prints the whole definition, as docs/isa/json.md says."""
    if as_json:
        show_json(definition())
        return
    rows = [
        (
            f"{cls.opcode:#04x}",
            instruction_text(cls()),
            cls().engine.name if issubclass(cls, Command) else "ctl",
            (cls.__doc__ or "").strip().split("\n")[0].rstrip("."),
        )
        for cls in INSTRUCTIONS
    ]
    show_table(Table("", COLUMNS, rows))
