"""Fast matrix commands.

int8 by float32 BLAS in K chunks whose sums float32 holds exactly, int8 dot for few rows; floats by
an ordered kernel of two rounded steps. Where an accumulator view has windows or shares bytes
between points, the twin executes the command.
"""

import numpy as np
import numpy.typing as npt

from npuc.emulator.functional import plain
from npuc.emulator.functional.gather import elements, is_plain_store, strided
from npuc.emulator.functional.vector_kernels import quiet_in_place
from npuc.emulator.functional.weights import WeightCache
from npuc.emulator.memory import Memory
from npuc.emulator.region import MmaWork
from npuc.isa.jit import HAS_NUMBA, njit
from npuc.isa.numerics.convert import load_convert
from npuc.isa.numerics.matrix import mma_float_plain
from npuc.isa.numerics.ordered import ordered_sum

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int8]

# 128 * 128 * 1024 = 2**24: every partial sum is an integer that float32 holds exactly.
EXACT_K = 1024
# Below this many rows converting the weights costs more than BLAS saves.
DOT_ROWS = 8


def execute_mma(memory: Memory, core: int, work: MmaWork, weights: WeightCache) -> None:
    """ACC[m, n] (+)= sum over k of A[m, k] * W[k, n], bit for bit as the twin."""
    if not is_plain_store(work.acc):
        plain.execute_mma(memory, core, work)
        return
    if 0 in work.acc.extents:
        return
    if work.a.view.dtype.is_float:
        _float(memory, core, work)
    else:
        _integer(memory, core, work, weights)


def _integer(memory: Memory, core: int, work: MmaWork, weights: WeightCache) -> None:
    m, n, k = _shape(work)
    spm = memory.spm[core]
    a_MK = elements(spm, work.a).reshape(m, k)
    if m < DOT_ROWS and HAS_NUMBA:
        w_KN = np.ascontiguousarray(elements(spm, work.w).reshape(k, n), np.int8)
        total = np.zeros((m, n), np.int32)
        _dot(np.ascontiguousarray(a_MK, np.int8), w_KN, total)
    else:
        total = chunked_dot(a_MK.astype(np.float32), weights.as_f32(memory, core, work.w))
    acc = strided(memory.acc[core], work.acc)
    if work.accumulate:
        acc += total.reshape(acc.shape)
    else:
        acc[...] = total.reshape(acc.shape)


def chunked_dot(a_MK: F32, w_KN: F32) -> I32:
    """The product of int8 values held in float32, exact modulo 2^32."""
    total: I32 = np.dot(a_MK[:, :EXACT_K], w_KN[:EXACT_K]).astype(np.int32)
    for start in range(EXACT_K, a_MK.shape[1], EXACT_K):
        chunk = slice(start, start + EXACT_K)
        total += np.dot(a_MK[:, chunk], w_KN[chunk]).astype(np.int32)
    return total


def _float(memory: Memory, core: int, work: MmaWork) -> None:
    m, n, k = _shape(work)
    spm = memory.spm[core]
    a_MK = np.asarray(load_convert(elements(spm, work.a), "f32"), np.float32).reshape(m, k)
    w_KN = np.asarray(load_convert(elements(spm, work.w), "f32"), np.float32).reshape(k, n)
    acc = strided(memory.acc[core], work.acc)
    total = np.zeros((m, n), np.float32)
    if work.accumulate:
        total[...] = acc.reshape(m, n)
    if HAS_NUMBA:
        ordered_sum(a_MK, w_KN, total)
        quiet_in_place(total.reshape(-1))
    else:
        total = mma_float_plain(a_MK, w_KN, total)
    acc[...] = total.reshape(acc.shape)


def _shape(work: MmaWork) -> tuple[int, int, int]:
    m0, m1, m2, n = work.acc.extents
    k0, k1, k2, _ = work.w.extents
    return m0 * m1 * m2, n, k0 * k1 * k2


@njit
def _dot(a_MK: I8, w_KN: I8, total_MN: I32) -> None:
    for m in range(a_MK.shape[0]):
        for k in range(a_MK.shape[1]):
            a = np.int32(a_MK[m, k])
            for n in range(w_KN.shape[1]):
                total_MN[m, n] += a * np.int32(w_KN[k, n])
