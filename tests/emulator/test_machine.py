"""Whole programs: values on both paths, several cores, inputs, states and errors."""

from dataclasses import replace

import numpy as np
import pytest

from npuc.emulator.machine import RunOptions, load, run
from npuc.isa.descriptors import Kernel, Op, Output, Segment, Space, Stream, TensorMap, View
from npuc.isa.dtypes import DType
from npuc.isa.errors import ExecutionError, InputError, UsageError
from npuc.isa.instructions import Engine
from npuc.isa.instructions.dma import Load, Store
from npuc.isa.instructions.flow import Halt
from npuc.isa.instructions.order import Nop
from npuc.isa.instructions.vector import Vexec
from npuc.isa.program import Argument
from tests.emulator.programs import build, tiled_product, wait

PATHS = ("plain", "fast")
POINTS = (1, 1, 1, 8, 1, 1, 1)
STEPS = (0, 0, 0, 1, 0, 0, 0)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("seed", range(3))
def test_a_tiled_product_gives_the_expected_bytes(path: str, seed: int) -> None:
    program, inputs, expected = tiled_product(seed)
    result = run(program, inputs, RunOptions(path=path, strict=True))
    assert np.array_equal(result.outputs["y"], expected)
    assert len(result.streams[0]) == 2 + 3 * 4


def test_a_loaded_program_runs_again_on_other_inputs() -> None:
    program, inputs, expected = tiled_product()
    loaded = load(program)
    assert np.array_equal(loaded.run(inputs).outputs["y"], expected)
    other = loaded.run({"x": np.zeros_like(inputs["x"])}).outputs["y"]
    assert not other.any()
    assert np.array_equal(loaded.run(inputs).outputs["y"], expected)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "missing"),
        ({"x": np.zeros((12, 20), np.float32)}, "element type"),
        ({"x": np.zeros((20, 12), np.int8)}, "shape"),
        ({"x": np.zeros((12, 20), np.int8), "z": np.zeros(1, np.int8)}, "no such input"),
    ],
)
def test_wrong_inputs_are_refused_with_the_expectation(inputs: dict, words: str) -> None:
    program, _, _ = tiled_product()
    with pytest.raises(InputError, match=words) as caught:
        run(program, inputs)
    assert "int8 of shape (12, 20)" in str(caught.value) or "x" in caught.value.allowed


def test_an_unknown_path_is_refused() -> None:
    with pytest.raises(UsageError, match="path"):
        load(tiled_product()[0], RunOptions(path="quick"))


def test_strict_running_refuses_a_race() -> None:
    program, inputs, _ = tiled_product(synchronised=False)
    with pytest.raises(ExecutionError, match="strict mode found 3 faults"):
        run(program, inputs, RunOptions(strict=True))


def test_constants_are_used_where_they_lie() -> None:
    program, inputs, expected = tiled_product()
    program.constants.flags.writeable = False
    assert np.array_equal(run(program, inputs).outputs["y"], expected)


# -- states ---------------------------------------------------------------------------------------


def counter_program() -> object:
    """state += input, also given as output."""
    view = View(DType.i8, Space.spm, 0, POINTS, STEPS)
    maps = tuple(
        TensorMap(s, DType.i8, 0, (8,), (1,), (8,), (1,))
        for s in (Segment.input, Segment.state, Segment.output)
    )
    kernel = Kernel((Stream("i"), Stream("i")), (Op("addi", (0, 1)),), 1, (Output(16),))
    code = [
        Load(map=0, spm=0, increment=0),
        Load(map=1, spm=8, increment=0),
        Vexec(kernel=0, in0=0, in1=1, out0=0, waits=(wait(Engine.ld0, 2),), increment=0),
        Store(map=1, spm=0, waits=(wait(Engine.vpu, 1),)),
        Store(map=2, spm=0),
        Halt(),
    ]
    return build(
        code,
        views=(view, replace(view, base=8)),
        maps=maps,
        kernels=(kernel,),
        inputs=(Argument("x", DType.i8, (8,), Segment.input, 0),),
        outputs=(Argument("y", DType.i8, (8,), Segment.output, 0),),
        states=(Argument("s", DType.i8, (8,), Segment.state, 0),),
    )


