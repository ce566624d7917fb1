"""Vector kernels and their parameter records.

A kernel is structural: which streams it reads into which domain, up to 32 micro-ops, and which
values it writes. Values are numbered: input streams 0..5, parameters 8..15, and the result of
micro-op ``i`` as 16 + i. Micro-ops before ``body_count`` run once per point; reductions stand
among them and yield a value that only the epilogue, which runs once per output, may use.

Kernel, 320 bytes: inputs u8, body_count u8, op count u8, outputs u8, domains u8[6], zero[2],
2 x (value u8, epilogue u8), zero[16], 32 x (code u8, a u8, b u8, c u8, immediate i32), zero[32].
Params, 40 bytes: 8 x raw u32, 8 x register u8.
"""

import struct
from dataclasses import dataclass

from npuc.isa.errors import EncodingError
from npuc.isa.microops import BY_CODE, BY_NAME

KERNEL_BYTES = 320
PARAMS_BYTES = 40
MAX_INPUTS = 6
MAX_OUTPUTS = 2
MAX_OPS = 32
MAX_PARAMS = 8
FIRST_PARAM = 8
FIRST_RESULT = 16
_HEAD = struct.Struct("<4B6B2x4B16x")
_OP = struct.Struct("<4Bi")


@dataclass(frozen=True)
class Stream:
    """An input stream: the domain that its elements load into, 'f' (float32) or 'i' (int32)."""

    domain: str


@dataclass(frozen=True)
class Op:
    """One micro-op: its name, the numbers of its operand values and its immediate."""

    name: str
    operands: tuple[int, ...]
    immediate: int = 0


@dataclass(frozen=True)
class Output:
    """A value to write: once per point of the body, or once per output in the epilogue."""

    value: int
    epilogue: bool = False


@dataclass(frozen=True)
class Kernel:
    """What ``vexec`` computes at each point. Parameters take the domain of their use."""

    inputs: tuple[Stream, ...]
    ops: tuple[Op, ...]
    body_count: int
    outputs: tuple[Output, ...]

    def __post_init__(self) -> None:
        check_kernel(self)

    @property
    def reductions(self) -> tuple[int, ...]:
        """Positions of the reductions among ``ops``."""
        return tuple(i for i, op in enumerate(self.ops) if BY_NAME[op.name].is_reduction)

    def pack(self) -> bytes:
        """The 320 bytes of the kernel."""
        domains = [ord(s.domain) for s in self.inputs] + [0] * (MAX_INPUTS - len(self.inputs))
        outputs = [(o.value, int(o.epilogue)) for o in self.outputs]
        outputs += [(0, 0)] * (MAX_OUTPUTS - len(outputs))
        head = _HEAD.pack(len(self.inputs), self.body_count, len(self.ops), len(self.outputs),
                          *domains, *(v for pair in outputs for v in pair))
        ops = b"".join(
            _OP.pack(BY_NAME[op.name].code, *(op.operands + (0, 0, 0))[:3], op.immediate)
            for op in self.ops
        )
        return (head + ops).ljust(KERNEL_BYTES, b"\0")

    @staticmethod
    def unpack(data: bytes) -> "Kernel":
        """The kernel in 320 bytes. Raises: EncodingError for anything that is not a kernel."""
        n_in, body, n_ops, n_out, *rest = _HEAD.unpack(data[: _HEAD.size])
        if n_in > MAX_INPUTS or n_ops > MAX_OPS or n_out > MAX_OUTPUTS:
            raise EncodingError("a kernel's counts are out of range", given=f"{n_in},{n_ops},{n_out}",
                                allowed=f"at most {MAX_INPUTS}, {MAX_OPS}, {MAX_OUTPUTS}")
        inputs = tuple(Stream(chr(c)) for c in rest[:n_in])
        outputs = tuple(Output(rest[6 + 2 * i], bool(rest[7 + 2 * i])) for i in range(n_out))
        start = _HEAD.size
        ops = []
        for i in range(n_ops):
            code, a, b, c, imm = _OP.unpack(data[start + 8 * i : start + 8 * i + 8])
            if code not in BY_CODE:
                raise EncodingError("unknown micro-op in a kernel", given=str(code))
            ops.append(Op(BY_CODE[code].name, (a, b, c)[: len(BY_CODE[code].operands)], imm))
        kernel = Kernel(inputs, tuple(ops), body, outputs)
        if kernel.pack() != data:
            raise EncodingError("reserved or unused bytes of a kernel are not zero")
        return kernel


