"""Program to DecodedProgram: every field of every instruction as a column, checked once.

The first step of execution. What the bits alone can prove wrong is refused here (``validate``), so
that later passes look only at what registers decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from npuc.emulator.site import Site
from npuc.isa.encoding import INCREMENT_BIT, WAIT_BITS, decode_fields
from npuc.isa.errors import BinaryError
from npuc.isa.instructions import (
    BY_OPCODE,
    INSTRUCTIONS,
    Command,
    Engine,
    Field,
    Instruction,
    Kind,
)
from npuc.isa.instructions.base import MAX_LOOP_DEPTH
from npuc.isa.instructions.flow import Loop
from npuc.isa.program import Code, Program
from npuc.isa.target import Target

Int64s = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
_ENGINE_FIELD = "queue"


@dataclass(frozen=True)
class CoreCode:
    """The instructions of one core as columns; n is their number.

    ``columns`` holds each operand field by name, 0 where an instruction has no such field.
    ``engine`` n: Engine.value. ``wait_counter`` n x 2: counter number (core * 256 + engine * 32 +
    index) or -1 for no wait; ``wait_register`` and ``wait_immediate`` give its threshold.
    ``increment`` n: counter index or -1. ``loop_of`` n: the innermost loop around, or -1.
    """

    core: int
    opcode: Int64s
    columns: Mapping[str, Int64s]
    engine: Int64s
    is_command: Mask
    wait_counter: Int64s
    wait_register: Int64s
    wait_immediate: Int64s
    increment: Int64s
    loop_of: Int64s = field(repr=False)

    def __len__(self) -> int:
        """Number of instructions."""
        return len(self.opcode)


@dataclass(frozen=True)
class DecodedProgram:
    """A program with its code as columns, for the machine ``target``."""

    program: Program
    target: Target
    cores: tuple[CoreCode, ...]

    def site(self, core: int, instruction: int) -> Site:
        """Where an instruction stands, for messages."""
        return Site(self.program, core, instruction)


def decode_columns(program: Program, core: int) -> CoreCode:
    """The columns of one core's code.

    Raises: BinaryError for unknown opcodes, stray bits and loops that do not nest.
    """
    rows = program.code[core]
    opcode = rows[:, 0].astype(np.int64)
    _check_bits(program, core, opcode)
    columns = _operand_columns(rows, opcode)
    is_command = np.isin(opcode, [c.opcode for c in INSTRUCTIONS if issubclass(c, Command)])
    waits = [_wait_columns(rows, start, is_command) for start in WAIT_BITS]
    order = decode_fields(rows, Field(Kind.count, 6), INCREMENT_BIT)
    return CoreCode(
        core=core,
        opcode=opcode,
        columns=columns,
        engine=_engines(opcode, columns),
        is_command=is_command,
        wait_counter=np.stack([w[0] for w in waits], axis=1),
        wait_register=np.stack([w[1] for w in waits], axis=1),
        wait_immediate=np.stack([w[2] for w in waits], axis=1),
        increment=np.where(is_command & (order >> 5 == 1), order & 31, -1),
        loop_of=_innermost_loops(program, core, opcode, columns),
    )


def _operand_columns(rows: Code, opcode: Int64s) -> dict[str, Int64s]:
    columns: dict[str, Int64s] = {}
    for value in np.unique(opcode):
        mask = opcode == value
        for name, spec, start in BY_OPCODE[int(value)].layout():
            column = columns.setdefault(name, np.zeros(len(rows), np.int64))
            column[mask] = decode_fields(rows[mask], spec, start)
    return columns


def _wait_columns(rows: Code, start: int, is_command: Mask) -> tuple[Int64s, Int64s, Int64s]:
    word = decode_fields(rows, Field(Kind.count, 32), start)
    exists = is_command & (word != 0)
    immediate = decode_fields(rows, Field(Kind.imm, 15), start)
    register = word >> 15 & 31
    return np.where(exists, word >> 20 & 0xFFF, -1), register, immediate


def _engines(opcode: Int64s, columns: Mapping[str, Int64s]) -> Int64s:
    engine = np.zeros(len(opcode), np.int64)
    for value in np.unique(opcode):
        mask = opcode == value
        cls = BY_OPCODE[int(value)]
        choices = [spec for name, spec, _ in cls.layout() if name == _ENGINE_FIELD]
        if choices:
            codes = np.array([Engine[name].value for name in choices[0].choices], np.int64)
            engine[mask] = codes[columns[_ENGINE_FIELD][mask]]
        else:
            engine[mask] = cls().engine.value
    return engine


def _check_bits(program: Program, core: int, opcode: Int64s) -> None:
    rows = program.code[core]
    known = np.isin(opcode, list(BY_OPCODE))
    if not known.all():
        _refuse(program, core, known, "unknown opcode")
    for value in np.unique(opcode):
        mask = opcode == value
        cls = BY_OPCODE[int(value)]
        stray = (rows[mask] & ~_legal_bits(cls)).any(axis=1)
        for _, spec, start in cls.layout():
            if spec.kind is Kind.choice:
                stray |= decode_fields(rows[mask], spec, start) >= len(spec.choices)
        good = np.ones(len(rows), bool)
        good[np.flatnonzero(mask)] = ~stray
        if stray.any():
            _refuse(program, core, good, "reserved bits are set or a field holds an unknown code")


def _legal_bits(cls: type[Instruction]) -> npt.NDArray[np.uint8]:
    bits = 0xFF
    if issubclass(cls, Command):
        bits |= 0x3F << INCREMENT_BIT | sum(0xFFFFFFFF << start for start in WAIT_BITS)
    for _, spec, start in cls.layout():
        bits |= ((1 << spec.width) - 1) << start
    return np.frombuffer(bits.to_bytes(32, "little"), np.uint8)


def _refuse(program: Program, core: int, good: Mask, what: str) -> None:
    first = int(np.argmin(good))
    raise BinaryError(
        what,
        str(Site(program, core, first)),
        next_step="compile the model again, or mend the assembly text",
    )


def _innermost_loops(
    program: Program, core: int, opcode: Int64s, columns: Mapping[str, Int64s]
) -> Int64s:
    loop_of = np.full(len(opcode), -1, np.int64)
    depth = {-1: 0}
    for start in np.flatnonzero(opcode == Loop.opcode).tolist():
        stop = start + 1 + int(columns["body"][start])
        around = int(loop_of[start])
        depth[start] = depth[around] + 1
        if depth[start] > MAX_LOOP_DEPTH:
            raise BinaryError(
                "loops nest too deep",
                str(Site(program, core, start)),
                str(depth[start]),
                f"at most {MAX_LOOP_DEPTH}",
                "compile the model again, or mend the assembly text",
            )
        end = around + 1 + int(columns["body"][around]) if around >= 0 else len(opcode)
        if stop > end:
            raise BinaryError(
                "a loop body reaches beyond the code around it",
                str(Site(program, core, start)),
                f"{stop}",
                f"at most {end}",
                "mend the loop's body count",
            )
        loop_of[start + 1 : stop] = start
    return loop_of
