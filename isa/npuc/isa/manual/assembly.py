"""The page of assembly text."""

from importlib import resources

from npuc.isa.assembly.text import instruction_text
from npuc.isa.instructions import INSTRUCTIONS
from npuc.isa.manual.markdown import page, table

_ASSEMBLY = """
The text holds all of a program: `npuc disasm` writes it, `npuc asm` gives the same file again, byte
for byte.

- An instruction is a mnemonic, its operands, waits, and the counter that it increments:
  `mma v2, v0, v1 wait ld0[0] >= r3 - 2 inc 0`.
- A register operand followed by an immediate is written as their sum: `r4 - 1`, `r4`, `-1`.
- Operands written `name=value` are left out where they have their default.
- Flags and choices are bare words: `accumulate`, `ld1`.
- A counter is `core0.st[1]`; without the core it is one of the same core.
- Descriptors are named by their directives; a bare number is an index, `none` is no descriptor.
- The body of a loop stands in braces; branches go to labels of their core.

The least text of each instruction:
"""


def assembly_page() -> str:
    """The page."""
    grammar = resources.files("npuc.isa.assembly").joinpath("assembly.lark")
    text = grammar.read_text(encoding="utf-8").rstrip()
    rows = [(f"`{instruction_text(cls())}`", cls.mnemonic) for cls in INSTRUCTIONS]
    parts = [_ASSEMBLY, table(("text", "instruction"), rows), "The grammar:"]
    return page("Assembly", [*parts, f"```\n{text}\n```"])
