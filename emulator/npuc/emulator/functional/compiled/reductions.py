"""Reductions: of rows whose values belong to one point, and of one more value of every point.

The bits of ``npuc.isa.numerics.reduction``. ``WHOLE`` reduces P x R values to P, R at least 1, the
extra number being R. ``STEPS`` lets each of P results c take one value a (and b), and begins them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from npuc.emulator.functional.compiled.leaves import Leaf, leaf
from npuc.emulator.functional.compiled.micro import FIRST, MICRO, Scalar, key
from npuc.emulator.functional.compiled.native import Number, carray, inlined
from npuc.emulator.functional.compiled.rows import INFINITY, MAGNITUDE, QUIET_NAN, quiet

Words = npt.NDArray[Any]
SEQUENTIAL, LANES = 32, 16
_WORDS, _FLOATS = "IIIInn", "IFFFnn"
# Reductions whose order is written: beyond 32 elements they have 16 partial results.
ORDERED = frozenset({"sumf", "prodf"})


@inlined
def _plus(a: Number, b: Number, c: Number) -> Number:
    return np.float32(c + a)


@inlined
def _times(a: Number, b: Number, c: Number) -> Number:
    return np.float32(c * a)


def _ordered(scalar: Scalar) -> Leaf:
    """Up to 32 elements in turn; more in 16 interleaved partials and a tree of neighbours."""

    @leaf(_FLOATS)
    def ordered(out: Words, a: Words, b: Words, c: Words, count: int, extra: int) -> None:
        result, values = carray(out, count), carray(a, count * extra)
        nodes = np.empty(2 * LANES - 1, np.float32)  # partials, then the tree, each after its two
        whole = extra - extra % LANES
        for p in range(count):
            row = values[p * extra : (p + 1) * extra]
            if extra <= SEQUENTIAL:
                total = row[0]
                for r in range(1, extra):
                    total = scalar(row[r], total, total)
                result[p] = quiet(np.float32(total).view(np.int32))
                continue
            for lane in range(LANES):
                nodes[lane] = row[lane]
            for start in range(LANES, whole, LANES):
                part = row[start : start + LANES]
                for lane in range(LANES):
                    nodes[lane] = scalar(part[lane], part[lane], nodes[lane])
            for lane in range(extra - whole):
                nodes[lane] = scalar(row[whole + lane], row[whole + lane], nodes[lane])
            for node in range(LANES - 1):
                right = nodes[2 * node + 1]
                nodes[LANES + node] = scalar(right, right, nodes[2 * node])
            result[p] = quiet(np.float32(nodes[2 * LANES - 2]).view(np.int32))

    return ordered


def _extreme(is_max: bool) -> Leaf:
    """Of float32 by their keys; NaN if any is NaN."""

    @leaf(_WORDS)
    def extreme(out: Words, a: Words, b: Words, c: Words, count: int, extra: int) -> None:
        result, values = carray(out, count), carray(a, count * extra)
        for p in range(count):
            row = values[p * extra : (p + 1) * extra]
            best, has_nan = np.int32(key(row[0])), False
            for r in range(extra):
                now = np.int32(key(row[r]))
                best = max(best, now) if is_max else min(best, now)
                has_nan |= (row[r] & MAGNITUDE) > INFINITY
            result[p] = QUIET_NAN if has_nan else np.int32(key(best))

    return extreme


@inlined
def _sum(a: Number, b: Number, c: Number) -> Number:
    return c + a


@inlined
def _product(a: Number, b: Number, c: Number) -> Number:
    return c * a


@inlined
def _least(a: Number, b: Number, c: Number) -> Number:
    return min(a, c)


@inlined
def _most(a: Number, b: Number, c: Number) -> Number:
    return max(a, c)


@inlined
def _mac(a: Number, b: Number, c: Number) -> Number:
    return c + a * b


def _folding(scalar: Scalar, first: Scalar) -> Leaf:
    """Words in any order, wrapping."""

    @leaf(_WORDS)
    def fold(out: Words, a: Words, b: Words, c: Words, count: int, extra: int) -> None:
        result = carray(out, count)
        values, others = carray(a, count * extra), carray(b, count * extra)
        for p in range(count):
            row, other = values[p * extra : (p + 1) * extra], others[p * extra : (p + 1) * extra]
            total = np.int32(first(row[0], other[0], 0))
            for r in range(1, extra):
                total = np.int32(scalar(row[r], other[r], total))
            result[p] = total

    return fold


@inlined
def _self(a: Number, b: Number, c: Number) -> Number:
    return a


@inlined
def _pair(a: Number, b: Number, c: Number) -> Number:
    return a * b


def _place_of(is_max: bool, parameters: str) -> Leaf:
    """The first NaN, else the first of the smallest or largest."""

    @leaf(parameters)
    def place(out: Words, a: Words, b: Words, c: Words, count: int, extra: int) -> None:
        result, values = carray(out, count), carray(a, count * extra)
        for p in range(count):
            row = values[p * extra : (p + 1) * extra]
            at, best = 0, row[0]
            for r in range(1, extra):
                value = row[r]
                is_better = value > best if is_max else value < best
                if best == best and (is_better or value != value):  # noqa: PLR0124  # NaN is unlike
                    at, best = r, value
            result[p] = at

    return place


WHOLE: Mapping[str, Leaf] = {
    "sumf": _ordered(_plus),
    "prodf": _ordered(_times),
    "rminf": _extreme(False),
    "rmaxf": _extreme(True),
    "sumi": _folding(_sum, _self),
    "prodi": _folding(_product, _self),
    "rmini": _folding(_least, _self),
    "rmaxi": _folding(_most, _self),
    "mac8": _folding(_mac, _pair),
    "argminf": _place_of(False, _FLOATS),
    "argmaxf": _place_of(True, _FLOATS),
    "argmini": _place_of(False, _WORDS),
    "argmaxi": _place_of(True, _WORDS),
}


class Step(NamedTuple):
    """How a result begins with a first value, and how it takes one more."""

    begin: Leaf
    take: Leaf


@inlined
def _plus_bits(a: Number, b: Number, c: Number) -> Number:
    return quiet(np.float32(np.int32(c).view(np.float32) + a).view(np.int32))


@inlined
def _times_bits(a: Number, b: Number, c: Number) -> Number:
    return quiet(np.float32(np.int32(c).view(np.float32) * a).view(np.int32))


@inlined
def _least_float(a: Number, b: Number, c: Number) -> Number:
    has_nan = ((a & MAGNITUDE) > INFINITY) | ((c & MAGNITUDE) > INFINITY)
    return QUIET_NAN if has_nan else np.int32(key(min(key(a), key(c))))


@inlined
def _most_float(a: Number, b: Number, c: Number) -> Number:
    has_nan = ((a & MAGNITUDE) > INFINITY) | ((c & MAGNITUDE) > INFINITY)
    return QUIET_NAN if has_nan else np.int32(key(max(key(a), key(c))))


def _taking(scalar: Scalar, parameters: str) -> Leaf:
    """Results c become ``scalar`` of a value each and themselves.

    NOTE: they have one address: compiled code takes two for rows that overlap, and goes slowly.
    """

    @leaf(parameters)
    def taking(out: Words, a: Words, b: Words, c: Words, count: int, extra: int) -> None:
        result, x, y = carray(out, count), carray(a, count), carray(b, count)
        for i in range(count):
            result[i] = scalar(x[i], y[i], result[i])

    return taking


def _step(scalar: Scalar, parameters: str = _WORDS) -> Step:
    return Step(FIRST, _taking(scalar, parameters))


STEPS: Mapping[str, Step] = {
    "sumf": _step(_plus_bits, _FLOATS),
    "prodf": _step(_times_bits, _FLOATS),
    "rminf": _step(_least_float),
    "rmaxf": _step(_most_float),
    "sumi": _step(_sum),
    "prodi": _step(_product),
    "rmini": _step(_least),
    "rmaxi": _step(_most),
    "mac8": Step(MICRO["muli"], _taking(_mac, _WORDS)),
}
