"""The rendered manual: fresh on disk, and complete."""

import re
from pathlib import Path

from npuc.isa import manual
from npuc.isa.encoding import encode_one
from npuc.isa.instructions import INSTRUCTIONS
from npuc.isa.microops import MICRO_OPS

DOCS = Path(__file__).parents[2] / "docs" / "isa"


def test_pages_on_disk_are_those_of_the_source() -> None:
    pages = manual.pages()
    assert {path.name for path in DOCS.iterdir()} == set(pages)
    for name, text in pages.items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"{name}: run `make docs`"


def test_rendering_is_deterministic_and_links_resolve() -> None:
    pages = manual.pages()
    assert manual.pages() == pages
    for text in pages.values():
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        assert all(link in pages for link in re.findall(r"\]\(([^)]*)\)", prose))


def test_every_instruction_has_meaning_and_bits() -> None:
    text = manual.pages()["instructions.md"]
    sections = dict(zip(re.findall(r"^## (.*)$", text, re.M), text.split("\n## ")[1:], strict=True))
    for cls in INSTRUCTIONS:
        section = sections[cls.mnemonic]
        assert cls.meaning in section and f"Opcode {encode_one(cls()) & 0xFF:#04x}" in section
        rows = re.findall(r"^\| (\d+)(?:-(\d+))? \| `(\w+)`", section, re.M)
        shown = [(int(a), int(b or a), name) for a, b, name in rows]
        assert shown == [(s, s + f.width - 1, name) for name, f, s in cls.layout()]


def test_every_micro_op_says_what_it_means() -> None:
    text = manual.pages()["micro-ops.md"]
    for op in MICRO_OPS:
        row = next(
            line for line in text.splitlines() if line.startswith(f"| {op.code} | `{op.name}`")
        )
        assert all(
            cell.strip() for i, cell in enumerate(re.split(r"(?<!\\)\|", row)[1:-1]) if i != 3
        )


def test_tables_have_one_width() -> None:
    for name, text in manual.pages().items():
        for block in re.findall(r"(?:^\|.*\n?)+", re.sub(r"```.*?```", "", text, flags=re.S), re.M):
            widths = {len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(widths) == 1, name
