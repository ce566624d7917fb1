"""Runs of micro-ops as one kernel: what requantisation and residual additions are made of.

The values between them never reach memory. Bits stay: nothing is contracted, and a NaN between two
float32 micro-ops is a NaN behind the second, where it is quieted.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from npuc.emulator.functional.compiled.leaves import Leaf, leaf
from npuc.emulator.functional.compiled.micro import Scalar, over_rows
from npuc.emulator.functional.compiled.native import Number, carray, inlined, int32
from npuc.emulator.functional.compiled.rows import quiet, to_i32
from npuc.isa.descriptors.kernel import FIRST_RESULT, Kernel, Op
from npuc.isa.microops import BY_NAME

Words = npt.NDArray[Any]


@inlined
def _bits(x: Number) -> Number:
    return quiet(np.float32(x).view(np.int32))


@inlined
def _scaled(a: Number, b: Number, c: Number) -> Number:
    return _bits(np.float32(a) * b)


@inlined
def _scaled_sum(a: Number, b: Number, c: Number) -> Number:
    return _bits(np.float32(int32(a + b)) * c)


@inlined
def _scaled_difference(a: Number, b: Number, c: Number) -> Number:
    return _bits(np.float32(int32(a - b)) * c)


@inlined
def _scaled_onto(a: Number, b: Number, c: Number) -> Number:
    return _bits(np.float32(np.float32(a) * b) + c)


@inlined
def _clamped(a: Number, b: Number, c: Number) -> Number:
    return min(max(to_i32(a), b), c)


@inlined
def _quotient(a: Number, b: Number, c: Number) -> Number:
    return _bits(np.float32(np.rint(np.float32(a / b))) + c)


@inlined
def _rounded_sum(a: Number, b: Number, c: Number) -> Number:
    return _bits(np.float32(np.rint(a)) + b)


@leaf("IIIFnF")
def _requantised(out: Words, a: Words, b: Words, c: Words, count: int, extra: Words) -> None:
    """Its fifth operand comes in the place of the extra number."""
    result, x, y = carray(out, count), carray(a, count), carray(b, count)
    z, zero_point = carray(c, count), carray(extra, count)
    for i in range(count):
        scaled = np.float32(np.float32(int32(x[i] + y[i])) * z[i])
        result[i] = _bits(np.float32(np.rint(scaled)) + zero_point[i])


def _three(scalar: Scalar, operands: str) -> Leaf:
    return over_rows(scalar, f"I{operands}nn")


FUSED: Mapping[tuple[str, ...], Leaf] = {
    ("addi", "i2f", "mulf", "roundf", "addf"): _requantised,
    ("addi", "i2f", "mulf"): _three(_scaled_sum, "IIF"),
    ("subi", "i2f", "mulf"): _three(_scaled_difference, "IIF"),
    ("i2f", "mulf", "addf"): _three(_scaled_onto, "IFF"),
    ("i2f", "mulf"): _three(_scaled, "IFF"),
    ("f2i", "maxi", "mini"): _three(_clamped, "FII"),
    ("divf", "roundf", "addf"): _three(_quotient, "FFF"),
    ("roundf", "addf"): _three(_rounded_sum, "FFF"),
}


class Step(NamedTuple):
    """Micro-ops of a kernel, the first of number ``start``, that one kernel of machine code does.

    ``operands`` are values, each with the domain in which it is taken.
    """

    start: int
    ops: tuple[Op, ...]
    operands: tuple[tuple[int, str], ...]

    @property
    def result(self) -> int:
        """The micro-op whose result remains."""
        return self.start + len(self.ops) - 1

    @property
    def names(self) -> tuple[str, ...]:
        """Of its micro-ops."""
        return tuple(op.name for op in self.ops)


def steps_of(kernel: Kernel) -> tuple[Step, ...]:
    """All micro-ops in order, those fused that can be.

    None across the end of the body, for behind it only reductions are taken.
    """
    steps: list[Step] = []
    at = 0
    while at < len(kernel.ops):
        rest = range(at, len(kernel.ops) - 1)
        taken = takewhile(lambda number: _is_passed_on(kernel, number), rest)
        ops = kernel.ops[at : at + _longest(kernel.ops[at : at + 1 + len(list(taken))])]
        steps.append(Step(at, ops, _operands(ops)))
        at += len(ops)
    return tuple(steps)


def _is_passed_on(kernel: Kernel, number: int) -> bool:
    """Whether the next micro-op alone takes a micro-op's result, as its first operand."""
    value = number + FIRST_RESULT
    uses = sum(op.operands.count(value) for op in kernel.ops)
    is_kept = any(output.value == value for output in kernel.outputs)
    return uses == 1 and not is_kept and kernel.ops[number + 1].operands[:1] == (value,)


def _longest(ops: Sequence[Op]) -> int:
    """How many of the first micro-ops one kernel does."""
    names = tuple(op.name for op in ops)
    return next((n for n in range(len(names), 1, -1) if names[:n] in FUSED), 1)


def _operands(ops: Sequence[Op]) -> tuple[tuple[int, str], ...]:
    """Those of all micro-ops but the values passed on."""
    found = [tuple(zip(op.operands, BY_NAME[op.name].operands, strict=True)) for op in ops]
    return sum((pairs[1:] for pairs in found[1:]), found[0])
