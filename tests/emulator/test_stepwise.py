"""Word loads and stores: control in step with values, the argument block, states, order."""

import numpy as np
import pytest

from npuc.emulator.machine import RunOptions, load, run
from npuc.emulator.strict import check
from npuc.emulator.timing import time_streams
from npuc.isa.descriptors import Segment, TensorMap
from npuc.isa.dtypes import DType
from npuc.isa.errors import BinaryError, ExecutionError, UsageError
from npuc.isa.instructions import Engine, Instruction
from npuc.isa.instructions.dma import Load, Store
from npuc.isa.instructions.flow import Halt, Loop
from npuc.isa.instructions.order import Fence, Nop
from npuc.isa.instructions.scalar import Add
from npuc.isa.instructions.word import MEMORIES, WORD_TYPES, LoadWord, StoreWord
from npuc.isa.program import Argument, Program
from tests.emulator.programs import TINY, build, wait

BOTH = pytest.mark.parametrize("path", ["plain", "fast"])
ROW = 8
IN = TensorMap(Segment.input, DType.i8, 0, (4, ROW), (ROW, 1), (1, ROW), (ROW, 1))
OUT = TensorMap(Segment.output, DType.i8, 0, (4, ROW), (ROW, 1), (1, ROW), (ROW, 1))
X = Argument("x", DType.i8, (4, ROW), Segment.input, 0)
Y = Argument("y", DType.i8, (4, ROW), Segment.output, 0)
ROWS = Argument("rows", DType.i64, (), Segment.arguments, 0)
DATA = np.arange(32, dtype=np.int8).reshape(4, ROW)


def where(name: str) -> int:
    return MEMORIES.index(name)


def of(name: str) -> int:
    return WORD_TYPES.index(name)


def program(*code: Instruction, **parts: object) -> Program:
    return build(code, **({"maps": (IN, OUT), "inputs": (X, ROWS), "outputs": (Y,)} | parts))


def copy_rows() -> Program:
    """Copies as many rows as the argument says, one after the other."""
    return program(
        LoadWord(rt=3, memory=where("arguments")),
        Loop(rc=3, body=4),
        Load(map=0, rc0=4, waits=(wait(Engine.st, 0, 4),), increment=0),
        Store(map=1, rc0=4, waits=(wait(Engine.ld0, 1, 4),), increment=0),
        Add(rd=4, ra=4, imm=1),
        Nop(),
        Halt(),
    )


@BOTH
@pytest.mark.parametrize("rows", [0, 1, 3, 4])
def test_the_argument_block_decides_how_often_a_loop_runs(path: str, rows: int) -> None:
    loaded = load(copy_rows(), RunOptions(path=path))
    result = loaded.run({"x": DATA, "rows": np.array(rows)})
    assert np.array_equal(result.outputs["y"][:rows], DATA[:rows])
    assert not result.outputs["y"][rows:].any()
    (stream,) = result.streams
    assert len(stream) == 1 + 3 * rows and stream.engine[0] == Engine.ctl.value
    assert time_streams(copy_rows(), result.streams).wall_cycles > 0


def test_commands_that_depend_on_inputs_are_not_known_before_a_run() -> None:
    with pytest.raises(UsageError, match="depend on its inputs"):
        _ = load(copy_rows()).streams


@BOTH
@pytest.mark.parametrize("dtype", WORD_TYPES)
def test_words_are_extended_and_cut(path: str, dtype: str) -> None:
    """A word of the input decides a coordinate sum that is stored; the referee is NumPy."""
    rng = np.random.default_rng(1)
    data = rng.integers(-128, 128, (4, ROW)).astype(np.int8)
    code = (
        LoadWord(rt=5, address=3, memory=where("input"), dtype=of(dtype)),
        Add(rd=6, ra=5, imm=1),
        StoreWord(rt=6, address=8, memory=where("output"), dtype=of("i64")),
        StoreWord(rt=6, address=17, memory=where("output"), dtype=of(dtype)),
        Halt(),
    )
    got = run(program(*code), {"x": data, "rows": np.array(0)}, RunOptions(path=path))
    kind = DType[dtype].numpy
    raw = data.reshape(-1)[3 : 3 + kind.itemsize].tobytes()
    value = int(np.frombuffer(raw, kind)[0])
    expected = np.zeros(32, np.int8)
    expected[8:16] = np.frombuffer(np.int64(value + 1).tobytes(), np.int8)
    low = ((value + 1) % 2 ** (8 * kind.itemsize)).to_bytes(kind.itemsize, "little")
    expected[17 : 17 + kind.itemsize] = np.frombuffer(low, np.int8)
    assert np.array_equal(got.outputs["y"].reshape(-1), expected)


def first_word(*before: Instruction, waits: tuple = ()) -> Program:
    """Load row 1 to SPM, read its first byte with ctl, use it as the row that is stored to."""
    return program(
        Load(map=0, i0=1, increment=0),
        *before,
        LoadWord(rt=7, memory=where("spm"), dtype=of("u8"), waits=waits),
        Store(map=1, rc0=7, i0=-ROW, increment=0),
        Halt(),
    )


