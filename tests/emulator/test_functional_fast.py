"""The fast path against the twin: every byte of every memory after random commands."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.emulator.functional import plain
from npuc.emulator.functional.fast import FastExecutor
from npuc.emulator.functional.matrix import chunked_dot
from npuc.emulator.region import MmaWork, Region, VexecWork
from npuc.isa.descriptors import Kernel, Op, Output, Space, Stream, View
from npuc.isa.dtypes import DType
from npuc.isa.microops import MICRO_OPS
from npuc.isa.numerics.arrays import NumericTrap
from tests.emulator.random_work import (
    copied,
    random_memory,
    random_mma,
    random_transfer,
    random_vexec,
    same_bytes,
)

SEEDS = st.integers(0, 2**63)
EXAMPLES = settings(max_examples=300, deadline=None)


def compare(seed: int, *makers) -> None:
    rng = np.random.default_rng(seed)
    slow = random_memory(rng)
    quick = copied(slow)
    executor = FastExecutor(worth=0)
    for make in makers:
        work = make(rng)
        plain.execute(slow, 0, work)
        executor(quick, 0, work)
        assert same_bytes(slow, quick), work


@given(SEEDS)
@EXAMPLES
def test_matrix_commands(seed: int) -> None:
    compare(seed, random_mma, random_mma)


@given(SEEDS)
@EXAMPLES
def test_vector_commands(seed: int) -> None:
    compare(seed, random_vexec, random_vexec)


@given(SEEDS)
@EXAMPLES
def test_transfers(seed: int) -> None:
    compare(seed, random_transfer, random_transfer, random_transfer)


@given(SEEDS)
@settings(max_examples=100, deadline=None)
def test_weights_are_forgotten_when_they_are_overwritten(seed: int) -> None:
    rng = np.random.default_rng(seed)
    work = random_mma(rng)
    while work.a.view.dtype is not DType.i8:
        work = random_mma(rng)
    compare(seed + 1, lambda _: work, random_vexec, random_transfer, lambda _: work)


@pytest.mark.parametrize("name", [op.name for op in MICRO_OPS if not op.is_reduction])
def test_each_micro_op(name: str) -> None:
    for seed in range(12):
        if name != "divi":
            compare(seed, lambda rng: random_vexec(rng, (name,)))


def test_a_large_command_in_many_blocks_equals_the_twin() -> None:
    rng = np.random.default_rng(5)
    slow = random_memory(rng)
    quick = copied(slow)
    extents = (1, 40, 23, 17, 1, 1, 1)
    strides = (0, 23 * 17, 17, 1, 0, 0, 0)
    kernel = Kernel((Stream("i"), Stream("i")), (Op("addi", (0, 1)),), 1, (Output(16),))

    def at(address: int) -> Region:
        return Region(View(DType.i8, Space.spm, 0, extents, strides), address, extents, ())

    for out in (0, 3, 16000):  # in place, shifted over its input, apart
        work = VexecWork(kernel, (0,) * 8, (at(0), at(100)), (at(out),), extents)
        plain.execute(slow, 0, work)
        FastExecutor(worth=0)(quick, 0, work)
        assert same_bytes(slow, quick)


@pytest.mark.parametrize("rows", [1, 7, 8, 33])
def test_long_sums_wrap_as_the_twin_does(rows: int) -> None:
    rng = np.random.default_rng(rows)
    slow = random_memory(rng)
    slow.spm[0][:] = 0x80  # -128 everywhere: the largest products
    slow.acc[0].view(np.int32)[:] = 2**31 - 5
    quick = copied(slow)
    k = 2500

    def region(space: Space, dtype: DType, extents: tuple[int, ...]) -> Region:
        strides = tuple(int(np.prod(extents[d + 1 :])) * dtype.bytes for d in range(len(extents)))
        if space is Space.spm:
            strides = (0,) * (len(extents) - 1) + (1,)
        return Region(View(dtype, space, 0, extents, strides), 0, extents, ())

    work = MmaWork(
        region(Space.acc, DType.i32, (1, 1, rows, 5)),
        region(Space.spm, DType.i8, (1, 1, rows, 1, 1, k)),
        region(Space.spm, DType.i8, (1, 1, k, 5)),
        True,
    )
    plain.execute(slow, 0, work)
    FastExecutor(worth=0)(quick, 0, work)
    assert same_bytes(slow, quick)
    expected = (2**31 - 5 + k * 2**14 + 2**31) % 2**32 - 2**31
    assert (quick.acc[0].view(np.int32)[: rows * 5] == expected).all()


def test_float32_chunks_are_exact_at_the_bound() -> None:
    a_MK, w_KN = np.full((3, 5000), -128, np.float32), np.full((5000, 2), -128, np.float32)
    assert (chunked_dot(a_MK, w_KN) == 5000 * 2**14).all()


def test_a_trap_names_the_point_in_the_whole_command() -> None:
    rng = np.random.default_rng(0)
    memory = random_memory(rng)
    extents = (1, 1, 1, 20000, 1, 1, 1)
    view = View(DType.i8, Space.spm, 0, extents, (0, 0, 0, 1, 0, 0, 0))
    memory.spm[0][:20000] = 1
    memory.spm[0][19000] = 0
    stream = Region(view, 0, extents, ())
    kernel = Kernel((Stream("i"),), (Op("divi", (0, 0)),), 1, (Output(16),))
    work = VexecWork(kernel, (0,) * 8, (stream,), (stream,), extents)
    for execute in (plain.execute, FastExecutor(worth=0)):
        with pytest.raises(NumericTrap) as caught:
            execute(copied(memory), 0, work)
        assert caught.value.point == 19000
