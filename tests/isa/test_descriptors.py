"""Views, maps, kernels and parameters: bytes come back, and nothing else is accepted."""

import random
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given

from npuc.isa.descriptors import (
    Kernel,
    Op,
    Output,
    Params,
    Segment,
    Space,
    Stream,
    TensorMap,
    View,
    Window,
)  # fmt: skip
from npuc.isa.descriptors.kernel import KERNEL_BYTES, PARAMS_BYTES, value_domain
from npuc.isa.descriptors.tensor_map import MAP_BYTES
from npuc.isa.descriptors.view import VIEW_BYTES
from npuc.isa.dtypes import DType
from npuc.isa.errors import EncodingError
from npuc.isa.microops import BY_CODE, BY_NAME, MICRO_OPS
from tests.isa.sample import SCALE, X_MAP, A
from tests.isa.strategies import kernels, params, tensor_maps, views


@given(views())
def test_a_view_comes_back(view: View) -> None:
    assert len(view.pack()) == VIEW_BYTES == 128
    assert View.unpack(view.pack()) == view


@given(tensor_maps((1 << 64) - 1))
def test_a_map_comes_back(tensor_map: TensorMap) -> None:
    assert len(tensor_map.pack()) == MAP_BYTES == 128
    assert TensorMap.unpack(tensor_map.pack()) == tensor_map


@given(kernels())
def test_a_kernel_comes_back(kernel: Kernel) -> None:
    assert len(kernel.pack()) == KERNEL_BYTES == 320
    assert Kernel.unpack(kernel.pack()) == kernel


@given(params())
def test_parameters_come_back_padded(record: Params) -> None:
    assert len(record.pack()) == PARAMS_BYTES == 40
    back = Params.unpack(record.pack())
    rest = (0,) * (8 - len(record.words))
    assert (back.words, back.registers) == (record.words + rest, record.registers + rest)


def test_bytes_of_a_view_are_where_the_manual_says() -> None:
    data = View(
        DType.f32, Space.acc, 0x11223344, (5, 6), (-8, 4), 9, (0, 7), (Window(-1, 4, (2, -3), 8),),
        0xAABBCCDD,
    ).pack()  # fmt: skip
    assert struct.unpack_from("<4BIB", data) == (6, 1, 2, 1, 0x11223344, 9)
    assert struct.unpack_from("<IiIi", data, 12) == (5, -8, 6, 4)
    assert data[68:70] == bytes([0, 7])
    assert struct.unpack_from("<iI", data, 76) == (-1, 4) and data[92] == 8
    assert struct.unpack_from("<I2h", data, 96) == (0xAABBCCDD, 2, -3)


def test_bytes_of_a_map_are_where_the_manual_says() -> None:
    data = TensorMap(Segment.state, DType.u8, 1 << 40, (5, 6), (-7, 8), (3, 2), (-9, 1), 4).pack()
    assert struct.unpack_from("<4BIQ", data) == (4, 1, 2, 0, 4, 1 << 40)
    assert struct.unpack_from("<2I", data, 16) == (5, 6)
    assert struct.unpack_from("<2q", data, 40) == (-7, 8)
    assert struct.unpack_from("<2I", data, 80) == (3, 2)
    assert struct.unpack_from("<2i", data, 100) == (-9, 1)


UNPACKERS: list[tuple[str, bytes, Callable[[bytes], object]]] = [
    ("view", A.pack(), View.unpack),
    ("map", X_MAP.pack(), TensorMap.unpack),
    ("kernel", SCALE.pack(), Kernel.unpack),
]


@pytest.mark.parametrize(("name", "data", "unpack"), UNPACKERS, ids=[u[0] for u in UNPACKERS])
def test_changed_bytes_are_another_descriptor_or_refused(
    name: str, data: bytes, unpack: Callable[[bytes], object]
) -> None:
    original, chosen = unpack(data), random.Random(2)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << chosen.randrange(8)
        with suppress(EncodingError):
            assert unpack(bytes(changed)) != original


PADDING = [("view", [9, 10, 11, 75, 94, 95, 60, 74]), ("map", [3, 36, 120, 127, 30, 60]),
           ("kernel", [10, 11, 16, 31, 5, 48, 319, 287])]  # fmt: skip


@pytest.mark.parametrize(("name", "offsets"), PADDING)
def test_unused_bytes_must_be_zero(name: str, offsets: list[int]) -> None:
    _, data, unpack = next(u for u in UNPACKERS if u[0] == name)
    for offset in offsets:
        assert data[offset] == 0
        changed = data[:offset] + b"\x01" + data[offset + 1 :]
        with pytest.raises(EncodingError, match="unused bytes of a"):
            unpack(changed)


