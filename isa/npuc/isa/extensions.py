"""Which extension letters a program needs, and where each is first needed.

The one rule for the compiler, which declares the letters, and for a machine, which refuses.
"""

from collections.abc import Iterator

import numpy as np

from npuc.isa.encoding import decode_fields
from npuc.isa.instructions import BY_OPCODE
from npuc.isa.instructions.matrix import Mma
from npuc.isa.program import Code, Program

FLOAT_MATRIX = "F"


def needed_extensions(program: Program) -> dict[str, tuple[int, int]]:
    """Letter to the (core, instruction) that needs it first; the code must be legal.

    Matrix commands on floats need F; any other instruction needs the letter of its class.
    """
    first: dict[str, tuple[int, int]] = {}
    for core, code in enumerate(program.code):
        for at, letter in sorted(_needs(program, code)):
            first.setdefault(letter, (core, at))
    return first


def _needs(program: Program, code: Code) -> Iterator[tuple[int, str]]:
    for opcode in np.flatnonzero(np.bincount(code[:, 0])).tolist():
        rows = np.flatnonzero(code[:, 0] == opcode)
        cls = BY_OPCODE[opcode]
        if cls.extension:
            yield int(rows[0]), cls.extension
        if cls is Mma:
            _, spec, start = next(operand for operand in cls.layout() if operand[0] == "a")
            is_float = np.array([view.dtype.is_float for view in program.views], np.bool_)
            view = decode_fields(code[rows], spec, start)
            floats = rows[(view < len(is_float)) & np.append(is_float, False)[
                np.minimum(view, len(is_float))]]  # fmt: skip
            if floats.size:
                yield int(floats[0]), FLOAT_MATRIX
