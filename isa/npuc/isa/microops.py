"""The vector micro-ops: code, operands, domain and meaning of each, in one table.

Values live in one of two domains, float32 (``f``) or int32 (``i``). A signature such as ``ff>f``
lists the domains of the operands and of the result. Meanings are written in plain NumPy in
``npuc.isa.numerics``; every faster kernel is checked against them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy.typing as npt

from npuc.isa.numerics import (
    compare,
    convert,
    elementary,
    ieee,
    integer,
    lookup,
    reduction,
    trigonometric,
)

Values = npt.NDArray[Any]
Meaning = Callable[..., Values]
MAX_TABLES = 0xFFFF


@dataclass(frozen=True)
class MicroOp:
    """One micro-op. ``code`` is its stable number in kernels.

    ``meaning`` maps operand arrays to the result; for a reduction it maps operands whose last
    axis is the flattened reduction space to the reduced result. ``extra`` says what the meaning
    takes after the operands: nothing, the immediate, the coordinate along dimension ``immediate``,
    or the words of table ``immediate``; then ``immediates`` are the legal ones.
    """

    name: str
    code: int
    signature: str
    meaning: Meaning
    is_reduction: bool = False
    extra: str = ""
    immediates: Sequence[int] = ()

    @property
    def operands(self) -> str:
        """Domains of the operands, one letter each."""
        return self.signature.split(">")[0]

    @property
    def result(self) -> str:
        """Domain of the result."""
        return self.signature.split(">")[1]


def _compare(relation: str) -> Meaning:
    return partial(compare.compare, relation=relation)


_FLOAT: tuple[tuple[str, int, str, Meaning], ...] = (
    ("addf", 1, "ff>f", ieee.f32_add),
    ("subf", 2, "ff>f", ieee.f32_sub),
    ("mulf", 3, "ff>f", ieee.f32_mul),
    ("divf", 4, "ff>f", ieee.f32_div),
    ("minf", 5, "ff>f", compare.f32_min),
    ("maxf", 6, "ff>f", compare.f32_max),
    ("absf", 7, "f>f", ieee.f32_abs),
    ("negf", 8, "f>f", ieee.f32_neg),
    ("floorf", 9, "f>f", ieee.f32_floor),
    ("ceilf", 10, "f>f", ieee.f32_ceil),
    ("roundf", 11, "f>f", ieee.f32_round_even),
    ("exp2", 12, "f>f", elementary.f32_exp2),
    ("log2", 13, "f>f", elementary.f32_log2),
    ("recip", 14, "f>f", ieee.f32_reciprocal),
    ("sqrt", 15, "f>f", ieee.f32_sqrt),
    ("rsqrt", 16, "f>f", ieee.f32_rsqrt),
    ("sin", 17, "f>f", trigonometric.f32_sin),
    ("cos", 18, "f>f", trigonometric.f32_cos),
    ("tanh", 19, "f>f", elementary.f32_tanh),
    ("erf", 20, "f>f", elementary.f32_erf),
    ("ltf", 21, "ff>i", _compare("lt")),
    ("lef", 22, "ff>i", _compare("le")),
    ("eqf", 23, "ff>i", _compare("eq")),
    ("nef", 24, "ff>i", _compare("ne")),
)
_INTEGER: tuple[tuple[str, int, str, Meaning], ...] = (
    ("addi", 32, "ii>i", integer.i32_add),
    ("subi", 33, "ii>i", integer.i32_sub),
    ("muli", 34, "ii>i", integer.i32_mul),
    ("divi", 35, "ii>i", integer.i32_div),
    ("mini", 36, "ii>i", integer.i32_min),
    ("maxi", 37, "ii>i", integer.i32_max),
    ("absi", 38, "i>i", integer.i32_abs),
    ("negi", 39, "i>i", integer.i32_neg),
    ("andi", 40, "ii>i", integer.i32_and),
    ("ori", 41, "ii>i", integer.i32_or),
    ("xori", 42, "ii>i", integer.i32_xor),
    ("shli", 43, "ii>i", integer.i32_shl),
    ("shri", 44, "ii>i", integer.i32_shr_arithmetic),
    ("shrui", 45, "ii>i", integer.i32_shr_logical),
    ("lti", 46, "ii>i", _compare("lt")),
    ("lei", 47, "ii>i", _compare("le")),
    ("eqi", 48, "ii>i", _compare("eq")),
    ("nei", 49, "ii>i", _compare("ne")),
    ("randi", 50, "ii>i", lookup.random_word),
)
_BETWEEN: tuple[tuple[str, int, str, Meaning], ...] = (
    ("i2f", 56, "i>f", convert.i32_to_f32),
    ("f2i", 57, "f>i", convert.f32_to_i32),
    ("selectf", 58, "iff>f", compare.select_f32),
    ("selecti", 59, "iii>i", compare.select_i32),
    ("randf", 60, "ii>f", lookup.random_real),
)
_EXTRA: tuple[tuple[str, int, str, Meaning, str, Sequence[int]], ...] = (
    ("mulshift", 64, "ii>i", lookup.multiply_shift, "immediate", lookup.MULTIPLY_SHIFT_CODES),
    ("index", 65, ">i", lookup.coordinate, "coordinate", range(7)),
    ("tablei", 66, "i>i", lookup.table_i32, "table", range(MAX_TABLES)),
    ("tablef", 67, "i>f", lookup.table_f32, "table", range(MAX_TABLES)),
)
_REDUCTIONS: tuple[tuple[str, int, str, Meaning], ...] = (
    ("sumf", 80, "f>f", reduction.reduce_sum),
    ("prodf", 81, "f>f", reduction.reduce_prod),
    ("rminf", 82, "f>f", reduction.reduce_min),
    ("rmaxf", 83, "f>f", reduction.reduce_max),
    ("sumi", 84, "i>i", reduction.reduce_sum),
    ("rmini", 85, "i>i", reduction.reduce_min),
    ("rmaxi", 86, "i>i", reduction.reduce_max),
    ("mac8", 87, "ii>i", reduction.reduce_mac),
    ("prodi", 88, "i>i", reduction.reduce_prod),
    ("argminf", 89, "f>i", reduction.reduce_argmin),
    ("argmaxf", 90, "f>i", reduction.reduce_argmax),
    ("argmini", 91, "i>i", reduction.reduce_argmin),
    ("argmaxi", 92, "i>i", reduction.reduce_argmax),
)

MICRO_OPS: tuple[MicroOp, ...] = (
    *(MicroOp(*row) for row in (*_FLOAT, *_INTEGER, *_BETWEEN)),
    *(MicroOp(*row[:4], extra=row[4], immediates=row[5]) for row in _EXTRA),
    *(MicroOp(*row, is_reduction=True) for row in _REDUCTIONS),
)
BY_NAME = {op.name: op for op in MICRO_OPS}
BY_CODE = {op.code: op for op in MICRO_OPS}
