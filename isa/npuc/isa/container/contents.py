"""What a program file consists of, for readers of files: its sections and its symbols."""

import struct
from pathlib import Path
from typing import NamedTuple

from npuc.isa.container.elf import SectionHeader, read_elf, read_section_headers
from npuc.isa.container.records import damaged
from npuc.isa.errors import BinaryError

_SYMBOL = struct.Struct("<IBBHQQ")


class Symbol(NamedTuple):
    """A group's code: bytes [start, start + n_bytes) of ``section``."""

    name: str
    section: str
    start: int
    n_bytes: int


class FileContents(NamedTuple):
    """Sections in file order, and symbols in the order of the debug table."""

    sections: tuple[SectionHeader, ...]
    symbols: tuple[Symbol, ...]


def read_contents(path: Path) -> FileContents:
    """The sections and symbols of a program file. Raises: BinaryError for any other file."""
    try:
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise BinaryError(
            "cannot read the program", str(path), str(error), next_step="check the path"
        ) from error
    sections = read_section_headers(data, str(path))
    parts = read_elf(data, str(path))
    if ".symtab" not in parts or ".strtab" not in parts:
        return FileContents(sections, ())
    table, names = parts[".symtab"], parts[".strtab"].tobytes()
    if len(table) % _SYMBOL.size:
        raise damaged(".symtab", str(path), "the symbols are cut short", len(table))
    rows = list(_SYMBOL.iter_unpack(table))[1:]  # ELF's first symbol is empty
    return FileContents(sections, tuple(_symbol(row, sections, names, path) for row in rows))


def _symbol(
    row: tuple[int, ...], sections: tuple[SectionHeader, ...], names: bytes, path: Path
) -> Symbol:
    name, _, _, section, start, n_bytes = row
    if not 1 <= section <= len(sections) or name >= len(names):
        raise damaged(".symtab", str(path), "a symbol points outside the file", row)
    text = names[name : names.index(b"\0", name)].decode("utf-8", "replace")
    return Symbol(text, sections[section - 1].name, start, n_bytes)
