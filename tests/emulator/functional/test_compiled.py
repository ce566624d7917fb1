"""Compiled kernels on commands as networks have them: each must take it, with the twin's bits."""

import os
import subprocess
import sys
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest

from npuc.emulator.functional import fast, plain
from npuc.emulator.functional.compiled import vector
from npuc.emulator.functional.compiled.elementary import ELEMENTARY
from npuc.emulator.functional.compiled.encode import Encoder, Kind
from npuc.emulator.functional.compiled.fused import FUSED, steps_of
from npuc.emulator.functional.fast import Batch, FastExecutor, prepare
from npuc.emulator.functional.overlap import reads_before_writes
from npuc.emulator.region import MmaWork, Region, VexecWork, Work
from npuc.isa.descriptors import Kernel, Op, Output, Space, Stream, View, Window
from npuc.isa.dtypes import DType
from npuc.isa.jit import HAS_NUMBA
from npuc.isa.microops import BY_NAME
from tests.emulator.random_work import (
    SPECIAL,
    copied,
    random_memory,
    random_mma,
    random_transfer,
    random_vexec,
    same_bytes,
)

pytestmark = pytest.mark.skipif(not HAS_NUMBA, reason="compiled code needs numba")

REQUANTISE = Kernel(
    (Stream("i"), Stream("i"), Stream("f")),
    (Op("addi", (0, 1)), Op("i2f", (16,)), Op("mulf", (17, 2)), Op("roundf", (18,)),
     Op("maxf", (19, 8)), Op("minf", (20, 9))),
    6,
    (Output(21),),
)  # fmt: skip
WORDS = (*np.array([-7.5, 99.0], np.float32).view(np.uint32).tolist(), 0, 0, 0, 0, 0, 0)


def dense(dtype: DType, extents: tuple[int, ...], used: tuple[int, ...]) -> View:
    """A view without gaps over the dimensions ``used``; the others broadcast."""
    strides, step = [0] * len(extents), dtype.bytes
    for axis in reversed(used):
        strides[axis] = step
        step *= extents[axis]
    return View(dtype, Space.spm, 0, extents, tuple(strides))


def at(view: View, address: int, origins: tuple[int, ...] = ()) -> Region:
    return Region(view, address, view.extents, origins)


