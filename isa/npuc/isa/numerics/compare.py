"""Order of values: comparison, selection, minimum and maximum, with the rules for NaN and zero.

Comparison is IEEE's: NaN is unordered and -0 equals +0. Minimum and maximum follow IEEE 754-2019
``minimum`` and ``maximum``: NaN in, quiet NaN out, and -0 is smaller than +0.
"""

from enum import StrEnum

import numpy as np

from npuc.isa.numerics.arrays import F32, I32, QUIET_NAN_F32_BITS, Mask
from npuc.isa.numerics.convert import quiet_nan


class Relation(StrEnum):
    """What a comparison asks. Only ``ne`` is true of a NaN."""

    eq = "eq"
    ne = "ne"
    lt = "lt"
    le = "le"
    gt = "gt"
    ge = "ge"


_RELATIONS = {
    Relation.eq: np.equal,
    Relation.ne: np.not_equal,
    Relation.lt: np.less,
    Relation.le: np.less_equal,
    Relation.gt: np.greater,
    Relation.ge: np.greater_equal,
}


@np.errstate(all="ignore")
def compare(a: F32 | I32, b: F32 | I32, relation: str) -> I32:
    """1 where ``a relation b`` holds, else 0; both operands are of one domain."""
    return np.asarray(_RELATIONS[Relation(relation)](a, b)).astype(np.int32)


def select_f32(condition: I32, if_true: F32, if_false: F32) -> F32:
    """``if_true`` where the condition word is not zero, else ``if_false``; NaN is quieted."""
    return quiet_nan(np.where(np.not_equal(condition, 0), if_true, if_false))


def select_i32(condition: I32, if_true: I32, if_false: I32) -> I32:
    """``if_true`` where the condition word is not zero, else ``if_false``."""
    return np.where(np.not_equal(condition, 0), if_true, if_false)


def order_key(x: F32) -> I32:
    """Integers that are ordered as the floats are: -inf .. -0, +0 .. +inf. It undoes itself."""
    bits = np.asarray(x, dtype=np.float32).view(np.int32)
    return np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)


def from_order_key(key: I32) -> F32:
    """The floats whose ``order_key`` is given."""
    bits = np.where(key < 0, key ^ np.int32(0x7FFFFFFF), key).astype(np.int32)
    return bits.view(np.float32)


def or_nan(is_nan: Mask, x: F32) -> F32:
    """``x``, or the one NaN where ``is_nan``."""
    return np.where(is_nan, np.uint32(QUIET_NAN_F32_BITS).view(np.float32), x)


def f32_min(a: F32, b: F32) -> F32:
    """The smaller operand; -0 < +0; NaN if either is NaN."""
    smaller = from_order_key(np.minimum(order_key(a), order_key(b)))
    return or_nan(np.isnan(a) | np.isnan(b), smaller)


def f32_max(a: F32, b: F32) -> F32:
    """The larger operand; -0 < +0; NaN if either is NaN."""
    larger = from_order_key(np.maximum(order_key(a), order_key(b)))
    return or_nan(np.isnan(a) | np.isnan(b), larger)
