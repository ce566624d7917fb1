"""Scans and sorting along the last axis, in one written order each.

A float32 scan is sequential: each result is one rounding after the one before; integers wrap.
Sorting compares as numbers, -0 equal to +0; NaN counts as larger than every number; among equals
the lowest index comes first, ascending or descending. Axis letters: L any leading axes, N the axis
that is scanned or sorted.
"""

from collections.abc import Callable, Mapping

import numpy as np

from npuc.isa.numerics import compare, ieee, integer
from npuc.isa.numerics.arrays import F32, I32, I32_MAX, I32_MIN

Step = Callable[..., F32 | I32]
# Operation -> (domain, one step, neutral element: what an exclusive scan starts with).
SCANS: Mapping[str, tuple[str, Step, float]] = {
    "sumf": ("f", ieee.f32_add, 0.0),
    "prodf": ("f", ieee.f32_mul, 1.0),
    "minf": ("f", compare.f32_min, np.inf),
    "maxf": ("f", compare.f32_max, -np.inf),
    "sumi": ("i", integer.i32_add, 0),
    "prodi": ("i", integer.i32_mul, 1),
    "mini": ("i", integer.i32_min, I32_MAX),
    "maxi": ("i", integer.i32_max, I32_MIN),
}


def scan(x_LN: F32 | I32, operation: str, first_L: F32 | I32 | None, exclusive: bool) -> F32 | I32:
    """Each prefix reduced by ``operation``: result n takes elements 0 to n, ascending.

    ``first_L`` is taken before element 0 where it is given: so a scan goes on where another ended.
    ``exclusive`` results leave element n out; result 0 is ``first_L``, or the neutral element.
    """
    _, step, neutral = SCANS[operation]
    out = np.empty_like(x_LN)
    start = np.full(x_LN.shape[:-1], neutral, x_LN.dtype) if first_L is None else first_L
    held = start
    for n in range(x_LN.shape[-1]):
        if exclusive:
            out[..., n] = held
        is_first = n == 0 and first_L is None
        held = x_LN[..., n] if is_first else step(held, x_LN[..., n])
        if not exclusive:
            out[..., n] = held
    return out


def sorted_order(x_LN: F32 | I32, descending: bool) -> I32:
    """The indices that sort N; see the module for order, ties and NaN."""
    if x_LN.dtype == np.float32:
        zeroed = np.where(np.equal(x_LN, 0), np.float32(0), x_LN).astype(np.float32)
        key = np.where(np.isnan(x_LN), np.int64(2**32), compare.order_key(zeroed).astype(np.int64))
    else:
        key = x_LN.astype(np.int64)
    signed = -key if descending else key
    return np.argsort(signed, axis=-1, kind="stable").astype(np.int32)
