"""``npuc objdump``: what a program file holds, from its sections to the listing of one group."""

from typing import Annotated

import typer

from npuc.isa.assembly.text import descriptor_lines
from npuc.isa.container import load
from npuc.isa.container.contents import FileContents, read_contents
from npuc.isa.disassembler import DIRECTIVES
from npuc.isa.program import Argument, BufferRecord, Program
from npuc.runtime.cli.console import show_json, show_lines, show_table
from npuc.runtime.cli.disasm import group_listing
from npuc.runtime.cli.options import JsonOption, ProgramArgument
from npuc.runtime.tables import Table

SectionsOption = Annotated[bool, typer.Option("--sections", help="Show the file's sections.")]
SymbolsOption = Annotated[bool, typer.Option("--symbols", help="Show the groups as symbols.")]
TablesOption = Annotated[
    bool, typer.Option("--tables", help="Show every view, map, kernel and parameter record.")
]
BuffersOption = Annotated[
    bool, typer.Option("--buffers", help="Show where buffers and tensors lie.")
]
GroupOption = Annotated[
    str,
    typer.Option("--group", "-g", metavar="NAME", help="List this group with its buffers."),
]
ELF_FLAGS = {2: "alloc", 4: "exec"}


def command(
    program: ProgramArgument,
    *,
    sections: SectionsOption = False,
    symbols: SymbolsOption = False,
    tables: TablesOption = False,
    buffers: BuffersOption = False,
    group: GroupOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show what is asked for of ``program``; sizes, arguments and groups where nothing is."""
    loaded, contents = load(program), read_contents(program)
    listed = group_listing(loaded, group) if group else ""
    if as_json:
        more = {"listing": listed.splitlines()} if group else {}
        show_json({**_contents(loaded, contents), **more})
        return
    parts: list[Table | list[str]] = []
    if sections:
        parts.append(_section_table(contents))
    if symbols:
        parts.append(_symbol_table(contents))
    if tables:
        parts.append([line for lines in _descriptors(loaded).values() for line in lines])
    if buffers:
        parts.append(_buffer_table("buffers and tensors", loaded.debug.buffers))
    if group:
        own = [r for r in loaded.debug.buffers if r.name.rpartition("/")[0] == group]
        parts += [_buffer_table(f"buffers of {group}", own), listed.splitlines()]
    if not parts:
        title = f"{program}: {loaded.debug.model_name or 'program'} for {loaded.target.name}"
        sizes = Table(title, ("part", "count"), list(_sizes(loaded).items()))
        parts = [sizes, _argument_table(loaded), _group_table(loaded)]
    _show(parts)


def _show(parts: list[Table | list[str]]) -> None:
    for number, part in enumerate(parts):
        if number:
            show_lines([""])
        if isinstance(part, Table):
            show_table(part)
        else:
            show_lines(part)


def _section_table(contents: FileContents) -> Table:
    rows = [(s.name, s.offset, s.n_bytes, s.align, _flags(s.flags)) for s in contents.sections]
    return Table("sections", ("name", "offset", "bytes", "align", "flags"), rows)


def _flags(flags: int) -> str:
    return " ".join(text for bit, text in ELF_FLAGS.items() if flags & bit)


def _symbol_table(contents: FileContents) -> Table:
    rows = [(s.section, s.start, s.n_bytes, s.name) for s in contents.symbols]
    return Table("symbols", ("section", "start", "bytes", "name"), rows)


def _descriptors(program: Program) -> dict[str, list[str]]:
    """The lines of each table of descriptors, as they stand in assembly."""
    return {
        table: [
            f"{directive if number == 0 else ' ' * len(directive)} {line}"
            for index in range(len(getattr(program, table)))
            for number, line in enumerate(descriptor_lines(program, table, index))
        ]
        for table, directive in DIRECTIVES.items()
    }


def _buffer_table(title: str, records: tuple[BufferRecord, ...] | list[BufferRecord]) -> Table:
    rows = [(r.core, r.space, r.offset, r.n_bytes, r.name) for r in records]
    return Table(title, ("core", "memory", "offset", "bytes", "name"), rows)


def _argument_table(program: Program) -> Table:
    rows = [
        (kind, a.name, a.dtype.name, "x".join(map(str, a.shape)), a.n_bytes)
        for kind, arguments in _arguments(program).items()
        for a in arguments
    ]
    return Table("arguments", ("kind", "name", "type", "shape", "bytes"), rows)


def _group_table(program: Program) -> Table:
    rows = [(s.core, s.start, s.stop, s.group, ", ".join(s.nodes)) for s in program.debug.sources]
    return Table("groups", ("core", "first", "end", "group", "nodes"), rows)


def _sizes(program: Program) -> dict[str, int]:
    return {
        "cores": len(program.code),
        "instructions": sum(len(code) for code in program.code),
        **{table: len(getattr(program, table)) for table in DIRECTIVES},
        "constant bytes": int(program.constants.size),
        "scratch bytes": program.scratch_bytes,
    }


def _arguments(program: Program) -> dict[str, tuple[Argument, ...]]:
    return {"input": program.inputs, "output": program.outputs, "state": program.states}


def _contents(program: Program, contents: FileContents) -> dict[str, object]:
    return {
        "model": program.debug.model_name,
        "target": program.target.name,
        "extensions": list(program.extensions),
        "sizes": _sizes(program),
        "sections": [section._asdict() for section in contents.sections],
        "symbols": [symbol._asdict() for symbol in contents.symbols],
        "tables": _descriptors(program),
        "buffers": [
            {"core": r.core, "memory": r.space, "offset": r.offset, "bytes": r.n_bytes,
             "name": r.name}
            for r in program.debug.buffers
        ],
        "arguments": [
            {"kind": kind, "name": a.name, "dtype": a.dtype.name, "shape": list(a.shape)}
            for kind, arguments in _arguments(program).items()
            for a in arguments
        ],
        "groups": [
            {"core": s.core, "start": s.start, "stop": s.stop, "group": s.group,
             "nodes": list(s.nodes)}
            for s in program.debug.sources
        ],
    }  # fmt: skip
