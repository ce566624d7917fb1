"""The program file: round trips, what other tools think of it, and every kind of damage."""

import random
import shutil
import struct
import subprocess
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from npuc.isa import container
from npuc.isa.container import elf
from npuc.isa.descriptors import Segment, TensorMap
from npuc.isa.dtypes import DType
from npuc.isa.encoding import encode
from npuc.isa.errors import BinaryError, EncodingError, UsageError
from npuc.isa.instructions.flow import Halt
from npuc.isa.program import Argument, BufferRecord, Debug, Program, Quantisation, SourceRange
from npuc.isa.target import parse_target, target_text
from tests.isa.sample import sample_program
from tests.isa.strategies import programs

OLD_FILES = Path(__file__).parent / "files"  # the sample program, as each version wrote it


def reseal(data: bytes) -> bytes:
    """``data`` with checksums that match what it now holds: what a hostile writer would do."""
    file = bytearray(data)
    shoff, count = struct.unpack_from("<Q", file, 40)[0], struct.unpack_from("<H", file, 60)[0]
    rows = [struct.unpack_from("<IIQQQQIIQQ", file, shoff + 64 * i) for i in range(count)]
    parts = [bytes(file[:64] + file[shoff:])]
    parts += [bytes(file[row[4] : row[4] + row[5]]) for row in rows[2:]]
    digests = b"".join(blake2b(part, digest_size=16).digest() for part in parts)
    file[rows[1][4] : rows[1][4] + len(digests)] = digests
    return bytes(file)


def place_of(data: bytes, name: str) -> tuple[int, int]:
    """Offset and size of a section."""
    parts = elf.read_elf(memoryview(data), "test")
    base = np.frombuffer(data, np.uint8).ctypes.data
    part = np.frombuffer(parts[name], np.uint8)
    return part.ctypes.data - base, part.size


@given(programs())
def test_bytes_of_any_program_come_back(program: Program) -> None:
    data = container.to_bytes(program)
    back = container.from_bytes(data, "test")
    assert container.to_bytes(back) == data
    assert back.debug == program.debug
    assert (back.inputs, back.outputs, back.states) == (
        program.inputs, program.outputs, program.states)  # fmt: skip
    assert (back.views, back.maps, back.kernels) == (program.views, program.maps, program.kernels)
    assert back.tables == program.tables
    assert [p.pack() for p in back.params] == [p.pack() for p in program.params]
    assert (back.target, back.extensions) == (program.target, program.extensions)
    assert back.scratch_bytes == program.scratch_bytes
    assert all(np.array_equal(a, b) for a, b in zip(back.code, program.code, strict=True))
    assert np.array_equal(back.constants, program.constants)


def test_save_and_load_map_the_constants(tmp_path: Path) -> None:
    path, program = tmp_path / "p.npu", sample_program()
    container.save(program, path)
    back = container.load(path)
    assert container.to_bytes(back) == container.to_bytes(program) == path.read_bytes()
    assert not back.constants.flags.owndata and not back.constants.flags.writeable
    assert back.constants.ctypes.data % 64 == 0
    assert [f.name for f in tmp_path.iterdir()] == ["p.npu"]


def test_save_leaves_nothing_half_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write the program"):
        container.save(sample_program(), tmp_path / "missing" / "p.npu")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError):
        container.save(sample_program(), tmp_path / "folder")
    assert [f.name for f in tmp_path.iterdir()] == ["folder"]


@pytest.mark.skipif(shutil.which("readelf") is None, reason="binutils is not installed")
def test_readelf_accepts_the_file(tmp_path: Path) -> None:
    container.save(sample_program(), tmp_path / "p.npu")
    shown = subprocess.run(
        ["readelf", "-aW", str(tmp_path / "p.npu")], capture_output=True, text=True, check=True
    )
    assert shown.stderr == ""
    assert "arning" not in shown.stdout
    for name in (".text.core0", ".npuc.views", ".npuc.const", ".note.npuc", ".npuc.debug.model"):
        assert name in shown.stdout
    symbols = [line.split() for line in shown.stdout.splitlines() if " FUNC " in line]
    places = [(int(s[1], 16), int(s[2]), s[-1]) for s in symbols]
    assert places == [(0, 160, "conv1"), (160, 64, "dense")]


def test_every_flipped_byte_is_refused() -> None:
    data = container.to_bytes(sample_program())
    chosen = random.Random(1)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << chosen.randrange(8)
        with pytest.raises(BinaryError):
            container.from_bytes(bytes(damaged), "test")


def test_every_truncation_is_refused() -> None:
    data = container.to_bytes(sample_program())
    for length in range(len(data)):
        with pytest.raises(BinaryError):
            container.from_bytes(data[:length], "test")
    with pytest.raises(BinaryError, match="cut short or too long"):
        container.from_bytes(data + b"\0", "test")


