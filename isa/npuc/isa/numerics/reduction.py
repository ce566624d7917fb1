"""Reductions over the last axis: the row-major flattened reduction space of a vector command.

The written order of a float32 sum or product of n elements:

* n <= 32: one accumulator that starts as element 0 and takes elements 1, 2, .. in turn.
* n > 32: sixteen partials. Partial p starts as element p and takes p + 16, p + 32, .. in turn.
  Then a tree: 0+1, 2+3, .., 14+15; of these eight again neighbours; then four; then two.

Each step is one float32 rounding. Integer sums and products wrap. Every other reduction has one
answer in any order. The state of a float reduction is sixteen words and a count, so it may be split
over commands at any point with no bit changed: see ``Partials``.

A reduction over no element gives its neutral element: sum 0, product 1, minimum the largest and
maximum the smallest value of the domain (infinities for float32), argmin and argmax -1.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from npuc.isa.numerics.arrays import F32, I32, I32_MAX, I32_MIN
from npuc.isa.numerics.compare import from_order_key, order_key
from npuc.isa.numerics.convert import quiet_nan
from npuc.isa.numerics.integer import wrap_i32

SEQUENTIAL_LIMIT = 32
PARTIAL_COUNT = 16

Fold = Literal["sum", "prod"]

_STEP: dict[Fold, Callable[[F32, F32], F32]] = {"sum": np.add, "prod": np.multiply}
_NEUTRAL: dict[Fold, float] = {"sum": 0.0, "prod": 1.0}


@dataclass
class Partials:
    """A float32 sum or product in progress: resumable, independent of where it is split.

    ``total`` is the number of elements of the whole reduction, known before it starts, because it
    decides the order. Up to 32, partial 0 is the only one in use. Axis letters: L leading axes,
    N elements of one piece, P the sixteen partials.
    """

    fold: Fold
    total: int
    count: int = 0
    words_LP: F32 = field(default_factory=lambda: np.zeros(PARTIAL_COUNT, np.float32))

    @property
    def width(self) -> int:
        """How many partials the order of this reduction uses."""
        return 1 if self.total <= SEQUENTIAL_LIMIT else PARTIAL_COUNT

    @np.errstate(all="ignore")
    def take(self, x_LN: F32) -> None:
        """Fold the next N elements in, in ascending order."""
        assert self.count + x_LN.shape[-1] <= self.total, "more elements than the total"
        if self.count == 0:
            self.words_LP = np.zeros((*x_LN.shape[:-1], PARTIAL_COUNT), np.float32)
        step = _STEP[self.fold]
        begin = 0
        while begin < x_LN.shape[-1]:
            lane = self.count % self.width
            size = min(self.width - lane, x_LN.shape[-1] - begin)
            piece = x_LN[..., begin : begin + size]
            window = self.words_LP[..., lane : lane + size]
            is_first = self.count < self.width
            self.words_LP[..., lane : lane + size] = piece if is_first else step(window, piece)
            self.count += size
            begin += size

    @np.errstate(all="ignore")
    def result(self) -> F32:
        """The reduced value of each leading point, once all elements are in."""
        assert self.count == self.total, "the reduction is not complete"
        if self.total == 0:
            return np.full(self.words_LP.shape[:-1], _NEUTRAL[self.fold], np.float32)
        words = self.words_LP[..., : self.width]
        while words.shape[-1] > 1:
            words = _STEP[self.fold](words[..., 0::2], words[..., 1::2])
        return quiet_nan(words[..., 0])


class PartialSum(Partials):
    """A float32 sum in progress."""

    def __init__(self, total: int) -> None:
        super().__init__("sum", total)


class PartialProduct(Partials):
    """A float32 product in progress."""

    def __init__(self, total: int) -> None:
        super().__init__("prod", total)


def _fold_f32(x_LN: F32, fold: Fold) -> F32:
    partials = Partials(fold, x_LN.shape[-1])
    partials.take(x_LN)
    return partials.result()


def f32_reduce_sum(x_LN: F32) -> F32:
    """The sum over N in the written order."""
    return _fold_f32(x_LN, "sum")


def f32_reduce_prod(x_LN: F32) -> F32:
    """The product over N in the written order."""
    return _fold_f32(x_LN, "prod")


def i32_reduce_sum(x_LN: I32) -> I32:
    """The sum over N, wrapping."""
    return wrap_i32(np.sum(x_LN, axis=-1, dtype=np.int64))


def i32_reduce_prod(x_LN: I32) -> I32:
    """The product over N, wrapping."""
    return wrap_i32(np.prod(x_LN, axis=-1, dtype=np.int64))


def f32_reduce_min(x_LN: F32) -> F32:
    """The smallest of N; -0 < +0; NaN if any is NaN."""
    smallest = from_order_key(np.min(order_key(x_LN), axis=-1, initial=order_key(_INFINITY)))
    return quiet_nan(np.where(np.isnan(x_LN).any(axis=-1), np.float32(np.nan), smallest))


def f32_reduce_max(x_LN: F32) -> F32:
    """The largest of N; -0 < +0; NaN if any is NaN."""
    largest = from_order_key(np.max(order_key(x_LN), axis=-1, initial=order_key(-_INFINITY)))
    return quiet_nan(np.where(np.isnan(x_LN).any(axis=-1), np.float32(np.nan), largest))


def i32_reduce_min(x_LN: I32) -> I32:
    """The smallest of N."""
    return np.min(x_LN, axis=-1, initial=I32_MAX)


def i32_reduce_max(x_LN: I32) -> I32:
    """The largest of N."""
    return np.max(x_LN, axis=-1, initial=I32_MIN)