@BOTH
@pytest.mark.parametrize("ordered", ["wait", "fence"])
def test_a_word_of_spm_decides_where_a_store_goes(path: str, ordered: str) -> None:
    made = first_word(Fence()) if ordered == "fence" else first_word(waits=(wait(Engine.ld0, 1),))
    data = DATA.copy()
    data[1, 0] = ROW + 2
    result = run(made, {"x": data, "rows": np.array(0)}, RunOptions(path=path))
    assert np.array_equal(result.outputs["y"][2], data[1])
    races = [f for f in check(made, result.streams) if f.kind == "race"]
    assert races == []


def test_a_word_load_without_order_is_a_race() -> None:
    result = run(first_word(), {"x": DATA, "rows": np.array(0)})
    race, _ = [f for f in check(first_word(), result.streams) if f.kind == "race"]
    assert "ldw" in race.site and "ld m0" in race.other
    with pytest.raises(ExecutionError, match="strict mode found"):
        run(first_word(), {"x": DATA, "rows": np.array(0)}, RunOptions(strict=True))


@BOTH
def test_a_state_carries_a_count_from_run_to_run(path: str) -> None:
    count = Argument("count", DType.i32, (), Segment.state, 0)
    made = program(
        LoadWord(rt=1, memory=where("state"), dtype=of("i32")),
        Add(rd=2, ra=1, imm=1),
        StoreWord(rt=2, memory=where("state"), dtype=of("i32")),
        Load(map=0, increment=0),
        Store(map=1, rc0=1, waits=(wait(Engine.ld0, 1),)),
        Halt(),
        states=(count,),
    )
    states = None
    for turn in range(3):
        inputs = {"x": DATA, "rows": np.array(0)}
        result = run(made, inputs, RunOptions(path=path), states)
        states = result.states
        assert states["count"] == turn + 1
        assert np.array_equal(result.outputs["y"][turn], DATA[0])


@BOTH
def test_cores_exchange_a_word_and_overtake_held_commands(path: str) -> None:
    """Core 1 awaits a later command of core 0 whose mxu is held by core 1: ld0 overtakes it."""
    first = [
        StoreWord(rt=0, address=0, memory=where("scratch"), dtype=of("i64"), increment=0),
        Nop(queue=Engine.mxu.value, waits=(wait(Engine.ctl, 1, core=1),)),
        Nop(queue=Engine.ld0.value, increment=0),
        LoadWord(rt=1, memory=where("scratch"), waits=(wait(Engine.ctl, 1, core=1),)),
        StoreWord(rt=1, memory=where("output"), dtype=of("i64")),
        Halt(),
    ]
    second = [
        Add(rd=9, imm=77),
        Nop(queue=0, waits=(wait(Engine.ld0, 1),)),
        StoreWord(rt=9, memory=where("scratch"), waits=(wait(Engine.ctl, 1),), increment=0),
        LoadWord(rt=3, memory=where("scratch")),
        Halt(),
    ]
    made = build(first, second, outputs=(Y,), scratch_bytes=8)
    result = run(made, {}, RunOptions(path=path))
    assert result.outputs["y"].reshape(-1)[0] == 77
    assert [f for f in check(made, result.streams, made.target) if f.kind == "race"] == []
    assert time_streams(made, result.streams).wall_cycles > 0


def test_a_wait_that_nothing_satisfies_is_a_deadlock() -> None:
    made = program(LoadWord(rt=1, memory=where("spm"), waits=(wait(Engine.st, 1),)), Halt())
    with pytest.raises(ExecutionError, match="for ever") as caught:
        run(made, {"x": DATA, "rows": np.array(0)})
    assert "st[0] >= 1" in caught.value.where


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (LoadWord(memory=where("output"), address=25), "a word leaves output"),
        (LoadWord(memory=where("spm"), address=-1), "a word leaves spm"),
        (StoreWord(memory=where("spm"), address=TINY.spm.capacity_bytes), "a word leaves spm"),
        (LoadWord(memory=where("arguments"), address=1), "a word leaves arguments"),
    ],
)
def test_words_outside_their_memory_are_refused(bad: Instruction, words: str) -> None:
    with pytest.raises(ExecutionError, match=words):
        run(program(bad, LoadWord(), Halt()), {"x": DATA, "rows": np.array(0)})


@pytest.mark.parametrize("memory", ["constant", "arguments"])
def test_nobody_stores_to_what_is_only_read(memory: str) -> None:
    with pytest.raises(BinaryError, match="only read"):
        load(program(StoreWord(memory=where(memory)), Halt()))


def test_names_of_memories_and_types_are_those_of_the_descriptors() -> None:
    assert [*MEMORIES[1:]] == [s.name for s in Segment]
    assert set(WORD_TYPES) <= {d.name for d in DType}


def test_a_dram_word_costs_the_latency() -> None:
    def cycles(memory: str) -> int:
        made = program(LoadWord(memory=where(memory)), Halt())
        streams = run(made, {"x": DATA, "rows": np.array(0)}).streams
        return time_streams(made, streams).wall_cycles

    assert cycles("input") - cycles("spm") >= TINY.dram.latency_cycles
    assert cycles("arguments") < cycles("spm")
