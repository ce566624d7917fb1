"""Integer types and rounding that the cost formulas share."""

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Ints = Int64s | int


def int64s(value: Ints) -> Int64s:
    """``value`` as an int64 array; a plain integer becomes an array of no dimensions."""
    return np.asarray(value, np.int64)


def ceil_div(amount: Ints, unit: Ints) -> Int64s:
    """Smallest integer not below ``amount`` / ``unit``; exact."""
    return np.asarray(-(-int64s(amount) // int64s(unit)), np.int64)


def ceil_rate(amount: Ints, per_cycle: float) -> Int64s:
    """Cycles for ``amount`` at ``per_cycle``, rounded up."""
    return np.ceil(int64s(amount) / per_cycle).astype(np.int64)
