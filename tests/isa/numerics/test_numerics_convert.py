"""Conversions against integer arithmetic, ``struct`` and ml_dtypes, over every small encoding."""

import math
import struct
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.isa.dtypes import DType
from npuc.isa.errors import ExecutionError
from npuc.isa.numerics.arrays import NumericTrap
from npuc.isa.numerics.convert import (
    exceeds_i32,
    f32_to_bf16_bits,
    f32_to_f16_bits,
    f32_to_i32,
    i32_to_f32,
    load_convert,
    quiet_nan,
    store_convert,
)
from npuc.isa.numerics.requantize import requantize

INTEGERS = (DType.i8, DType.u8, DType.i16, DType.u16, DType.i32, DType.i64)
SMALL = (DType.i8, DType.u8, DType.i16, DType.u16, DType.bf16, DType.f16)


def every_encoding(dtype: DType) -> np.ndarray:
    unsigned = np.uint8 if dtype.bytes == 1 else np.uint16
    return np.arange(256**dtype.bytes, dtype=np.uint32).astype(unsigned).view(dtype.numpy)


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def bits(x: np.ndarray) -> np.ndarray:
    return x.view(np.uint32)


def nearest_integer(value: float) -> int:
    """Round half to even in exact arithmetic, then saturate."""
    if math.isnan(value):
        return 0
    if value in (float("inf"), float("-inf")):
        return 2**31 - 1 if value > 0 else -(2**31)
    return max(-(2**31), min(2**31 - 1, round(Fraction(value))))


f32_bit_patterns = st.integers(0, 2**32 - 1)
any_f32 = f32_bit_patterns.map(lambda word: np.uint32(word).view(np.float32))


@pytest.mark.parametrize("dtype", SMALL)
def test_every_small_encoding_loads_exactly(dtype: DType) -> None:
    elements = every_encoding(dtype)
    loaded = load_convert(elements, "f32")
    assert loaded.dtype == np.float32
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(loaded, elements.astype(np.float64))


@pytest.mark.parametrize("dtype", SMALL)
def test_every_small_encoding_survives_load_and_store(dtype: DType) -> None:
    elements = every_encoding(dtype)
    number = elements[~np.isnan(elements.astype(np.float32))]
    stored = store_convert(load_convert(number, "f32"), dtype.numpy)
    assert stored.dtype == dtype.numpy
    assert stored.tobytes() == number.tobytes()


@pytest.mark.parametrize("dtype", [DType.bf16, DType.f16])
def test_every_half_nan_becomes_the_one_nan(dtype: DType) -> None:
    elements = every_encoding(dtype)
    nans = elements[np.isnan(elements.astype(np.float32))]
    assert nans.size > 200
    assert set(bits(load_convert(nans, "f32")).tolist()) == {0x7FC00000}
    expected = {DType.bf16: 0x7FC0, DType.f16: 0x7E00}[dtype]
    stored = store_convert(load_convert(nans, "f32"), dtype.numpy)
    assert set(stored.view(np.uint16).tolist()) == {expected}


@pytest.mark.parametrize("word", [0x7F800001, 0xFFC00000, 0x7FC00000, 0xFFFFFFFF, 0xFF800001])
def test_every_f32_nan_becomes_the_one_nan(word: int) -> None:
    nan = np.array([word], np.uint32).view(np.float32)
    assert bits(quiet_nan(nan)).tolist() == [0x7FC00000]
    assert bits(load_convert(nan, "f32")).tolist() == [0x7FC00000]
    assert bits(store_convert(nan, np.float32)).tolist() == [0x7FC00000]
    assert f32_to_i32(nan).tolist() == [0]
    assert store_convert(nan, np.int8).tolist() == [0]
    assert f32_to_bf16_bits(nan).tolist() == [0x7FC0]
    assert f32_to_f16_bits(nan).tolist() == [0x7E00]


def bf16_neighbourhoods() -> np.ndarray:
    """Around every finite bf16: itself, the tie above it, and one step either side of the tie."""
    high = np.arange(65536, dtype=np.uint32) << 16
    words = np.concatenate([high, high + 0x7FFF, high + 0x8000, high + 0x8001, high + 0xFFFF])
    values = words.view(np.float32)
    return values[~np.isnan(values)]


def test_bf16_rounds_as_ml_dtypes_does_at_every_tie() -> None:
    values = bf16_neighbourhoods()
    expected = values.astype(ml_dtypes.bfloat16).view(np.uint16)
    np.testing.assert_array_equal(f32_to_bf16_bits(values), expected)
    assert f32_to_bf16_bits(f32(3.4e38, -3.4e38)).tolist() == [0x7F80, 0xFF80]


def test_f16_rounds_as_struct_does_at_every_tie() -> None:
    half = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
    middle = (half[:-1] + half[1:]) / 2  # exact in float32: eleven bits and one more
    tie = middle.astype(np.float32)
    near = [tie, np.nextafter(tie, np.float32(0)), np.nextafter(tie, np.float32(9e9))]
    values = np.concatenate([*near, np.negative(tie)])
    packed = b"".join(struct.pack("<e", float(value)) for value in values)
    np.testing.assert_array_equal(f32_to_f16_bits(values), np.frombuffer(packed, "<u2"))
    assert f32_to_f16_bits(f32(65519.996, 65520, -1e30)).tolist() == [0x7BFF, 0x7C00, 0xFC00]


