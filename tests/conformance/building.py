"""Cases as data, and the assembly text of programs that run one vector kernel."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

SIZES = {"i8": 1, "u8": 1, "i16": 2, "u16": 2, "i32": 4, "i64": 8, "f32": 4, "bf16": 2, "f16": 2}
# Floats are written as their bits.
_CODES = {"i8": "b", "u8": "B", "i16": "h", "u16": "H", "i32": "i", "i64": "q",
          "f32": "I", "bf16": "H", "f16": "H"}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """Elements of one type; floats as their bits."""

    dtype: str
    elements: Sequence[int]

    @property
    def raw(self) -> bytes:
        return struct.pack(f"<{len(self.elements)}{_CODES[self.dtype]}", *self.elements)


@dataclass(frozen=True)
class Vector:
    """One case: inputs and expected tensors by name, or the word of a trap."""

    name: str
    text: str
    inputs: dict[str, Tensor]
    expected: dict[str, Tensor] = field(default_factory=dict)
    trap: str = ""
    states: dict[str, Tensor] = field(default_factory=dict)


def header(
    inputs: dict[str, Tensor], outputs: dict[str, Tensor], extensions: str = ""
) -> list[str]:
    """Target and arguments; every tensor begins at the next multiple of 8 of its segment."""
    lines = ['.target "tiny"'] + ([f'.extensions "{extensions}"'] if extensions else [])
    for role, tensors in (("input", inputs), ("output", outputs)):
        for name, at in placed(tensors):
            tensor = tensors[name]
            lines.append(f'.{role} "{name}" {tensor.dtype} [{len(tensor.elements)}] at {at}')
    return lines


def placed(tensors: dict[str, Tensor], start: int = 0) -> list[tuple[str, int]]:
    """Name and address of tensors that lie one after the other, each at a multiple of 8."""
    places = []
    for name, tensor in tensors.items():
        places.append((name, start))
        start += -(-len(tensor.raw) // 8) * 8
    return places


def moved(segment: str, tensor: Tensor, at: int) -> str:
    """The map of a whole tensor."""
    count, size = len(tensor.elements), SIZES[tensor.dtype]
    return f"{segment} {tensor.dtype} {at} [{count}:{size}] box [{count}:{size}]"


def loaded(inputs: dict[str, Tensor]) -> tuple[list[str], list[str], list[int]]:
    """(maps m0, m1, .., loads on ld0 with counter 0, SPM addresses) of all inputs."""
    places = placed(inputs)
    maps = [f".map m{i} = {moved('input', inputs[n], at)}" for i, (n, at) in enumerate(places)]
    loads = [f"ld m{i}, spm={at}, ld0 inc 0" for i, (_, at) in enumerate(places)]
    return maps, loads, [at for _, at in places]


OUT_AT = 0x8000


@dataclass(frozen=True)
class Run:
    """How a kernel runs: its text (stream domains and lines), points x elements of a reduction."""

    kernel: str
    points: int
    reduced: int = 1
    more: tuple[str, ...] = ()  # further directives
    params: str = ""


def kernel_text(run: Run, inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> str:
    """A program that loads all inputs, runs the kernel once and stores its outputs."""
    maps, loads, at = loaded(inputs)
    lines = [*header(inputs, outputs), *run.more]
    streams = [(t, a, run.reduced) for t, a in zip(inputs.values(), at, strict=True)]
    results = placed(outputs, OUT_AT)
    streams += [
        (outputs[name], a, len(outputs[name].elements) // max(run.points, 1)) for name, a in results
    ]
    for i, (tensor, address, reduced) in enumerate(streams):
        size = SIZES[tensor.dtype]
        dims = f"{run.points}:{reduced * size}, 1:0, 1:0, {reduced}:{size}"
        lines.append(f".view v{i} = {tensor.dtype} spm {address} [1:0, 1:0, 1:0, {dims}]")
    lines += maps
    for i, (name, address) in enumerate(placed(outputs)):
        lines.append(f".map m{len(maps) + i} = {moved('output', outputs[name], address)}")
    lines.append(f".kernel k0 {run.kernel}")
    ins = [f"in{i}=v{i}" for i in range(len(inputs))]
    outs = [f"out{i}=v{len(inputs) + i}" for i in range(len(outputs))]
    operands = ", ".join(["k0", *(["params=p0"] if run.params else []), *ins, *outs])
    lines += [f".params p0 = {run.params}"] if run.params else []
    wait = f" wait ld0[0] >= {len(loads)}" if loads else ""
    code = [*loads, f"vexec {operands}{wait} inc 0"]
    code += [f"st m{len(maps) + i}, spm={address} wait vpu[0] >= 1"
             for i, (_, address) in enumerate(results)]  # fmt: skip
    return assembled(lines, code)


def assembled(directives: Iterable[str], code: Iterable[str]) -> str:
    """A program of one core that ends in halt."""
    body = [f"  {line}" for line in (*code, "halt")]
    return "\n".join([*directives, ".core 0 {", *body, "}", ""])


def kernel(domains: str, lines: Iterable[str]) -> str:
    """The text of a kernel: the domain of each stream, then its lines."""
    return "(" + ", ".join(domains) + ") {\n" + "\n".join(f"  {line}" for line in lines) + "\n}"
