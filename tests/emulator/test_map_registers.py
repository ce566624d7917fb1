"""Map registers: capture at dispatch, both interpreters, checks, time."""

import numpy as np
import pytest

from npuc.emulator.control import control
from npuc.emulator.machine import RunOptions, load, run
from npuc.emulator.strict import check
from npuc.emulator.timing import time_streams
from npuc.emulator.validate import decode
from npuc.isa.descriptors import Segment, TensorMap
from npuc.isa.dtypes import DType
from npuc.isa.errors import BinaryError, ExecutionError
from npuc.isa.instructions import Engine, Instruction
from npuc.isa.instructions.dma import Load, Store
from npuc.isa.instructions.flow import Halt, Loop
from npuc.isa.instructions.maps import MAP_PARTS, LoadMap, LoadMapped, SetMap, StoreMapped
from npuc.isa.instructions.scalar import Add
from npuc.isa.instructions.word import MEMORIES, LoadWord
from npuc.isa.program import Argument, Program
from tests.emulator.programs import TINY, build, wait

BOTH = pytest.mark.parametrize("path", ["plain", "fast"])
ROWS, WIDTH = 6, 8
BASE, EXTENT, STRIDE = range(len(MAP_PARTS))
IN = TensorMap(Segment.input, DType.i8, 0, (ROWS, WIDTH), (WIDTH, 1), (2, WIDTH), (WIDTH, 1), 9)
OUT = TensorMap(Segment.output, DType.i8, 0, (ROWS, WIDTH), (WIDTH, 1), (2, WIDTH), (WIDTH, 1))
CONSTANT = TensorMap(Segment.constant, DType.i8, 0, (4,), (1,), (4,), (1,))
X = Argument("x", DType.i8, (ROWS, WIDTH), Segment.input, 0)
LENGTH = Argument("length", DType.i64, (), Segment.arguments, 0)
Y = Argument("y", DType.i8, (ROWS, WIDTH), Segment.output, 0)
DATA = np.arange(ROWS * WIDTH, dtype=np.int8).reshape(ROWS, WIDTH)
LOADED = (wait(Engine.ld0, 1),)


def program(*code: Instruction, **parts: object) -> Program:
    tables = {
        "maps": (IN, OUT, CONSTANT),
        "inputs": (X, LENGTH),
        "outputs": (Y,),
        "constants": np.zeros(4, np.uint8),
    }
    return build([*code, Halt()], **(tables | parts))


def outputs(made: Program, path: str, length: int = 0) -> np.ndarray:
    inputs = {"x": DATA, "length": np.array(length)}
    return run(made, inputs, RunOptions(path=path)).outputs["y"]


@BOTH
@pytest.mark.parametrize("length", [0, 1, 2])
def test_a_dynamic_extent_decides_what_is_fill(path: str, length: int) -> None:
    made = program(
        LoadWord(rt=3, memory=MEMORIES.index("arguments")),
        LoadMap(5, 0),
        SetMap(5, 0, 3, 0, EXTENT),
        LoadMapped(5, increment=0),
        Store(map=1, waits=LOADED),
    )
    expected = np.zeros_like(DATA)
    expected[:2] = 9
    expected[:length] = DATA[:length]
    assert np.array_equal(outputs(made, path, length), expected)


