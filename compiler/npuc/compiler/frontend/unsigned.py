"""uint8 tensors are held as int8, each element less 128: the machine's products are signed."""

import numpy as np

from npuc.compiler.frontend.load import Array

UNSIGNED_SHIFT = 128


def to_signed(array: Array) -> Array:
    """uint8 as int8, each element less 128; other arrays as they are."""
    if array.dtype != np.uint8:
        return array
    return (array.astype(np.int16) - UNSIGNED_SHIFT).astype(np.int8)
