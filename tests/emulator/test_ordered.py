"""Scan, top k and sort as commands: values on both paths, refusals, order, time."""

from math import ceil, log2

import numpy as np
import pytest

from npuc.emulator.machine import RunOptions, load, run
from npuc.emulator.strict import check
from npuc.emulator.timing import time_streams
from npuc.isa.descriptors import Segment, Space, TensorMap, View
from npuc.isa.dtypes import DType
from npuc.isa.errors import BinaryError, ExecutionError
from npuc.isa.instructions import Engine, Instruction
from npuc.isa.instructions.dma import Load, Store
from npuc.isa.instructions.flow import Halt
from npuc.isa.instructions.ordered import SCAN_OPERATIONS, Scan, Sort, TopK
from npuc.isa.program import Argument, Program
from tests.emulator.programs import TINY, build, wait

BOTH = pytest.mark.parametrize("path", ["plain", "fast"])
ROWS, LENGTH, K = 3, 20, 4
OUT_AT, INDICES_AT, FIRST_AT = 1024, 2048, 240


def rows_of(dtype: DType, at: int, length: int, rows: int = ROWS) -> View:
    size = dtype.bytes
    return View(
        dtype, Space.spm, at, (1, 1, 1, rows, length), (0, 0, 0, length * size, size)
    )  # fmt: skip


VIEWS = (
    rows_of(DType.f32, 0, LENGTH),
    rows_of(DType.f32, OUT_AT, LENGTH),
    rows_of(DType.i32, INDICES_AT, LENGTH),
    rows_of(DType.f32, OUT_AT, K),
    rows_of(DType.i32, INDICES_AT, K),
    View(DType.f32, Space.spm, FIRST_AT, (1, 1, 1, ROWS, 1), (0, 0, 0, 4, 0)),
)
SIZE = ROWS * LENGTH


def whole(segment: Segment, base: int, count: int) -> TensorMap:
    return TensorMap(segment, DType.i32, base, (count,), (4,), (count,), (4,))


def program(command: Instruction, count: int = SIZE, views: tuple[View, ...] = VIEWS) -> Program:
    code = [
        Load(map=0, increment=0),
        command,
        Store(map=1, spm=OUT_AT, waits=(wait(Engine.vpu, 1),)),
        Store(map=2, spm=INDICES_AT),
        Halt(),
    ]
    return build(
        code,
        views=views,
        maps=(
            whole(Segment.input, 0, SIZE + ROWS),
            whole(Segment.output, 0, count),
            whole(Segment.output, 4 * count, count),
        ),
        inputs=(Argument("x", DType.f32, (SIZE + ROWS,), Segment.input, 0),),
        outputs=(
            Argument("values", DType.f32, (count,), Segment.output, 0),
            Argument("indices", DType.i32, (count,), Segment.output, 4 * count),
        ),
    )


def data(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(-5, 6, SIZE + ROWS).astype(np.float32)  # many ties


ORDER = {"waits": (wait(Engine.ld0, 1),), "increment": 0}


@BOTH
@pytest.mark.parametrize("descending", [0, 1])
def test_sort_gives_values_and_indices(path: str, descending: int) -> None:
    made = program(Sort(0, values=1, indices=2, descending=descending, **ORDER))
    x = data(descending)
    result = run(made, {"x": x}, RunOptions(path=path))
    x_RN = x[:SIZE].reshape(ROWS, LENGTH)
    expected = np.argsort(-x_RN if descending else x_RN, axis=1, kind="stable")
    assert np.array_equal(result.outputs["indices"].reshape(ROWS, LENGTH), expected)
    sorted_RN = np.take_along_axis(x_RN, expected, 1)
    assert np.array_equal(result.outputs["values"].reshape(ROWS, LENGTH), sorted_RN)
    assert [f for f in check(made) if f.kind == "race"] == []


@BOTH
@pytest.mark.parametrize("smallest", [0, 1])
def test_topk_gives_the_first_k_in_order(path: str, smallest: int) -> None:
    made = program(TopK(0, values=3, indices=4, smallest=smallest, **ORDER), ROWS * K)
    x = data(3)
    result = run(made, {"x": x}, RunOptions(path=path))
    x_RN = x[:SIZE].reshape(ROWS, LENGTH)
    order = np.argsort(x_RN if smallest else -x_RN, axis=1, kind="stable")[:, :K]
    assert np.array_equal(result.outputs["indices"].reshape(ROWS, K), order)
    found = result.outputs["values"].reshape(ROWS, K)
    assert np.array_equal(found, np.take_along_axis(x_RN, order, 1))


@BOTH
@pytest.mark.parametrize("exclusive", [0, 1])
def test_scan_goes_on_from_first(path: str, exclusive: int) -> None:
    made = program(Scan(0, 1, 5, SCAN_OPERATIONS.index("sumf"), exclusive, **ORDER))
    x = data(4)
    result = run(made, {"x": x}, RunOptions(path=path))
    x_RN, first = x[:SIZE].reshape(ROWS, LENGTH), x[SIZE:].reshape(ROWS, 1)
    total = first + np.cumsum(x_RN, axis=1)  # small whole numbers: exact in any order
    expected = np.concatenate([first, total[:, :-1]], 1) if exclusive else total
    assert np.array_equal(result.outputs["values"].reshape(ROWS, LENGTH), expected)


def test_a_sort_without_its_wait_is_a_race() -> None:
    made = program(Sort(0, values=1, indices=2, increment=0))
    assert any(f.kind == "race" and "sort" in f.site for f in check(made))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (Sort(0), "writes nothing"),
        (Sort(values=1), "source is missing"),
        (Scan(0), "out is missing"),
        (TopK(0, values=6), "wrong rank"),
    ],
)
def test_what_the_bits_prove_wrong_is_refused(command: Instruction, words: str) -> None:
    flat = View(DType.f32, Space.spm, 0, (4,), (4,))
    with pytest.raises(BinaryError, match=words):
        load(program(command, views=(*VIEWS, flat)))


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (Sort(0, values=3), "values"),
        (TopK(3, indices=2), "indices"),
        (TopK(0, values=3, indices=2), "indices"),
        (Scan(0, 3), "out"),
        (Scan(0, 1, first=1), "first"),
        (Scan(0, 6), "out"),
    ],
)
def test_extents_that_do_not_suit_are_refused(command: Instruction, name: str) -> None:
    fewer = rows_of(DType.f32, 0, LENGTH, ROWS - 1)
    with pytest.raises(ExecutionError, match=f"extents of {name} do not suit"):
        load(program(command, views=(*VIEWS, fewer)))


def test_cycles_are_the_published_formulas() -> None:
    lanes, startup = TINY.vpu.lanes, TINY.vpu.startup_cycles
    e = ceil(log2(LENGTH))
    expected = {
        Scan(0, 1, increment=0): ceil(ROWS / lanes) * LENGTH,
        TopK(0, values=3, increment=0): ROWS * (LENGTH * ceil(K / lanes) + K),
        Sort(0, values=1, increment=0): ROWS * ceil(2**e / lanes) * e * (e + 1) // 2,
    }
    for command, cycles in expected.items():
        made = program(command)
        work = time_streams(made, load(made).streams).works[0]
        at_port = -(-int(work.spm_words[1]) // TINY.spm.banks)
        assert work.fixed[1] == startup
        assert work.moving[1] == max(cycles, at_port)
        assert work.lane_ops[1] > 0 and work.spm_bytes[1] >= 4 * SIZE