@pytest.mark.parametrize("path", PATHS)
def test_states_persist_from_run_to_run(path: str) -> None:
    loaded = load(counter_program(), RunOptions(path=path, strict=True))
    x = {"x": np.arange(8, dtype=np.int8)}
    first = loaded.run(x)
    second = loaded.run(x, first.states)
    assert np.array_equal(second.outputs["y"], 2 * np.arange(8))
    assert np.array_equal(first.outputs["y"], np.arange(8))
    with pytest.raises(InputError, match="no such state"):
        loaded.run(x, {"t": x["x"]})


# -- several cores --------------------------------------------------------------------------------


def two_cores(*, deadlock: bool = False) -> object:
    """Core 0 doubles the input into scratch; core 1 doubles that into the output."""
    view = View(DType.i8, Space.spm, 0, POINTS, STEPS)
    maps = tuple(
        TensorMap(s, DType.i8, 0, (8,), (1,), (8,), (1,))
        for s in (Segment.input, Segment.scratch, Segment.output)
    )
    kernel = Kernel((Stream("i"),), (Op("addi", (0, 0)),), 1, (Output(16),))

    def stage(core: int, source: int, before: tuple) -> list:
        return [
            Load(map=source, waits=before, increment=0),
            Vexec(kernel=0, in0=0, out0=0, waits=(wait(Engine.ld0, 1, core=core),), increment=0),
            Store(map=source + 1, waits=(wait(Engine.vpu, 1, core=core),), increment=0),
            Nop(queue=Engine.ld1.value, increment=1),
            Halt(),
        ]

    held = (wait(Engine.st, 1, core=1),) if deadlock else ()
    return build(
        stage(0, 0, held),
        stage(1, 1, (wait(Engine.st, 1, core=0),)),
        views=(view,),
        maps=maps,
        kernels=(kernel,),
        scratch_bytes=8,
        inputs=(Argument("x", DType.i8, (8,), Segment.input, 0),),
        outputs=(Argument("y", DType.i8, (8,), Segment.output, 0),),
    )


@pytest.mark.parametrize("path", PATHS)
def test_cores_wait_for_each_other(path: str) -> None:
    x = np.arange(8, dtype=np.int8)
    result = run(two_cores(), {"x": x}, RunOptions(path=path, strict=True))
    assert np.array_equal(result.outputs["y"], 4 * x)


def test_a_deadlock_names_the_waits_of_both_cores() -> None:
    with pytest.raises(ExecutionError, match="deadlock") as caught:
        load(two_cores(deadlock=True))
    assert "core0.st[0] >= 1" in caught.value.where
    assert "core1.st[0] >= 1" in caught.value.where


def test_a_wait_that_no_earlier_command_satisfies_is_refused() -> None:
    code = [Nop(queue=1, waits=(wait(Engine.ld1, 1),)), Nop(queue=2, increment=0), Halt()]
    with pytest.raises(ExecutionError, match="no earlier command") as caught:
        load(build(code))
    assert "core0.ld1[0] >= 1" in caught.value.given


@pytest.mark.parametrize("path", PATHS)
def test_a_trap_names_instruction_and_element(path: str) -> None:
    view = View(DType.i8, Space.spm, 0, POINTS, STEPS)
    kernel = Kernel((Stream("i"),), (Op("divi", (0, 0)),), 1, (Output(16),))
    program = build([Vexec(kernel=0, in0=0, out0=0), Halt()], views=(view,), kernels=(kernel,))
    with pytest.raises(ExecutionError, match="division by zero") as caught:
        run(program, {}, RunOptions(path=path))
    assert "instruction 0: vexec" in caught.value.where and "element 0" in caught.value.where
