"""A vector kernel prepared for the strip interpreter: looked up once, run for many blocks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from npuc.emulator.functional.plain import Values
from npuc.emulator.functional.vector_kernels import ELEMENTWISE, REDUCTIONS, Compiled
from npuc.isa.descriptors.kernel import FIRST_PARAM, FIRST_RESULT, Kernel
from npuc.isa.microops import BY_NAME, MicroOp

DOMAIN_DTYPE: Mapping[str, type[np.generic]] = {"f": np.float32, "i": np.int32}
_KEPT_VALUES = 1 << 16
_MAGNITUDE, _INFINITY, _QUIET_NAN = 0x7FFFFFFF, 0x7F800000, 0x7FC00000


@dataclass(frozen=True)
class Step:
    """One micro-op with its compiled function, if there is one, and whether it is in the body."""

    spec: MicroOp
    operands: tuple[tuple[int, str], ...]
    compiled: Compiled | None
    in_body: bool
    result: type[np.generic]
    immediate: int


@dataclass(frozen=True)
class KernelPlan:
    """``loads``: (stream, whether the body reads it) in order; ``steps``: one per micro-op."""

    kernel: Kernel
    loads: tuple[tuple[int, bool], ...]
    steps: tuple[Step, ...]


@dataclass
class PlanCache:
    """Plans by the identity of their kernel, which the plan keeps alive."""

    _plans: dict[int, KernelPlan] = field(default_factory=dict)

    def plan(self, kernel: Kernel) -> KernelPlan:
        """The plan of a kernel."""
        found = self._plans.get(id(kernel))
        if found is None:
            found = self._plans[id(kernel)] = plan_kernel(kernel)
        return found


def plan_kernel(kernel: Kernel) -> KernelPlan:
    """Prepare a kernel."""
    loads = [(stream, True) for stream in sorted(kernel.body_streams)]
    loads += [(stream, False) for stream in sorted(kernel.epilogue_streams)]
    steps = []
    for position, op in enumerate(kernel.ops):
        spec = BY_NAME[op.name]
        compiled = (REDUCTIONS if spec.is_reduction else ELEMENTWISE).get(op.name)
        operands = tuple(zip(op.operands, spec.operands, strict=True))
        steps.append(
            Step(
                spec,
                operands,
                compiled,
                position < kernel.body_count,
                DOMAIN_DTYPE[spec.result],
                op.immediate,
            )
        )
    return KernelPlan(kernel, tuple(loads), tuple(steps))


def is_param(number: int) -> bool:
    """Whether a value number names a parameter."""
    return FIRST_PARAM <= number < FIRST_RESULT


def constant(word: int, domain: str, size: int) -> Values:
    """A raw parameter word repeated as values of a domain, a NaN quieted; only to be read.

    Rows of usual sizes are kept.

    NOTE: not marked read-only: numba would compile every micro-op once more for such arrays.
    """
    return (_kept_row if size <= _KEPT_VALUES else _row)(word, domain, size)


def _row(word: int, domain: str, size: int) -> Values:
    if domain == "f" and word & _MAGNITUDE > _INFINITY:
        word = _QUIET_NAN
    return np.full(size, word, np.uint32).view(DOMAIN_DTYPE[domain])


_kept_row = lru_cache(maxsize=1024)(_row)
