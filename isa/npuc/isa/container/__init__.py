"""The program file: an ELF64 frame around the tables of a ``Program``."""

from npuc.isa.container.files import CONTENTS, from_bytes, load, save, to_bytes
from npuc.isa.container.schema import VERSION, schema_hash, schema_text

__all__ = [
    "CONTENTS",
    "VERSION",
    "from_bytes",
    "load",
    "save",
    "schema_hash",
    "schema_text",
    "to_bytes",
]
