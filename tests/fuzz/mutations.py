"""Mutations of program files: damage that checksums see, and edits of a writer that means harm.

Each takes the bytes of a file and a seeded generator; ``MUTATIONS`` names them for the report.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from npuc.isa.container.elf import SHT_PROGBITS, Section, elf_parts, read_elf, read_section_headers
from npuc.isa.container.files import ARGS, CONST, NOTE, TABLES, TARGET, TEXT
from npuc.isa.encoding import encode_one
from npuc.isa.instructions import BY_OPCODE, Command, Kind
from npuc.isa.instructions.base import INSTRUCTION_BYTES

Rng = np.random.Generator
ROW_BYTES = {
    ".npuc.views": 128,
    ".npuc.maps": 128,
    ".npuc.kernels": 320,
    ".npuc.params": 40,
    TABLES: 1024,
}
BOUNDARIES = (0, 1, 2, 3, 7, 8, 127, 128, 255, 1 << 15, (1 << 16) - 1, (1 << 31) - 1, 1 << 31,
              (1 << 32) - 1, (1 << 32) - 8, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)  # fmt: skip


def flip_bits(data: bytes, rng: Rng) -> bytes:
    """Some bits anywhere; checksums stay as they were."""
    file = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        file[int(rng.integers(len(file)))] ^= 1 << int(rng.integers(8))
    return bytes(file)


def truncate(data: bytes, rng: Rng) -> bytes:
    """The file cut short, or with bytes behind its end."""
    if rng.integers(8) == 0:
        return data + rng.bytes(int(rng.integers(1, 100)))
    return data[: int(rng.integers(len(data)))]


def splice(data: bytes, rng: Rng) -> bytes:
    """Some bytes written over others."""
    file = bytearray(data)
    size = int(rng.integers(1, 200))
    source, goal = (int(rng.integers(max(len(file) - size, 1))) for _ in range(2))
    file[goal : goal + size] = file[source : source + size]
    return bytes(file)


def resealed(change: Callable[[dict[str, bytearray], Rng], None]) -> Callable[[bytes, Rng], bytes]:
    """A mutation of section contents; the file's frame and checksums are right again."""

    def mutate(data: bytes, rng: Rng) -> bytes:
        view = memoryview(data)
        headers = {h.name: h for h in read_section_headers(view, "seed")}
        parts = {name: bytearray(part) for name, part in read_elf(view, "seed").items()}
        for _ in range(int(rng.integers(1, 4))):
            change(parts, rng)
        sections = tuple(
            Section(name, bytes(part), headers[name].kind, headers[name].flags, headers[name].align)
            if name in headers
            else Section(name, bytes(part), SHT_PROGBITS)
            for name, part in parts.items()
        )
        return b"".join(elf_parts(sections))

    return mutate


def _any_bits(parts: dict[str, bytearray], rng: Rng) -> None:
    part = _pick(parts, rng, [name for name, part in parts.items() if part])
    part[int(rng.integers(len(part)))] ^= 1 << int(rng.integers(8))


