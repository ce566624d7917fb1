"""Programs to bytes and files, and back.

Reading trusts nothing: frame and checksums first (``elf``), then version and definitions
(``schema``), then each table (``tables``), then what must hold between them (``checks``).
"""

import os
import struct
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np

from npuc.isa.container.checks import check_program
from npuc.isa.container.elf import (
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHT_NOTE,
    SHT_STRTAB,
    SHT_SYMTAB,
    Section,
    elf_parts,
    read_elf,
    section_number,
)
from npuc.isa.container.records import Reader, damaged, utf8
from npuc.isa.container.schema import HASH_BYTES, VERSION, schema_hash
from npuc.isa.container.tables import (
    pack_rows,
    read_arguments,
    read_buffers,
    read_sources,
    unpack_rows,
    write_arguments,
    write_buffers,
    write_sources,
)
from npuc.isa.descriptors import Kernel, Params, Segment, Table, TensorMap, View
from npuc.isa.descriptors.kernel import KERNEL_BYTES, PARAMS_BYTES
from npuc.isa.descriptors.table import TABLE_BYTES
from npuc.isa.descriptors.tensor_map import MAP_BYTES
from npuc.isa.descriptors.view import VIEW_BYTES
from npuc.isa.errors import BinaryError, EncodingError, TargetError, UsageError
from npuc.isa.instructions import INSTRUCTION_BYTES
from npuc.isa.program import Code, Debug, Program
from npuc.isa.target import Target, parse_target

NOTE, TARGET, ARGS, CONST = ".note.npuc", ".npuc.target", ".npuc.args", ".npuc.const"
TEXT = ".text.core"
TABLES = ".npuc.tables"
REMARKS = ".npuc.debug.remarks"
CONST_ALIGN = 64
CONTENTS = {
    ".npuc.checksums": "BLAKE2b-128 of headers and of each further section",
    NOTE: "ELF note `npuc`, type 1: version, fingerprint of the definitions, extension letters",
    f"{TEXT}N": "the instructions of core N",
    ".npuc.views": "views, 128 bytes each",
    ".npuc.maps": "tensor maps, 128 bytes each",
    ".npuc.kernels": "vector kernels, 320 bytes each",
    ".npuc.params": "parameter records, 40 bytes each",
    TABLES: "lookup tables, 1024 bytes each (since 1.1)",
    CONST: "the constant segment, aligned to 64 bytes so that it is used where it is mapped",
    ARGS: "size of the scratch segment; inputs, outputs and states: name, dtype, shape, segment, "
    "offset, quantisation",
    TARGET: "the target that it was compiled for, as TOML text",
    ".npuc.debug.sources": "instruction range -> group, operation, ONNX nodes",
    ".npuc.debug.buffers": "buffer -> core, memory, offset, size, tensor",
    ".npuc.debug.schedule": "the schedule as JSON text",
    ".npuc.debug.model": "name of the model",
    REMARKS: "what the compiler did or declined, and why, as JSON text (since 1.3)",
    ".symtab": "the groups as symbols, for other tools; their names are in `.strtab`",
}
_NOTE_HEAD = struct.Struct(f"<3I8s2H{HASH_BYTES}s")
_OWNER = b"npuc\0"
NOTE_TYPE = 1
SINCE_TABLES = (1, 1)
SINCE_REMARKS = (1, 3)


def to_bytes(program: Program) -> bytes:
    """The program file: the same bytes for the same program.

    Raises: EncodingError where the parts of the program contradict each other.
    """
    return b"".join(_parts(program))


def _parts(program: Program) -> list[bytes | memoryview]:
    """The parts of the file in order. Raises: as ``to_bytes``."""
    check_program(program)
    if parse_target(program.target_toml, "target_toml") != program.target:
        raise EncodingError("the target's text describes another target than the program names",
                            f"section {TARGET}", next_step="set both together")  # fmt: skip
    try:
        return elf_parts(_sections(program))
    except struct.error as error:
        raise EncodingError("a number of the program does not fit its field",
                            given=str(error)) from error  # fmt: skip


