"""The control pass: scalar code, loops and branches become one CommandStream per core.

Control runs ahead of values, but for word loads: there it stops until someone (``stepwise``) has
the word.
``path="plain"`` is the truth in plain Python; ``"fast"`` is compiled and gives equal streams.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from npuc.emulator.control_kernel import (
    CALLED,
    DONE,
    FULL,
    MAPPED,
    OVERRUN,
    PAUSED,
    ControlState,
    run_compiled,
)
from npuc.emulator.decode import CoreCode, DecodedProgram
from npuc.emulator.map_registers import MAP_OPCODES, MapRegisters
from npuc.emulator.map_registers import MAPPED as MAPPED_TRANSFERS
from npuc.emulator.stream import CommandStream, Int64s
from npuc.emulator.validate import execution_error
from npuc.isa.errors import ExecutionError, UsageError
from npuc.isa.instructions import BY_OPCODE
from npuc.isa.instructions.base import REGISTERS
from npuc.isa.instructions.flow import Branch, Break, Halt, Jump, Loop, Trap
from npuc.isa.instructions.scalar import Scalar, wrap64
from npuc.isa.instructions.word import LoadWord
from npuc.isa.jit import HAS_NUMBA

COMMAND_BUDGET = 200_000_000


@dataclass
class _Dispatched:
    """What the interpreter notes for each command, in order."""

    instruction: list[int] = field(default_factory=list)
    ctl_cycles: list[int] = field(default_factory=list)
    registers: list[list[int]] = field(default_factory=list)


class Walk(Protocol):
    """One core's way through its code: it stops at each word load until the word is given."""

    code: CoreCode

    def advance(self) -> bool:
        """Go on to the next word load (true: it is the last command noted) or to the end.

        Raises: ExecutionError for traps and budgets.
        """
        ...

    def give(self, word: int) -> None:
        """The word that the load found."""
        ...

    def take(self) -> CommandStream:
        """The commands noted since the last ``take``."""
        ...


def walk(
    decoded: DecodedProgram, core: int, budget: int = COMMAND_BUDGET, path: str = "fast"
) -> Walk:
    """The way of one core from its first instruction, at most ``budget`` of them."""
    compiled = path == "fast" and HAS_NUMBA
    return (_CompiledWalk if compiled else _PlainWalk)(decoded, decoded.cores[core], budget)


def loads_words(decoded: DecodedProgram) -> bool:
    """Whether control depends on values: on the argument block, SPM or DRAM."""
    return any((code.opcode == LoadWord.opcode).any() for code in decoded.cores)


def control(
    decoded: DecodedProgram, budget: int = COMMAND_BUDGET, path: str = "fast"
) -> tuple[CommandStream, ...]:
    """One stream per core. Fences are rows of engine ctl, as are nops on ctl.

    Raises: UsageError for a program that loads words, whose commands only a run knows;
    ExecutionError for a trap, for code that runs off its end, and when a core executes more than
    ``budget`` instructions, naming the loop.
    """
    if loads_words(decoded):
        raise UsageError(
            "the commands of this program depend on its inputs: it loads words of memory",
            next_step="run it on inputs; the result holds its commands",
        )
    streams = []
    for core in range(len(decoded.cores)):
        way = walk(decoded, core, budget, path)
        way.advance()
        streams.append(way.take())
    return tuple(streams)


def _stream(
    code: CoreCode, instruction: Int64s, cycles: Int64s, registers: Int64s
) -> CommandStream:
    rows = np.arange(len(instruction))[:, np.newaxis]
    base = registers[rows, code.wait_register[instruction]]
    return CommandStream(
        instruction=instruction,
        engine=code.engine[instruction],
        ctl_cycles=cycles,
        registers=registers,
        wait_counter=code.wait_counter[instruction],
        wait_threshold=base + code.wait_immediate[instruction],
        increment=code.increment[instruction],
    )


def _overrun(decoded: DecodedProgram, code: CoreCode, at: int, budget: int) -> ExecutionError:
    loop = int(code.loop_of[at])
    named = f"in the loop at {decoded.site(code.core, loop)}" if loop >= 0 else "outside any loop"
    return execution_error(
        decoded,
        code.core,
        at,
        "the program executes too many instructions",
        given=f"more than {budget}, {named}",
        allowed=f"{budget} per core",
        next_step="raise the command budget, or mend the loop's count",
    )


def _trapped(decoded: DecodedProgram, code: CoreCode, at: int) -> ExecutionError:
    return execution_error(
        decoded, code.core, at, "the program trapped", given=f"code {int(code.columns['code'][at])}"
    )


# -- the truth ------------------------------------------------------------------------------------