@pytest.mark.parametrize("seed", range(4))
def test_hostile_contents_give_no_other_error(seed: int) -> None:
    """Checksums that match guard against nothing: each table must defend itself."""
    data, chosen = container.to_bytes(sample_program()), random.Random(seed)
    for _ in range(500):
        hostile = bytearray(data)
        for _ in range(chosen.choice([1, 1, 2, 8])):
            hostile[chosen.randrange(len(data))] = chosen.choice([0, 1, 0x7F, 0x80, 0xFF])
        with suppress(BinaryError):  # any other exception fails the test
            container.from_bytes(reseal_or_not(bytes(hostile)), "test")


def reseal_or_not(data: bytes) -> bytes:
    try:
        return reseal(data)
    except (struct.error, IndexError, OverflowError):
        return data  # the headers themselves are broken


CONTENTS = [
    (".npuc.views", 0, b"\xff", "row 0: unknown code in a view"),
    (".npuc.maps", 2, b"\x09", "row 0: a tensor map's rank"),
    (".npuc.kernels", 0, b"\xff", "row 0: a kernel's counts"),
    (".npuc.params", 32, b"\x20", "row 0: a descriptor names no scalar register"),
    (".text.core0", 0, b"\x00", "unknown opcode"),
    (".text.core0", 31, b"\x80", "reserved bits are not zero"),
    (".npuc.args", 0, b"\xff" * 8, "the scratch segment is too large"),
    (".npuc.args", 8, b"\xff" * 4, "a count exceeds its section"),
    (".npuc.args", 12, b"\xff", "unknown code of DType"),
    (".npuc.target", 0, b"\xff", "a text is not UTF-8"),
    (".npuc.target", 0, b"[[[[", "the target file is not TOML"),
    (".npuc.debug.sources", 0, b"\xff" * 4, "a count exceeds its section"),
    (".npuc.debug.sources", 4, b"\x09", "names no instructions"),
    (".npuc.debug.buffers", 0, b"\x00", "a section is too long"),
    (".npuc.debug.model", 0, b"\xc0", "a text is not UTF-8"),
    (".note.npuc", 20, b"\x02", "a format that this npuc does not read"),
    (".note.npuc", 22, bytes([container.VERSION[1] + 1]), "a format that this npuc does not read"),
    (".note.npuc", 24, b"\x00\x00\x00", "other definitions of the instructions"),
    (".note.npuc", 40, b"X", "extension 'X'"),
    (".note.npuc", 12, b"X", "the note is not npuc's"),
]


@pytest.mark.parametrize(("section", "offset", "raw", "reason"), CONTENTS)
def test_damage_names_section_and_reason(
    section: str, offset: int, raw: bytes, reason: str
) -> None:
    data = bytearray(container.to_bytes(sample_program()))
    start, size = place_of(bytes(data), section)
    assert offset + len(raw) <= size
    data[start + offset : start + offset + len(raw)] = raw
    with pytest.raises(BinaryError, match="the checksum is wrong") as unsealed:
        container.from_bytes(bytes(data), "p.npu")
    assert unsealed.value.where == f"p.npu, section {section}"
    with pytest.raises(BinaryError) as sealed:
        container.from_bytes(reseal(bytes(data)), "p.npu")
    assert reason in sealed.value.what
    assert sealed.value.where.startswith("p.npu, section ")
    assert section in sealed.value.where


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    for contents in (b"", b"\x7fELF", b"not an ELF file" * 9):
        (tmp_path / "x").write_bytes(contents)
        with pytest.raises(BinaryError, match="not a program for the NPU"):
            container.load(tmp_path / "x")
    with pytest.raises(BinaryError, match="cannot read the program"):
        container.load(tmp_path / "missing")
    with pytest.raises(BinaryError):
        container.load(tmp_path)
    machine = bytearray(container.to_bytes(sample_program()))
    machine[18:20] = b"\x3e\x00"
    with pytest.raises(BinaryError, match="for another machine"):
        container.from_bytes(bytes(machine), "x86")


def argument(**changes: object) -> Argument:
    values = {"name": "x", "dtype": DType.i8, "shape": (4,), "segment": Segment.input, "offset": 0}
    return Argument(**{**values, **changes})  # type: ignore[arg-type]


