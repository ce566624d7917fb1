"""The default requantisation: an int32 accumulator to a narrow quantised integer."""

import numpy as np

from npuc.isa.numerics.arrays import F32, I32
from npuc.isa.numerics.convert import f32_to_i32, i32_to_f32


@np.errstate(all="ignore")
def requantize(acc: I32, scale: F32, zero_point: I32 | int, limits: tuple[int, int]) -> I32:
    """clamp(round_half_even(float32(acc) * scale) + zero_point, lo, hi), as int32.

    Each step is one float32 operation, so a chain of vector micro-operations (convert, mul,
    round_even, add, max, min, store) gives the same bits. The sum is exact wherever it can lie in
    lo..hi, given |lo|, |hi|, |zero_point| < 2**22. A NaN (from a scale that is not finite) gives 0.
    ``limits`` are (lo, hi); ``scale`` and ``zero_point`` broadcast against ``acc``.
    Source: ONNX QLinearConv, QLinearMatMul, QuantizeLinear.
    """
    lo, hi = limits
    scaled = i32_to_f32(acc) * np.asarray(scale, dtype=np.float32)
    shifted = np.rint(scaled) + np.asarray(zero_point, dtype=np.float32)
    return f32_to_i32(np.clip(shifted, np.float32(lo), np.float32(hi)))
