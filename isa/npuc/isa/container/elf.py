"""The ELF64 little-endian frame of a program file: headers, section layout, checksums.

The layout is canonical, so that every byte is either checked for its one value or covered by a
checksum: ELF header, sections in header order, each at the next multiple of its alignment, then
the section header table up to the end of the file. Section 1 holds the checksums, 16 bytes of
BLAKE2b each: of ELF header and section header table together, then of sections 2, 3, ....

``EM_NPUC`` is "NP" read as a number; it lies far above the values that the ELF registry assigns
(these count up from 0) and is not among the unregistered values in use.
"""

import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from npuc.isa.container.records import damaged
from npuc.isa.errors import BinaryError

EM_NPUC = 0x4E50
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_NOTE = 1, 2, 3, 7
SHF_ALLOC, SHF_EXECINSTR = 2, 4
DIGEST_BYTES = 16
CHECKSUMS = ".npuc.checksums"
NAMES = ".shstrtab"
MAX_SECTIONS = 256
_ET_EXEC = 2
_IDENT = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")  # 64 bit, little-endian, ELF version 1
_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_SHDR = struct.Struct("<IIQQQQIIQQ")


@dataclass(frozen=True)
class Section:
    """One section. ``link`` and ``info`` are as ELF defines them for its ``kind``."""

    name: str
    data: bytes | memoryview
    kind: int = SHT_PROGBITS
    flags: int = 0
    align: int = 8
    link: int = 0
    info: int = 0
    entry_bytes: int = 0


class SectionHeader(NamedTuple):
    """What the file says of one section; ``kind`` and ``flags`` are ELF's numbers."""

    name: str
    kind: int
    flags: int
    offset: int
    n_bytes: int
    align: int


def section_number(position: int) -> int:
    """ELF's number of the section at ``position`` of the tuple given to ``elf_parts``."""
    return position + 2  # after the null section and the checksums


def elf_parts(sections: tuple[Section, ...]) -> list[bytes | memoryview]:
    """The file with ``sections``, the checksums before and the section names after them.

    In parts to be written one after the other: contents of sections are not copied.
    """
    names = ["", CHECKSUMS, *(s.name for s in sections), NAMES]
    starts = [sum(len(n) + 1 for n in names[:i]) for i in range(len(names))]
    table = "".join(name + "\0" for name in names).encode("ascii")
    digests = Section(CHECKSUMS, bytes(DIGEST_BYTES * (len(sections) + 2)))
    body = (digests, *sections, Section(NAMES, table, SHT_STRTAB, align=1))
    offsets, end = _offsets(body)
    headers = bytes(_SHDR.size) + b"".join(
        _SHDR.pack(starts[i + 1], s.kind, s.flags, 0, offsets[i], len(s.data), s.link, s.info,
                   s.align, s.entry_bytes)
        for i, s in enumerate(body)
    )  # fmt: skip
    ehdr = _EHDR.pack(_IDENT, _ET_EXEC, EM_NPUC, 1, 0, 0, end, 0, _EHDR.size, 0, 0,
                      _SHDR.size, len(names), len(names) - 1)  # fmt: skip
    digest = _digest(ehdr + headers) + b"".join(_digest(s.data) for s in body[1:])
    parts: list[bytes | memoryview] = [ehdr]
    position = len(ehdr)
    for offset, data in zip(offsets, (digest, *(s.data for s in body[1:])), strict=True):
        parts += [bytes(offset - position), data]
        position = offset + len(data)
    return [*parts, bytes(end - position), headers]


def read_elf(data: memoryview, origin: str) -> dict[str, memoryview]:
    """The contents of each section by name, checksums verified, without copying.

    Raises: BinaryError for everything that ``elf_parts`` would not have written.
    """
    shoff, count = _read_header(data, origin)
    rows = [_SHDR.unpack_from(data, shoff + i * _SHDR.size) for i in range(count)]
    contents = _slices(data, rows, shoff, origin)
    names = [_name(contents[-1], row[0], origin) for row in rows]
    if len(set(names)) != count or (names[0], names[1], names[-1]) != ("", CHECKSUMS, NAMES):
        raise damaged(NAMES, origin, "the section names are not as written")
    _check_digests(data, dict(zip(names, contents, strict=True)), shoff, origin)
    return dict(zip(names[2:-1], contents[2:-1], strict=True))


