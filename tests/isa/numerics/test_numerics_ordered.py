"""The compiled ordered sum has the bits of the plain one, and no fused step in its machine code."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.isa.jit import HAS_NUMBA
from npuc.isa.numerics import ordered
from npuc.isa.numerics.matrix import mma_float, mma_float_plain

SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-40, 3e38, 1 + 2.0**-12])
SIZES = st.integers(1, 40)


def operands(shape: tuple[int, int, int], seed: int, specials: bool) -> list[np.ndarray]:
    """a, w and acc of widely spread magnitude: most sums round."""
    rng, (m, k, n) = np.random.default_rng(seed), shape
    found = []
    for size in ((m, k), (k, n), (m, n)):
        values = rng.normal(size=size) * 2.0 ** rng.integers(-12, 12, size)
        if specials:
            values = np.where(rng.random(size) < 0.05, rng.choice(SPECIAL, size), values)
        found.append(values.astype(np.float32))
    return found


@settings(deadline=None)
@given(SIZES, SIZES, SIZES, st.integers(0, 99), st.booleans())
def test_the_kernel_equals_the_plain_sum(m: int, k: int, n: int, seed: int, specials: bool) -> None:
    a, w, acc = operands((m, k, n), seed, specials)
    want, got = mma_float_plain(a, w, acc), acc.copy()
    ordered.ordered_sum(a, w, got)
    nan = np.isnan(want)
    np.testing.assert_array_equal(np.isnan(got), nan)
    assert got[~nan].tobytes() == want[~nan].tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(70, 33, 40), (1, 130, 700), (600, 30, 1), (9, 31, 600)])
def test_large_products_equal_the_plain_sum(shape: tuple[int, int, int], dtype: type) -> None:
    a, w, acc = operands(shape, 5, specials=False)
    with np.errstate(over="ignore"):
        a, w = a.astype(dtype), w.astype(dtype)
    assert mma_float(a, w, acc).tobytes() == mma_float_plain(a, w, acc).tobytes()
    backwards = mma_float(a[::-1].T.copy().T, np.asfortranarray(w), acc[::-1])
    assert backwards[::-1].tobytes() == mma_float_plain(a, w, acc).tobytes()


def test_large_products_quiet_nan_and_leave_the_accumulator_alone() -> None:
    a, w, acc = operands((64, 64, 64), 3, specials=True)
    before = acc.copy()
    result = mma_float(a, w, acc)
    assert acc.tobytes() == before.tobytes()
    assert np.isnan(result).any()
    assert set(result.view(np.uint32)[np.isnan(result)].tolist()) == {0x7FC00000}


@pytest.mark.skipif(not HAS_NUMBA, reason="numba is absent or off: nothing is compiled")
def test_the_machine_code_fuses_nothing() -> None:
    import numba

    kernel = numba.njit(ordered._accumulate.py_func, error_model="numpy")  # type: ignore
    kernel(*operands((32, 32, 32), 1, specials=False))
    code = "".join(kernel.inspect_asm().values())  # of code from the cache there is none
    assert "mulps" in code or "fmul" in code, "the products are not where this test looks"
    assert not [word for word in ("vfmadd", "vfmsub", "vfnmadd", "fmla", "fmadd") if word in code]
