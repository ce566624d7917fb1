"""The version of the binary format and the fingerprint of the definitions behind it."""

from functools import cache
from hashlib import blake2b

from npuc.isa.descriptors import Segment, Space
from npuc.isa.descriptors.kernel import KERNEL_ROWS, PARAMS_ROWS
from npuc.isa.descriptors.layout import Row
from npuc.isa.descriptors.table import TABLE_ROWS
from npuc.isa.descriptors.tensor_map import MAP_ROWS
from npuc.isa.descriptors.view import VIEW_ROWS
from npuc.isa.dtypes import DType
from npuc.isa.encoding import INCREMENT_BIT, WAIT_BITS
from npuc.isa.instructions import INSTRUCTIONS, Command, Engine
from npuc.isa.microops import MICRO_OPS

VERSION = (1, 3)  # major: older readers cannot read it; minor: additions only
HASH_BYTES = 16


def schema_text() -> str:
    """Every bit position and code that a program depends on, one definition a line."""
    lines = [f"npuc {VERSION[0]}.{VERSION[1]} increment {INCREMENT_BIT} waits {WAIT_BITS}"]
    for cls in INSTRUCTIONS:
        kind = "command" if issubclass(cls, Command) else "scalar"
        lines.append(f"{kind} {cls.mnemonic} {cls.opcode:#x} {cls.extension}")
        for name, spec, start in cls.layout():
            names = " ".join(spec.choices)
            lines.append(f"  {name} {spec.kind.name} {start}+{spec.width} {names}")
    lines += [
        f"micro-op {op.name} {op.code} {op.signature} {op.is_reduction} {op.extra}"
        for op in MICRO_OPS
    ]
    for title, rows in DESCRIPTORS.items():
        lines += [f"{title}: {row.name} {row.layout}" for row in rows]
    for codes in (DType, Segment, Space, Engine):
        lines += [f"{codes.__name__} {member.name} {member.value}" for member in codes]
    return "\n".join(line.rstrip() for line in lines) + "\n"


DESCRIPTORS: dict[str, tuple[Row, ...]] = {
    "view": VIEW_ROWS,
    "tensor map": MAP_ROWS,
    "kernel": KERNEL_ROWS,
    "parameters": PARAMS_ROWS,
    "table": TABLE_ROWS,
}


@cache
def schema_hash() -> bytes:
    """16 bytes of BLAKE2b over ``schema_text()``."""
    return blake2b(schema_text().encode(), digest_size=HASH_BYTES).digest()
