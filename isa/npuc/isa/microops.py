"""The vector micro-ops: code, operands, domain and meaning of each, in one table.

Values live in one of two domains, float32 (``f``) or int32 (``i``). A signature such as ``ff>f``
lists the domains of the operands and of the result. Meanings are written in plain NumPy in
``npuc.isa.numerics``; every faster kernel is checked against them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npuc.isa import numerics as nm

Values = npt.NDArray[np.generic]


@dataclass(frozen=True)
class MicroOp:
    """One micro-op. ``code`` is its stable number in kernels.

    ``meaning`` maps operand arrays to the result; for a reduction it maps operands whose last
    axis is the flattened reduction space to the reduced result. ``immediate`` says what the
    immediate field means, where the micro-op has one.
    """

    name: str
    code: int
    signature: str
    meaning: Callable[..., Values] | None
    is_reduction: bool = False
    immediate: str = ""

    @property
    def operands(self) -> str:
        """Domains of the operands, one letter each."""
        return self.signature.split(">")[0]

    @property
    def result(self) -> str:
        """Domain of the result."""
        return self.signature.split(">")[1]


def _elementwise() -> list[MicroOp]:
    m = MicroOp
    return [
        m("addf", 1, "ff>f", nm.add),
        m("subf", 2, "ff>f", nm.sub),
        m("mulf", 3, "ff>f", nm.mul),
        m("divf", 4, "ff>f", nm.div),
        m("minf", 5, "ff>f", nm.minimum),
        m("maxf", 6, "ff>f", nm.maximum),
        m("absf", 7, "f>f", nm.absolute),
        m("negf", 8, "f>f", nm.negate),
        m("floorf", 9, "f>f", nm.floor),
        m("ceilf", 10, "f>f", nm.ceil),
        m("roundf", 11, "f>f", nm.round_even),
        m("exp2", 12, "f>f", nm.exp2),
        m("log2", 13, "f>f", nm.log2),
        m("recip", 14, "f>f", nm.reciprocal),
        m("sqrt", 15, "f>f", nm.sqrt),
        m("rsqrt", 16, "f>f", nm.rsqrt),
        m("sin", 17, "f>f", nm.sin),
        m("cos", 18, "f>f", nm.cos),
        m("tanh", 19, "f>f", nm.tanh),
        m("erf", 20, "f>f", nm.erf),
        m("ltf", 21, "ff>i", lambda a, b: (a < b).astype(np.int32)),
        m("lef", 22, "ff>i", lambda a, b: (a <= b).astype(np.int32)),
        m("eqf", 23, "ff>i", lambda a, b: (a == b).astype(np.int32)),
        m("addi", 32, "ii>i", nm.add_i32),
        m("subi", 33, "ii>i", nm.sub_i32),
        m("muli", 34, "ii>i", nm.mul_i32),
        m("divi", 35, "ii>i", nm.div_i32),
        m("mini", 36, "ii>i", np.minimum),
        m("maxi", 37, "ii>i", np.maximum),
        m("absi", 38, "i>i", nm.abs_i32),
        m("negi", 39, "i>i", nm.neg_i32),
        m("andi", 40, "ii>i", np.bitwise_and),
        m("ori", 41, "ii>i", np.bitwise_or),
        m("xori", 42, "ii>i", np.bitwise_xor),
        m("shli", 43, "ii>i", nm.shift_left),
        m("shri", 44, "ii>i", nm.shift_right_arithmetic),
        m("shrui", 45, "ii>i", nm.shift_right_logical),
        m("lti", 46, "ii>i", lambda a, b: (a < b).astype(np.int32)),
        m("lei", 47, "ii>i", lambda a, b: (a <= b).astype(np.int32)),
        m("eqi", 48, "ii>i", lambda a, b: (a == b).astype(np.int32)),
        m("i2f", 56, "i>f", nm.i32_to_f32),
        m("f2i", 57, "f>i", nm.f32_to_i32),
        m("selectf", 58, "iff>f", lambda c, a, b: np.where(c != 0, a, b)),
        m("selecti", 59, "iii>i", lambda c, a, b: np.where(c != 0, a, b)),
    ]


def _reductions() -> list[MicroOp]:
    return [
        MicroOp("sumf", 80, "f>f", nm.reduce_sum, is_reduction=True),
        MicroOp("prodf", 81, "f>f", nm.reduce_prod, is_reduction=True),
        MicroOp("rminf", 82, "f>f", nm.reduce_min, is_reduction=True),
        MicroOp("rmaxf", 83, "f>f", nm.reduce_max, is_reduction=True),
        MicroOp("sumi", 84, "i>i", nm.reduce_sum, is_reduction=True),
        MicroOp("rmini", 85, "i>i", nm.reduce_min, is_reduction=True),
        MicroOp("rmaxi", 86, "i>i", nm.reduce_max, is_reduction=True),
        MicroOp("mac8", 87, "ii>i", nm.reduce_mac, is_reduction=True),
    ]


MICRO_OPS: tuple[MicroOp, ...] = tuple(_elementwise() + _reductions())
BY_NAME = {op.name: op for op in MICRO_OPS}
BY_CODE = {op.code: op for op in MICRO_OPS}
