"""Rows of a descriptor's binary form: the one place for packing, the manual and the schema."""

import struct
from dataclasses import dataclass

from npuc.isa.errors import EncodingError
from npuc.isa.instructions.base import REGISTERS


@dataclass(frozen=True)
class Row:
    """One field: its name, how often it stands in a row and its ``struct`` code ('x' is zero)."""

    name: str
    code: str
    repeat: int = 1

    @property
    def layout(self) -> str:
        """The field's part of a struct layout."""
        return self.code * self.repeat

    @property
    def n_bytes(self) -> int:
        """Bytes of the field."""
        return struct.calcsize("<" + self.layout)


def packer(rows: tuple[Row, ...]) -> struct.Struct:
    """The little-endian packer of ``rows``."""
    return struct.Struct("<" + "".join(row.layout for row in rows))


def check_registers(registers: tuple[int, ...], holder: object) -> None:
    """Raise EncodingError unless every number in ``registers`` names a scalar register."""
    if any(not 0 <= number < REGISTERS for number in registers):
        raise EncodingError(
            "a descriptor names no scalar register",
            given=str(holder),
            allowed=f"0 to {REGISTERS - 1}",
        )