@dataclass(frozen=True)
class Params:
    """Up to 8 scalars (raw 32-bit words) for a kernel.

    Where ``registers[i]`` is not 0 the low 32 bits of that register replace word ``i``.
    """

    words: tuple[int, ...]
    registers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        registers = self.registers or (0,) * len(self.words)
        object.__setattr__(self, "registers", registers)
        if len(self.words) > MAX_PARAMS or len(registers) != len(self.words):
            raise EncodingError("a parameter record has too many words or unlike registers",
                                given=str(self), allowed=f"at most {MAX_PARAMS}")

    def pack(self) -> bytes:
        """The 40 bytes of the record; absent words are zero."""
        rest = MAX_PARAMS - len(self.words)
        try:
            return struct.pack("<8I8B", *self.words, *[0] * rest, *self.registers, *[0] * rest)
        except struct.error as error:
            raise EncodingError("a parameter does not fit 32 bits", given=str(self)) from error

    @staticmethod
    def unpack(data: bytes) -> "Params":
        """The record in 40 bytes, always with 8 words."""
        values = struct.unpack("<8I8B", data)
        return Params(values[:8], values[8:])


def check_kernel(kernel: Kernel) -> None:
    """Raise EncodingError unless counts, operand numbers and domains are legal."""
    if len(kernel.inputs) > MAX_INPUTS or len(kernel.ops) > MAX_OPS:
        raise EncodingError("a kernel is too large",
                            given=f"{len(kernel.inputs)} inputs, {len(kernel.ops)} micro-ops",
                            allowed=f"{MAX_INPUTS} and {MAX_OPS}")
    if not 1 <= len(kernel.outputs) <= MAX_OUTPUTS or kernel.body_count > len(kernel.ops):
        raise EncodingError("a kernel's outputs or body count are out of range",
                            given=f"{len(kernel.outputs)}, {kernel.body_count}")
    for stream in kernel.inputs:
        if stream.domain not in ("f", "i"):
            raise EncodingError("unknown domain of a stream", given=stream.domain, allowed="f, i")
    for position, op in enumerate(kernel.ops):
        _check_op(kernel, position, op)
    for output in kernel.outputs:
        _check_output(kernel, output)


def value_domain(kernel: Kernel, value: int) -> str:
    """Domain of value number ``value``: 'f', 'i', or '?' for a parameter (domain of its use)."""
    if FIRST_PARAM <= value < FIRST_RESULT:
        return "?"
    if value >= FIRST_RESULT:
        return BY_NAME[kernel.ops[value - FIRST_RESULT].name].result
    return kernel.inputs[value].domain


def _check_op(kernel: Kernel, position: int, op: Op) -> None:
    where = f"micro-op {position}"
    if op.name not in BY_NAME:
        raise EncodingError("unknown micro-op", where, op.name)
    spec = BY_NAME[op.name]
    if len(op.operands) != len(spec.operands):
        raise EncodingError("wrong number of operands", where, str(op), spec.signature)
    if spec.is_reduction and position >= kernel.body_count:
        raise EncodingError("a reduction stands in the epilogue", where, op.name)
    for value, domain in zip(op.operands, spec.operands, strict=True):
        if not _exists(kernel, value, position):
            raise EncodingError("an operand names no earlier value", where, f"value {value}")
        if value_domain(kernel, value) not in (domain, "?"):
            raise EncodingError("an operand is of the wrong domain", where, f"value {value}", domain)
        _check_section(kernel, value, position, where)


def _check_section(kernel: Kernel, value: int, position: int, where: str) -> None:
    in_epilogue = position >= kernel.body_count
    if value < FIRST_RESULT:
        if in_epilogue and value < FIRST_PARAM and kernel.reductions:
            return  # a stream with no reduction stride: read once per output, at its first point
        return
    source = value - FIRST_RESULT
    is_reduction = BY_NAME[kernel.ops[source].name].is_reduction
    if not in_epilogue and is_reduction:
        raise EncodingError("the body uses the result of a reduction", where, f"value {value}")
    if in_epilogue and source < kernel.body_count and not is_reduction:
        raise EncodingError("the epilogue uses a value of the body", where, f"value {value}")


def _exists(kernel: Kernel, value: int, position: int) -> bool:
    if value < FIRST_PARAM:
        return value < len(kernel.inputs)
    return value < FIRST_RESULT or value - FIRST_RESULT < position


def _check_output(kernel: Kernel, output: Output) -> None:
    if not _exists(kernel, output.value, len(kernel.ops)):
        raise EncodingError("an output names no value", given=str(output))
    source = output.value - FIRST_RESULT
    if source < 0:
        return
    is_reduction = BY_NAME[kernel.ops[source].name].is_reduction
    if output.epilogue != (is_reduction or source >= kernel.body_count):
        raise EncodingError("an output's tag does not suit its value", given=str(output))
