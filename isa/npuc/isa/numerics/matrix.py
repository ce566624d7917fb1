"""The matrix unit: products of an activation block and a weight block, added to an accumulator."""

import numpy as np
import numpy.typing as npt

from npuc.isa.jit import HAS_NUMBA
from npuc.isa.numerics.arrays import F32, I32
from npuc.isa.numerics.convert import load_as_f32, quiet_nan
from npuc.isa.numerics.integer import wrap_i32

# Sums of this many 16-bit by 16-bit products stay exact in float64: 2**20 * 2**32 < 2**53.
_EXACT_K = 2**20
# With fewer products NumPy is done before the compiled kernel is loaded.
_COMPILED_PRODUCTS = 2**14


def mma_int(a_MK: npt.NDArray[np.integer], w_KN: npt.NDArray[np.integer], acc_MN: I32) -> I32:
    """Sum acc + a @ w modulo 2**32, as int32; operands are integers of at most 16 bits.

    The order of the sum does not matter, so it is taken exactly (in float64) and then wrapped.
    """
    assert max(a_MK.dtype.itemsize, w_KN.dtype.itemsize) <= 2, "operands of 8 or 16 bits"
    total_MN = acc_MN.astype(np.int64)
    for start in range(0, a_MK.shape[1], _EXACT_K):
        a = a_MK[:, start : start + _EXACT_K].astype(np.float64)
        w = w_KN[start : start + _EXACT_K].astype(np.float64)
        total_MN = total_MN + (a @ w).astype(np.int64)
    return wrap_i32(total_MN)


def mma_float(a_MK: npt.NDArray[np.generic], w_KN: npt.NDArray[np.generic], acc_MN: F32) -> F32:
    """Sum acc + a @ w in the machine's order: acc = rne(acc + rne(a[k] * w[k])), k ascending.

    Operands are f32, bf16 or f16 and widen exactly. Splitting K into contiguous ascending ranges,
    each starting from the accumulator of the one before, changes no bit. Large products are
    compiled where numba is there; the bits are those of ``mma_float_plain``.
    """
    if a_MK.size * acc_MN.shape[1] < _COMPILED_PRODUCTS or not HAS_NUMBA:
        return mma_float_plain(a_MK, w_KN, acc_MN)
    from npuc.isa.numerics.ordered import ordered_sum  # noqa: PLC0415

    acc: F32 = acc_MN.astype(np.float32, order="C")
    ordered_sum(load_as_f32(a_MK), load_as_f32(w_KN), acc)
    return quiet_nan(acc)


@np.errstate(all="ignore")
def mma_float_plain(
    a_MK: npt.NDArray[np.generic], w_KN: npt.NDArray[np.generic], acc_MN: F32
) -> F32:
    """The same sum step by step: what defines its bits."""
    a, w = load_as_f32(a_MK), load_as_f32(w_KN)
    acc: F32 = acc_MN.astype(np.float32)
    for k in range(a.shape[1]):
        product_MN: F32 = a[:, k, np.newaxis] * w[k, np.newaxis, :]
        acc = np.add(acc, product_MN, dtype=np.float32)
    return quiet_nan(acc)
