"""Lookup tables of the micro-ops ``tablei`` and ``tablef``: 1024 bytes, ``TABLE_ROWS``."""

import struct
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from npuc.isa.descriptors.layout import Row, packer
from npuc.isa.errors import EncodingError
from npuc.isa.numerics.arrays import U32
from npuc.isa.numerics.lookup import TABLE_WORDS

TABLE_ROWS = (Row("word", "I", TABLE_WORDS),)
_LAYOUT = packer(TABLE_ROWS)
TABLE_BYTES = _LAYOUT.size


@dataclass(frozen=True)
class Table:
    """256 raw 32-bit words that kernels of the program look up; named by an immediate."""

    words: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.words) != TABLE_WORDS:
            raise EncodingError(
                "a table has the wrong length", given=str(len(self.words)), allowed=str(TABLE_WORDS)
            )

    @cached_property
    def array(self) -> U32:
        """The words as an array, to be read only."""
        return np.array(self.words, np.uint32)

    def pack(self) -> bytes:
        """The 1024 bytes of the table. Raises: EncodingError where a word does not fit."""
        try:
            return _LAYOUT.pack(*self.words)
        except struct.error as error:
            raise EncodingError("a word of a table does not fit 32 bits") from error

    @staticmethod
    def unpack(data: bytes) -> "Table":
        """The table in 1024 bytes."""
        return Table(_LAYOUT.unpack(data))
