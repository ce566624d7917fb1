"""The control pass: scalar code, loops and branches become one CommandStream per core.

No instruction of ctl reads memory, so control never depends on data and runs ahead of values.
``path="plain"`` is the truth in plain Python; ``"fast"`` is compiled and gives equal streams.
"""

from dataclasses import dataclass, field

import numpy as np

from npuc.emulator.control_kernel import DONE, FULL, OVERRUN, ControlState, run_compiled
from npuc.emulator.decode import CoreCode, DecodedProgram
from npuc.emulator.jit import HAS_NUMBA
from npuc.emulator.stream import CommandStream, Int64s
from npuc.emulator.validate import execution_error
from npuc.isa.errors import ExecutionError
from npuc.isa.instructions import BY_OPCODE
from npuc.isa.instructions.base import REGISTERS
from npuc.isa.instructions.flow import Branch, Break, Halt, Jump, Loop, Trap
from npuc.isa.instructions.scalar import Scalar, wrap64

COMMAND_BUDGET = 200_000_000


@dataclass
class _Dispatched:
    """What the interpreter notes for each command, in order."""

    instruction: list[int] = field(default_factory=list)
    ctl_cycles: list[int] = field(default_factory=list)
    registers: list[list[int]] = field(default_factory=list)


def control(
    decoded: DecodedProgram, budget: int = COMMAND_BUDGET, path: str = "fast"
) -> tuple[CommandStream, ...]:
    """One stream per core. Fences are rows of engine ctl, as are nops on ctl.

    Raises: ExecutionError for a trap, for code that runs off its end, and when a core executes
    more than ``budget`` instructions, naming the loop.
    """
    compiled = path == "fast" and HAS_NUMBA
    walk = _walk_compiled if compiled else _walk_plain
    return tuple(walk(decoded, code, budget) for code in decoded.cores)


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


def _walk_plain(decoded: DecodedProgram, code: CoreCode, budget: int) -> CommandStream:
    registers, noted = [0] * REGISTERS, _Dispatched()
    loops: list[list[int]] = []  # first instruction, end, trips left
    pc, executed, since = 0, 0, 0
    while pc < len(code):
        while loops and pc == loops[-1][1]:
            loops[-1][2] -= 1
            if loops[-1][2] > 0:
                pc = loops[-1][0]
                break
            loops.pop()
        if executed == budget:
            raise _overrun(decoded, code, pc, budget)
        executed, since = executed + 1, since + 1
        opcode = int(code.opcode[pc])
        if opcode == Halt.opcode:
            break
        if opcode == Trap.opcode:
            raise _trapped(decoded, code, pc)
        if issubclass(BY_OPCODE[opcode], Scalar):
            _compute(code, pc, registers)
            pc += 1
        elif opcode in (Loop.opcode, Break.opcode, Branch.opcode, Jump.opcode):
            pc = _flow(code, pc, registers, loops)
        else:
            noted.instruction.append(pc)
            noted.ctl_cycles.append(since)
            noted.registers.append(list(registers))
            since, pc = 0, pc + 1
    return _stream(
        code,
        np.array(noted.instruction, np.int64),
        np.array(noted.ctl_cycles, np.int64),
        np.array(noted.registers, np.int64).reshape(-1, REGISTERS),
    )


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


def _walk_compiled(decoded: DecodedProgram, code: CoreCode, budget: int) -> CommandStream:
    table = _control_table(code)
    state = ControlState.start(max(len(code), 1024))
    while True:
        status = run_compiled(table, state, budget)
        at = int(state.scalars[0])
        if status == DONE:
            break
        if status == FULL:
            state = state.grown()
        elif status == OVERRUN:
            raise _overrun(decoded, code, at, budget)
        else:
            raise _trapped(decoded, code, at)
    n = int(state.scalars[1])
    return _stream(code, state.instruction[:n], state.ctl_cycles[:n], state.registers[:n])


def _control_table(code: CoreCode) -> Int64s:
    """n x 6: opcode and, by opcode, the operands that control needs."""
    table = np.zeros((len(code), 6), np.int64)
    table[:, 0] = np.where(code.is_command, 0, code.opcode)
    for column, names in enumerate(
        (("rd", "rc"), ("ra", "body"), ("rb", "offset"), ("imm",), ("count",)), start=1
    ):
        for name in names:
            if name in code.columns:
                table[:, column] += np.where(code.is_command, 0, code.columns[name])
    return table
