"""Reductions over the last axis: the row-major flattened reduction space of a vector command.

The written order of a float32 sum or product of n elements:

* n <= 32: one accumulator that starts as element 0 and takes elements 1, 2, .. in turn.
* n > 32: sixteen partials. Partial p starts as element p and takes p + 16, p + 32, .. in turn.
  Then a tree: 0+1, 2+3, .., 14+15; of these eight again neighbours; then four; then two.

Each step is one float32 rounding. Integer sums and products wrap. Every other reduction has one
answer in any order: minimum and maximum follow ``compare.f32_min`` and ``f32_max``; argmin and
argmax take the lowest index of equals (-0 equals +0), and the first NaN before any number.

A reduction over no element gives its neutral element: sum 0, product 1, minimum the largest and
maximum the smallest value of the domain (infinities for float32), argmin and argmax -1.

Arrays are float32 or int32 and the result keeps the domain (argmin and argmax: int32). Axis
letters: L any leading axes, N the elements of the reduction, P the sixteen partials.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from npuc.isa.numerics.arrays import F32, I32, I32_MAX, I32_MIN, Mask
from npuc.isa.numerics.compare import f32_max, f32_min
from npuc.isa.numerics.convert import quiet_nan
from npuc.isa.numerics.integer import i32_mul, wrap_i32

SEQUENTIAL_LIMIT = 32
PARTIAL_COUNT = 16


@dataclass
class PartialSum:
    """A float32 sum in progress: store it, resume it, split it anywhere; no bit changes.

    ``total`` is the length of the whole reduction, known before it starts because it decides the
    order: up to 32 elements only partial 0 is in use. The state is ``count`` and ``words_LP``.
    """

    total: int
    count: int = 0
    words_LP: F32 = field(default_factory=lambda: np.zeros(PARTIAL_COUNT, np.float32))

    step: ClassVar[np.ufunc] = np.add
    neutral: ClassVar[float] = 0.0

    @property
    def width(self) -> int:
        """How many partials the order of this reduction uses."""
        return 1 if self.total <= SEQUENTIAL_LIMIT else PARTIAL_COUNT

    @np.errstate(all="ignore")
    def take(self, x_LN: F32) -> None:
        """Fold the next N elements in, ascending."""
        assert self.count + x_LN.shape[-1] <= self.total, "more elements than the total"
        if self.count == 0:
            self.words_LP = np.zeros((*x_LN.shape[:-1], PARTIAL_COUNT), np.float32)
        begin = 0
        while begin < x_LN.shape[-1]:
            lane = self.count % self.width
            size = min(self.width - lane, x_LN.shape[-1] - begin)
            self._take_within_row(x_LN[..., begin : begin + size], lane)
            self.count += size
            begin += size

    def _take_within_row(self, x_LN: F32, lane: int) -> None:
        """Fold one element into each of the partials from ``lane`` on; a first one just enters."""
        partials = self.words_LP[..., lane : lane + x_LN.shape[-1]]
        partials[...] = x_LN if self.count < self.width else self.step(partials, x_LN)

    @np.errstate(all="ignore")
    def result(self) -> F32:
        """The reduced value of each leading point, once all elements are in."""
        assert self.count == self.total, "the reduction is not complete"
        if self.total == 0:
            return np.full(self.words_LP.shape[:-1], self.neutral, np.float32)
        words = self.words_LP[..., : self.width]
        while words.shape[-1] > 1:
            words = self.step(words[..., 0::2], words[..., 1::2])
        return quiet_nan(words[..., 0])


@dataclass
class PartialProduct(PartialSum):
    """A float32 product in progress, in the same order."""

    step: ClassVar[np.ufunc] = np.multiply
    neutral: ClassVar[float] = 1.0


def _finish(partial: PartialSum, x_LN: F32) -> F32:
    partial.take(x_LN)
    return partial.result()


def reduce_sum(x_LN: F32 | I32) -> F32 | I32:
    """The sum over N: float32 in the written order, int32 wrapping."""
    if x_LN.dtype == np.float32:
        return _finish(PartialSum(x_LN.shape[-1]), x_LN.astype(np.float32))
    return wrap_i32(np.asarray(np.sum(x_LN, axis=-1, dtype=np.int64)))


def reduce_prod(x_LN: F32 | I32) -> F32 | I32:
    """The product over N: float32 in the written order, int32 wrapping."""
    if x_LN.dtype == np.float32:
        return _finish(PartialProduct(x_LN.shape[-1]), x_LN.astype(np.float32))
    return wrap_i32(np.asarray(np.prod(x_LN, axis=-1, dtype=np.int64)))


def reduce_mac(a_LN: I32, b_LN: I32) -> I32:
    """The sum over N of the low words of a * b, wrapping."""
    return wrap_i32(np.asarray(np.sum(i32_mul(a_LN, b_LN), axis=-1, dtype=np.int64)))


def reduce_min(x_LN: F32 | I32) -> F32 | I32:
    """The smallest over N; for float32 -0 < +0, and NaN if any is NaN."""
    if x_LN.dtype != np.float32:
        return np.asarray(np.min(x_LN, axis=-1, initial=I32_MAX), np.int32)
    smallest = np.full(x_LN.shape[:-1], np.inf, np.float32)
    for n in range(x_LN.shape[-1]):
        smallest = f32_min(smallest, x_LN[..., n].astype(np.float32))
    return smallest


def reduce_max(x_LN: F32 | I32) -> F32 | I32:
    """The largest over N; for float32 -0 < +0, and NaN if any is NaN."""
    if x_LN.dtype != np.float32:
        return np.asarray(np.max(x_LN, axis=-1, initial=I32_MIN), np.int32)
    largest = np.full(x_LN.shape[:-1], -np.inf, np.float32)
    for n in range(x_LN.shape[-1]):
        largest = f32_max(largest, x_LN[..., n].astype(np.float32))
    return largest


def first_true(mask_LN: Mask) -> I32:
    """The lowest index that holds, along N."""
    return np.asarray(np.argmax(mask_LN, axis=-1), np.int32)


def reduce_argmin(x_LN: F32 | I32) -> I32:
    """The index of the first NaN, else of the first of the smallest, over N."""
    if x_LN.shape[-1] == 0:
        return np.full(x_LN.shape[:-1], -1, np.int32)
    is_nan = np.isnan(x_LN)
    number = np.where(is_nan, np.float32(np.inf), x_LN) if x_LN.dtype == np.float32 else x_LN
    is_smallest = np.equal(number, np.min(number, axis=-1, keepdims=True))
    has_nan = is_nan.any(axis=-1, keepdims=True)
    return first_true(np.where(has_nan, is_nan, is_smallest))


def reduce_argmax(x_LN: F32 | I32) -> I32:
    """The index of the first NaN, else of the first of the largest, over N."""
    if x_LN.dtype == np.float32:
        return reduce_argmin(np.negative(x_LN).astype(np.float32))
    return reduce_argmin(np.invert(x_LN.astype(np.int32)))  # ~x = -1 - x turns the order, no wrap
