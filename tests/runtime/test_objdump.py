"""``npuc objdump`` shows sections, symbols, tables and the listing of a group, as they are."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from npuc import api
from npuc.isa import container
from npuc.isa.container.contents import read_contents
from npuc.isa.errors import BinaryError
from npuc.isa.instructions import INSTRUCTION_BYTES
from npuc.isa.program import Program
from npuc.runtime.sample_data import QDQ_INT8, sample_model
from tests.command_line import npuc


@pytest.fixture(scope="module")
def program() -> Program:
    compiled = api.compile(sample_model(QDQ_INT8), dims={"batch": 1}).program
    assert compiled is not None
    return compiled


@pytest.fixture
def path(program: Program, tmp_path: Path) -> Path:
    container.save(program, tmp_path / "digits.npu")
    return tmp_path / "digits.npu"


def test_symbols_are_the_groups(program: Program, path: Path) -> None:
    found = read_contents(path)
    assert [symbol.name for symbol in found.symbols] == [s.group for s in program.debug.sources]
    for symbol, source in zip(found.symbols, program.debug.sources, strict=True):
        assert symbol.section == f".text.core{source.core}"
        assert symbol.start == source.start * INSTRUCTION_BYTES
        assert symbol.n_bytes == (source.stop - source.start) * INSTRUCTION_BYTES


def test_sections_lie_where_the_file_has_them(program: Program, path: Path) -> None:
    data = path.read_bytes()
    by_name = {section.name: section for section in read_contents(path).sections}
    text = by_name[".text.core0"]
    assert data[text.offset : text.offset + text.n_bytes] == program.code[0].tobytes()
    constants = by_name[".npuc.const"]
    assert constants.offset % constants.align == 0
    stored = data[constants.offset : constants.offset + constants.n_bytes]
    assert stored == program.constants.tobytes()


@pytest.mark.skipif(shutil.which("readelf") is None, reason="needs readelf")
def test_readelf_agrees(path: Path) -> None:
    command = ["readelf", "--wide", "--sections", str(path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for section in read_contents(path).sections:
        (line,) = [x for x in printed.splitlines() if f" {section.name} " in x]
        assert f" {section.offset:06x} {section.n_bytes:06x} " in line


def test_what_is_asked_for_is_shown(program: Program, path: Path) -> None:
    shown = npuc("objdump", path, "--sections", "--symbols").out
    assert ".text.core0" in shown and "alloc exec" in shown
    assert "node_Conv_151" in shown
    tables = npuc("objdump", path, "--tables").out
    for directive, count in ((".view", len(program.views)), (".kernel", len(program.kernels))):
        starts = [line for line in tables.splitlines() if line.startswith(f"{directive} ")]
        assert len(starts) == count
    buffers = npuc("objdump", path, "--buffers").out
    assert len(buffers.splitlines()) == len(program.debug.buffers) + 3


def test_a_group_is_listed_with_buffers_descriptors_and_nodes(path: Path) -> None:
    shown = npuc("objdump", path, "--group", "node_linear").out
    for words in ("buffers of node_linear", "node_linear/accumulator", "mma", "logits", "; "):
        assert words in shown
    assert npuc("objdump", path, "--group", "nobody").code == 2


def test_json_has_everything(program: Program, path: Path) -> None:
    data = json.loads(npuc("objdump", path, "--json", "--group", "node_linear").out)
    assert len(data["symbols"]) == len(data["groups"]) == len(program.debug.sources)
    assert {"sections", "tables", "buffers", "arguments", "listing"} <= set(data)
    assert data["sizes"]["views"] == len(program.views)


def test_a_damaged_file_is_refused(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BinaryError):
        read_contents(path)
    assert npuc("objdump", path).code == 2
    with pytest.raises(BinaryError, match="cannot read"):
        read_contents(path.with_name("missing.npu"))