@BOTH
def test_what_a_transfer_uses_is_captured_at_dispatch(path: str) -> None:
    """The base moves on by two rows each trip; commands in queues keep theirs."""
    made = program(
        LoadMap(0, 0),
        LoadMap(1, 1),
        Loop(count=ROWS // 2, body=6),
        SetMap(0, 0, 4, 0, BASE),
        SetMap(1, 0, 5, 0, BASE),
        LoadMapped(0, waits=(wait(Engine.st, 0, 6),), increment=0),
        StoreMapped(1, waits=(wait(Engine.ld0, 1, 6),), increment=0),
        Add(rd=4, ra=4, imm=0),
        Add(rd=6, ra=6, imm=1),
    )
    assert np.array_equal(outputs(made, path)[:2], DATA[:2])
    steps = [
        LoadMap(0, 0),
        LoadMap(1, 1),
        SetMap(0, 0, 0, 2, EXTENT),
        SetMap(1, 0, 0, 2, EXTENT),
        Loop(count=ROWS // 2, body=6),
        SetMap(0, 0, 4, 0, BASE),
        SetMap(1, 0, 4, 0, BASE),
        LoadMapped(0, waits=(wait(Engine.st, 0, 6),), increment=0),
        StoreMapped(1, waits=(wait(Engine.ld0, 1, 6),), increment=0),
        Add(rd=4, ra=4, imm=2 * WIDTH),
        Add(rd=6, ra=6, imm=1),
    ]
    moved = program(*steps)
    assert np.array_equal(outputs(moved, path), DATA)
    assert check(moved) == ()


def test_both_interpreters_capture_the_same_maps() -> None:
    made = program(
        LoadMap(0, 0),
        Loop(count=3, body=3),
        SetMap(0, 1, 4, 3, EXTENT),
        LoadMapped(0),
        Add(rd=4, ra=4, imm=2),
    )
    plain, fast = (control(decode(made), path=path)[0] for path in ("plain", "fast"))
    assert plain.maps == fast.maps and len(fast.maps) == 3
    assert plain.map_number.tolist() == fast.map_number.tolist() == [0, 1, 2]
    assert plain.ctl_cycles.tolist() == fast.ctl_cycles.tolist() == [4, 3, 3]
    assert [m.extents[1] for m in fast.maps] == [3, 5, 7]


@BOTH
def test_a_stride_of_zero_reads_one_row_again(path: str) -> None:
    made = program(
        LoadMap(15, 0),
        SetMap(15, 0, 0, 0, STRIDE),
        SetMap(15, 0, 0, WIDTH, BASE),
        LoadMapped(15, increment=0),
        Store(map=1, waits=LOADED),
    )
    assert np.array_equal(outputs(made, path)[:2], DATA[[1, 1]])


@BOTH
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ((LoadMapped(3),), "map register is empty"),
        ((SetMap(3),), "map register is empty"),
        ((LoadMap(3, 0), SetMap(3, 2, 0, 1, EXTENT)), "no such dimension"),
        ((LoadMap(3, 0), SetMap(3, 1, 0, 1, BASE)), "no such dimension"),
        ((LoadMap(3, 0), SetMap(3, 0, 0, -1, EXTENT)), "extent is out of range"),
        ((LoadMap(3, 0), SetMap(3, 0, 0, -1, BASE)), "base is out of range"),
        ((LoadMap(3, 0), SetMap(3, 0, 0, 1, BASE), LoadMapped(3)), "leaves its segment"),
        ((LoadMap(3, 0), SetMap(3, 0, 0, 7, EXTENT), LoadMapped(3)), "leaves its segment"),
        ((LoadMap(3, 2), StoreMapped(3)), "writes to the constants"),
        ((LoadMap(3, 2), LoadMapped(3, i1=1)), "beyond the map's rank"),
    ],
)
def test_what_cannot_be_is_refused(path: str, code: tuple[Instruction, ...], words: str) -> None:
    with pytest.raises(ExecutionError, match=words):
        load(program(Add(rd=1, imm=1), *code), RunOptions(path=path))


def test_a_map_that_does_not_exist_is_refused() -> None:
    with pytest.raises(BinaryError, match="no map"):
        load(program(LoadMap(0, 3)))


def test_a_transfer_through_a_register_costs_what_its_map_says() -> None:
    made = program(
        Load(map=0),
        LoadMap(0, 0),
        LoadMapped(0),
        SetMap(0, 0, 0, 1, EXTENT),
        LoadMapped(0),
    )
    work = time_streams(made, load(made).streams).works[0]
    assert work.isolated[0] == work.isolated[1]
    assert work.dram_useful.tolist() == [2 * WIDTH, 2 * WIDTH, WIDTH]
    assert work.dram_read[2] == TINY.dram.burst_bytes
