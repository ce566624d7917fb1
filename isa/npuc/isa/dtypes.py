"""Element types of tensors, streams and accumulators, with their codes in descriptors."""

from enum import Enum
from functools import cached_property

import ml_dtypes
import numpy as np


class DType(Enum):
    """An element type; the value is its code in binary descriptors (stable for ever)."""

    i8 = 0
    u8 = 1
    i16 = 2
    u16 = 3
    i32 = 4
    i64 = 5
    f32 = 6
    bf16 = 7
    f16 = 8
    __hash__ = object.__hash__  # members are single; Enum hashes their names, which takes longer

    @cached_property
    def numpy(self) -> np.dtype[np.generic]:
        """The NumPy dtype with the same bits."""
        return np.dtype(_NUMPY[self.name])

    @cached_property
    def bytes(self) -> int:
        """Bytes per element."""
        return int(self.numpy.itemsize)

    @property
    def is_float(self) -> bool:
        """Whether streams of this type load into the float32 domain."""
        return self in (DType.f32, DType.bf16, DType.f16)

    @staticmethod
    def from_numpy(dtype: np.dtype[np.generic]) -> "DType":
        """The element type with the bits of ``dtype``. Raises: KeyError when there is none."""
        return _BY_NUMPY[np.dtype(dtype)]


_NUMPY: dict[str, type] = {
    "i8": np.int8,
    "u8": np.uint8,
    "i16": np.int16,
    "u16": np.uint16,
    "i32": np.int32,
    "i64": np.int64,
    "f32": np.float32,
    "bf16": ml_dtypes.bfloat16,
    "f16": np.float16,
}
_BY_NUMPY: dict[np.dtype[np.generic], DType] = {np.dtype(_NUMPY[d.name]): d for d in DType}
