"""The definition as data: complete, and enough for a decoder that knows nothing else."""

import json
import struct
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from npuc.isa.assembly.operands import PREFIXES
from npuc.isa.assembly.text import Surroundings, instruction_text
from npuc.isa.container import schema_hash
from npuc.isa.container.schema import DESCRIPTORS
from npuc.isa.dtypes import DType
from npuc.isa.encoding import decode, encode
from npuc.isa.instructions import INSTRUCTIONS, Command, Engine
from npuc.isa.manual.definition import definition, unit_of
from npuc.isa.microops import MICRO_OPS
from npuc.isa.target import Target, builtin_target_names, load_target
from tests.isa.sample import sample_program
from tests.isa.test_vectors import canonical, vectors

FILES = Path(__file__).parent / "files"
DOCUMENT: dict[str, Any] = json.loads(json.dumps(definition(), allow_nan=False))
BY_OPCODE = {row["opcode"]: row for row in DOCUMENT["instructions"]}


# -- a decoder and disassembler that read the document alone ---------------------------------------


def bits_of(word: int, bit: int, width: int, signed: bool = False) -> int:
    value = word >> bit & ((1 << width) - 1)
    return value - (1 << width) if signed and value >> (width - 1) else value


def decoded(word: int) -> dict[str, Any]:
    encoding = DOCUMENT["encoding"]
    facts = BY_OPCODE[bits_of(word, **encoding["opcode"])]
    values = {f["name"]: bits_of(word, f["bit"], f["width"], f["signed"]) for f in facts["fields"]}
    result: dict[str, Any] = {"facts": facts, "values": values, "waits": [], "increment": None}
    if not facts["is_command"]:
        return result
    increment = encoding["increment"]
    if word >> increment["present_bit"] & 1:
        result["increment"] = bits_of(word, increment["bit"], increment["width"])
    for bit in encoding["waits"]["bits"]:
        part = bits_of(word, bit, encoding["waits"]["width"])
        if part:
            result["waits"].append({
                f["name"]: bits_of(part, f["bit"], f["width"], f["signed"])
                for f in encoding["waits"]["fields"]
            })  # fmt: skip
    return result


def sum_of(register: int, immediate: int) -> str:
    if not register:
        return str(immediate)
    sign = "-" if immediate < 0 else "+"
    return f"r{register}" + (f" {sign} {abs(immediate)}" if immediate else "")


def operand(kinds: dict[str, Any], value: int, prefix: str) -> str:
    if kinds["kind"] == "choice":
        return str(kinds["choices"][value])
    if kinds["kind"] == "reg":
        return f"r{value}"
    if "descriptor" in kinds:
        return "none" if value == DOCUMENT["limits"]["no_index"] else prefix + str(value)
    return str(value)


def text_of(word: int, prefixes: dict[str, str]) -> str:
    """Assembly text of one instruction of core 0; descriptors bear the prefixes of their tables."""
    found = decoded(word)
    facts, values, parts, register = found["facts"], found["values"], [], None
    rows = facts["fields"]
    for row, following in zip(rows, [*rows, {"kind": ""}][1:], strict=True):
        value = values[row["name"]]
        if row["kind"] == "reg" and following["kind"] == "imm":
            register = row
            continue
        names = [row] if register is None else [register, row]
        is_default = all(values[f["name"]] == f["default"] for f in names)
        if row["kind"] == "flag":
            shown = row["name"] if value else ""
        elif row["kind"] == "body" or (row["named"] and is_default):
            shown = ""
        else:
            held = values[register["name"]] if register else 0
            prefix = prefixes.get(row.get("descriptor", ""), "")
            shown = sum_of(held, value) if register else operand(row, value, prefix)
            shown = f"{row['name']}={shown}" if row["named"] else shown
        parts += [shown] if shown else []
        register = None
    words = [facts["mnemonic"]] + ([", ".join(parts)] if parts else [])
    engines = {row["code"]: row["name"] for row in DOCUMENT["engines"]}
    for wait in found["waits"]:
        core = f"core{wait['counter_core']}." if wait["counter_core"] else ""
        counter = f"{core}{engines[wait['counter_engine']]}[{wait['counter_index']}]"
        words.append(f"wait {counter} >= {sum_of(wait['register'], wait['immediate'])}")
    if found["increment"] is not None:
        words.append(f"inc {found['increment']}")
    return " ".join(words)


def sections_of(data: bytes) -> dict[str, bytes]:
    """The sections of an ELF64 file, by its own headers."""
    (offset,) = struct.unpack_from("<Q", data, 40)
    count, names = struct.unpack_from("<HH", data, 60)
    rows = [struct.unpack_from("<IIQQQQIIQQ", data, offset + 64 * i) for i in range(count)]
    contents = [data[row[4] : row[4] + row[5]] for row in rows]
    start = [contents[names][row[0] :].split(b"\0")[0].decode() for row in rows]
    return dict(zip(start, contents, strict=True))


