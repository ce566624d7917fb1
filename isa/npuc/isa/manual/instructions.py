"""The page of all instructions: text, meaning, bits."""

from npuc.isa.assembly.text import instruction_text
from npuc.isa.encoding import INCREMENT_BIT, WAIT_BITS
from npuc.isa.instructions import (
    INSTRUCTIONS,
    NO_INDEX,
    Command,
    Engine,
    Field,
    Instruction,
    Kind,
)
from npuc.isa.instructions.base import OPERAND_START
from npuc.isa.manual.definition import WAIT_FIELDS
from npuc.isa.manual.markdown import page, prose, table

_INSTRUCTIONS = """
An instruction has 32 bytes, little-endian: 256 bits, counted from the lowest. Bits without a
meaning are zero, and a decoder refuses others. Instructions that are no commands run on ctl and
have zeros in bits 8 to 79.
"""
_WAITS = """
A wait holds back its command until the counter is at least register + immediate. Register 0 reads
as 0; a threshold of 0 or less holds at once, so 32 zero bits are no wait. Its bits:
"""


def instructions_page() -> str:
    """The page."""
    common = [
        ("0-7", "opcode"),
        (f"{INCREMENT_BIT}-{INCREMENT_BIT + 4}", "command: index of the counter to increment"),
        (f"{INCREMENT_BIT + 5}", "command: 1 if it increments"),
        ("14-15", "zero"),
        *((f"{bit}-{bit + 31}", f"command: wait {i}") for i, bit in enumerate(WAIT_BITS, 1)),
        (f"{OPERAND_START}-255", "operands, in order, without gaps; then zeros"),
    ]
    wait, first = [], 0
    for name, width, is_signed in WAIT_FIELDS:
        sign = ", signed" if is_signed else ""
        wait.append((f"{first}-{first + width - 1}", name.replace("_", ": ", 1) + sign))
        first += width
    engines = [(str(e.value), f"`{e.name}`") for e in Engine]
    parts = [
        _INSTRUCTIONS,
        table(("bits", "hold"), common),
        _WAITS,
        table(("bits", "hold"), wait),
    ]
    parts += ["Engines:", table(("code", "engine"), engines), *map(_instruction, INSTRUCTIONS)]
    return page("Instructions", parts)


def _instruction(cls: type[Instruction]) -> str:
    kind = "command" if issubclass(cls, Command) else "ctl"
    extension = f", extension {cls.extension}" if cls.extension else ""
    place = f"Opcode {cls.opcode:#04x}, {kind}{extension}."
    least = f"Least text: `{instruction_text(cls())}`."
    lines = [f"## {cls.mnemonic}", prose(cls), f"{place} {least}", f"```\n{cls.meaning}\n```"]
    rows = [_operand_row(name, spec, start) for name, spec, start in cls.layout()]
    if rows:
        lines.append(table(("bits", "operand", "kind", "range"), rows))
    return "\n\n".join(lines)


def _operand_row(name: str, spec: Field, start: int) -> tuple[str, str, str, str]:
    low, high = spec.limits
    bits = str(start) if spec.width == 1 else f"{start}-{start + spec.width - 1}"
    choices = ", ".join(f"`{c}`" for c in spec.choices)
    kind = choices or _KINDS[spec.kind]
    return bits, f"`{name}`", kind, f"{_number(low)} to {_number(high)}"


_KINDS = {
    Kind.reg: "scalar register",
    Kind.imm: "signed immediate",
    Kind.count: "number",
    Kind.flag: "flag",
    Kind.view: f"view, {NO_INDEX} for none",
    Kind.map: "tensor map",
    Kind.kernel: "kernel",
    Kind.params: f"parameter record, {NO_INDEX} for none",
    Kind.offset: "distance to a label",
    Kind.body: "instructions of the body",
}


def _number(value: int) -> str:
    """Powers of two above 16 bits as such."""
    if abs(value) < 1 << 16:
        return str(value)
    if value < 0:
        return f"-2^{(-value).bit_length() - 1}"
    return f"2^{(value + 1).bit_length() - 1} - 1"
