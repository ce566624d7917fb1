"""Program tables to section contents and back: arguments, descriptors, debug records."""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol, TypeVar

from npuc.isa.container.records import Reader, Writer
from npuc.isa.descriptors import Segment
from npuc.isa.dtypes import DType
from npuc.isa.errors import EncodingError
from npuc.isa.program import Argument, BufferRecord, Program, Quantisation, SourceRange

ROLES = (Segment.input, Segment.output, Segment.state)
Arguments = dict[Segment, tuple[Argument, ...]]
D = TypeVar("D")
E = TypeVar("E", bound=Enum)


class Packed(Protocol):
    """A descriptor: it knows its bytes."""

    def pack(self) -> bytes: ...


def pack_rows(descriptors: Sequence[Packed]) -> bytes:
    """The descriptors one after the other."""
    return b"".join(d.pack() for d in descriptors)


def unpack_rows(reader: Reader, n_bytes: int, unpack: Callable[[bytes], D]) -> tuple[D, ...]:
    """The descriptors of ``n_bytes`` each that fill the section. Raises: BinaryError."""
    if len(reader.data) % n_bytes:
        raise reader.fail("a table is not a whole number of rows", f"{len(reader.data)} bytes",
                          f"a multiple of {n_bytes}")  # fmt: skip
    rows = []
    for number in range(len(reader.data) // n_bytes):
        try:
            rows.append(unpack(bytes(reader.raw(n_bytes))))
        except EncodingError as error:
            raise reader.fail(f"row {number}: {error.what}", error.given, error.allowed) from error
    return tuple(rows)


def write_arguments(program: Program) -> bytes:
    """The scratch size, then inputs, outputs and states."""
    writer = Writer()
    writer.pack("Q", program.scratch_bytes)
    for arguments in (program.inputs, program.outputs, program.states):
        writer.pack("I", len(arguments))
        for argument in arguments:
            _write_argument(writer, argument)
    return bytes(writer.data)


def read_arguments(reader: Reader) -> tuple[int, Arguments]:
    """The scratch size and the arguments by role. Raises: BinaryError."""
    (scratch_bytes,) = reader.unpack("Q")
    arguments = {
        role: tuple(_read_argument(reader) for _ in range(reader.count(ARGUMENT_BYTES)))
        for role in ROLES
    }
    reader.end()
    return scratch_bytes, arguments


ARGUMENT_BYTES = 35  # of the shortest argument: rank 0, empty name


def _write_argument(writer: Writer, argument: Argument) -> None:
    q = argument.quantisation
    writer.pack("3B", argument.dtype.value, argument.segment.value, q is not None)
    writer.pack("dq", *((q.scale, q.zero_point) if q else (0.0, 0)))
    writer.pack("QI", argument.offset, len(argument.shape))
    writer.pack(f"{len(argument.shape)}Q", *argument.shape)
    writer.text(argument.name)


def _read_argument(reader: Reader) -> Argument:
    dtype, segment, is_quantised = reader.unpack("3B")
    scale = reader.real()
    zero_point, offset = reader.unpack("qQ")
    shape = reader.unpack(f"{reader.count(8)}Q")
    name = reader.text()
    if is_quantised > 1 or (not is_quantised and (scale, zero_point) != (0.0, 0)):
        raise reader.fail("the quantisation of an argument is not as written", name)
    return Argument(
        name, _member(reader, DType, dtype), shape, _member(reader, Segment, segment), offset,
        Quantisation(scale, zero_point) if is_quantised else None,
    )  # fmt: skip


def _member(reader: Reader, codes: type[E], code: int) -> E:
    try:
        return codes(code)
    except ValueError as error:
        raise reader.fail(f"unknown code of {codes.__name__}", code) from error


def write_sources(sources: Sequence[SourceRange]) -> bytes:
    """The source ranges, in order."""
    writer = Writer()
    writer.pack("I", len(sources))
    for source in sources:
        writer.pack("3I", source.core, source.start, source.stop)
        writer.text(source.group)
        writer.text(source.operation)
        writer.pack("I", len(source.nodes))
        for node in source.nodes:
            writer.text(node)
    return bytes(writer.data)


def read_sources(reader: Reader) -> tuple[SourceRange, ...]:
    """The source ranges. Raises: BinaryError."""
    sources = []
    for _ in range(reader.count(24)):
        core, start, stop = reader.unpack("3I")
        group, operation = reader.text(), reader.text()
        nodes = tuple(reader.text() for _ in range(reader.count(4)))
        sources.append(SourceRange(core, start, stop, group, nodes, operation))
    reader.end()
    return tuple(sources)


def write_buffers(buffers: Sequence[BufferRecord]) -> bytes:
    """The buffer records, in order."""
    writer = Writer()
    writer.pack("I", len(buffers))
    for buffer in buffers:
        writer.pack("I2Q", buffer.core, buffer.offset, buffer.n_bytes)
        for text in (buffer.name, buffer.space, buffer.tensor):
            writer.text(text)
    return bytes(writer.data)


def read_buffers(reader: Reader) -> tuple[BufferRecord, ...]:
    """The buffer records. Raises: BinaryError."""
    buffers = []
    for _ in range(reader.count(32)):
        core, offset, n_bytes = reader.unpack("I2Q")
        name, space, tensor = reader.text(), reader.text(), reader.text()
        buffers.append(BufferRecord(name, core, space, offset, n_bytes, tensor))
    reader.end()
    return tuple(buffers)