def check(work: Work, kind: Kind, seed: int = 0) -> None:
    """The command has a record of ``kind``, and compiled code leaves the twin's bytes."""
    record = Encoder().record(work)
    assert record is not None
    assert record.kind is kind
    rng = np.random.default_rng(seed)
    slow = random_memory(rng)
    slow.acc[0].view(np.int32)[:] = rng.integers(-(2**15), 2**15, len(slow.acc[0]) // 4)
    quick = copied(slow)
    plain.execute(slow, 0, work)
    FastExecutor(worth=0)(quick, 0, work)
    assert same_bytes(slow, quick)


def convolution(origin: tuple[int, int], channels: int = 5, rows: int = 6) -> MmaWork:
    """3 x 3 over a map of 8 x 9, its zero point as padding."""
    m, k, n = (1, rows, 7), (3, 3, channels), 11
    row, column = 9 * channels, channels
    a = View(
        DType.i8, Space.spm, 0, m + k, (0, row, column, row, column, 1),
        windows=(Window(0, 8, (0, 1, 0, 1, 0, 0)), Window(0, 9, (0, 0, 1, 0, 1, 0))), fill=0x83,
    )  # fmt: skip
    w = View(DType.i8, Space.spm, 0, (*k, n), (3 * channels * n, channels * n, n, 1))
    acc = View(DType.i32, Space.acc, 0, (*m, n), (0, 7 * 48, 48, 4))
    address = 1000 + origin[0] * row + origin[1] * column
    return MmaWork(at(acc, 64), at(a, address, origin), at(w, 9000), True)


@pytest.mark.parametrize("origin", [(0, 0), (-1, -1), (3, 2), (-9, 0)])
def test_a_convolution_that_hangs_over_its_map(origin: tuple[int, int]) -> None:
    check(convolution(origin), Kind.matrix)


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows_and_channels_that_do_not_fill_a_chunk(rows: int) -> None:
    work = convolution((-1, -1), channels=130, rows=rows + 1)
    small = work._replace(
        acc=work.acc._replace(extents=(1, 1, 1 + rows * 6, 11)),
        a=work.a._replace(extents=(1, 1, 1 + rows * 6, 3, 3, 130)),
    )
    check(small, Kind.matrix)


@pytest.mark.parametrize("channels", [1, 3, 16, 40])
def test_requantisation_over_its_accumulators(channels: int) -> None:
    space = (1, 6, 7, channels, 1, 1, 1)
    acc = View(DType.i32, Space.acc, 0, space, (0, 7 * channels * 4, channels * 4, 4, 0, 0, 0))
    bias, scale = (dense(dtype, space, (3,)) for dtype in (DType.i32, DType.f32))
    out = dense(DType.i8, space, (1, 2, 3))
    for place in (0, 4000):
        inputs = at(acc, 0), at(bias, 8000), at(scale, 12000)
        check(VexecWork(REQUANTISE, WORDS, inputs, (at(out, place),), space), Kind.vector)


@pytest.mark.parametrize("name", ["rmaxi", "rmini", "sumi", "prodi", "sumf", "prodf", "rmaxf"])
@pytest.mark.parametrize("kernel", [(2, 3), (5, 7), (8, 9)])
@pytest.mark.parametrize("inner", ["points", "elements"])
def test_pooling(name: str, kernel: tuple[int, int], inner: str) -> None:
    """Reductions whose points, or whose elements, lie side by side: across and flat."""
    space = (1, 3, 4, 20, 1, *kernel)
    across = (0, 2, 3, 5, 6) if inner == "elements" else (1, 5, 6, 2, 3)
    domain = name[-1]
    stream = dense(DType.i8, space, (1, *across[1:]) if inner == "points" else across)
    out = dense(DType.i32 if domain == "i" else DType.f32, (*space[:4], 1, 1, 1), (1, 2, 3))
    pool = Kernel((Stream(domain),), (Op(name, (0,)),), 1, (Output(16, epilogue=True),))
    check(VexecWork(pool, (0,) * 8, (at(stream, 3),), (at(out, 24000),), space), Kind.vector)


@pytest.mark.parametrize("channels", [1, 24, 35, 100])
def test_a_depthwise_convolution_with_padding(channels: int) -> None:
    check(depthwise(channels), Kind.vector)


@pytest.mark.parametrize("channels", [1, 24, 1984, 2000])
def test_it_goes_pixel_by_pixel_where_channels_are_many_but_fit_a_strip(channels: int) -> None:
    record = Encoder().record(depthwise(channels))
    assert record is not None
    assert (record.words[vector.WAY] == vector.TAPS) == (channels in (24, 1984))


def test_a_depthwise_convolution_may_write_where_its_padding_would_lie() -> None:
    work = depthwise(24)
    row, column = 8 * 24, 24
    first = work.inputs[0].address + row + column  # that is not padding
    size = prod(work.space[:4])
    out = work.outputs[0]
    for behind, is_apart in ((0, True), (1, False)):
        near = out._replace(address=first - size + behind)
        over = work._replace(outputs=(near,))
        assert reads_before_writes(over) == is_apart
        if is_apart:
            check(over, Kind.vector)
        else:
            assert Encoder().record(over) is None


def depthwise(channels: int) -> VexecWork:
    """3 x 3 over a map of 6 x 8 with a border of padding."""
    space = (1, 5, 6, channels, 1, 3, 3)
    row = 8 * channels
    a = View(
        DType.i8, Space.spm, 0, space, (0, row, channels, 1, 0, row, channels),
        windows=(Window(-1, 6, (0, 1, 0, 0, 0, 1, 0)), Window(-1, 8, (0, 0, 1, 0, 0, 0, 1))),
        fill=0x7F,
    )  # fmt: skip
    w = View(DType.i8, Space.spm, 0, space, (0, 0, 0, 1, 0, 3 * channels, channels))
    out = dense(DType.i8, (*space[:4], 1, 1, 1), (1, 2, 3))
    ops = Op("mac8", (0, 1)), Op("shri", (16, 8))
    mac = Kernel((Stream("i"), Stream("i")), ops, 1, (Output(17, True),))
    inputs = at(a, 40 * channels - row - channels, (-1, -1)), at(w, 100 * channels)
    places = inputs, (at(out, 110 * channels),)
    return VexecWork(mac, (9, *(0,) * 7), *places, space)


CHAINS = [*sorted(FUSED), *((name,) for name in sorted(ELEMENTARY))]


@pytest.mark.parametrize("names", CHAINS, ids="+".join)
def test_fused_and_elementary_micro_ops_on_special_values(names: tuple[str, ...]) -> None:
    """Each alone, then all in one kernel whose values are used once."""
    space = (1, 1, 1, 1600, 1, 1, 1)
    ops: list[Op] = []
    streams: list[Stream] = []
    for number, name in enumerate(names):
        domains = BY_NAME[name].operands
        taken = [15 + number] if number else []
        for domain in domains[len(taken) :]:
            taken.append(len(streams))
            streams.append(Stream(domain))
        ops.append(Op(name, tuple(taken)))
    domain = BY_NAME[names[-1]].result
    kernel = Kernel(tuple(streams), tuple(ops), len(ops), (Output(15 + len(ops)),))
    assert [step.names for step in steps_of(kernel)] == [names]
    of = {"i": DType.i32, "f": DType.f32}
    inputs = tuple(
        at(dense(of[stream.domain], space, (3,)), 6400 * i) for i, stream in enumerate(streams)
    )
    out = at(dense(of[domain], space, (3,)), 6400 * len(streams))
    work = VexecWork(kernel, (0,) * 8, inputs, (out,), space)
    check(work, Kind.vector)
    memory = random_memory(np.random.default_rng(2))
    words = np.random.default_rng(3).choice(SPECIAL, len(memory.spm[0]) // 4)
    memory.spm[0].view(np.uint32)[: len(words)] = words
    quick = copied(memory)
    plain.execute(memory, 0, work)
    FastExecutor(worth=0)(quick, 0, work)
    assert same_bytes(memory, quick)


def test_a_value_that_others_take_too_is_not_passed_on() -> None:
    ops = Op("i2f", (0,)), Op("mulf", (16, 8)), Op("addf", (17, 16)), Op("addf", (18, 17))
    kernel = Kernel((Stream("i"),), ops, 4, (Output(19),))
    assert [step.names for step in steps_of(kernel)] == [("i2f",), ("mulf",), ("addf",), ("addf",)]
    kept = replace(kernel, ops=(ops[0], Op("mulf", (16, 8))), body_count=2, outputs=(Output(16),))
    assert [step.names for step in steps_of(kept)] == [("i2f",), ("mulf",)]


def test_two_ordered_sums_at_once_and_special_values() -> None:
    space = (1, 1, 5, 24, 1, 1, 50)
    stream = dense(DType.f32, space, (2, 6, 3))
    ops = (Op("sumf", (0,)), Op("mulf", (0, 0)), Op("sumf", (17,)), Op("addf", (16, 18)))
    kernel = Kernel((Stream("f"),), ops, 3, (Output(19, True),))
    out = dense(DType.f32, (*space[:4], 1, 1, 1), (2, 3))
    work = VexecWork(kernel, (0,) * 8, (at(stream, 0),), (at(out, 28000),), space)
    check(work, Kind.vector)
    memory = random_memory(np.random.default_rng(1))
    memory.spm[0].view(np.uint32)[:] = np.resize(SPECIAL, len(memory.spm[0]) // 4)
    quick = copied(memory)
    plain.execute(memory, 0, work)
    FastExecutor(worth=0)(quick, 0, work)
    assert same_bytes(memory, quick)


def test_a_command_that_reads_what_it_wrote_has_no_record() -> None:
    space = (1, 1, 40, 8, 1, 1, 1)
    view = dense(DType.i8, space, (2, 3))
    copy = Kernel((Stream("i"),), (Op("addi", (0, 8)),), 1, (Output(16),))
    over = VexecWork(copy, (1,) * 8, (at(view, 100),), (at(view, 108),), space)
    assert not reads_before_writes(over)
    assert Encoder().record(over) is None
    wide = View(DType.i8, Space.spm, 0, space, (0, 0, 16, 1, 0, 0, 0))
    beside = over._replace(inputs=(at(wide, 100),), outputs=(at(wide, 108),))
    assert reads_before_writes(beside)  # two halves of each row
    check(beside, Kind.vector)


def test_a_prepared_program_runs_as_its_commands_one_by_one() -> None:
    rng = np.random.default_rng(3)
    makers = (random_transfer, random_mma, random_vexec) * 25
    works = [(0, number, make(rng)) for number, make in enumerate(makers)]
    prepared = prepare(works, worth=0)
    assert sum(isinstance(part, Batch) for _, _, part in prepared.parts) > 5
    slow = random_memory(rng)
    quick = copied(slow)
    for _, _, work in works:
        plain.execute(slow, 0, work)
    executor = FastExecutor(prepared)
    for core, _, part in prepared.parts:
        if isinstance(part, Batch):
            executor.run(quick, part)
        else:
            executor(quick, core, part)
    assert same_bytes(slow, quick)


def test_small_programs_are_not_worth_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "are_ready", lambda: False)
    work = convolution((0, 0))
    assert [part for _, _, part in prepare([(0, 0, work)]).parts] == [work]
    once = prod(work.acc.extents) * prod(work.w.extents[:3])
    parts = prepare([(0, 0, work)] * 3, worth=3 * once).parts
    assert len(parts) == 1 and isinstance(parts[0][2], Batch)
    monkeypatch.setattr(fast, "are_ready", lambda: True)
    parts = prepare([(0, 0, work)]).parts
    assert len(parts) == 1 and isinstance(parts[0][2], Batch)


def test_machine_code_is_kept_for_all_sources_of_the_folder(tmp_path: Path) -> None:
    """Code from the cache is not compiled again, until any file of the folder changes."""
    program = """
import sys
from npuc.emulator.functional.compiled import native, rows
if len(sys.argv) > 1:
    native._stamp = lambda: (("geometry.py", 0, 0),)
told = native.is_in_cache(*rows.SET_WORDS)
print(int(told), native.machine_code(*rows.SET_WORDS)._cache_hits)
"""
    hits = [
        subprocess.run(
            [sys.executable, "-c", program, *changed],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        ).stdout.strip()
        for changed in ((), (), ("changed",))
    ]
    assert hits == ["0 0", "1 1", "0 0"]
