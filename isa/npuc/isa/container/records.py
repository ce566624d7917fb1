"""Little-endian records inside a section: a writer, and a reader that never trusts a count."""

import struct
from dataclasses import dataclass, field

from npuc.isa.errors import BinaryError

MEND = "the file is damaged: compile the model again or copy the file again"


def damaged(section: str, origin: str, what: str, *given: object) -> BinaryError:
    """The error for contents of ``section`` that no writer produces; then given, allowed."""
    value, allowed = (*map(str, given), "", "")[:2]
    return BinaryError(what, f"{origin}, section {section}", value, allowed, MEND)


@dataclass
class Writer:
    """Appends records to ``data``."""

    data: bytearray = field(default_factory=bytearray)

    def pack(self, layout: str, *values: object) -> None:
        """Append ``values`` in the little-endian struct ``layout``."""
        self.data += struct.pack("<" + layout, *values)

    def text(self, value: str) -> None:
        """Append the length of the UTF-8 text (u32), then its bytes."""
        raw = value.encode()
        self.pack("I", len(raw))
        self.data += raw


@dataclass
class Reader:
    """Takes records from ``data``; every shortage is a BinaryError that names the section."""

    data: memoryview
    section: str
    origin: str
    position: int = 0

    def fail(self, what: str, *given: object) -> BinaryError:
        """The error for this section: what is wrong, then given and allowed."""
        return damaged(self.section, self.origin, what, *given)

    def raw(self, n_bytes: int) -> memoryview:
        """The next ``n_bytes``."""
        rest = len(self.data) - self.position
        if n_bytes > rest:
            raise self.fail("a section ends too early", f"{rest} bytes left", f"{n_bytes} bytes")
        self.position += n_bytes
        return self.data[self.position - n_bytes : self.position]

    def unpack(self, layout: str) -> tuple[int, ...]:
        """The next numbers in the little-endian struct ``layout`` (integers only)."""
        return struct.unpack("<" + layout, self.raw(struct.calcsize("<" + layout)))

    def real(self) -> float:
        """The next float64."""
        value: float = struct.unpack("<d", self.raw(8))[0]
        return value

    def count(self, least_bytes: int) -> int:
        """The next u32 count, of records that take at least ``least_bytes`` each."""
        (count,) = self.unpack("I")
        rest = len(self.data) - self.position
        if count * least_bytes > rest:
            raise self.fail("a count exceeds its section", count, f"at most {rest // least_bytes}")
        return count

    def text(self) -> str:
        """The next length-prefixed UTF-8 text."""
        (length,) = self.unpack("I")
        return utf8(self.raw(length), self.section, self.origin)

    def end(self) -> None:
        """Nothing may be left over."""
        if self.position != len(self.data):
            rest = len(self.data) - self.position
            raise self.fail("a section is too long", f"{rest} bytes left over", "none")


def utf8(data: memoryview, section: str, origin: str) -> str:
    """The text in ``data``. Raises: BinaryError where it is not UTF-8."""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise damaged(section, origin, "a text is not UTF-8", error) from error