@given(any_f32)
def test_f32_to_i32_is_exact_rounding_then_saturation(value: np.float32) -> None:
    assert f32_to_i32(np.array([value])).tolist() == [nearest_integer(float(value))]


@given(st.integers(-(2**31), 2**31 - 1))
def test_i32_to_f32_is_the_nearest_float(word: int) -> None:
    expected = struct.unpack("<f", struct.pack("<f", float(word)))[0]  # the double is exact
    assert i32_to_f32(np.array([word], np.int32)).tolist() == [expected]


def test_i32_to_f32_ties_go_to_even() -> None:
    words = np.array([2**24 + 1, 2**24 + 3, -(2**24) - 1, 2**31 - 1, -(2**31)], np.int32)
    expected = [2.0**24, 2.0**24 + 4, -(2.0**24), 2.0**31, -(2.0**31)]
    assert i32_to_f32(words).tolist() == expected


TIES = f32(0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, 127.5, 254.5, 255.5, -128.5, -129.5)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_store_rounds_half_to_even_and_saturates(dtype: DType) -> None:
    values = np.concatenate([TIES, f32(3e9, -3e9, np.inf, -np.inf, 2147483520.0, -0.0)])
    limits = np.iinfo(np.int32 if dtype is DType.i64 else dtype.numpy)
    expected = [max(limits.min, min(limits.max, nearest_integer(float(v)))) for v in values]
    stored = store_convert(values, dtype.numpy)
    assert stored.dtype == dtype.numpy
    assert stored.tolist() == expected


@pytest.mark.parametrize("dtype", INTEGERS)
@given(words=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=8))
def test_store_of_i32_saturates_or_extends(dtype: DType, words: list[int]) -> None:
    limits = np.iinfo(dtype.numpy)
    expected = [max(limits.min, min(limits.max, word)) for word in words]
    assert store_convert(np.array(words, np.int32), dtype.numpy).tolist() == expected


def test_store_of_i32_to_halves_goes_by_way_of_f32() -> None:
    words = np.array([2**24 + 1, -3, 70000, 257], np.int32)
    bf16 = store_convert(words, ml_dtypes.bfloat16)
    assert bf16.astype(np.float64).tolist() == [2.0**24, -3, 70144, 256]
    f16 = store_convert(words, np.float16)
    assert f16.astype(np.float64).tolist() == [np.inf, -3, np.inf, 257]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_load_into_both_domains(dtype: DType) -> None:
    limits = np.iinfo(np.int32 if dtype is DType.i64 else dtype.numpy)
    values = np.array([limits.min, 0, 1, limits.max], dtype.numpy)
    words = load_convert(values, "i32")
    assert words.dtype == np.int32
    assert words.tolist() == values.tolist()
    assert load_convert(values, "f32").tolist() == [float(np.float32(v)) for v in values.tolist()]


def test_floats_load_into_the_integer_domain() -> None:
    values = f32(0.5, 1.5, -2.5, 3e9, np.nan)
    assert load_convert(values, "i32").tolist() == [0, 2, -2, 2**31 - 1, 0]
    halves = np.array([0.5, 1.5, -2.5, np.inf], np.float16)
    assert load_convert(halves, "i32").tolist() == [0, 2, -2, 2**31 - 1]


@pytest.mark.parametrize("domain", ["f32", "i32"])
@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 2**63 - 1, -(2**63), 2**32])
def test_int64_that_does_not_fit_traps_at_its_point(domain: str, value: int) -> None:
    words = np.array([[5, -5], [value, value]], np.int64)
    with pytest.raises(NumericTrap, match="does not fit") as caught:
        load_convert(words, domain)  # type: ignore[arg-type]
    assert caught.value.point == 2
    assert isinstance(caught.value, ExecutionError)
    assert exceeds_i32(words).tolist() == [[False, False], [True, True]]


def requantized(acc: int, scale: np.float32, zero_point: int) -> int:
    product = Fraction(float(np.float32(acc))) * Fraction(float(scale))
    rounded = struct.unpack("<f", struct.pack("<f", float(product)))[0]  # 48 bits: double is exact
    return max(-128, min(127, round(Fraction(rounded)) + zero_point))


@given(
    st.integers(-(2**31), 2**31 - 1),
    st.floats(2.0**-30, 1.0, width=32),
    st.integers(-128, 127),
)
def test_requantize_is_one_product_one_rounding_and_a_clamp(
    acc: int, scale: float, zero_point: int
) -> None:
    factor = np.float32(scale)
    result = requantize(np.array([acc], np.int32), factor, zero_point, (-128, 127))
    assert result.dtype == np.int32
    assert result.tolist() == [requantized(acc, factor, zero_point)]


def test_requantize_ties_and_channels() -> None:
    acc = np.array([[1, 3, 5], [-1, -3, -5]], np.int32)
    assert requantize(acc, f32(0.5), 0, (-128, 127)).tolist() == [[0, 2, 2], [0, -2, -2]]
    scale_C = f32(0.5, 1.0, 100.0)
    zero_point_C = np.array([1, 2, 3], np.int32)
    assert requantize(acc, scale_C, zero_point_C, (0, 255)).tolist() == [[1, 5, 255], [1, 0, 0]]
    assert requantize(acc, f32(np.nan), 7, (-128, 127)).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert requantize(acc, f32(np.inf), 7, (-128, 127)).tolist() == [[127] * 3, [-128] * 3]
