"""Counter-based random words: the same point of the same stream, whatever the order of work."""

import numpy as np
import numpy.typing as npt

from npuc.isa.numerics.arrays import F32, U32

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)
WORD_BITS = np.uint64(32)


def philox4x32(counter_P4: U32, key_P2: U32) -> U32:
    """Philox4x32-10: four random words for each point's counter of four words and key of two.

    Leading axes broadcast. Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
    easy as 1, 2, 3", SC 2011.
    """
    c0, c1, c2, c3 = np.moveaxis(np.asarray(counter_P4, dtype=np.uint64), -1, 0)
    k0, k1 = np.moveaxis(np.asarray(key_P2, dtype=np.uint64), -1, 0)
    for _ in range(ROUNDS):
        product0 = c0 * np.uint64(MULTIPLIERS[0])
        product1 = c2 * np.uint64(MULTIPLIERS[1])
        c0, c1 = (product1 >> WORD_BITS) ^ c1 ^ k0, product1 & LOW
        c2, c3 = (product0 >> WORD_BITS) ^ c3 ^ k1, product0 & LOW
        k0 = (k0 + np.uint64(KEY_STEPS[0])) & LOW
        k1 = (k1 + np.uint64(KEY_STEPS[1])) & LOW
    words = np.broadcast_arrays(c0, c1, c2, c3)
    return np.stack(words, axis=-1).astype(np.uint32)


def _words(x: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Low and high word of each integer; the high word of a 32-bit integer is 0."""
    if np.asarray(x).dtype.itemsize == 4:
        low = np.asarray(x).astype(np.uint32).astype(np.uint64)
        return low, np.zeros_like(low)
    whole = np.asarray(x).astype(np.uint64)
    return whole & LOW, whole >> WORD_BITS


def random_u32(counter: npt.NDArray[np.integer], key: npt.NDArray[np.integer]) -> U32:
    """One random word for each counter: word 0 of Philox4x32-10 at (low, high, 0, 0).

    ``counter`` and ``key`` are 32- or 64-bit integers taken as bit patterns, and broadcast.
    """
    low, high = np.broadcast_arrays(*_words(counter))
    zero = np.zeros_like(low)
    counters = np.stack([low, high, zero, zero], axis=-1)
    keys = np.stack(_words(key), axis=-1)
    result: U32 = philox4x32(counters.astype(np.uint32), keys.astype(np.uint32))[..., 0]
    return result


def random_uniform(counter: npt.NDArray[np.integer], key: npt.NDArray[np.integer]) -> F32:
    """A float32 in [0, 1) for each counter: the top 24 bits of ``random_u32`` times 2**-24."""
    top = (random_u32(counter, key) >> np.uint32(8)).astype(np.float32)
    return top * np.float32(2.0**-24)
