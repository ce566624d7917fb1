"""The twin against direct code of another shape: loops over tensors, ONNX semantics, struct."""

import itertools
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.emulator.functional import plain
from npuc.emulator.memory import Memory
from npuc.emulator.region import DmaWork, MmaWork, Region, VexecWork
from npuc.isa.descriptors import Kernel, Op, Output, Segment, Space, Stream, TensorMap, View, Window
from npuc.isa.dtypes import DType
from tests.emulator.programs import bits

SPM, ACC = 1 << 14, 1 << 13
W_AT, OUT_AT = 4096, 8192


def memory() -> Memory:
    return Memory(
        (np.zeros(SPM, np.uint8),),
        (np.zeros(ACC, np.uint8),),
        {s: np.zeros(1024, np.uint8) for s in Segment},
    )


def put(target: np.ndarray, at: int, values: np.ndarray) -> None:
    raw = np.ascontiguousarray(values).tobytes()
    target[at : at + len(raw)] = np.frombuffer(raw, np.uint8)


def take(source: np.ndarray, at: int, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return np.frombuffer(source[at : at + size].tobytes(), dtype).reshape(shape)


def region(
    dtype: DType,
    extents: tuple[int, ...],
    strides: tuple[int, ...],
    at: int = 0,
    *,
    space: Space = Space.spm,
    windows: tuple[Window, ...] = (),
    fill: int = 0,
) -> Region:
    view = View(dtype, space, 0, extents, strides, windows=windows, fill=fill)
    return Region(view, at, extents, tuple(w.origin for w in windows))


# -- convolution: one mma over a padded, strided, dilated window against six loops -----------------


@given(
    st.tuples(*[st.integers(1, 3)] * 6),
    st.tuples(st.integers(3, 6), st.integers(3, 6)),
    st.booleans(),
    st.integers(0, 2**32),
)
@settings(max_examples=40)
def test_convolution(
    shape: tuple[int, ...], size: tuple[int, int], as_float: bool, seed: int
) -> None:
    kh, kw, stride, dilation, c, n = shape
    h, w = size
    pad = kh // 2
    oh = (h + 2 * pad - dilation * (kh - 1) - 1) // stride + 1
    ow = (w + 2 * pad - dilation * (kw - 1) - 1) // stride + 1
    if oh <= 0 or ow <= 0:
        return
    rng = np.random.default_rng(seed)
    kind, dtype, total = (
        (np.float32, DType.f32, DType.f32) if as_float else (np.int8, DType.i8, DType.i32)
    )
    fill_value = kind(0.5) if as_float else kind(-7)
    x = (rng.standard_normal((h, w, c)) * 50).astype(kind)
    weights = (rng.standard_normal((kh, kw, c, n)) * 50).astype(kind)
    mem = memory()
    put(mem.spm[0], 0, x)
    put(mem.spm[0], W_AT, weights)
    e = dtype.bytes
    windows = (
        Window(-pad, h, (0, stride, 0, dilation, 0, 0)),
        Window(-pad, w, (0, 0, stride, 0, dilation, 0)),
    )
    a = region(
        dtype,
        (1, oh, ow, kh, kw, c),
        (0, stride * w * c * e, stride * c * e, dilation * w * c * e, dilation * c * e, e),
        at=-pad * (w + 1) * c * e,
        windows=windows,
        fill=int.from_bytes(fill_value.tobytes(), "little"),
    )
    weight_view = region(dtype, (kh, kw, c, n), (kw * c * n * e, c * n * e, n * e, e), W_AT)
    acc = region(total, (1, oh, ow, n), (0, ow * n * 4, n * 4, 4), space=Space.acc)
    plain.execute(mem, 0, MmaWork(acc, a, weight_view, False))
    given_out = take(mem.acc[0], 0, (oh, ow, n), np.float32 if as_float else np.int32)
    assert np.array_equal(
        given_out, _convolution(x, weights, (stride, dilation, pad), fill_value, (oh, ow))
    )


def _convolution(x, weights, geometry, fill, size):
    """y, x, out channel: the sum over kernel y, kernel x, channel in that order."""
    (stride, dilation, pad), (h, w, channels) = geometry, x.shape
    kh, kw, _, n = weights.shape
    zero = np.float32(0) if x.dtype == np.float32 else 0
    out = np.zeros((*size, n), np.float32 if x.dtype == np.float32 else np.int32)
    for oy, ox, o in itertools.product(range(size[0]), range(size[1]), range(n)):
        total = zero
        for ky, kx, c in itertools.product(range(kh), range(kw), range(channels)):
            iy, ix = oy * stride + ky * dilation - pad, ox * stride + kx * dilation - pad
            inside = 0 <= iy < h and 0 <= ix < w
            value = x[iy, ix, c] if inside else fill
            if x.dtype == np.float32:
                total = np.float32(total + np.float32(value * weights[ky, kx, c, o]))
            else:
                total += int(value) * int(weights[ky, kx, c, o])
        out[oy, ox, o] = total
    return out


def test_accumulation_wraps_at_32_bits() -> None:
    mem = memory()
    put(mem.acc[0], 0, np.array([2**31 - 1, -(2**31)], np.int32))
    put(mem.spm[0], 0, np.array([1], np.int8))
    put(mem.spm[0], W_AT, np.array([1, -1], np.int8))
    work = MmaWork(
        region(DType.i32, (1, 1, 1, 2), (0, 0, 0, 4), space=Space.acc),
        region(DType.i8, (1,) * 6, (0,) * 6),
        region(DType.i8, (1, 1, 1, 2), (0, 0, 0, 1), W_AT),
        True,
    )
    plain.execute(mem, 0, work)
    assert take(mem.acc[0], 0, (2,), np.int32).tolist() == [-(2**31), 2**31 - 1]


# -- vector ---------------------------------------------------------------------------------------


def run_kernel(
    kernel: Kernel, words: list[int], inputs: list[Region], outputs: list[Region], mem: Memory
) -> None:
    padded = tuple(words + [0] * (8 - len(words)))
    space = inputs[0].extents
    plain.execute(mem, 0, VexecWork(kernel, padded, tuple(inputs), tuple(outputs), space))


def test_requantisation_is_that_of_qlinear_operators() -> None:
    rng = np.random.default_rng(0)
    acc = rng.integers(-30000, 30000, (5, 16)).astype(np.int32)
    acc[0, :4] = [50, 150, -50, 250]  # ties with a scale of 0.01 are not exact; see below
    scale = rng.uniform(0.001, 0.02, 16).astype(np.float32)
    scale[:4] = 0.25
    acc[1, :4] = [2, 6, 10, -2]  # exact halves: to even
    mem = memory()
    put(mem.acc[0], 0, acc)
    put(mem.spm[0], 0, scale)
    kernel = Kernel(
        (Stream("i"), Stream("f")),
        (Op("i2f", (0,)), Op("mulf", (16, 1)), Op("roundf", (17,)), Op("addf", (18, 8))),
        4,
        (Output(19),),
    )
    extents = (1, 1, 5, 16, 1, 1, 1)
    run_kernel(
        kernel,
        [bits(3.0)],
        [
            region(DType.i32, extents, (0, 0, 64, 4, 0, 0, 0), space=Space.acc),
            region(DType.f32, extents, (0, 0, 0, 4, 0, 0, 0)),
        ],
        [region(DType.i8, extents, (0, 0, 16, 1, 0, 0, 0), OUT_AT)],
        mem,
    )
    expected = [
        [
            max(-128, min(127, round(float(np.float32(np.float32(v) * s))) + 3))
            for v, s in zip(line, scale, strict=True)
        ]
        for line in acc.tolist()
    ]
    assert take(mem.spm[0], OUT_AT, (5, 16), np.int8).tolist() == expected
    assert expected[1][:4] == [3, 5, 5, 3]


@pytest.mark.parametrize(("name", "pad"), [("rmaxi", -128), ("sumi", 0)])
def test_pooling_with_padding(name: str, pad: int) -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(-128, 128, (5, 6, 3)).astype(np.int8)
    mem = memory()
    put(mem.spm[0], 0, x)
    extents = (1, 3, 3, 3, 3, 3, 1)  # 3x3 windows, stride 2, one row and column of padding
    windows = (Window(-1, 5, (0, 2, 0, 0, 1, 0, 0)), Window(-1, 6, (0, 0, 2, 0, 0, 1, 0)))
    stream = region(
        DType.i8, extents, (0, 36, 6, 1, 18, 3, 0), at=-21, windows=windows, fill=pad & 0xFF
    )
    out = region(DType.i32, (1, 3, 3, 3, 1, 1, 1), (0, 36, 12, 4, 0, 0, 0), OUT_AT)
    run_kernel(
        Kernel((Stream("i"),), (Op(name, (0,)),), 1, (Output(16, True),)), [], [stream], [out], mem
    )
    found = take(mem.spm[0], OUT_AT, (3, 3, 3), np.int32)
    for y, z, c in itertools.product(range(3), repeat=3):
        rows, columns = slice(max(0, 2 * y - 1), 2 * y + 2), slice(max(0, 2 * z - 1), 2 * z + 2)
        seen = [int(v) for v in x[rows, columns, c].reshape(-1)]
        assert found[y, z, c] == (max(seen) if name == "rmaxi" else sum(seen))


def test_depthwise_convolution_with_an_epilogue_that_reads_a_bias_once() -> None:
    rng = np.random.default_rng(4)
    x = rng.integers(-128, 128, (6, 4)).astype(np.int8)  # length, channel
    weights = rng.integers(-128, 128, (3, 4)).astype(np.int8)
    bias = rng.integers(-1000, 1000, 4).astype(np.int32)
    mem = memory()
    put(mem.spm[0], 0, x)
    put(mem.spm[0], W_AT, weights)
    put(mem.spm[0], W_AT + 64, bias)
    space = (1, 1, 4, 4, 1, 1, 3)
    kernel = Kernel(
        (Stream("i"), Stream("i"), Stream("i")),
        (Op("mac8", (0, 1)), Op("addi", (16, 2))),
        1,
        (Output(17, True),),
    )
    run_kernel(
        kernel,
        [],
        [
            region(DType.i8, space, (0, 0, 4, 1, 0, 0, 4)),
            region(DType.i8, space, (0, 0, 0, 1, 0, 0, 4), W_AT),
            region(DType.i32, space, (0, 0, 0, 4, 0, 0, 0), W_AT + 64),
        ],
        [region(DType.i32, (1, 1, 4, 4, 1, 1, 1), (0, 0, 16, 4, 0, 0, 0), OUT_AT)],
        mem,
    )
    found = take(mem.spm[0], OUT_AT, (4, 4), np.int32)
    for at, c in itertools.product(range(4), range(4)):
        expected = sum(int(x[at + k, c]) * int(weights[k, c]) for k in range(3)) + int(bias[c])
        assert found[at, c] == expected


@pytest.mark.parametrize("count", [1, 31, 32, 33, 47, 100])
def test_a_float_sum_has_the_written_order(count: int) -> None:
    values = (np.random.default_rng(count).standard_normal(count) * 1000).astype(np.float32)
    mem = memory()
    put(mem.spm[0], 0, values)
    stream = region(DType.f32, (1, 1, 1, 1, 1, 1, count), (0, 0, 0, 0, 0, 0, 4))
    out = region(DType.f32, (1,) * 7, (0,) * 7, OUT_AT)
    run_kernel(
        Kernel((Stream("f"),), (Op("sumf", (0,)),), 1, (Output(16, True),)),
        [],
        [stream],
        [out],
        mem,
    )
    lanes = 1 if count <= 32 else 16
    partial = [np.float32(0)] * lanes
    for position, value in enumerate(values):
        lane = position % lanes
        partial[lane] = value if position < lanes else np.float32(partial[lane] + value)
    while len(partial) > 1:
        partial = [np.float32(partial[i] + partial[i + 1]) for i in range(0, len(partial), 2)]
    assert take(mem.spm[0], OUT_AT, (1,), np.float32)[0] == partial[0]


def test_both_outputs_body_and_epilogue_of_a_row_softmax_step() -> None:
    rng = np.random.default_rng(6)
    x = rng.standard_normal((3, 10)).astype(np.float32)
    mem = memory()
    put(mem.spm[0], 0, x)
    space = (1, 1, 1, 3, 1, 1, 10)
    kernel = Kernel(
        (Stream("f"),), (Op("subf", (0, 8)), Op("rmaxf", (16,))), 2, (Output(16), Output(17, True))
    )
    run_kernel(
        kernel,
        [bits(1.5)],
        [region(DType.f32, space, (0, 0, 0, 40, 0, 0, 4))],
        [
            region(DType.f32, space, (0, 0, 0, 40, 0, 0, 4), OUT_AT),
            region(DType.f32, (1, 1, 1, 3, 1, 1, 1), (0, 0, 0, 4, 0, 0, 0), W_AT),
        ],
        mem,
    )
    shifted = x - np.float32(1.5)
    assert np.array_equal(take(mem.spm[0], OUT_AT, (3, 10), np.float32), shifted)
    assert np.array_equal(take(mem.spm[0], W_AT, (3,), np.float32), shifted.max(axis=1))


# -- transfers ------------------------------------------------------------------------------------


@given(st.tuples(*[st.integers(-3, 5)] * 2), st.tuples(*[st.integers(1, 4)] * 2), st.booleans())
def test_boxes_are_clipped_to_the_tensor(corner, box, is_load: bool) -> None:
    tensor = np.arange(1, 13, dtype=np.uint16).reshape(3, 4)
    mem = memory()
    segment = mem.segments[Segment.scratch]
    put(segment, 10, tensor)
    put(mem.spm[0], 0, np.full(SPM // 2, 99, np.uint16))
    made = TensorMap(Segment.scratch, DType.u16, 10, (3, 4), (8, 2), box, (2 * box[1], 2), 77)
    plain.execute(mem, 0, DmaWork(made, corner, 6, is_load))
    for i, j in itertools.product(range(box[0]), range(box[1])):
        y, z = corner[0] + i, corner[1] + j
        inside = 0 <= y < 3 and 0 <= z < 4
        (in_spm,) = struct.unpack_from("<H", mem.spm[0].tobytes(), 6 + 2 * (i * box[1] + j))
        if is_load:
            assert in_spm == (tensor[y, z] if inside else 77)
        elif inside:
            tensor[y, z] = 99
    assert np.array_equal(take(segment, 10, (3, 4), np.uint16), tensor)
    assert not segment[:10].any() and not segment[34:].any()


def test_coordinates_count_along_their_dimension() -> None:
    found_in = memory()
    space = (2, 1, 3, 2, 1, 2, 2)
    steps = tuple(4 * int(np.prod(space[d + 1 :])) for d in range(7))
    for dimension in range(7):
        kernel = Kernel((), (Op("index", (), dimension),), 1, (Output(16),))
        out = Region(View(DType.i32, Space.spm, 0, space, steps), 0, space, ())
        work = VexecWork(kernel, (0,) * 8, (), (out,), space)
        plain.execute(found_in, 0, work)
        found = found_in.spm[0][: 4 * int(np.prod(space))].view(np.int32).reshape(space)
        assert np.array_equal(found, np.indices(space)[dimension])