def from_bytes(data: bytes | memoryview, origin: str) -> Program:
    """The program in ``data``; code and constants are read-only windows into it, not copies.

    Raises: BinaryError naming ``origin``, the section and the reason, for every other file.
    """
    parts = read_elf(memoryview(data).cast("B"), origin)
    file = _File(parts, origin)
    extensions = file.note()
    scratch_bytes, arguments = read_arguments(file.reader(ARGS))
    toml = file.text(TARGET)
    program = Program(
        target=_target(toml, origin),
        target_toml=toml,
        code=file.code(),
        views=unpack_rows(file.reader(".npuc.views"), VIEW_BYTES, View.unpack),
        maps=unpack_rows(file.reader(".npuc.maps"), MAP_BYTES, TensorMap.unpack),
        kernels=unpack_rows(file.reader(".npuc.kernels"), KERNEL_BYTES, Kernel.unpack),
        params=unpack_rows(file.reader(".npuc.params"), PARAMS_BYTES, Params.unpack),
        constants=np.frombuffer(file.take(CONST), np.uint8),
        inputs=arguments[Segment.input],
        outputs=arguments[Segment.output],
        states=arguments[Segment.state],
        scratch_bytes=scratch_bytes,
        extensions=extensions,
        debug=file.debug(),
        tables=unpack_rows(file.reader(TABLES), TABLE_BYTES, Table.unpack),
    )
    file.end()
    try:
        check_program(program)
    except EncodingError as error:
        raise BinaryError(error.what, f"{origin}, {error.where}", error.given, error.allowed,
                          error.next_step) from error  # fmt: skip
    return program


def save(program: Program, path: str | Path) -> None:
    """Write the program to ``path``, complete or not at all.

    Raises: EncodingError as ``to_bytes``; UsageError where the file cannot be written.
    """
    parts, path = _parts(program), Path(path)
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            try:
                file.writelines(parts)
                file.close()
                temporary.chmod(0o644)
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError("cannot write the program", str(path), str(error),
                         next_step="check folder and permissions") from error  # fmt: skip


def load(path: str | Path) -> Program:
    """The program in the file, which is mapped: its constants are not copied.

    Raises: BinaryError where there is no readable program.
    """
    try:
        if os.path.getsize(path) == 0:
            return from_bytes(b"", str(path))
        data = np.memmap(path, np.uint8, mode="r")
    except (OSError, ValueError) as error:
        raise BinaryError("cannot read the program", str(path), str(error),
                          next_step="check the path") from error  # fmt: skip
    return from_bytes(data.data, str(path))


def _sections(program: Program) -> tuple[Section, ...]:
    debug = program.debug
    text = tuple(
        Section(f"{TEXT}{core}", np.ascontiguousarray(code).tobytes(),
                flags=SHF_ALLOC | SHF_EXECINSTR, align=INSTRUCTION_BYTES)
        for core, code in enumerate(program.code)
    )  # fmt: skip
    constants = np.ascontiguousarray(program.constants, np.uint8).data
    before = (Section(NOTE, _note(program), SHT_NOTE, align=4), *text)
    middle = (
        Section(".npuc.views", pack_rows(program.views), entry_bytes=VIEW_BYTES),
        Section(".npuc.maps", pack_rows(program.maps), entry_bytes=MAP_BYTES),
        Section(".npuc.kernels", pack_rows(program.kernels), entry_bytes=KERNEL_BYTES),
        Section(".npuc.params", pack_rows(program.params), entry_bytes=PARAMS_BYTES),
        Section(TABLES, pack_rows(program.tables), entry_bytes=TABLE_BYTES),
        Section(CONST, constants, flags=SHF_ALLOC, align=CONST_ALIGN),
        Section(ARGS, write_arguments(program)),
        Section(TARGET, program.target_toml.encode()),
        Section(".npuc.debug.sources", write_sources(debug.sources)),
        Section(".npuc.debug.buffers", write_buffers(debug.buffers)),
        Section(".npuc.debug.schedule", debug.schedule_json.encode()),
        Section(".npuc.debug.model", debug.model_name.encode()),
        Section(REMARKS, debug.remarks_json.encode()),
    )
    return before + middle + _symbols(program, len(before) + len(middle))


