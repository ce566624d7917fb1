"""Operands from registers: addresses, extents, origins, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.emulator.control import control
from npuc.emulator.footprint import element_addresses, inside_windows, touched_range
from npuc.emulator.region import DmaWork, MmaWork, Region, VexecWork
from npuc.emulator.resolve import ResolvedStream
from npuc.emulator.strict.bytesets import region_bytes
from npuc.emulator.validate import decode
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
)
from npuc.isa.dtypes import DType
from npuc.isa.errors import ExecutionError
from npuc.isa.instructions import Instruction
from npuc.isa.instructions.dma import Load, Store
from npuc.isa.instructions.flow import Halt, Loop
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.scalar import Add
from npuc.isa.instructions.vector import Vexec
from npuc.isa.program import Argument
from tests.emulator.programs import build

MAP = TensorMap(Segment.input, DType.i16, 0, (6, 8), (16, 2), (3, 4), (32, 2))
ADD = Kernel((Stream("f"),), (Op("addf", (0, 8)),), 1, (Output(16),))
SUM = Kernel(
    (Stream("f"), Stream("f")), (Op("sumf", (0,)), Op("addf", (16, 1))), 1, (Output(17, True),)
)


def flat(extents: tuple[int, ...], dtype: DType = DType.f32, **more) -> View:
    strides = tuple(int(np.prod(extents[d + 1 :])) * dtype.bytes for d in range(len(extents)))
    return replace(View(dtype, Space.spm, 0, extents, strides), **more)


def resolve(
    code: list[Instruction], *views: View, kernels: tuple[Kernel, ...] = (ADD, SUM)
) -> ResolvedStream:
    made = build(
        [*code, Halt()],
        views=views,
        maps=(MAP,),
        kernels=kernels,
        params=(Params((1, 2, 3), (0, 4, 0)),),
        inputs=(Argument("x", DType.i16, (6, 8), Segment.input, 0),),
    )
    decoded = decode(made)
    return ResolvedStream(decoded, 0, control(decoded)[0])


def fault(code: list[Instruction], *views: View) -> ExecutionError:
    resolved = resolve(code, *views)
    with pytest.raises(ExecutionError) as caught:
        resolved.raise_first()
    return caught.value


POINTS = (1, 1, 2, 4, 1, 1, 1)
RUN = Vexec(kernel=0, params=0, in0=0, out0=0)


def test_each_dispatch_has_its_own_address_extents_origins_and_parameters() -> None:
    window = Window(5, 9, (0, 0, 1, 0, 0, 0, 0), origin_reg=2)
    view = flat(POINTS, base=64, base_reg=1, extent_regs=(0, 0, 3, 0, 0, 0, 0), windows=(window,))
    resolved = resolve(
        [
            Add(rd=3, imm=2),
            Add(rd=4, imm=-1),
            Loop(count=2, body=4),
            RUN,
            Add(rd=1, ra=1, imm=128),
            Add(rd=2, imm=-3),
            Add(rd=3, imm=1),
        ],
        view,
    )
    resolved.raise_first()
    first, second = resolved.work(0), resolved.work(1)
    assert isinstance(first, VexecWork) and isinstance(second, VexecWork)
    assert first.words == (1, 0xFFFFFFFF, 3, 0, 0, 0, 0, 0)
    assert first.inputs[0] == (view, 64, POINTS, (5,))
    assert second.inputs[0] == (view, 192, (1, 1, 1, 4, 1, 1, 1), (2,))
    assert second.space == (1, 1, 1, 4, 1, 1, 1)


def test_a_transfer_has_its_corner_and_address() -> None:
    resolved = resolve([Add(rd=1, imm=7), Load(map=0, rs=1, spm=100, rc0=1, i0=-9, i1=3)])
    resolved.raise_first()
    assert resolved.work(0) == DmaWork(MAP, (-2, 3), 107, True)


@pytest.mark.parametrize("accumulate", [0, 1])
def test_a_register_can_make_a_matrix_command_accumulate(accumulate: int) -> None:
    views = (
        replace(flat((1, 1, 2, 2), DType.i32), space=Space.acc),
        flat((1, 1, 2, 1, 1, 3), DType.i8),
        flat((1, 1, 3, 2), DType.i8),
    )
    command = Mma(acc=0, a=1, w=2, rk=5, accumulate=accumulate)
    resolved = resolve([command, Add(rd=5, imm=-1), command], *views)
    resolved.raise_first()
    works = [resolved.work(0), resolved.work(1)]
    assert [w.accumulate for w in works if isinstance(w, MmaWork)] == [bool(accumulate), True]


@pytest.mark.parametrize(("value", "bad"), [(-1, True), (0, False), (2, False), (3, True)])
def test_extents_from_registers_have_a_range(value: int, bad: bool) -> None:
    view = flat(POINTS, extent_regs=(0, 0, 1, 0, 0, 0, 0))
    code = [Add(rd=1, imm=value), RUN]
    if not bad:
        resolve(code, view).raise_first()
        return
    error = fault(code, view)
    assert "extent of operand in0" in error.what and "instruction 1: vexec" in error.where


@pytest.mark.parametrize(("base", "bad"), [(65536 - 32, False), (65536 - 31, True), (-1, True)])
def test_bounds_are_checked_on_the_true_address(base: int, bad: bool) -> None:
    code, view = [Add(rd=1, imm=base), RUN], flat(POINTS, base_reg=1)
    if bad:
        error = fault(code, view)
        assert "leaves spm" in error.what and "65536" in error.allowed
    else:
        resolve(code, view).raise_first()


def test_the_first_bad_command_is_told() -> None:
    error = fault(
        [Loop(count=4, body=2), Add(rd=1, ra=1, imm=30000), RUN], flat(POINTS, base_reg=1)
    )
    assert "command 2" in error.where


def test_an_empty_view_may_lie_anywhere() -> None:
    view = flat(POINTS, base_reg=1, extent_regs=(0, 0, 2, 0, 0, 0, 0))
    resolve([Add(rd=1, imm=10**9), RUN], view).raise_first()


def test_a_window_that_shuts_the_outside_out_makes_a_view_legal() -> None:
    window = Window(-2, 4, (0, 0, 0, 1, 0, 0, 0))
    extents = (1, 1, 1, 6, 1, 1, 1)
    inside = flat(extents, base_reg=1, windows=(window,))
    code = [Add(rd=1, imm=-8), RUN]  # two floats before the memory, both shut out
    resolve(code, inside).raise_first()
    assert "leaves spm" in fault(code, replace(inside, windows=())).what
    assert "leaves spm" in fault([Add(rd=1, imm=-12), RUN], inside).what


def test_an_unaligned_acc_address_is_refused() -> None:
    view = flat(POINTS, space=Space.acc, base_reg=1)
    assert "not aligned" in fault([Add(rd=1, imm=2), RUN], view).what


def test_extents_of_one_command_must_agree() -> None:
    views = (
        replace(flat((1, 1, 2, 2), DType.i32), space=Space.acc),
        flat((1, 1, 2, 1, 1, 3), DType.i8),
        flat((1, 1, 4, 2), DType.i8),
    )
    assert "extents of a and w differ" in fault([Mma(acc=0, a=1, w=2)], *views).what
    other = flat((1, 1, 2, 5, 1, 1, 1))
    error = fault([replace(RUN, out0=1)], flat(POINTS), other)
    assert "out0 differ from the space" in error.what


def test_an_epilogue_stream_may_have_the_space_or_one_point_of_the_reduction() -> None:
    run = Vexec(kernel=1, in0=0, in1=1, out0=2)
    whole, once = flat((1, 1, 1, 2, 1, 1, 6)), flat((1, 1, 1, 2, 1, 1, 1))
    for second in (whole, once):
        resolve([run], whole, second, once).raise_first()
    half = flat((1, 1, 1, 2, 1, 1, 3))
    assert "in1 differ" in fault([run], whole, half, once).what
    empty = flat((1, 1, 1, 2, 1, 1, 0))
    assert "no first point" in fault([run], empty, empty, once).what


@pytest.mark.parametrize(
    ("command", "bad"),
    [
        (Load(map=0, spm=65536 - 72), False),
        (Load(map=0, spm=65536 - 71), True),
        (Load(map=0, spm=-1), True),
        (Store(map=0, spm=65536 - 40, i0=4), False),  # two of three rows are inside
        (Store(map=0, spm=65536 - 39, i0=4), True),
        (Store(map=0, spm=-64, i0=-2), False),
        (Store(map=0, spm=10**6, i0=9), False),  # nothing is inside
        (Load(map=0, i2=1), True),
    ],
)
def test_transfers_stay_in_spm_with_the_bytes_that_they_touch(
    command: Instruction, bad: bool
) -> None:
    resolved = resolve([command])
    assert bool(resolved.problems) == bad


@given(st.data())
def test_the_range_that_windows_leave_is_that_of_all_points(data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, 4))
    extents, strides = (
        tuple(data.draw(st.lists(values, min_size=rank, max_size=rank)))
        for values in (st.integers(0, 4), st.integers(-9, 9))
    )
    steps = st.lists(st.integers(-2, 2), min_size=rank, max_size=rank)
    windows = tuple(
        Window(data.draw(st.integers(-3, 3)), data.draw(st.integers(0, 5)), tuple(data.draw(steps)))
        for _ in range(data.draw(st.integers(0, 2)))
    )
    view = View(DType.i32, Space.spm, 0, extents, strides, windows=windows)
    region = Region(view, 50, extents, tuple(w.origin for w in windows))
    touched = element_addresses(region)[inside_windows(region)]
    expected = (touched.min(), touched.max() + 4) if touched.size else (0, 0)
    assert touched_range(region) == expected
    covered = np.unique((touched.reshape(-1, 1) + np.arange(4)).reshape(-1))
    assert region_bytes(region).all.tolist() == covered.tolist()
