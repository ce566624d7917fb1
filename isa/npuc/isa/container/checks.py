"""What must hold between the parts of a program, whoever made it: emitter, text or file."""

import math
from collections.abc import Iterator

from npuc.isa.descriptors import Segment
from npuc.isa.encoding import check_rows
from npuc.isa.errors import EncodingError
from npuc.isa.instructions import BY_OPCODE, INSTRUCTION_BYTES
from npuc.isa.instructions.base import NO_INDEX
from npuc.isa.microops import BY_NAME
from npuc.isa.program import Argument, Program
from npuc.isa.target import EXTENSIONS

MAX_SEGMENT_BYTES = 1 << 40  # of the format; a machine's DRAM is smaller
MAX_RANK = 32
MAX_CORES = 16  # a counter's name has 4 bits for the core
SPACES = ("spm", "acc", "dram")


def check_program(program: Program) -> None:
    """Raise EncodingError unless the parts fit together; ``where`` names the section."""
    for section, what, given, allowed in _faults(program):
        raise EncodingError(what, f"section {section}", given, allowed)
    for core, code in enumerate(program.code):
        try:
            check_rows(code)
        except EncodingError as error:
            error.where = f"section .text.core{core}, {error.where}"
            raise


Fault = tuple[str, str, str, str]  # section, what, given, allowed


def _faults(program: Program) -> Iterator[Fault]:
    yield from _code_faults(program)
    yield from _argument_faults(program)
    yield from _map_faults(program)
    yield from _kernel_faults(program)
    yield from _debug_faults(program)


def _code_faults(program: Program) -> Iterator[Fault]:
    if not 1 <= len(program.code) <= MAX_CORES:
        yield ".text", "wrong number of cores", str(len(program.code)), f"1 to {MAX_CORES}"
    for core, code in enumerate(program.code):
        if code.dtype != "u1" or code.ndim != 2 or code.shape[1] != INSTRUCTION_BYTES:
            yield (f".text.core{core}", "code is not rows of bytes", f"{code.dtype}{code.shape}",
                   f"uint8 (n, {INSTRUCTION_BYTES})")  # fmt: skip
    tables = (("views", program.views), ("maps", program.maps),
              ("kernels", program.kernels), ("params", program.params),
              ("tables", program.tables))  # fmt: skip
    for name, table in tables:
        if len(table) > NO_INDEX:
            yield f".npuc.{name}", "a table is too long", str(len(table)), f"at most {NO_INDEX}"
    letters = program.extensions
    for letter in letters:
        if letter not in EXTENSIONS:
            what = f"the program needs extension {letter!r}, which is unknown"
            given = f"{''.join(letters)}; first needed by {_first_unknown(program)}"
            yield ".note.npuc", what, given, ", ".join(sorted(EXTENSIONS))
    if tuple(sorted(set(letters))) != letters or not set(letters) <= set(EXTENSIONS):
        yield (".note.npuc", "extension letters are unknown or out of order", "".join(letters),
               ", ".join(sorted(EXTENSIONS)))  # fmt: skip


def _first_unknown(program: Program) -> str:
    """The first instruction that this reader does not know, in words."""
    for core, code in enumerate(program.code):
        unknown = [at for at, opcode in enumerate(code[:, 0].tolist()) if opcode not in BY_OPCODE]
        if unknown:
            at = unknown[0]
            return f"core {core}, instruction {at}, opcode {int(code[at, 0]):#x}"
    return "no instruction"


def _argument_faults(program: Program) -> Iterator[Fault]:
    section = ".npuc.args"
    if not 0 <= program.scratch_bytes <= MAX_SEGMENT_BYTES:
        yield (section, "the scratch segment is too large", str(program.scratch_bytes),
               f"0 to {MAX_SEGMENT_BYTES} bytes")  # fmt: skip
    roles = ((Segment.input, program.inputs), (Segment.output, program.outputs),
             (Segment.state, program.states))  # fmt: skip
    for role, arguments in roles:
        names = [argument.name for argument in arguments]
        if len(set(names)) != len(names):
            yield section, f"two {role.name} tensors have one name", ", ".join(names), "unique"
        for argument in arguments:
            yield from _place_faults(argument, role)


def _place_faults(argument: Argument, role: Segment) -> Iterator[Fault]:
    section, what = ".npuc.args", f"{role.name} tensor {argument.name!r}"
    homes = (role, Segment.arguments) if role is Segment.input else (role,)
    if argument.segment not in homes:
        allowed = " or ".join(home.name for home in homes)
        yield section, f"{what} lies in another segment", argument.segment.name, allowed
    is_in_range = all(0 <= extent <= MAX_SEGMENT_BYTES for extent in argument.shape)
    if len(argument.shape) > MAX_RANK or not is_in_range:
        yield section, f"{what} has no usable shape", str(argument.shape), f"rank <= {MAX_RANK}"
    size = math.prod(argument.shape) * argument.dtype.bytes
    if argument.offset < 0 or argument.offset + size > MAX_SEGMENT_BYTES:
        given = f"offset {argument.offset}, {size} bytes"
        yield (section, f"{what} does not lie in its segment", given,
               f"up to {MAX_SEGMENT_BYTES} bytes")  # fmt: skip
    quantisation = argument.quantisation
    if quantisation and not 0 < quantisation.scale < math.inf:
        yield section, f"{what} has no usable scale", str(quantisation.scale), "finite, above 0"


def _map_faults(program: Program) -> Iterator[Fault]:
    limits = {segment: program.segment_bytes(segment) for segment in Segment}
    for number, tensor_map in enumerate(program.maps):
        limit = limits[tensor_map.segment]
        if tensor_map.segment is Segment.arguments:
            yield ".npuc.maps", f"map {number} lies in the argument block", "", "other segments"
        if tensor_map.base > limit:
            what = f"map {number} begins outside the {tensor_map.segment.name} segment"
            yield ".npuc.maps", what, str(tensor_map.base), f"0 to {limit} bytes"


def _kernel_faults(program: Program) -> Iterator[Fault]:
    for number, kernel in enumerate(program.kernels):
        for op in kernel.ops:
            if BY_NAME[op.name].extra == "table" and op.immediate >= len(program.tables):
                yield (".npuc.kernels", f"kernel {number} names no table", str(op.immediate),
                       f"less than {len(program.tables)}")  # fmt: skip


def _debug_faults(program: Program) -> Iterator[Fault]:
    for source in program.debug.sources:
        n_rows = len(program.code[source.core]) if source.core < len(program.code) else -1
        if not 0 <= source.start <= source.stop <= n_rows:
            yield (".npuc.debug.sources", f"group {source.group!r} names no instructions",
                   f"core {source.core}, {source.start} to {source.stop}",
                   f"{len(program.code)} cores, {max(n_rows, 0)} instructions")  # fmt: skip
    for buffer in program.debug.buffers:
        if buffer.space not in SPACES:
            yield (".npuc.debug.buffers", f"buffer {buffer.name!r} lies in no memory",
                   buffer.space, ", ".join(SPACES))  # fmt: skip