def _note(program: Program) -> bytes:
    letters = "".join(program.extensions).encode()
    padded = letters.ljust(-(-len(letters) // 4) * 4, b"\0")
    size = 4 + HASH_BYTES + len(padded)
    head = _NOTE_HEAD.pack(len(_OWNER), size, NOTE_TYPE, _OWNER, *VERSION, schema_hash())
    return head + padded


def _symbols(program: Program, position: int) -> tuple[Section, Section]:
    """One local function symbol for each source range, named after its group."""
    local_function, default = 2, 0
    names, entries = bytearray(b"\0"), bytearray(24)
    for source in program.debug.sources:
        section = section_number(1 + source.core)
        start, stop = source.start * INSTRUCTION_BYTES, source.stop * INSTRUCTION_BYTES
        entries += struct.pack("<IBBHQQ", len(names), local_function, default, section, start,
                               stop - start)  # fmt: skip
        names += source.group.replace("\0", "?").encode() + b"\0"
    count = len(program.debug.sources) + 1
    link = section_number(position + 1)
    symtab = Section(".symtab", bytes(entries), SHT_SYMTAB, link=link, info=count,
                     entry_bytes=24)  # fmt: skip
    return symtab, Section(".strtab", bytes(names), SHT_STRTAB, align=1)


class _File:
    """The sections of one file, taken one by one."""

    def __init__(self, parts: dict[str, memoryview], origin: str) -> None:
        self.parts, self.origin = dict(parts), origin

    def take(self, name: str) -> memoryview:
        if name not in self.parts:
            raise damaged(name, self.origin, "the section is missing")
        return self.parts.pop(name)

    def reader(self, name: str) -> Reader:
        return Reader(self.take(name), name, self.origin)

    def text(self, name: str) -> str:
        return utf8(self.take(name), name, self.origin)

    def note(self) -> tuple[str, ...]:
        """The extension letters, once version and definitions are known to be ours."""
        data = self.take(NOTE)
        if len(data) < _NOTE_HEAD.size:
            raise damaged(NOTE, self.origin, "the note is too short", len(data))
        n_owner, size, kind, owner, major, minor, schema = _NOTE_HEAD.unpack_from(data)
        if (n_owner, kind, owner[: len(_OWNER)]) != (len(_OWNER), NOTE_TYPE, _OWNER):
            raise damaged(NOTE, self.origin, "the note is not npuc's")
        if major != VERSION[0] or minor > VERSION[1]:
            raise BinaryError(
                "the program has a format that this npuc does not read",
                f"{self.origin}, section {NOTE}", f"version {major}.{minor}",
                f"version {VERSION[0]}.0 to {VERSION[0]}.{VERSION[1]}",
                "compile the model with this npuc, or run it with the npuc that compiled it",
            )  # fmt: skip
        if minor == VERSION[1] and schema != schema_hash():
            raise BinaryError(
                "the program was made with other definitions of the instructions",
                f"{self.origin}, section {NOTE}", f"schema {schema.hex()}",
                f"schema {schema_hash().hex()}", "compile the model again with this npuc",
            )  # fmt: skip
        if (major, minor) < SINCE_TABLES:
            self.parts.setdefault(TABLES, memoryview(b""))
        if (major, minor) < SINCE_REMARKS:
            self.parts.setdefault(REMARKS, memoryview(b"[]"))
        letters = bytes(data[_NOTE_HEAD.size :]).rstrip(b"\0").decode("latin-1")
        if size != 4 + HASH_BYTES + len(data) - _NOTE_HEAD.size:
            raise damaged(NOTE, self.origin, "the note's size is wrong", size)
        return tuple(letters)

    def code(self) -> tuple[Code, ...]:
        names = [f"{TEXT}{core}" for core in range(len(self.parts))]
        return tuple(self._rows(name) for name in names if name in self.parts)

    def _rows(self, name: str) -> Code:
        data = self.take(name)
        if len(data) % INSTRUCTION_BYTES:
            raise damaged(name, self.origin, "code is not a whole number of instructions",
                          f"{len(data)} bytes", f"a multiple of {INSTRUCTION_BYTES}")  # fmt: skip
        return np.frombuffer(data, np.uint8).reshape(-1, INSTRUCTION_BYTES)

    def debug(self) -> Debug:
        return Debug(
            read_sources(self.reader(".npuc.debug.sources")),
            read_buffers(self.reader(".npuc.debug.buffers")),
            self.text(".npuc.debug.schedule"),
            self.text(".npuc.debug.model"),
            self.text(REMARKS),
        )

    def end(self) -> None:
        """Symbols are for other tools; any other section is one that this version lacks."""
        self.parts = {n: p for n, p in self.parts.items() if n not in (".symtab", ".strtab")}
        for name in self.parts:
            raise damaged(name, self.origin, "unknown section")


def _target(toml: str, origin: str) -> Target:
    try:
        return parse_target(toml, f"{origin}, section {TARGET}")
    except TargetError as error:
        raise BinaryError(error.what, error.where, error.given, error.allowed,
                          error.next_step) from error  # fmt: skip