VIEW_ERRORS = [
    ({"extents": (1,) * 8, "strides": (0,) * 8, "extent_regs": (0,) * 8, "windows": ()},
     "differ in number"),
    ({"strides": (1,)}, "differ in number"),
    ({"extent_regs": (1, 2, 3, 4, 5, 0)}, "too many extents from registers"),
    ({"windows": A.windows * 3}, "too many windows"),
    ({"windows": (Window(0, 1, (1,)),)}, "one coefficient per dimension"),
    ({"base_reg": 32}, "no scalar register"),
    ({"extent_regs": (-1, 0, 0, 0, 0, 0)}, "no scalar register"),
    ({"windows": (Window(0, 1, (0,) * 6, 99),)}, "no scalar register"),
    ({"base": -1}, "does not fit its field"),
    ({"extents": (1 << 32,) * 6}, "does not fit its field"),
    ({"fill": -1}, "does not fit its field"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "reason"), VIEW_ERRORS)
def test_a_view_that_cannot_be(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(EncodingError, match=reason):
        replace(A, **changes).pack()  # type: ignore[arg-type]


MAP_ERRORS = [
    ({"extents": (1,)}, "differ in length"),
    ({"extents": (), "dram_strides": (), "box": (), "spm_strides": ()}, "differ in length"),
    ({"base": 1 << 64}, "does not fit its field"),
    ({"box": (-1, 1)}, "does not fit its field"),
    ({"spm_strides": (1 << 31, 1)}, "does not fit its field"),
]


@pytest.mark.parametrize(("changes", "reason"), MAP_ERRORS)
def test_a_map_that_cannot_be(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(EncodingError, match=reason):
        replace(X_MAP, **changes).pack()  # type: ignore[arg-type]


F, INT = Stream("f"), Stream("i")
NEG, SUM = Op("negf", (0,)), Op("sumf", (0,))
KERNEL_ERRORS = [
    ((F,) * 7, (), 0, (Output(0),), "a kernel is too large"),
    ((F,), (NEG,) * 33, 33, (Output(16),), "a kernel is too large"),
    ((F,), (NEG,), 1, (), "outputs or body count"),
    ((F,), (NEG,), 1, (Output(16),) * 3, "outputs or body count"),
    ((F,), (NEG,), 2, (Output(16),), "outputs or body count"),
    ((F,), (NEG,), -1, (Output(16),), "outputs or body count"),
    ((Stream("x"),), (), 0, (Output(0),), "unknown domain"),
    ((F,), (Op("frob", (0,)),), 1, (Output(16),), "unknown micro-op"),
    ((F,), (Op("negf", (0, 0)),), 1, (Output(16),), "wrong number of operands"),
    ((F,), (SUM,), 0, (Output(16, True),), "a reduction stands in the epilogue"),
    ((F,), (Op("negf", (1,)),), 1, (Output(16),), "names no earlier value"),
    ((F,), (Op("negf", (-1,)),), 1, (Output(16),), "names no earlier value"),
    ((F,), (Op("negf", (16,)),), 1, (Output(16),), "names no earlier value"),
    ((INT,), (NEG,), 1, (Output(16),), "of the wrong domain"),
    ((F,), (SUM, Op("negf", (16,))), 2, (Output(17),), "uses the result of a reduction"),
    ((F,), (NEG, Op("negf", (16,))), 1, (Output(17, True),), "uses a value of the body"),
    ((F,), (NEG,), 1, (Output(17),), "names no value"),
    ((F,), (NEG,), 1, (Output(16, True),), "tag does not suit"),
    ((F,), (SUM,), 1, (Output(16, False),), "tag does not suit"),
    ((F,), (Op("negf", (0,), 1 << 31),), 1, (Output(16),), "does not fit its field"),
]


@pytest.mark.parametrize(("inputs", "ops", "body", "outputs", "reason"), KERNEL_ERRORS)
def test_a_kernel_that_cannot_be(
    inputs: tuple[Stream, ...],
    ops: tuple[Op, ...],
    body: int,
    outputs: tuple[Output, ...],
    reason: str,
) -> None:
    with pytest.raises(EncodingError, match=reason):
        Kernel(inputs, ops, body, outputs).pack()


def test_values_of_a_kernel_have_domains() -> None:
    kernel = Kernel((F, INT), (Op("f2i", (0,)), Op("mac8", (1, 16))), 2, (Output(17, True),))
    assert [value_domain(kernel, v) for v in (0, 1, 8, 16, 17)] == ["f", "i", "?", "i", "i"]
    assert kernel.reductions == (1,)


@pytest.mark.parametrize(
    ("words", "registers", "reason"),
    [
        ((0,) * 9, (), "too many words"),
        ((0,), (1, 2), "unlike registers"),
        ((0,), (32,), "no scalar register"),
        ((1 << 32,), (), "does not fit 32 bits"),
        ((-1,), (), "does not fit 32 bits"),
    ],
)
def test_parameters_that_cannot_be(
    words: tuple[int, ...], registers: tuple[int, ...], reason: str
) -> None:
    with pytest.raises(EncodingError, match=reason):
        Params(words, registers).pack()


def test_micro_ops_have_one_number_and_one_name_each() -> None:
    assert len(BY_NAME) == len(BY_CODE) == len(MICRO_OPS)
    for op in MICRO_OPS:
        assert 0 < op.code < 256 and op.meaning is not None
        assert set(op.operands) <= set("fi") and op.result in ("f", "i") and len(op.operands) <= 3
