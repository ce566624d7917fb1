"""Where an instruction stands, in words: its number, text, group and ONNX nodes, for messages."""

from dataclasses import dataclass

from npuc.isa.assembly.text import Surroundings, instruction_text
from npuc.isa.encoding import decode_one
from npuc.isa.errors import NpucError
from npuc.isa.instructions import Counter
from npuc.isa.program import Program, SourceRange


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
        around = Surroundings(core=self.core)
        try:
            return instruction_text(decode_one(bits, self.instruction), around)
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


def counter_text(counter: Counter) -> str:
    """A counter as ``core1.vpu[0]``."""
    return f"core{counter.core}.{counter.engine.name}[{counter.index}]"
