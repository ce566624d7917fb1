"""Array types of the numerics package, and the trap that an operation may raise."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npuc.isa.errors import ExecutionError

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
Bits16 = npt.NDArray[np.uint16]
Mask = npt.NDArray[np.bool_]

QUIET_NAN_F32_BITS = 0x7FC00000
QUIET_NAN_BF16_BITS = 0x7FC0
QUIET_NAN_F16_BITS = 0x7E00

I32_MIN = -(2**31)
I32_MAX = 2**31 - 1


@dataclass
class NumericTrap(ExecutionError):  # noqa: N818  # the machine says trap
    """An operation on a value for which the machine traps.

    ``point`` is the row-major index of the first such element; whoever runs the instruction
    adds address, instruction text and source node.
    """

    point: int = -1


def trap_where(mask: Mask, what: str, allowed: str) -> None:
    """Return when ``mask`` is false everywhere. Raises: NumericTrap naming the first true point."""
    if not mask.any():
        return
    point = int(np.argmax(mask))
    raise NumericTrap(what, where=f"element {point}", allowed=allowed, point=point)