class _PlainWalk:
    """The interpreter in plain Python."""

    def __init__(self, decoded: DecodedProgram, code: CoreCode, budget: int) -> None:
        self.decoded, self.code, self.budget = decoded, code, budget
        self.registers, self.noted = [0] * REGISTERS, _Dispatched()
        self.loops: list[list[int]] = []  # first instruction, end, trips left
        self.pc, self.executed, self.since = 0, 0, 0
        self.maps = MapRegisters(decoded, code)

    def advance(self) -> bool:
        code = self.code
        while self.pc < len(code):
            self._close_loops()
            if self.executed == self.budget:
                raise _overrun(self.decoded, code, self.pc, self.budget)
            self.executed, self.since = self.executed + 1, self.since + 1
            opcode = int(code.opcode[self.pc])
            if opcode == Halt.opcode:
                return False
            if opcode == Trap.opcode:
                raise _trapped(self.decoded, code, self.pc)
            if issubclass(BY_OPCODE[opcode], Scalar):
                _compute(code, self.pc, self.registers)
                self.pc += 1
            elif opcode in (Loop.opcode, Break.opcode, Branch.opcode, Jump.opcode):
                self.pc = _flow(code, self.pc, self.registers, self.loops)
            elif opcode in MAP_OPCODES:
                self.maps.execute(self.pc, self.registers)
                self.pc += 1
            else:
                self._note()
                if opcode == LoadWord.opcode:
                    return True
        return False

    def give(self, word: int) -> None:
        if register := int(self.code.columns["rt"][self.pc - 1]):
            self.registers[register] = word

    def take(self) -> CommandStream:
        noted, self.noted = self.noted, _Dispatched()
        stream = _stream(
            self.code,
            np.array(noted.instruction, np.int64),
            np.array(noted.ctl_cycles, np.int64),
            np.array(noted.registers, np.int64).reshape(-1, REGISTERS),
        )
        return self.maps.put(stream)

    def _note(self) -> None:
        if self.code.opcode[self.pc] in MAPPED_TRANSFERS:
            self.maps.capture(self.pc, len(self.noted.instruction))
        self.noted.instruction.append(self.pc)
        self.noted.ctl_cycles.append(self.since)
        self.noted.registers.append(list(self.registers))
        self.since, self.pc = 0, self.pc + 1

    def _close_loops(self) -> None:
        while self.loops and self.pc == self.loops[-1][1]:
            self.loops[-1][2] -= 1
            if self.loops[-1][2] > 0:
                self.pc = self.loops[-1][0]
                return
            self.loops.pop()


def _compute(code: CoreCode, pc: int, registers: list[int]) -> None:
    operation = BY_OPCODE[int(code.opcode[pc])]
    assert issubclass(operation, Scalar)
    rd, ra, rb, imm = (int(code.columns[name][pc]) for name in ("rd", "ra", "rb", "imm"))
    if rd:
        registers[rd] = operation.compute(registers[ra], wrap64(registers[rb] + imm))


def _flow(code: CoreCode, pc: int, registers: list[int], loops: list[list[int]]) -> int:
    """The next instruction after a loop, break, branch or jump."""
    opcode = int(code.opcode[pc])
    if opcode == Loop.opcode:
        trips = wrap64(registers[int(code.columns["rc"][pc])] + int(code.columns["count"][pc]))
        body = int(code.columns["body"][pc])
        if trips <= 0 or body == 0:
            return pc + 1 + body
        loops.append([pc + 1, pc + 1 + body, trips])
        return pc + 1
    if opcode == Jump.opcode:
        return pc + int(code.columns["offset"][pc])
    if registers[int(code.columns["ra"][pc])] == 0:
        return pc + 1
    if opcode == Branch.opcode:
        return pc + int(code.columns["offset"][pc])
    return loops.pop()[1]


# -- compiled -------------------------------------------------------------------------------------


class _CompiledWalk:
    """The compiled interpreter and its buffers."""

    def __init__(self, decoded: DecodedProgram, code: CoreCode, budget: int) -> None:
        self.decoded, self.code, self.budget = decoded, code, budget
        self.table = _control_table(code)
        self.state = ControlState.start(max(len(code), 1024))
        self.taken = 0
        self.maps = MapRegisters(decoded, code)

    def advance(self) -> bool:
        while True:
            status = run_compiled(self.table, self.state, self.budget)
            at = int(self.state.scalars[0])
            if status in (DONE, PAUSED):
                return status == PAUSED
            if status == CALLED:
                self._map_instruction(at - 1)
            elif status == FULL:
                self.state = self.state.grown()
            elif status == OVERRUN:
                raise _overrun(self.decoded, self.code, at, self.budget)
            else:
                raise _trapped(self.decoded, self.code, at)

    def give(self, word: int) -> None:
        at = int(self.state.scalars[0]) - 1
        if register := int(self.code.columns["rt"][at]):
            self.state.file[register] = word

    def take(self) -> CommandStream:
        state, rows = self.state, slice(self.taken, int(self.state.scalars[1]))
        self.taken = rows.stop
        stream = _stream(
            self.code, state.instruction[rows], state.ctl_cycles[rows], state.registers[rows]
        )
        return self.maps.put(stream)

    def _map_instruction(self, at: int) -> None:
        if self.code.opcode[at] in MAPPED_TRANSFERS:
            self.maps.capture(at, int(self.state.scalars[1]) - 1 - self.taken)
        else:
            self.maps.execute(at, self.state.file)


def _control_table(code: CoreCode) -> Int64s:
    """n x 6: opcode and, by opcode, the operands that control needs."""
    table = np.zeros((len(code), 6), np.int64)
    runs_ahead = code.is_command & (code.opcode != LoadWord.opcode)
    table[:, 0] = np.where(runs_ahead, 0, code.opcode)
    table[np.isin(code.opcode, MAPPED_TRANSFERS), 0] = MAPPED
    for column, names in enumerate(
        (("rd", "rc"), ("ra", "body"), ("rb", "offset"), ("imm",), ("count",)), start=1
    ):
        for name in names:
            if name in code.columns:
                table[:, column] += np.where(code.is_command, 0, code.columns[name])
    return table
