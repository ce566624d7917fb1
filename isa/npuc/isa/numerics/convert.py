"""Conversions between element types and the two domains of the vector unit, float32 and int32.

Every stream element passes ``load_convert`` on its way in and ``store_convert`` on its way out.
Rounding is half to even, integers saturate, NaN becomes 0 as an integer and one quiet pattern
as a float. Values that are float32 inside the machine are therefore always canonical.
"""

from typing import Literal

import ml_dtypes
import numpy as np
import numpy.typing as npt

from npuc.isa.numerics.arrays import (
    F32,
    I32,
    I32_MAX,
    I32_MIN,
    I64,
    QUIET_NAN_BF16_BITS,
    QUIET_NAN_F16_BITS,
    QUIET_NAN_F32_BITS,
    Bits16,
    Mask,
    trap_where,
)

Domain = Literal["f32", "i32"]

_BF16 = np.dtype(ml_dtypes.bfloat16)
_F16 = np.dtype(np.float16)
_F32 = np.dtype(np.float32)
_FLOATS = (_F32, _BF16, _F16)


def quiet_nan(x: F32) -> F32:
    """``x`` with every NaN, whatever its sign and payload, replaced by the pattern 0x7fc00000."""
    canonical = np.uint32(QUIET_NAN_F32_BITS).view(np.float32)
    return np.where(np.isnan(x), canonical, x)


def i32_to_f32(x: I32) -> F32:
    """The nearest float32, ties to even."""
    return np.asarray(x, dtype=np.int32).astype(np.float32)


@np.errstate(all="ignore")
def f32_to_i32(x: F32) -> I32:
    """The nearest integer, ties to even, saturated to int32; NaN gives 0."""
    # Every float32 is exact in float64, and so are both ends of int32: clipping adds no rounding.
    nearest = np.rint(np.asarray(x, dtype=np.float32).astype(np.float64))
    number = np.where(np.isnan(nearest), 0.0, nearest)
    return np.clip(number, I32_MIN, I32_MAX).astype(np.int32)


def f32_to_bf16_bits(x: F32) -> Bits16:
    """The bits of the nearest bfloat16, ties to even; overflow is infinity, NaN is 0x7fc0."""
    bits = np.asarray(x, dtype=np.float32).view(np.uint32).astype(np.uint64)
    lowest_kept_bit = (bits >> np.uint64(16)) & np.uint64(1)
    rounded = (bits + np.uint64(0x7FFF) + lowest_kept_bit) >> np.uint64(16)
    return np.where(np.isnan(x), QUIET_NAN_BF16_BITS, rounded).astype(np.uint16)


@np.errstate(all="ignore")
def f32_to_f16_bits(x: F32) -> Bits16:
    """The bits of the nearest IEEE half, ties to even; overflow is infinity, NaN is 0x7e00."""
    rounded = np.asarray(x, dtype=np.float32).astype(np.float16).view(np.uint16)
    return np.where(np.isnan(x), QUIET_NAN_F16_BITS, rounded).astype(np.uint16)


def exceeds_i32(x: I64) -> Mask:
    """True where an int64 is not the sign extension of its low word: a load of it traps."""
    return (x < I32_MIN) | (x > I32_MAX)


def _load_i64(x: I64) -> I32:
    trap_where(
        exceeds_i32(x),
        what="int64 value does not fit the 32-bit vector unit",
        allowed=f"{I32_MIN} .. {I32_MAX}",
    )
    return x.astype(np.int32)


@np.errstate(all="ignore")
def load_as_f32(x: npt.NDArray[np.generic]) -> F32:
    """Stream elements in the float32 domain: see ``load_convert``."""
    if x.dtype in _FLOATS:
        return quiet_nan(x.astype(np.float32))
    return i32_to_f32(load_as_i32(x))


def load_as_i32(x: npt.NDArray[np.generic]) -> I32:
    """Stream elements in the int32 domain: see ``load_convert``."""
    if x.dtype in _FLOATS:
        return f32_to_i32(load_as_f32(x))
    if x.dtype == np.int64:
        return _load_i64(x.astype(np.int64))
    return x.astype(np.int32)


def load_convert(x: npt.NDArray[np.generic], domain: Domain) -> F32 | I32:
    """Stream elements of any element type as values of ``domain``.

    Exact, but for int32 (or int64) to float32 and float to int32, which round half to even; the
    latter saturates. int64 to float32 goes by way of int32.
    Raises: NumericTrap when an int64 element does not fit int32.
    """
    return load_as_f32(x) if domain == "f32" else load_as_i32(x)


def _to_i32(x: F32 | I32) -> I32:
    return f32_to_i32(x.astype(np.float32)) if x.dtype == _F32 else x.astype(np.int32)


def _to_f32(x: F32 | I32) -> F32:
    return x.astype(np.float32) if x.dtype == _F32 else i32_to_f32(x.astype(np.int32))


def _saturate(x: I32, dtype: np.dtype[np.generic]) -> npt.NDArray[np.generic]:
    if dtype.itemsize >= 4:
        return x.astype(dtype)
    span = 2 ** (8 * dtype.itemsize)
    low = -span // 2 if dtype.kind == "i" else 0
    return np.clip(x, low, low + span - 1).astype(dtype)


def store_convert(x: F32 | I32, dtype: npt.DTypeLike) -> npt.NDArray[np.generic]:
    """Values of either domain as stream elements of ``dtype``.

    float32 to integer rounds half to even and saturates; int32 saturates to narrower integers and
    is sign-extended to int64 (float32 to int64 goes by way of int32). int32 to bf16 or f16 goes by
    way of float32, so it rounds twice. Float overflow gives infinity, as IEEE has it.
    """
    target = np.dtype(dtype)
    result: npt.NDArray[np.generic]
    if target == _BF16:
        result = f32_to_bf16_bits(_to_f32(x)).view(_BF16)
    elif target == _F16:
        result = f32_to_f16_bits(_to_f32(x)).view(_F16)
    elif target == _F32:
        result = quiet_nan(_to_f32(x))
    else:
        result = _saturate(_to_i32(x), target)
    return result
