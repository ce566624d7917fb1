"""The compiled interpreter of ctl: explicit int64 arrays, resumed when its buffers are full."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from npuc.emulator.stream import Int64s
from npuc.isa.instructions import flow, maps, order, scalar, word
from npuc.isa.instructions.base import MAX_LOOP_DEPTH, REGISTERS
from npuc.isa.jit import njit

DONE, FULL, OVERRUN, TRAPPED, PAUSED, CALLED = 0, 1, 2, 3, 4, 5
_ADD, _SUB, _MUL = scalar.Add.opcode, scalar.Sub.opcode, scalar.Mul.opcode
_MIN, _MAX, _AND = scalar.Min.opcode, scalar.Max.opcode, scalar.And.opcode
_OR, _XOR, _SHL = scalar.Or.opcode, scalar.Xor.opcode, scalar.Shl.opcode
_SHR, _SLT, _SEQ = scalar.Shr.opcode, scalar.Slt.opcode, scalar.Seq.opcode
_LOOP, _BREAK, _BRANCH = flow.Loop.opcode, flow.Break.opcode, flow.Branch.opcode
_JUMP, _HALT, _TRAP = flow.Jump.opcode, flow.Halt.opcode, flow.Trap.opcode
_FENCE, _LOAD_WORD = order.Fence.opcode, word.LoadWord.opcode
_LOAD_MAP, _SET_MAP = maps.LoadMap.opcode, maps.SetMap.opcode
MAPPED = maps.LoadMapped.opcode  # in the table, of stores through map registers, too
_COMMAND = 0
# Scalar opcodes are below those of flow; the table holds _COMMAND for every engine command.


@dataclass
class ControlState:
    """Everything the interpreter needs to go on: ``scalars`` are pc, commands noted, instructions
    executed, instructions since the last command, loop depth; ``loops`` depth x (first, end, left).
    """

    scalars: Int64s
    file: Int64s
    loops: Int64s
    instruction: Int64s
    ctl_cycles: Int64s
    registers: Int64s

    @staticmethod
    def start(capacity: int) -> "ControlState":
        """The state before the first instruction, with room for ``capacity`` commands."""
        return ControlState(
            np.zeros(5, np.int64),
            np.zeros(REGISTERS, np.int64),
            np.zeros((MAX_LOOP_DEPTH, 3), np.int64),
            np.zeros(capacity, np.int64),
            np.zeros(capacity, np.int64),
            np.zeros((capacity, REGISTERS), np.int64),
        )

    def resized(self, capacity: int) -> "ControlState":
        """The same state with room for ``capacity`` commands; those noted must fit."""
        kept, larger = int(self.scalars[1]), ControlState.start(capacity)
        for mine, theirs in (
            (self.instruction, larger.instruction),
            (self.ctl_cycles, larger.ctl_cycles),
            (self.registers, larger.registers),
        ):
            theirs[:kept] = mine[:kept]
        return replace(larger, scalars=self.scalars, file=self.file, loops=self.loops)


def run_compiled(table: Int64s, state: ControlState, budget: int) -> int:
    """Go on until the end, a word load, a full buffer, the budget or a trap.

    The state says where: after a word load, behind it. CALLED: the instruction before is one of
    map registers, which the caller carries out.
    """
    return int(
        _run(
            table,
            state.scalars,
            state.file,
            state.loops,
            state.instruction,
            state.ctl_cycles,
            state.registers,
            budget,
        )
    )


@njit(inner=True)
def _scalar(opcode: int, a: Any, b: Any) -> Any:
    if opcode == _ADD:
        return a + b
    if opcode == _SUB:
        return a - b
    if opcode == _MUL:
        return a * b
    if opcode == _MIN:
        return min(a, b)
    if opcode == _MAX:
        return max(a, b)
    if opcode == _AND:
        return a & b
    if opcode == _OR:
        return a | b
    if opcode == _XOR:
        return a ^ b
    if opcode == _SHL:
        return a << (b & 63)
    if opcode == _SHR:
        return a >> (b & 63)
    if opcode == _SLT:
        return 1 if a < b else 0
    return 1 if a == b else 0


@njit(inner=True)
def _next(row: Int64s, pc: int, file: Int64s, loops: Int64s, scalars: Int64s) -> Any:
    """The next instruction after a flow instruction."""
    depth = scalars[4]
    opcode = row[0]
    if opcode == _LOOP:
        trips = file[row[1]] + row[5]
        body = row[2]
        if trips <= 0 or body == 0:
            return pc + 1 + body
        loops[depth, 0], loops[depth, 1], loops[depth, 2] = pc + 1, pc + 1 + body, trips
        scalars[4] = depth + 1
        return pc + 1
    if opcode == _JUMP:
        return pc + row[3]
    if file[row[2]] == 0:
        return pc + 1
    if opcode == _BRANCH:
        return pc + row[3]
    scalars[4] = depth - 1
    return loops[depth - 1, 1]


@njit(inner=True)
def _close_loops(pc: int, loops: Int64s, scalars: Int64s) -> Any:
    """Start the next trip of each loop that ends here, or leave it."""
    while scalars[4] > 0 and pc == loops[scalars[4] - 1, 1]:
        top = scalars[4] - 1
        loops[top, 2] -= 1
        if loops[top, 2] > 0:
            return loops[top, 0]
        scalars[4] = top
    return pc


@njit
def _run(  # noqa: PLR0913, PLR0917  # compiled code takes arrays, not records
    table: Int64s,
    scalars: Int64s,
    file: Int64s,
    loops: Int64s,
    instruction: Int64s,
    ctl_cycles: Int64s,
    registers: Int64s,
    budget: int,
) -> int:
    pc = scalars[0]
    while pc < len(table):
        pc = _close_loops(pc, loops, scalars)
        scalars[0] = pc
        if scalars[2] == budget:
            return OVERRUN
        row = table[pc]
        opcode = row[0]
        is_noted = opcode in (_COMMAND, _FENCE, _LOAD_WORD, MAPPED)
        if is_noted and scalars[1] == len(instruction):
            return FULL
        scalars[2] += 1
        scalars[3] += 1
        if opcode == _HALT:
            return DONE
        if opcode == _TRAP:
            return TRAPPED
        if is_noted:
            n = scalars[1]
            instruction[n], ctl_cycles[n] = pc, scalars[3]
            registers[n, :] = file
            scalars[1], scalars[3] = n + 1, 0
            pc += 1
            if opcode in (_LOAD_WORD, MAPPED):
                scalars[0] = pc
                return PAUSED if opcode == _LOAD_WORD else CALLED
        elif opcode in (_LOAD_MAP, _SET_MAP):
            scalars[0] = pc + 1
            return CALLED
        elif opcode < _LOOP:
            value = _scalar(opcode, file[row[2]], file[row[3]] + row[4])
            if row[1] != 0:
                file[row[1]] = value
            pc += 1
        else:
            pc = _next(row, pc, file, loops, scalars)
    scalars[0] = pc
    return DONE
