"""One tensor against what was expected of it, under a stated rule.

Three rules: ``exact`` (the same bits), ``steps`` (at most one quantisation step, and 99.9 % of the
elements identical, or all but one where they are few) and ``close`` (relative to the largest
expected magnitude, by a fraction that suits the precision).
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from npuc.runtime.arrays import AnyArray, Mask

MAX_STEPS = 1
MIN_IDENTICAL = 0.999
MIN_IDENTICAL_OF_FLOATS = 0.99  # before quantize: of integers that npuc still computes in float
# An average of small integers is often half-way between two steps: one of four integers is in every
# fourth element. ONNX leaves the order of its float32 sum free (ONNX Runtime sums a window by
# columns), so rounding may go either way. The error of such a sum, in steps, is far below this.
TIE_WIDTH = 1e-3
MAX_DIFFERING_OF_FEW = 1
CLOSE_FRACTION = 1e-4
# Operands and tensors are rounded to 8 and 11 bits at every layer. Networks of the zoo are off by
# 1/100 in bf16; graphs of few elements, in which sums cancel, by more.
NARROW_FRACTIONS = {"bf16": 2**-4, "fp16": 2**-7}


@dataclass(frozen=True)
class Rule:
    """How two tensors must agree.

    ``step`` is the size of one quantisation step, ``identical`` the share of elements that must
    be the same (``but_ties``: of those that are no ties), ``fraction`` what of the largest
    magnitude a close tensor may be off.
    """

    name: str
    step: float = 0.0
    fraction: float = CLOSE_FRACTION
    identical: float = MIN_IDENTICAL
    but_ties: bool = False

    def __str__(self) -> str:
        if self.name == "exact":
            return "bit for bit"
        if self.name == "steps":
            but = " but for ties" if self.but_ties else ""
            return f"<= {MAX_STEPS} step of {self.step:.4g}, {self.identical:.1%} identical{but}"
        return f"within {self.fraction:g} of the largest magnitude"


EXACT = Rule("exact")
CLOSE = Rule("close")


def suited(rule: Rule, precision: str) -> Rule:
    """``rule`` for values that were computed in ``precision``."""
    if rule.name != CLOSE.name or precision not in NARROW_FRACTIONS:
        return rule
    return replace(rule, fraction=NARROW_FRACTIONS[precision])


@dataclass(frozen=True)
class Comparison:
    """The outcome for one tensor: ``stage`` was held against ``against``.

    ``largest`` is the largest absolute difference, in steps for the rule ``steps``;
    ``first`` tells the first element that differs, empty when none does.
    """

    stage: str
    against: str
    tensor: str
    rule: Rule
    elements: int
    identical: int
    largest: float
    passed: bool
    first: str = ""

    def to_json(self) -> dict[str, object]:
        """The outcome as plain data."""
        return {
            "stage": self.stage,
            "against": self.against,
            "tensor": self.tensor,
            "rule": str(self.rule),
            "elements": self.elements,
            "identical": self.identical,
            "largest_difference": self.largest if math.isfinite(self.largest) else None,
            "passed": self.passed,
            "first": self.first,
        }


@dataclass(frozen=True)
class Sides:
    """What is compared, by name: a stage's tensor, and whose value it should have.

    ``ties``: elements that rounding may take either way, for rules that ask for them.
    """

    stage: str
    against: str
    tensor: str
    ties: Mask | None = None


def ties_of(steps: AnyArray) -> Mask:
    """Which of these numbers, in steps, are half-way between two whole ones, or as good as that."""
    fraction = np.abs(steps.astype(np.float64)) % 1
    return np.asarray(np.abs(fraction - 0.5) < TIE_WIDTH, np.bool_)


def compare(sides: Sides, given: AnyArray, expected: AnyArray, rule: Rule) -> Comparison:
    """Hold ``given`` against ``expected`` under ``rule``. Shapes and types must agree under all."""
    if given.shape != expected.shape or given.dtype != expected.dtype:
        first = (
            f"{given.dtype}{list(given.shape)} instead of {expected.dtype}{list(expected.shape)}"
        )
        return _outcome(sides, rule, expected.size, (0, float("inf"), False, first))
    same = same_bits(given, expected)
    largest = _largest_difference(given, expected, rule)
    settled = same | sides.ties if rule.but_ties and sides.ties is not None else same
    passed = _agrees(settled, largest, expected, rule)
    first = "" if same.all() else _first_difference(given, expected, same)
    return _outcome(sides, rule, expected.size, (int(same.sum()), largest, passed, first))


def same_bits(given: AnyArray, expected: AnyArray) -> Mask:
    """Elementwise: the same bit pattern, so that NaN equals itself and -0 differs from +0."""
    unsigned = np.dtype(f"u{given.dtype.itemsize}")
    left = np.ascontiguousarray(given).view(unsigned)
    right = np.ascontiguousarray(expected).view(unsigned)
    return np.asarray(left == right, np.bool_)


def _outcome(
    sides: Sides, rule: Rule, elements: int, found: tuple[int, float, bool, str]
) -> Comparison:
    identical, largest, passed, first = found
    return Comparison(
        sides.stage, sides.against, sides.tensor, rule, elements, identical, largest, passed, first
    )


def _largest_difference(given: AnyArray, expected: AnyArray, rule: Rule) -> float:
    if given.size == 0:
        return 0.0
    with np.errstate(invalid="ignore"):
        difference = np.abs(given.astype(np.float64) - expected.astype(np.float64))
    both_odd = ~np.isfinite(difference) & same_bits(given, expected)
    difference[both_odd] = 0.0
    difference[np.isnan(difference)] = np.inf
    largest = float(difference.max())
    return largest / rule.step if rule.name == "steps" else largest


def _agrees(same: Mask, largest: float, expected: AnyArray, rule: Rule) -> bool:
    if rule.name == "exact":
        return bool(same.all())
    if rule.name == "steps":
        allowed = max((1 - rule.identical) * same.size, MAX_DIFFERING_OF_FEW)
        # Half a step of slack: the difference of two dequantised floats is rounded itself.
        return largest < MAX_STEPS + 0.5 and int((~same).sum()) <= allowed
    finite = np.abs(expected.astype(np.float64))[np.isfinite(expected.astype(np.float64))]
    return largest <= rule.fraction * float(finite.max(initial=1e-30))


def _first_difference(given: AnyArray, expected: AnyArray, same: Mask) -> str:
    index = tuple(int(i) for i in np.argwhere(~same)[0])
    return f"{list(index)}: {given[index]} instead of {expected[index]}"
