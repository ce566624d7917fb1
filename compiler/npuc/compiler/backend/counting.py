"""Running command counts while a group is lowered, and the thresholds made from them.

Register r of an engine holds its command count at the last *flush*; ``pending`` counts the
commands since, so that count now = register + pending. Loops in which some wait reads an engine's
count flush it at the end of the body; other engines' commands are added after the loop at once.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from npuc.compiler.backend.code import Code
from npuc.compiler.backend.registers import COUNT_REGISTERS
from npuc.isa.instructions import Counter, Engine, Wait
from npuc.isa.instructions.base import WAIT_IMM_MAX, WAIT_IMM_MIN

FLUSH_ABOVE = WAIT_IMM_MAX // 2


@dataclass
class Counting:
    """Counts of one core while its group is lowered."""

    code: Code
    core: int
    pending: dict[Engine, int] = field(default_factory=lambda: dict.fromkeys(COUNT_REGISTERS, 0))
    entry: dict[Engine, int] = field(default_factory=dict)

    def begin(self, engines: Collection[Engine]) -> None:
        """Keep the counts of ``engines`` at the start of the group in registers."""
        for engine in COUNT_REGISTERS:
            if engine in engines:
                self.entry[engine] = self.code.registers.take()
                self.code.scalar("add", self.entry[engine], (COUNT_REGISTERS[engine], 0))

    def issued(self, engine: Engine, commands: int = 1) -> None:
        """Commands of ``engine`` were issued."""
        self.pending[engine] += commands

    def flush(self, engine: Engine) -> None:
        """Bring the register of ``engine`` up to date."""
        if self.pending[engine]:
            register = COUNT_REGISTERS[engine]
            self.code.scalar("add", register, (register, 0), self.pending[engine])
            self.pending[engine] = 0

    def flush_all(self) -> None:
        """Bring all registers up to date: the end of a group."""
        for engine in COUNT_REGISTERS:
            self.flush(engine)

    def waits(
        self, distances: Mapping[Engine, int], early: Collection[Engine] = ()
    ) -> tuple[Wait, ...]:
        """Waits for all but the last ``distances[e]`` commands of each engine e.

        Those of ``early`` wait for nothing while they name no command of this group.
        A distance beyond the immediate is shortened: the wait becomes stronger, never wrong.
        """
        return tuple(
            self._wait(engine, distances[engine], engine in early)
            for engine in COUNT_REGISTERS
            if engine in distances
        )

    def _wait(self, engine: Engine, distance: int, is_early: bool) -> Wait:
        if self.pending[engine] > FLUSH_ABOVE:
            self.flush(engine)
        register, imm = COUNT_REGISTERS[engine], max(self.pending[engine] - distance, WAIT_IMM_MIN)
        if is_early and imm <= 0:
            count, register = register, self.code.registers.take()
            self.code.scalar("slt", register, (self.entry[engine], count), imm)
            self.code.scalar("mul", register, (register, count))
        return Wait(Counter(self.core, engine), register, imm)