def _offsets(sections: tuple[Section, ...]) -> tuple[list[int], int]:
    offsets, position = [], _EHDR.size
    for section in sections:
        position = _aligned(position, section.align)
        offsets.append(position)
        position += len(section.data)
    return offsets, _aligned(position, 8)


def _aligned(position: int, align: int) -> int:
    return -(-position // align) * align


def _digest(data: bytes | memoryview) -> bytes:
    return blake2b(data, digest_size=DIGEST_BYTES).digest()


def read_section_headers(data: memoryview, origin: str) -> tuple[SectionHeader, ...]:
    """Where each section of the file lies, in file order; the file is checked as by ``read_elf``.

    Raises: BinaryError.
    """
    read_elf(data, origin)
    shoff, count = _read_header(data, origin)
    rows = [_SHDR.unpack_from(data, shoff + i * _SHDR.size) for i in range(count)]
    contents = _slices(data, rows, shoff, origin)
    return tuple(
        SectionHeader(_name(contents[-1], row[0], origin), *(row[i] for i in (1, 2, 4, 5, 8)))
        for row in rows[1:]
    )


def _read_header(data: memoryview, origin: str) -> tuple[int, int]:
    """Offset and number of rows of the section header table."""
    if len(data) < _EHDR.size or bytes(data[:4]) != _IDENT[:4]:
        raise BinaryError(
            "this is not a program for the NPU", origin,
            f"{len(data)} bytes, beginning with {bytes(data[:4]).hex(' ') or 'nothing'}",
            "an ELF file written by npuc", "npuc compile MODEL.onnx -o P.npu makes one",
        )  # fmt: skip
    ident, kind, machine, version, entry, phoff, shoff, flags, *sizes = _EHDR.unpack_from(data)
    if machine != EM_NPUC:
        raise BinaryError(
            "the program is for another machine", origin, f"e_machine {machine:#x}",
            f"{EM_NPUC:#x}", "npuc compile MODEL.onnx -o P.npu makes one for the NPU",
        )  # fmt: skip
    count = sizes[4]
    expected = [_EHDR.size, 0, 0, _SHDR.size, count, count - 1]
    fixed = (ident, kind, version, entry, phoff, flags) == (_IDENT, _ET_EXEC, 1, 0, 0, 0)
    if not fixed or sizes != expected or not 3 <= count <= MAX_SECTIONS:
        raise damaged("(ELF header)", origin, "the ELF header is not as written")
    if shoff + count * _SHDR.size != len(data):
        raise damaged("(ELF header)", origin, "the file is cut short or too long",
                      f"{len(data)} bytes", f"{shoff + count * _SHDR.size} bytes")  # fmt: skip
    return shoff, count


def _slices(
    data: memoryview, rows: list[tuple[int, ...]], shoff: int, origin: str
) -> list[memoryview]:
    """The bytes of each section; gaps between them must be zero."""
    contents, position = [data[:0]], _EHDR.size
    for number, row in enumerate(rows[1:], 1):
        offset, size, align = row[4], row[5], row[8]
        ordered = 1 <= align <= 64 and offset == _aligned(position, align)
        if not ordered or offset + size > shoff or any(data[position:offset]):
            raise damaged(f"number {number}", origin, "a section does not lie where it must",
                          f"offset {offset}, {size} bytes, alignment {align}")  # fmt: skip
        contents.append(data[offset : offset + size])
        position = offset + size
    if shoff != _aligned(position, 8) or any(data[position:shoff]):
        raise damaged("(section headers)", origin, "the table does not lie where it must", shoff)
    return contents


def _name(table: memoryview, start: int, origin: str) -> str:
    end = bytes(table[start : start + 64]).find(0)
    try:
        return str(table[start : start + max(end, 0)], "ascii")
    except UnicodeDecodeError as error:
        raise damaged(NAMES, origin, "a section name is not ASCII", error) from error


def _check_digests(
    data: memoryview, contents: dict[str, memoryview], shoff: int, origin: str
) -> None:
    stored = bytes(contents[CHECKSUMS])
    checked = [("(headers)", memoryview(bytes(data[: _EHDR.size]) + bytes(data[shoff:])))]
    checked += list(contents.items())[2:]
    if len(stored) != DIGEST_BYTES * len(checked):
        raise damaged(CHECKSUMS, origin, "the checksums do not match the sections in number")
    for i, (name, part) in enumerate(checked):
        if _digest(part) != stored[DIGEST_BYTES * i : DIGEST_BYTES * (i + 1)]:
            raise damaged(name, origin, "the checksum is wrong", "contents that were changed")