def _instruction_field(parts: dict[str, bytearray], rng: Rng) -> None:
    """One operand, wait or increment of one instruction gets another value."""
    part = _pick(parts, rng, [n for n in parts if n.startswith(TEXT) and parts[n]])
    at = int(rng.integers(len(part) // INSTRUCTION_BYTES)) * INSTRUCTION_BYTES
    row = int.from_bytes(part[at : at + INSTRUCTION_BYTES], "little")
    cls = BY_OPCODE.get(row & 0xFF)
    fields = [(start, spec.width) for _, spec, start in cls.layout()] if cls else []
    if cls and issubclass(cls, Command):
        fields += [(8, 6), (16, 15), (31, 5), (36, 5), (41, 3), (44, 4), (48, 32)]
    if not fields or rng.integers(20) == 0:
        fields = [(0, 8)]
    start, width = fields[int(rng.integers(len(fields)))]
    value = _interesting(rng, row >> start, width)
    row = row & ~(((1 << width) - 1) << start) | value << start
    part[at : at + INSTRUCTION_BYTES] = row.to_bytes(INSTRUCTION_BYTES, "little")


def _interesting(rng: Rng, old: int, width: int) -> int:
    """A boundary, a small change of the old value, or any value."""
    kind = rng.integers(3)
    if kind == 0:
        value = BOUNDARIES[int(rng.integers(len(BOUNDARIES)))]
    elif kind == 1:
        value = old + int(rng.integers(-4, 5))
    else:
        value = int.from_bytes(rng.bytes(8), "little")
    return value & ((1 << width) - 1)


def _new_instruction(parts: dict[str, bytearray], rng: Rng) -> None:
    """A random legal instruction over an old one."""
    part = _pick(parts, rng, [n for n in parts if n.startswith(TEXT) and parts[n]])
    at = int(rng.integers(len(part) // INSTRUCTION_BYTES)) * INSTRUCTION_BYTES
    cls = BY_OPCODE[sorted(BY_OPCODE)[int(rng.integers(len(BY_OPCODE)))]]
    values = {}
    for name, spec, _ in cls.layout():
        low, high = (-4, 5) if spec.is_signed else (0, 4)
        limit = len(spec.choices) if spec.kind is Kind.choice else 1 << spec.width
        values[name] = int(rng.integers(low, high)) if spec.is_signed else int(
            rng.integers(min(high, limit)))  # fmt: skip
    row = encode_one(cls(**values))
    part[at : at + INSTRUCTION_BYTES] = row.to_bytes(INSTRUCTION_BYTES, "little")


def _edit_rows(parts: dict[str, bytearray], rng: Rng) -> None:
    """Rows of code or of a table are removed, repeated or exchanged."""
    sizes = ROW_BYTES | {name: INSTRUCTION_BYTES for name in parts if name.startswith(TEXT)}
    name = str(rng.choice([n for n in sizes if parts.get(n)]))
    part, size = parts[name], sizes[name]
    first, second = (int(rng.integers(len(part) // size)) * size for _ in range(2))
    row = bytes(part[first : first + size])
    kind = rng.integers(3)
    if kind == 0:
        del part[first : first + size]
    elif kind == 1:
        part[second:second] = row
    else:
        part[first : first + size], part[second : second + size] = part[second : second + size], row


def _table_word(parts: dict[str, bytearray], rng: Rng) -> None:
    """A number of a descriptor gets another value."""
    part = _pick(parts, rng, [n for n in ROW_BYTES if parts.get(n)])
    _word(part, rng)


def _word(part: bytearray, rng: Rng) -> None:
    width = int(rng.choice([1, 2, 4, 8]))
    if len(part) < width:
        return
    at = int(rng.integers(len(part) - width + 1)) & ~(min(width, 4) - 1)
    old = int.from_bytes(part[at : at + width], "little")
    part[at : at + width] = _interesting(rng, old, 8 * width).to_bytes(width, "little")


def _arguments(parts: dict[str, bytearray], rng: Rng) -> None:
    """A number of the arguments: sizes, shapes, offsets, counts, names."""
    _word(parts[ARGS], rng)


def _scratch(parts: dict[str, bytearray], rng: Rng) -> None:
    """The size of the scratch segment, up to absurd ones."""
    parts[ARGS][:8] = struct.pack("<Q", int(1 << int(rng.integers(0, 64))))


def _note(parts: dict[str, bytearray], rng: Rng) -> None:
    """Version, fingerprint, letters."""
    _word(parts[NOTE], rng)


def _target(parts: dict[str, bytearray], rng: Rng) -> None:
    """A digit, a letter or a line of the target's text."""
    text = parts[TARGET]
    kind = rng.integers(3)
    if kind == 0:
        digits = [i for i, byte in enumerate(text) if chr(byte).isdigit()]
        at = digits[int(rng.integers(len(digits)))]
        text[at : at + 1] = str(rng.choice(["0", "9", "99999", "-1", "1e9", "7", ""])).encode()
    elif kind == 1:
        text[int(rng.integers(len(text)))] = int(rng.integers(256))
    else:
        lines = bytes(text).split(b"\n")
        del lines[int(rng.integers(len(lines)))]
        text[:] = b"\n".join(lines)


def _sections(parts: dict[str, bytearray], rng: Rng) -> None:
    """A section is missing, cut, emptied or replaced by another's contents."""
    names = list(parts)
    name, other = (names[int(rng.integers(len(names)))] for _ in range(2))
    kind = rng.integers(4)
    if kind == 0 and len(names) > 1:
        del parts[name]
    elif kind == 1:
        del parts[name][int(rng.integers(len(parts[name]) + 1)) :]
    elif kind == 2:
        parts[name] = bytearray(parts[other])
    else:
        parts[CONST if CONST in parts else name] = bytearray()


def _pick(parts: dict[str, bytearray], rng: Rng, names: list[str]) -> bytearray:
    return parts[names[int(rng.integers(len(names)))]]


MUTATIONS: dict[str, Callable[[bytes, Rng], bytes]] = {
    "flipped bits": flip_bits,
    "truncation": truncate,
    "splice": splice,
    "resealed bits": resealed(_any_bits),
    "instruction field": resealed(_instruction_field),
    "new instruction": resealed(_new_instruction),
    "rows": resealed(_edit_rows),
    "descriptor": resealed(_table_word),
    "arguments": resealed(_arguments),
    "scratch size": resealed(_scratch),
    "note": resealed(_note),
    "target": resealed(_target),
    "sections": resealed(_sections),
}
# How often: what gets past the checksums is worth more trials.
WEIGHTS = {"instruction field": 6, "descriptor": 6, "new instruction": 3, "rows": 3}


def mutate(data: bytes, rng: Rng) -> tuple[str, bytes]:
    """A mutation's name and the mutated file."""
    names = list(MUTATIONS)
    weights = np.array([WEIGHTS.get(name, 1) for name in names], float)
    name = str(rng.choice(names, p=weights / weights.sum()))
    try:
        return name, MUTATIONS[name](data, rng)
    except KeyError:  # an earlier change of the same mutation removed the section
        return name, data[:1]