@pytest.mark.parametrize(("text", "raw"), vectors())
def test_vectors_decode_by_the_document_alone(text: str, raw: str) -> None:
    word = int.from_bytes(bytes.fromhex(raw), "little")
    (instruction,) = decode(encode(decode_rows(raw)))
    assert text_of(word, {}) == canonical(text, instruction)


def decode_rows(raw: str) -> list[Any]:

    return decode(np.frombuffer(bytes.fromhex(raw), np.uint8).reshape(-1, 32))


@pytest.mark.parametrize("file", sorted(FILES.glob("sample-*.npu")), ids=lambda path: path.stem)
def test_a_committed_program_decodes_by_the_document_alone(file: Path) -> None:
    code = sections_of(file.read_bytes())[".text.core0"]
    width = DOCUMENT["encoding"]["instruction_bytes"]
    words = [int.from_bytes(code[i : i + width], "little") for i in range(0, len(code), width)]
    program = sample_program()
    around = Surroundings.of(program, 0)
    expected = [instruction_text(i, around) for i in decode(program.code[0])]
    named = {"view": "v", "tensor map": "m", "kernel": "k", "parameters": "p"}
    assert [text_of(word, named) for word in words] == expected


def test_a_view_unpacks_by_its_rows() -> None:
    raw = sections_of((FILES / "sample-1.0.npu").read_bytes())[".npuc.views"]
    facts = next(d for d in DOCUMENT["descriptors"] if d["name"] == "view")
    sizes = {"u8": "B", "zero": "B", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q"}
    assert len(raw) % facts["bytes"] == 0
    for number, view in enumerate(sample_program().views):
        found: dict[str, list[tuple[int, ...]]] = {}
        for row in facts["rows"]:
            layout = "<" + "".join(sizes[kind] for kind in row["types"])
            at = number * facts["bytes"] + row["offset"]
            found[row["name"]] = [
                struct.unpack_from(layout, raw, at + i * row["bytes"]) for i in range(row["count"])
            ]
        rank = found["rank"][0][0]
        assert found["extent, stride"][:rank] == list(zip(view.extents, view.strides, strict=True))
        assert (found["base"][0][0], found["fill"][0][0]) == (view.base, view.fill)
        dtypes = {row["code"]: row["name"] for row in DOCUMENT["dtypes"]}
        assert dtypes[found["dtype"][0][0]] == view.dtype.name


# -- completeness ----------------------------------------------------------------------------------


def test_the_document_names_everything() -> None:
    assert set(BY_OPCODE) == {cls.opcode for cls in INSTRUCTIONS}
    for cls in INSTRUCTIONS:
        facts = BY_OPCODE[cls.opcode]
        assert (
            facts["is_command"] == issubclass(cls, Command) and facts["text"] and facts["meaning"]
        )
        shown = [(f["name"], f["bit"], f["width"], f["kind"]) for f in facts["fields"]]
        assert shown == [(n, b, s.width, s.kind.name) for n, s, b in cls.layout()]
    assert [op["name"] for op in DOCUMENT["micro_ops"]] == [op.name for op in MICRO_OPS]
    for facts, op in zip(DOCUMENT["micro_ops"], MICRO_OPS, strict=True):
        assert facts["costs"] == {t: load_target(t).vpu.cost_of(op.name) for t in facts["costs"]}
        assert "".join(facts["operands"]) + ">" + facts["result"] == op.signature and facts["text"]
    assert [d["name"] for d in DOCUMENT["descriptors"]] == list(DESCRIPTORS)
    assert {d["name"] for d in DOCUMENT["dtypes"]} == {d.name for d in DType}
    assert {e["name"] for e in DOCUMENT["engines"]} == {e.name for e in Engine}
    assert DOCUMENT["format"]["fingerprint"] == schema_hash().hex()
    assert DOCUMENT["schema"] == {"name": "npuc-isa", "version": [1, 0]}
    assert set(PREFIXES) == {"views", "maps", "kernels", "params", "tables"}


def paths(cls: type, prefix: str = "") -> list[str]:
    found = []
    for f in fields(cls):
        nested = isinstance(f.type, type) and is_dataclass(f.type)
        found += paths(f.type, f"{prefix}{f.name}.") if nested else [prefix + f.name]
    return found


def test_the_document_names_every_field_of_a_target() -> None:
    shown = {row["path"] for row in DOCUMENT["targets"]["fields"]}
    assert shown - {p for p in shown if p.startswith("energy[]")} == set(paths(Target)) - {"energy"}
    names = [machine["name"] for machine in DOCUMENT["targets"]["machines"]]
    assert names == list(builtin_target_names())
    assert unit_of("spm.capacity_bytes") == "bytes" and unit_of("dma.setup_cycles") == "core cycles"
    assert unit_of("dram.bytes_per_cycle") == "bytes per core cycle" and unit_of("name") == ""
