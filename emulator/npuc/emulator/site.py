"""Where an instruction stands, in words: its number, text, group and ONNX nodes, for messages."""

from dataclasses import dataclass
from functools import lru_cache

from npuc.isa.encoding import decode_one
from npuc.isa.errors import NpucError
from npuc.isa.instructions import NO_INDEX, Command, Counter, Instruction, Kind, Wait
from npuc.isa.program import Program, SourceRange

_TABLES = (Kind.view, Kind.map, Kind.kernel, Kind.params)


@dataclass(frozen=True)
class Site:
    """One instruction of one core of a program."""

    program: Program
    core: int
    instruction: int

    @property
    def source(self) -> SourceRange | None:
        """The innermost debug record around the instruction; None where there is none."""
        hits = [
            s
            for s in self.program.debug.sources
            if s.core == self.core and s.start <= self.instruction < s.stop
        ]
        return min(hits, key=lambda s: s.stop - s.start, default=None)

    @property
    def text(self) -> str:
        """The instruction as text; its bits where they are no instruction."""
        row = self.program.code[self.core][self.instruction]
        bits = int.from_bytes(row.tobytes(), "little")
        try:
            return instruction_text(decode_one(bits, self.instruction))
        except NpucError:
            return f"bits {bits:#x}"

    def __str__(self) -> str:
        """Core, number, text, group and nodes in one line."""
        words = f"core {self.core}, instruction {self.instruction}: {self.text}"
        source = self.source
        if source is None:
            return words
        nodes = ", ".join(source.nodes) or "no node"
        return f"{words}; group {source.group}; node {nodes}"


@lru_cache(maxsize=4096)
def instruction_text(instruction: Instruction) -> str:
    """Mnemonic and operands that differ from their defaults, then waits and increment."""
    parts = []
    for name, spec, _ in instruction.layout():
        value = getattr(instruction, name)
        if spec.kind in _TABLES and value == NO_INDEX:
            continue
        if spec.kind is Kind.choice:
            parts.append(spec.choices[value])
        elif spec.kind in _TABLES or value != type(instruction).__dataclass_fields__[name].default:
            parts.append(f"{name}={_value_text(spec.kind, value)}")
    if isinstance(instruction, Command):
        parts += [wait_text(wait) for wait in instruction.waits]
        if instruction.increment is not None:
            parts.append(f"increment {instruction.increment}")
    return " ".join([instruction.mnemonic, ", ".join(parts)]).strip()


def wait_text(wait: Wait) -> str:
    """A wait as ``wait vpu.0 >= r5 - 1``, naming the core where it is not 0."""
    threshold = f"r{wait.reg} {'-' if wait.imm < 0 else '+'} {abs(wait.imm)}"
    return f"wait {counter_text(wait.counter)} >= {threshold}"


def counter_text(counter: Counter) -> str:
    """A counter as ``core1.vpu.0``."""
    return f"core{counter.core}.{counter.engine.name}.{counter.index}"


def _value_text(kind: Kind, value: int) -> str:
    if kind is Kind.reg:
        return f"r{value}"
    return f"{kind.value}{value}" if kind in _TABLES else str(value)
