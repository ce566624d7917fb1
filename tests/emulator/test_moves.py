"""Gather, scatter, copy, fill and multicast: both paths against direct code; order; time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.emulator.functional import plain
from npuc.emulator.functional.fast import FastExecutor
from npuc.emulator.machine import RunOptions, load, run
from npuc.emulator.region import IndexedWork, MoveWork
from npuc.emulator.strict import check
from npuc.emulator.timing import time_streams
from npuc.isa import cost
from npuc.isa.descriptors import Segment, Space, TensorMap, View, Window
from npuc.isa.dtypes import DType
from npuc.isa.errors import BinaryError, ExecutionError
from npuc.isa.instructions import Engine, Instruction
from npuc.isa.instructions.dma import Copy, Fill, Gather, Load, Scatter, Store
from npuc.isa.instructions.flow import Halt
from npuc.isa.instructions.order import Nop
from npuc.isa.instructions.scalar import Add
from npuc.isa.program import Argument, Program
from tests.emulator.programs import TINY, build, wait
from tests.emulator.random_work import (
    copied,
    extents_of,
    random_memory,
    random_region,
    random_transfer,
    same_bytes,
)

BOTH = pytest.mark.parametrize("path", ["plain", "fast"])
ROWS, WIDTH, COUNT = 9, 6, 5
LIST_AT, BOXES_AT = 0, 256
MAPS = (
    TensorMap(Segment.input, DType.i8, 0, (ROWS, WIDTH), (WIDTH, 1), (1, WIDTH), (WIDTH, 1), 7),
    TensorMap(Segment.input, DType.i32, 64, (COUNT,), (4,), (COUNT,), (4,)),
    TensorMap(Segment.output, DType.i8, 0, (ROWS, WIDTH), (WIDTH, 1), (1, WIDTH), (WIDTH, 1)),
    TensorMap(Segment.input, DType.i8, 0, (ROWS, WIDTH), (WIDTH, 1), (COUNT, WIDTH), (WIDTH, 1)),
    TensorMap(Segment.output, DType.i8, 0, (ROWS, WIDTH), (WIDTH, 1), (COUNT, WIDTH), (WIDTH, 1)),
)
LIST = View(DType.i32, Space.spm, LIST_AT, (COUNT,), (4,))
INPUTS = (
    Argument("x", DType.i8, (ROWS, WIDTH), Segment.input, 0),
    Argument("rows", DType.i32, (COUNT,), Segment.input, 64),
)
OUTPUTS = (Argument("y", DType.i8, (ROWS, WIDTH), Segment.output, 0),)


def program(*code: Instruction, views: tuple[View, ...] = (LIST,), **parts: object) -> Program:
    tables = {"maps": MAPS, "inputs": INPUTS, "outputs": OUTPUTS, "views": views}
    return build([*code, Halt()], **(tables | parts))


def data(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.integers(-100, 100, (ROWS, WIDTH)).astype(np.int8)
    return {"x": x, "rows": rng.integers(-3, ROWS + 3, COUNT).astype(np.int32)}


FETCH = Load(map=1, spm=LIST_AT, increment=0)
LISTED = (wait(Engine.ld0, 1),)


@BOTH
@pytest.mark.parametrize("seed", range(5))
def test_gather_takes_rows_by_index_and_fill_outside(path: str, seed: int) -> None:
    made = program(
        FETCH,
        Gather(map=0, index=0, spm=BOXES_AT, step=WIDTH, waits=LISTED, increment=0),
        Store(map=4, spm=BOXES_AT, waits=(wait(Engine.ld0, 2),)),
    )
    inputs = data(seed)
    result = run(made, inputs, RunOptions(path=path))
    expected = np.full((COUNT, WIDTH), 7, np.int8)
    for position, row in enumerate(inputs["rows"]):
        if 0 <= row < ROWS:
            expected[position] = inputs["x"][row]
    assert np.array_equal(result.outputs["y"][:COUNT], expected)
    assert [f for f in check(made, result.streams) if f.instruction >= 0] == []


@BOTH
@pytest.mark.parametrize("seed", range(5))
def test_scatter_puts_rows_by_index_and_the_last_stays(path: str, seed: int) -> None:
    made = program(
        FETCH,
        Load(map=3, spm=BOXES_AT, increment=0),
        Scatter(map=2, index=0, spm=BOXES_AT, step=WIDTH, waits=(wait(Engine.ld0, 2),)),
    )
    inputs = data(seed)
    result = run(made, inputs, RunOptions(path=path, strict=True))
    expected = np.zeros((ROWS, WIDTH), np.int8)
    for position, row in enumerate(inputs["rows"]):
        if 0 <= row < ROWS:
            expected[row] = inputs["x"][position]
    assert np.array_equal(result.outputs["y"], expected)


def test_a_gather_before_its_list_is_there_is_a_race() -> None:
    made = program(FETCH, Gather(map=0, index=0, spm=BOXES_AT, step=WIDTH, queue=1))
    race = next(f for f in check(made) if f.kind == "race")
    assert "gather" in race.site and race.memory == "spm of core 0"


def test_a_gather_from_what_another_engine_stores_needs_order() -> None:
    scratch = (
        *MAPS,
        TensorMap(Segment.scratch, DType.i8, 0, (4, 4), (4, 1), (1, 4), (4, 1)),
    )
    made = program(
        Fill(to=0, increment=0),
        Store(map=5, spm=0, waits=LISTED),
        Gather(map=5, index=0, spm=BOXES_AT, step=4),
        maps=scratch,
        scratch_bytes=16,
    )
    assert any(f.kind == "race" and f.memory == "segment scratch" for f in check(made))


# -- random works: both paths ---------------------------------------------------------------------


def random_indexed(rng: np.random.Generator) -> IndexedWork:
    first = random_transfer(rng)
    count = int(rng.integers(0, 6))
    first = first._replace(address=first.address // 2 + 4096)
    view = View(DType.i32, Space.spm, 0, (count,), (int(rng.choice([4, 4, 0, 8])),))
    indices = random_region(rng, DType.i32, (count,))._replace(view=view, origins=(), address=64)
    return IndexedWork(first, indices, int(rng.integers(-8, 64)))


def random_move(rng: np.random.Generator) -> MoveWork:
    dtype = DType[str(rng.choice([d.name for d in DType]))]
    extents = extents_of(rng, int(rng.integers(1, 5)), 5)
    windows = bool(rng.integers(3) == 0)
    target = random_region(rng, dtype, extents, output=True, windows=windows)
    source = random_region(rng, dtype, extents) if rng.integers(3) else None
    return MoveWork(target, source, int(rng.integers(-(1 << 40), 1 << 40)))


@given(st.integers(0, 2**63), st.sampled_from([random_indexed, random_move]))
@settings(max_examples=300, deadline=None)
def test_both_paths_move_the_same_bytes(seed: int, make: object) -> None:
    rng = np.random.default_rng(seed)
    slow = random_memory(rng)
    slow.spm[0][64:128].view(np.int32)[:] = rng.integers(-3, 6, 16)
    quick = copied(slow)
    work = make(rng)  # type: ignore[operator]
    plain.execute(slow, 0, work)
    FastExecutor(worth=0)(quick, 0, work)
    assert same_bytes(slow, quick), work


# -- copy and fill --------------------------------------------------------------------------------


def transposed(rows: int, cols: int, at: int, to: int) -> tuple[View, View]:
    source = View(DType.i8, Space.spm, at, (cols, rows), (1, cols))
    return View(DType.i8, Space.spm, to, (cols, rows), (rows, 1)), source


@BOTH
def test_copy_transposes(path: str) -> None:
    rows, cols = COUNT, WIDTH
    made = program(
        Load(map=3, spm=0, increment=0),
        Copy(to=0, source=1, queue=1, waits=LISTED, increment=0),
        Store(map=4, spm=512, waits=(wait(Engine.ld1, 1),)),
        views=transposed(rows, cols, 0, 512),
    )
    inputs = data(1)
    result = run(made, inputs, RunOptions(path=path))
    found = result.outputs["y"].reshape(-1)[: rows * cols].reshape(cols, rows)
    assert np.array_equal(found, inputs["x"][:rows].T)


@BOTH
def test_fill_takes_a_register_and_windows_drop(path: str) -> None:
    window = Window(-1, 3, (1,))
    view = View(DType.i8, Space.spm, 0, (WIDTH,), (1,), windows=(window,))
    made = program(
        Add(rd=3, imm=300),
        Fill(to=1, increment=0),
        Fill(to=0, rv=3, value=-42, increment=0),
        Store(map=2, spm=0, waits=(wait(Engine.ld0, 2),)),
        views=(view, View(DType.i8, Space.spm, 0, (WIDTH,), (1,))),
    )
    result = run(made, data(0), RunOptions(path=path))
    low = np.int64(300 - 42).astype(np.int8)
    assert result.outputs["y"][0].tolist() == [0, low, low, low, 0, 0]


# -- multicast ------------------------------------------------------------------------------------


def multicast(mask: int, *, waits: tuple = (wait(Engine.ld0, 1),)) -> Program:
    first = [Load(map=3, spm=32, cores=mask, increment=0), Halt()]
    second = [Store(map=4, spm=32, waits=waits), Halt()]
    tables = {"maps": MAPS, "inputs": INPUTS, "outputs": OUTPUTS}
    return build(first, second, **tables)


@BOTH
@pytest.mark.parametrize("mask", [0b10, 0b11])
def test_a_multicast_load_reaches_every_core_of_its_mask(path: str, mask: int) -> None:
    made = multicast(mask)
    inputs = data(2)
    result = run(made, inputs, RunOptions(path=path, target=made.target))
    assert np.array_equal(result.outputs["y"][:COUNT], inputs["x"][:COUNT])
    assert [f for f in check(made, target=made.target) if f.instruction >= 0] == []
    timing = time_streams(made, result.streams, made.target)
    assert timing.dram_read_bytes == TINY.dram.burst_bytes  # once for all receivers
    assert timing.works[0].spm_bytes[0] == COUNT * WIDTH * mask.bit_count()


def test_a_receiver_that_does_not_wait_races() -> None:
    made = multicast(0b11, waits=())
    assert any(f.memory == "spm of core 1" for f in check(made, target=made.target))


# -- refusals -------------------------------------------------------------------------------------

ACC = View(DType.i32, Space.acc, 0, (COUNT,), (4,))
SHORT = View(DType.i32, Space.spm, 0, (COUNT - 1,), (4,))
BYTES = View(DType.i8, Space.spm, 0, (COUNT,), (1,))


@pytest.mark.parametrize(
    ("code", "views", "words"),
    [
        (Load(map=0, cores=2), (), "core that the program does not use"),
        (Gather(map=0), (), "no view in SPM"),
        (Gather(map=0, index=0), (ACC,), "no view in SPM"),
        (Gather(map=0, index=0), (BYTES,), "no vector of i32"),
        (Gather(map=9, index=0), (LIST,), "no map"),
        (Copy(to=0, source=1), (LIST, BYTES), "differ in element type"),
        (Copy(to=0), (LIST,), "no view in SPM"),
        (Fill(to=0), (ACC,), "no view in SPM"),
    ],
)
def test_what_the_bits_prove_wrong_is_refused(
    code: Instruction, views: tuple[View, ...], words: str
) -> None:
    with pytest.raises(BinaryError, match=words):
        load(program(code, views=views))


def test_a_scatter_to_constants_is_refused() -> None:
    constant = TensorMap(Segment.constant, DType.i8, 0, (4,), (1,), (1,), (1,))
    made = program(Scatter(map=0, index=0), maps=(constant,), constants=np.zeros(4, np.uint8))
    with pytest.raises(BinaryError, match="writes to the constants"):
        load(made)


@pytest.mark.parametrize(
    ("code", "views", "words"),
    [
        (Copy(to=0, source=1), (LIST, SHORT), "extents of the two views differ"),
        (Gather(map=0, index=0, spm=TINY.spm.capacity_bytes - 6, step=6), (LIST,), "leaves SPM"),
        (Gather(map=0, index=0, spm=6, step=-6), (LIST,), "leaves SPM"),
        (Gather(map=0, index=0, rc3=1), (LIST,), "beyond the map's rank"),
    ],
)
def test_what_registers_decide_is_checked(
    code: Instruction, views: tuple[View, ...], words: str
) -> None:
    with pytest.raises(ExecutionError, match=words):
        load(program(Add(rd=1, imm=1), code, views=views))


# -- time -----------------------------------------------------------------------------------------


def test_a_gather_costs_a_burst_for_each_row() -> None:
    made = program(Gather(map=0, index=0, spm=BOXES_AT, step=WIDTH))
    work = time_streams(made, load(made).streams).works[0]
    bank = TINY.spm.bank_width_bytes
    words = COUNT * -(-WIDTH // bank) + -(-4 * COUNT // bank)
    assert work.dram_read[0] == COUNT * TINY.dram.burst_bytes
    assert work.isolated[0] == cost.transfer_cycles(TINY, COUNT, words)
    assert work.dram_useful[0] == COUNT * WIDTH


def test_moves_cost_their_words() -> None:
    views = (View(DType.i8, Space.spm, 0, (4, 32), (32, 1)), View(
        DType.i8, Space.spm, 1024, (4, 32), (64, 1)))  # fmt: skip
    made = program(Copy(to=0, source=1), Fill(to=0), Nop(), views=views)
    work = time_streams(made, load(made).streams).works[0]
    words = 128 // TINY.spm.bank_width_bytes
    assert work.moving.tolist()[:2] == [2 * words, words]
    assert work.fixed.tolist()[:2] == [TINY.dma.setup_cycles] * 2
    assert work.spm_bytes.tolist()[:2] == [256, 128]