MAP = TensorMap(Segment.scratch, DType.i8, 9, (1,), (1,), (1,), (1,))
CONTRADICTIONS = [
    ({"code": ()}, "wrong number of cores"),
    ({"code": (np.zeros((2, 31), np.uint8),)}, "code is not rows of bytes"),
    ({"code": (np.zeros((2, 32), np.uint8),)}, "unknown opcode"),
    ({"extensions": ("Q", "F")}, "extension letters"),
    ({"extensions": ("X",)}, "extension 'X', which is unknown"),
    ({"scratch_bytes": -1}, "scratch segment is too large"),
    ({"inputs": (argument(), argument())}, "have one name"),
    ({"inputs": (argument(segment=Segment.output),)}, "lies in another segment"),
    ({"inputs": (argument(shape=(1 << 40, 2)),)}, "does not lie in its segment"),
    ({"inputs": (argument(shape=(1,) * 33),)}, "has no usable shape"),
    ({"inputs": (argument(shape=(1 << 63, 0)),)}, "has no usable shape"),
    ({"inputs": (argument(shape=(-1,)),)}, "has no usable shape"),
    ({"inputs": (argument(offset=-1),)}, "does not lie in its segment"),
    ({"inputs": (argument(quantisation=Quantisation(float("nan"), 0)),)}, "no usable scale"),
    ({"maps": (MAP,)}, "begins outside the scratch segment"),
    ({"debug": Debug(sources=(SourceRange(3, 0, 1, "g", ()),))}, "names no instructions"),
    ({"debug": Debug(buffers=(BufferRecord("b", 0, "ram", 0, 1),))}, "lies in no memory"),
    ({"debug": Debug(buffers=(BufferRecord("b", 0, "spm", -1, 1),))}, "does not fit its field"),
    ({"target_toml": target_text("edge")}, "describes another target"),
]


@pytest.mark.parametrize(("changes", "reason"), CONTRADICTIONS)
def test_contradictions_are_not_written(changes: dict[str, object], reason: str) -> None:
    toml = target_text("tiny")
    program = Program(parse_target(toml, "tiny"), toml, (encode([Halt()]),))
    with pytest.raises(EncodingError) as caught:
        container.to_bytes(replace(program, **changes))  # type: ignore[arg-type]
    assert reason in caught.value.what


def test_an_unknown_section_is_refused() -> None:
    data = container.to_bytes(sample_program())
    renamed = data.replace(b".npuc.debug.model\0", b".npuc.debug.modem\0")
    with pytest.raises(BinaryError, match="the section is missing") as caught:
        container.from_bytes(reseal(renamed), "p.npu")
    assert caught.value.where == "p.npu, section .npuc.debug.model"


def test_the_schema_names_every_definition() -> None:
    text = container.schema_text()
    assert "command mma 0x50" in text and "micro-op mac8 87 ii>i True" in text
    assert len(container.schema_hash()) == 16


def test_versions_read_older_minors_and_nothing_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    files = "npuc.isa.container.files"
    data = container.to_bytes(sample_program())
    start, _ = place_of(data, ".note.npuc")
    other_schema = reseal(data[: start + 24] + bytes(16) + data[start + 40 :])
    with pytest.raises(BinaryError, match="other definitions"):
        container.from_bytes(other_schema, "p.npu")
    major, minor = container.VERSION
    monkeypatch.setattr(f"{files}.VERSION", (major, minor + 1))  # a later reader
    container.from_bytes(data, "p.npu")
    container.from_bytes(other_schema, "p.npu")
    newer = container.to_bytes(sample_program())
    monkeypatch.setattr(f"{files}.VERSION", (major + 1, 0))
    with pytest.raises(BinaryError, match="does not read") as caught:
        container.from_bytes(data, "p.npu")
    assert (caught.value.given, caught.value.allowed) == (
        f"version {major}.{minor}", f"version {major + 1}.0 to {major + 1}.0")  # fmt: skip
    monkeypatch.undo()
    with pytest.raises(BinaryError, match="does not read") as caught:
        container.from_bytes(newer, "p.npu")
    assert caught.value.given == f"version {major}.{minor + 1}"
    assert "compiled it" in caught.value.next_step


@pytest.mark.parametrize("file", sorted(OLD_FILES.glob("sample-*.npu")), ids=lambda file: file.stem)
def test_files_of_older_versions_of_the_format_still_load(file: Path) -> None:
    old, now = container.load(file), sample_program()
    assert [code.tobytes() for code in old.code] == [code.tobytes() for code in now.code]
    assert (old.views, old.maps, old.kernels) == (now.views, now.maps, now.kernels)
    assert (old.inputs, old.outputs, old.states) == (now.inputs, now.outputs, now.states)
    assert np.array_equal(old.constants, now.constants) and old.debug == now.debug


def test_there_are_files_of_older_versions() -> None:
    assert OLD_FILES.joinpath("sample-1.0.npu").is_file()


def test_an_unknown_extension_names_the_letter_and_the_first_unknown_instruction() -> None:
    data = bytearray(container.to_bytes(sample_program()))
    note, _ = place_of(bytes(data), ".note.npuc")
    text, _ = place_of(bytes(data), ".text.core0")
    data[note + 40 : note + 41] = b"X"
    for at in (6, 3):
        data[text + 32 * at] = 0xEE
    with pytest.raises(BinaryError, match="needs extension 'X'") as caught:
        container.from_bytes(reseal(bytes(data)), "test")
    assert caught.value.given == "X; first needed by core 0, instruction 3, opcode 0xee"
    assert caught.value.allowed == "E, F, L, Q, S, Z"
