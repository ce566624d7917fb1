"""What one run may use of the host, checked before it is used: no program runs for ever or eats it.

The limits are those of the emulator, not of the machine: a machine would go on. Refusals are
CapacityErrors that name the instruction, the loop around it and the option that raises the limit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from npuc.isa.errors import CapacityError
from npuc.isa.program import Program
from npuc.isa.target import Target

MIB = 1 << 20
MAX_POINTS = 1 << 31  # of one operand: beyond any memory, and small enough for sums of 64 bits


@dataclass(frozen=True)
class Limits:
    """``instructions``: executed by ctl of one core. ``commands``: dispatched by all cores; the
    emulator notes about 600 bytes of each. ``points``: multiply-accumulates, points of vector
    commands and elements moved, of all commands together. ``memory_bytes``: memories of the
    machine and intermediate values of one command, each.
    """

    instructions: int = 200_000_000
    commands: int = 1 << 20
    points: int = 1 << 44
    memory_bytes: int = 1 << 30


@dataclass
class Allowance:
    """How many commands the cores of one run may still dispatch together."""

    commands: int


DEFAULT_LIMITS = Limits()


def points_of(extents: Iterable[int]) -> int:
    """Points of a space; an extent of 0 counts as 1, for lines along the others are still made."""
    return prod(max(extent, 1) for extent in extents)


def check_memory(program: Program, target: Target, limits: Limits) -> None:
    """Raises: CapacityError where the memories of a run exceed the limit; nothing is allocated.

    Arguments count twice, for the caller holds them, too.
    """
    cores = len(program.code)
    tensors = (*program.inputs, *program.outputs, *program.states)
    parts = {
        "SPM": cores * target.spm.capacity_bytes,
        "ACC": cores * target.acc.capacity_bytes,
        "scratch": program.scratch_bytes,
        "inputs, outputs and states": sum(2 * t.n_bytes + t.offset for t in tensors),
    }
    total = sum(parts.values())
    if total > limits.memory_bytes:
        shares = ", ".join(f"{name} {n_bytes:,}" for name, n_bytes in parts.items() if n_bytes)
        raise CapacityError(
            "the program needs more memory than a run may use",
            f"{cores} cores of {target.name}",
            f"{total:,} bytes: {shares}",
            f"{limits.memory_bytes:,} bytes",
            "raise the limit: npuc run --memory-mib, Limits.memory_bytes",
        )
