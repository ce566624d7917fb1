"""The program file: an ELF64 frame around the tables of a ``Program``."""

from npuc.isa.container.files import from_bytes, load, save, to_bytes
from npuc.isa.container.schema import VERSION, schema_hash, schema_text

__all__ = ["VERSION", "from_bytes", "load", "save", "schema_hash", "schema_text", "to_bytes"]
