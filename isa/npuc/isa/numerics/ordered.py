"""Products of float32 matrices in the machine's order, compiled: the bits of ``mma_float_plain``.

Columns stand side by side, K ascends for each of them: four steps of K are taken while the sums of
a row are at hand, each of two rounded operations. Nothing is reassociated and nothing fused.
"""

import numpy as np

from npuc.isa.jit import njit
from npuc.isa.numerics.arrays import F32

# With fewer columns than this, rows stand side by side instead, if there are more of them.
MIN_COLUMNS = 16
# Columns whose sums and weights stay near the arithmetic.
BLOCK_COLUMNS = 512


def ordered_sum(a_MK: F32, w_KN: F32, acc_MN: F32) -> None:
    """``acc = rne(acc + rne(a * w))``, k ascending, in place; NaNs keep whatever bits they get."""
    rows, columns = acc_MN.shape
    if columns < MIN_COLUMNS and rows > columns:
        acc_NM = np.ascontiguousarray(acc_MN.T)
        _blocks(np.ascontiguousarray(w_KN.T), np.ascontiguousarray(a_MK.T), acc_NM)
        acc_MN[...] = acc_NM.T
    else:
        _blocks(np.ascontiguousarray(a_MK), np.ascontiguousarray(w_KN), acc_MN)


def _blocks(a_MK: F32, w_KN: F32, acc_MN: F32) -> None:
    if acc_MN.shape[1] <= BLOCK_COLUMNS:
        _accumulate(a_MK, w_KN, acc_MN)
        return
    for start in range(0, acc_MN.shape[1], BLOCK_COLUMNS):
        block = slice(start, start + BLOCK_COLUMNS)
        acc = np.ascontiguousarray(acc_MN[:, block])
        _accumulate(a_MK, np.ascontiguousarray(w_KN[:, block]), acc)
        acc_MN[:, block] = acc


@njit
def _accumulate(a_MK: F32, w_KN: F32, acc_MN: F32) -> None:
    rows, columns = acc_MN.shape
    depth = a_MK.shape[1]
    whole = depth - depth % 4
    for k in range(0, whole, 4):
        w0, w1, w2, w3 = w_KN[k], w_KN[k + 1], w_KN[k + 2], w_KN[k + 3]
        for m in range(rows):
            a0, a1, a2, a3 = a_MK[m, k], a_MK[m, k + 1], a_MK[m, k + 2], a_MK[m, k + 3]
            acc = acc_MN[m]
            for n in range(columns):
                total = acc[n] + a0 * w0[n]
                total = total + a1 * w1[n]
                total = total + a2 * w2[n]
                acc[n] = total + a3 * w3[n]
    for k in range(whole, depth):
        w0 = w_KN[k]
        for m in range(rows):
            a0 = a_MK[m, k]
            acc = acc_MN[m]
            for n in range(columns):
                acc[n] = acc[n] + a0 * w0[n]
