"""Reductions in parts: what a command leaves behind, and how the next one goes on.

The state of one reduction is sixteen raw 32-bit words for each output. Of a float32 sum or product
they are the partials of ``reduction``, in their order; only word 0 is in use where the whole has
at most 32 elements. Every other reduction has one answer in any order, and word 0 holds what there
is so far. Words that are not in use are 0, and a NaN is the one quiet NaN. Reductions to an index
have no state. Axis letters: L any leading axes, N the elements of this part, P the sixteen words.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from npuc.isa.numerics import compare, integer, reduction
from npuc.isa.numerics.arrays import F32, I32, U32
from npuc.isa.numerics.convert import quiet_nan

Reduce = Callable[..., Any]
ORDERED: Mapping[str, type[reduction.PartialSum]] = {
    "sumf": reduction.PartialSum,
    "prodf": reduction.PartialProduct,
}
# The reduction of a part, and how two parts join.
ANY_ORDER: Mapping[str, tuple[Reduce, Reduce]] = {
    "rminf": (reduction.reduce_min, compare.f32_min),
    "rmaxf": (reduction.reduce_max, compare.f32_max),
    "sumi": (reduction.reduce_sum, integer.i32_add),
    "prodi": (reduction.reduce_prod, integer.i32_mul),
    "rmini": (reduction.reduce_min, integer.i32_min),
    "rmaxi": (reduction.reduce_max, integer.i32_max),
    "mac8": (reduction.reduce_mac, integer.i32_add),
}
RESUMABLE = (*ORDERED, *ANY_ORDER)


def fold_part(
    name: str, state_LP: U32 | None, x_LN: tuple[F32 | I32, ...], span: tuple[int, int]
) -> U32:
    """The state after the elements of one part, given by the operands of reduction ``name``.

    ``state_LP`` is what the part before left, None for the first. ``span`` is (elements before
    this part, elements of the whole).
    """
    start, total = span
    if name in ANY_ORDER:
        reduce, join = ANY_ORDER[name]
        found = np.asarray(reduce(*x_LN))
        if state_LP is not None:
            found = join(state_LP[..., 0].view(found.dtype), found)
        state = np.zeros((*found.shape, reduction.PARTIAL_COUNT), np.uint32)
        state[..., 0] = np.ascontiguousarray(found).view(np.uint32)
        return state
    partial = ORDERED[name](total, start)
    if state_LP is not None:
        partial.words_LP = state_LP.view(np.float32).copy()
    partial.take(np.asarray(x_LN[0], np.float32))
    return np.asarray(quiet_nan(partial.words_LP), np.float32).view(np.uint32)


def finish_part(name: str, state_LP: U32, total: int) -> F32 | I32:
    """The value of reduction ``name`` once the state has taken all ``total`` elements."""
    if name in ORDERED:
        partial = ORDERED[name](total, total, state_LP.view(np.float32).copy())
        return partial.result()
    word = np.ascontiguousarray(state_LP[..., 0])
    return word.view(np.float32) if name in ("rminf", "rmaxf") else word.view(np.int32)
