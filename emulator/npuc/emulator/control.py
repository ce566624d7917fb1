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
from npuc.emulator.limits import DEFAULT_LIMITS, Allowance, Limits
from npuc.emulator.map_registers import MAP_OPCODES, MapRegisters
from npuc.emulator.map_registers import MAPPED as MAPPED_TRANSFERS
from npuc.emulator.stream import CommandStream, Int64s
from npuc.isa.errors import CapacityError, TrapError, UsageError
from npuc.isa.instructions import BY_OPCODE
from npuc.isa.instructions.base import REGISTERS
from npuc.isa.instructions.flow import Branch, Break, Halt, Jump, Loop, Trap
from npuc.isa.instructions.scalar import Scalar, wrap64
from npuc.isa.instructions.word import LoadWord
from npuc.isa.jit import HAS_NUMBA

MAX_SHOWN_LOOPS = 4


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


@dataclass(frozen=True)
class Ways:
    """How the cores of one run may walk: ``path`` as of ``control``; one allowance for all."""

    limits: Limits = DEFAULT_LIMITS
    path: str = "fast"
    allowance: Allowance = field(default_factory=lambda: Allowance(DEFAULT_LIMITS.commands))

    @staticmethod
    def under(limits: Limits, path: str) -> "Ways":
        """Ways with all that ``limits`` allow."""
        return Ways(limits, path, Allowance(limits.commands))


def walk(decoded: DecodedProgram, core: int, ways: Ways) -> Walk:
    """The way of one core from its first instruction."""
    compiled = ways.path == "fast" and HAS_NUMBA
    return (_CompiledWalk if compiled else _PlainWalk)(decoded, decoded.cores[core], ways)


def loads_words(decoded: DecodedProgram) -> bool:
    """Whether control depends on values: on the argument block, SPM or DRAM."""
    return any((code.opcode == LoadWord.opcode).any() for code in decoded.cores)


def control(
    decoded: DecodedProgram, limits: Limits = DEFAULT_LIMITS, path: str = "fast"
) -> tuple[CommandStream, ...]:
    """One stream per core. Fences are rows of engine ctl, as are nops on ctl.

    Raises: UsageError for a program that loads words, whose commands only a run knows;
    TrapError for a trap; CapacityError when a core executes, or all dispatch, more than ``limits``
    say, naming the loops.
    """
    if loads_words(decoded):
        raise UsageError(
            "the commands of this program depend on its inputs: it loads words of memory",
            next_step="run it on inputs; the result holds its commands",
        )
    streams, ways = [], Ways.under(limits, path)
    for core in range(len(decoded.cores)):
        way = walk(decoded, core, ways)
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


def _overrun(decoded: DecodedProgram, code: CoreCode, at: int, limits: Limits) -> CapacityError:
    return CapacityError(
        "the program executes too many instructions",
        str(decoded.site(code.core, at)),
        f"more than {limits.instructions:,}, {loops_around(decoded, code, at)}",
        f"{limits.instructions:,} per core",
        "mend the loop's count or condition, or raise the limit: npuc run --instructions",
    )


def _overfull(decoded: DecodedProgram, code: CoreCode, at: int, limits: Limits) -> CapacityError:
    return CapacityError(
        "the program dispatches too many commands",
        str(decoded.site(code.core, at)),
        f"more than {limits.commands:,}, {loops_around(decoded, code, at)}",
        f"{limits.commands:,} of all cores",
        "mend the loop's count or condition, or raise the limit: npuc run --commands",
    )


def loops_around(decoded: DecodedProgram, code: CoreCode, at: int) -> str:
    """The loops around an instruction in words, innermost first: hardware loops and branches back.

    Of a loop made by a branch the branch is named.
    """
    loops, around = [], int(code.loop_of[at])
    while around >= 0:
        loops.append((around, around + int(code.columns["body"][around]), around))
        around = int(code.loop_of[around])
    for branch in np.flatnonzero(np.isin(code.opcode, (Branch.opcode, Jump.opcode))).tolist():
        goal = branch + int(code.columns["offset"][branch])
        if goal <= at <= branch:
            loops.append((goal, branch, branch))
    loops.sort(key=lambda loop: loop[1] - loop[0])
    named = [
        f"in the loop of instructions {first} to {last} by {decoded.site(code.core, by)}"
        for first, last, by in loops[:MAX_SHOWN_LOOPS]
    ]
    return ", ".join(named) or "outside any loop"


def _trapped(decoded: DecodedProgram, code: CoreCode, at: int) -> TrapError:
    return TrapError(
        "the program trapped",
        str(decoded.site(code.core, at)),
        f"code {int(code.columns['code'][at])}",
    )


# -- the truth ------------------------------------------------------------------------------------


class _PlainWalk:
    """The interpreter in plain Python."""

    def __init__(self, decoded: DecodedProgram, code: CoreCode, ways: Ways) -> None:
        self.decoded, self.code = decoded, code
        self.limits, self.allowance = ways.limits, ways.allowance
        self.registers, self.noted = [0] * REGISTERS, _Dispatched()
        self.loops: list[list[int]] = []  # first instruction, end, trips left
        self.pc, self.executed, self.since = 0, 0, 0
        self.maps = MapRegisters(decoded, code)

    def advance(self) -> bool:
        code = self.code
        while self.pc < len(code):
            self._close_loops()
            if self.executed == self.limits.instructions:
                raise _overrun(self.decoded, code, self.pc, self.limits)
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
        if self.allowance.commands == 0:
            raise _overfull(self.decoded, self.code, self.pc, self.limits)
        self.allowance.commands -= 1
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

    def __init__(self, decoded: DecodedProgram, code: CoreCode, ways: Ways) -> None:
        self.decoded, self.code = decoded, code
        self.limits, self.allowance = ways.limits, ways.allowance
        self.table = _control_table(code)
        self.state = ControlState.start(min(max(len(code), 1024), self.allowance.commands))
        self.taken = 0
        self.maps = MapRegisters(decoded, code)

    def advance(self) -> bool:
        while True:
            noted = int(self.state.scalars[1])
            self._keep_room(noted + self.allowance.commands)
            status = run_compiled(self.table, self.state, self.limits.instructions)
            at = int(self.state.scalars[0])
            self.allowance.commands -= int(self.state.scalars[1]) - noted
            if status in (DONE, PAUSED):
                return status == PAUSED
            if status == CALLED:
                self._map_instruction(at - 1)
            elif status == FULL:
                if self.allowance.commands == 0:
                    raise _overfull(self.decoded, self.code, at, self.limits)
                self.state = self.state.resized(2 * len(self.state.instruction))
            elif status == OVERRUN:
                raise _overrun(self.decoded, self.code, at, self.limits)
            else:
                raise _trapped(self.decoded, self.code, at)

    def _keep_room(self, most: int) -> None:
        """No more room than the commands noted and those that all cores may still dispatch."""
        if len(self.state.instruction) > most:
            self.state = self.state.resized(most)

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
