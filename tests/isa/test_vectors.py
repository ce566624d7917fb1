"""Encodings that must never change within a major version: ``vectors/<unit>.txt``."""

from pathlib import Path

import pytest

from npuc.isa.assembler import assemble
from npuc.isa.assembly.operands import PREFIXES
from npuc.isa.assembly.text import Surroundings, instruction_text
from npuc.isa.encoding import decode
from npuc.isa.instructions import INSTRUCTIONS, Instruction
from npuc.isa.instructions.flow import Loop

FOLDER = Path(__file__).parent / "vectors"


def vectors() -> list[tuple[str, str]]:
    """Text and hexadecimal bytes of every vector."""
    pairs = []
    for path in sorted(FOLDER.iterdir()):
        lines = [x for x in path.read_text(encoding="utf-8").splitlines() if x[:1] != "#"]
        pairs += [
            (text, raw.replace(" ", "")) for text, raw in zip(*[iter(lines)] * 2, strict=True)
        ]
    return pairs


@pytest.mark.parametrize(("text", "raw"), vectors())
def test_text_and_bits_belong_together(text: str, raw: str) -> None:
    code = assemble(f'.target "tiny"\n.core 0 {{\n{text}\n}}\n', "vector").code[0]
    assert code.tobytes().hex() == raw
    (instruction,) = decode(code)
    no_tables = Surroundings(tuple((table, 0) for table in PREFIXES), core=0)
    assert instruction_text(instruction, no_tables) == canonical(text, instruction)


def canonical(text: str, instruction: Instruction) -> str:
    """The text without the count of a body, which braces stand for."""
    return text.partition(", body=")[0] if isinstance(instruction, Loop) else text


def test_every_instruction_has_a_vector() -> None:
    assert {text.split()[0] for text, _ in vectors()} == {cls.mnemonic for cls in INSTRUCTIONS}
