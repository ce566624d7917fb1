"""Vector kernels and their parameter records.

A kernel is structural: which streams it reads into which domain, up to 32 micro-ops, and which
values it writes. Values are numbered: input streams 0..5, parameters 8..15, and the result of
micro-op ``i`` as 16 + i. Micro-ops before ``body_count`` run once per point; reductions stand
among them and yield a value that only the epilogue, which runs once per output, may use.

The binary forms are ``KERNEL_ROWS``, 320 bytes, and ``PARAMS_ROWS``, 40 bytes; bytes of absent
streams, outputs, micro-ops, operands and words are zero.
"""

import struct
from dataclasses import dataclass
from functools import cached_property

from npuc.isa.descriptors.layout import Row, check_registers, packer
from npuc.isa.errors import EncodingError
from npuc.isa.hashing import keeps_hash
from npuc.isa.microops import BY_CODE, BY_NAME

MAX_INPUTS = 6
MAX_OUTPUTS = 2
MAX_OPS = 32
MAX_PARAMS = 8
FIRST_PARAM = 8
FIRST_RESULT = 16
OP_FIELDS = 5
KERNEL_ROWS = (
    Row("input streams", "B"),
    Row("body_count", "B"),
    Row("micro-ops", "B"),
    Row("outputs", "B"),
    Row("domain of stream ('f' or 'i')", "B", MAX_INPUTS),
    Row("zero", "x", 2),
    Row("output: value, epilogue", "BB", MAX_OUTPUTS),
    Row("zero", "x", 16),
    Row("micro-op: code, a, b, c, immediate", "4Bi", MAX_OPS),
    Row("zero", "x", 32),
)
PARAMS_ROWS = (Row("word", "I", MAX_PARAMS), Row("register", "B", MAX_PARAMS))
_KERNEL = packer(KERNEL_ROWS)
_PARAMS = packer(PARAMS_ROWS)
KERNEL_BYTES, PARAMS_BYTES = _KERNEL.size, _PARAMS.size


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


@keeps_hash
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

    @cached_property
    def body_streams(self) -> frozenset[int]:
        """Input streams that are read once per point."""
        values = {v for op in self.ops[: self.body_count] for v in op.operands}
        values |= {o.value for o in self.outputs if not o.epilogue}
        return frozenset(v for v in values if v < len(self.inputs))

    @cached_property
    def epilogue_streams(self) -> frozenset[int]:
        """Input streams that are read once per output, at the first point of the reduction."""
        values = {v for op in self.ops[self.body_count :] for v in op.operands}
        values |= {o.value for o in self.outputs if o.epilogue}
        return frozenset(v for v in values if v < len(self.inputs))

    def pack(self) -> bytes:
        """The 320 bytes of the kernel. Raises: EncodingError where a number does not fit."""
        domains = [ord(s.domain) for s in self.inputs] + [0] * (MAX_INPUTS - len(self.inputs))
        outputs = [v for o in self.outputs for v in (o.value, int(o.epilogue))]
        outputs += [0] * (2 * MAX_OUTPUTS - len(outputs))
        ops: list[int] = []
        for op in self.ops:
            ops += [BY_NAME[op.name].code, *(*op.operands, 0, 0, 0)[:3], op.immediate]
        ops += [0] * (OP_FIELDS * MAX_OPS - len(ops))
        try:
            return _KERNEL.pack(len(self.inputs), self.body_count, len(self.ops),
                                len(self.outputs), *domains, *outputs, *ops)  # fmt: skip
        except struct.error as error:
            raise EncodingError(
                "a kernel's number does not fit its field", given=str(self), allowed=str(error)
            ) from error

    @staticmethod
    def unpack(data: bytes) -> "Kernel":
        """The kernel in 320 bytes. Raises: EncodingError for anything that is not a kernel."""
        n_in, body, n_ops, n_out, *rest = _KERNEL.unpack(data)
        if n_in > MAX_INPUTS or n_ops > MAX_OPS or n_out > MAX_OUTPUTS:
            raise EncodingError(
                "a kernel's counts are out of range",
                given=f"{n_in}, {n_ops}, {n_out}",
                allowed=f"at most {MAX_INPUTS}, {MAX_OPS}, {MAX_OUTPUTS}",
            )
        inputs = tuple(Stream(chr(c)) for c in rest[:n_in])
        places = rest[MAX_INPUTS : MAX_INPUTS + 2 * MAX_OUTPUTS]
        outputs = tuple(Output(places[2 * i], bool(places[2 * i + 1])) for i in range(n_out))
        words = rest[MAX_INPUTS + 2 * MAX_OUTPUTS :]
        ops = tuple(_op(words[OP_FIELDS * i : OP_FIELDS * (i + 1)]) for i in range(n_ops))
        kernel = Kernel(inputs, ops, body, outputs)
        if kernel.pack() != data:
            raise EncodingError("reserved or unused bytes of a kernel are not zero")
        return kernel


def _op(words: list[int]) -> Op:
    code, a, b, c, immediate = words
    if code not in BY_CODE:
        raise EncodingError("unknown micro-op in a kernel", given=str(code))
    return Op(BY_CODE[code].name, (a, b, c)[: len(BY_CODE[code].operands)], immediate)


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
            raise EncodingError(
                "a parameter record has too many words or unlike registers",
                given=str(self),
                allowed=f"at most {MAX_PARAMS}",
            )
        check_registers(registers, self)

    def pack(self) -> bytes:
        """The 40 bytes of the record; absent words are zero."""
        rest = MAX_PARAMS - len(self.words)
        try:
            return _PARAMS.pack(*self.words, *[0] * rest, *self.registers, *[0] * rest)
        except struct.error as error:
            raise EncodingError("a parameter does not fit 32 bits", given=str(self)) from error

    @staticmethod
    def unpack(data: bytes) -> "Params":
        """The record in 40 bytes, always with 8 words."""
        values = _PARAMS.unpack(data)
        return Params(values[:8], values[8:])


def check_kernel(kernel: Kernel) -> None:
    """Raise EncodingError unless counts, operand numbers and domains are legal."""
    if len(kernel.inputs) > MAX_INPUTS or len(kernel.ops) > MAX_OPS:
        raise EncodingError(
            "a kernel is too large",
            given=f"{len(kernel.inputs)} inputs, {len(kernel.ops)} micro-ops",
            allowed=f"{MAX_INPUTS} and {MAX_OPS}",
        )
    if not 1 <= len(kernel.outputs) <= MAX_OUTPUTS or not 0 <= kernel.body_count <= len(kernel.ops):
        raise EncodingError(
            "a kernel's outputs or body count are out of range",
            given=f"{len(kernel.outputs)}, {kernel.body_count}",
        )
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
    if spec.extra and op.immediate not in spec.immediates:
        raise EncodingError("an immediate has no meaning", where, f"{op.name} # {op.immediate}")
    if spec.is_reduction and position >= kernel.body_count:
        raise EncodingError("a reduction stands in the epilogue", where, op.name)
    for value, domain in zip(op.operands, spec.operands, strict=True):
        if not _exists(kernel, value, position):
            raise EncodingError("an operand names no earlier value", where, f"value {value}")
        if value_domain(kernel, value) not in (domain, "?"):
            raise EncodingError(
                "an operand is of the wrong domain", where, f"value {value}", domain
            )
        _check_section(kernel, value, position, where)


def _check_section(kernel: Kernel, value: int, position: int, where: str) -> None:
    in_epilogue = position >= kernel.body_count
    if value < FIRST_RESULT:
        return  # a stream that the epilogue reads is read once per output, at r = 0
    source = value - FIRST_RESULT
    is_reduction = BY_NAME[kernel.ops[source].name].is_reduction
    if not in_epilogue and is_reduction:
        raise EncodingError("the body uses the result of a reduction", where, f"value {value}")
    if in_epilogue and source < kernel.body_count and not is_reduction:
        raise EncodingError("the epilogue uses a value of the body", where, f"value {value}")


def _exists(kernel: Kernel, value: int, position: int) -> bool:
    if value < FIRST_PARAM:
        return 0 <= value < len(kernel.inputs)
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
