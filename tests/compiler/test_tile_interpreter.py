"""The tile level's value: NumPy's for programs by hand, and the independent evaluator's for groups.

Referees: a convolution by its definition, the byte-level evaluator of the scheduler's tests, and
the graph's own value.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.compiler.consts import ConstStore
from npuc.compiler.driver import compile_model
from npuc.compiler.interpreter import evaluate
from npuc.compiler.ir_text import parse_module
from npuc.compiler.options import CompileOptions
from npuc.compiler.schedule.problem import GroupProblem
from npuc.compiler.schedule.tiling import Tiling
from npuc.compiler.tile_interpreter import GARBAGE, evaluate_tiles
from npuc.compiler.tile_values import Box, Operand
from npuc.compiler.xdsl_api import ModuleOp
from npuc.isa.descriptors import Segment, Space, TensorMap, View, Window
from npuc.isa.dtypes import DType
from npuc.isa.errors import CompileError, ExecutionError, InputError
from tests.compiler.schedule.problems import random_inputs, tiled_problems, value_of
from tests.compiler.schedule.test_build import built
from tests.compiler.test_random_graphs import Chain, steps_of_graph
from tests.e2e.tile_files import FOLDER, SHAPES, expected, make_context, parse, random_case


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_programs_by_hand_compute_their_convolutions(name: str) -> None:
    """Stripes across groups, prefetched weights, two cores with signals."""
    x, weights = random_case(name)
    ctx = make_context(2)
    ctx.consts.add_named(weights)
    module = parse(ctx, (FOLDER / f"{name}.mlir").read_text())
    result = evaluate_tiles(module, {"x": x}, ctx.consts)
    np.testing.assert_array_equal(result.outputs["y"], expected(name, x, weights))


@settings(max_examples=30)
@given(case=tiled_problems(), seed=st.integers(0, 99))
def test_groups_compute_their_problem(case: tuple[GroupProblem, Tiling], seed: int) -> None:
    problem, tiling = case
    module, _ = built(problem, tiling)
    inputs = random_inputs(problem, seed)
    names = {o.argument: o.name for o in problem.operands if o.queue != "st"}
    given_arrays = {names[i]: array for i, array in enumerate(inputs)}
    if len(given_arrays) < len(inputs):
        return  # two arguments of one name cannot be told apart by name
    (got,) = evaluate_tiles(module, given_arrays, ConstStore()).outputs.values()
    np.testing.assert_array_equal(got, value_of(problem, inputs))


@settings(max_examples=10)
@given(
    kinds=steps_of_graph,
    seed=st.integers(0, 999),
    is_quantised=st.booleans(),
    target=st.sampled_from(["tiny", "edge"]),
    level=st.sampled_from([0, 1, 2]),
)
def test_random_graphs_keep_their_bits(
    kinds: list[str], seed: int, is_quantised: bool, target: str, level: int
) -> None:
    chain = Chain(seed, is_quantised=is_quantised)
    for kind in kinds:
        chain.step(kind)
    case = chain.case()
    model = case.model.SerializeToString()
    results = {}
    for stage in ("partition", "schedule"):
        options = CompileOptions(target=target, level=level, stop_after=stage)
        results[stage] = compile_model(model, options)
    graph, tiles = results["partition"], results["schedule"]
    (want,) = evaluate(graph.module, case.inputs, graph.ctx.consts).values()
    (got,) = evaluate_tiles(tiles.module, case.inputs, tiles.ctx.consts).outputs.values()
    np.testing.assert_array_equal(got.view(np.uint8), want.view(np.uint8))


def test_windows_give_fill_and_drop_stores() -> None:
    memory = np.arange(8, dtype=np.uint8)
    window = Window(-1, 4, (1,))
    view = View(DType.u8, Space.spm, 0, (6,), (1,), windows=(window,), fill=99)
    operand = Operand(view, memory, -1, (6,), (-1,))
    np.testing.assert_array_equal(operand.read(), [99, 0, 1, 2, 3, 99])
    operand.write(np.full(6, 7, np.uint8))
    np.testing.assert_array_equal(memory, [7, 7, 7, 7, 4, 5, 6, 7])


def test_boxes_beyond_the_tensor_are_filled_and_not_stored() -> None:
    box = TensorMap(Segment.input, DType.i16, 0, (2, 3), (6, 2), (2, 2), (4, 2), fill=5)
    tensor = np.arange(6, dtype=np.int16).view(np.uint8)
    slot = np.zeros(8, np.uint8)
    Box(box, (1, 2), 0).load(slot, tensor)
    np.testing.assert_array_equal(slot.view(np.int16), [5, 5, 5, 5])
    Box(box, (1, 1), 0).load(slot, tensor)
    np.testing.assert_array_equal(slot.view(np.int16), [4, 5, 5, 5])
    out = np.zeros(12, np.uint8)
    Box(box, (1, 2), 0).store(slot, out)
    np.testing.assert_array_equal(out.view(np.int16), [0, 0, 0, 0, 0, 4])


PROGRAM = """
tile.program {{
  %x = tile.tensor "x" input : !tile.dram<[4] i8>
  %y = tile.tensor "y" output : !tile.dram<[4] i8>
  tile.core 0 {{
    tile.group "g" (%a = %x : !tile.dram<[4] i8>, %b = %y : !tile.dram<[4] i8>) {{
      {body}
    }}
  }}
}}
"""
BUFFER = '%r = tile.buffer "r" : !tile.buffer<spm 4 x 1>\n'
ACQUIRE = "%s = tile.acquire %r : !tile.buffer<spm 4 x 1>\n"
RELEASE = "tile.release %r : !tile.buffer<spm 4 x 1>\n"
MAP = "map <i8 0 extents [4] strides [1] box [4] spm [1]> at <[{at}]>"


def by_hand(body: str) -> ModuleOp:
    return parse_module(PROGRAM.format(body=body), make_context())


def store(at: int = 0) -> str:
    return f"tile.store %s, %b {MAP.format(at=at)} : !tile.dram<[4] i8>\n"


def test_bytes_that_nothing_wrote_show_as_garbage() -> None:
    module = by_hand(BUFFER + ACQUIRE + store(2) + RELEASE)
    result = evaluate_tiles(module, {"x": np.zeros(4, np.int8)}, ConstStore())
    assert set(result.outputs["y"].tolist()) == {GARBAGE}


def test_an_await_without_signal_is_told() -> None:
    module = by_hand('tile.await "never" on ld0\n')
    with pytest.raises(ExecutionError, match="for ever"):
        evaluate_tiles(module, {"x": np.zeros(4, np.int8)}, ConstStore())


@pytest.mark.parametrize("inputs", [{}, {"x": np.zeros(5, np.int8)}])
def test_inputs_are_checked(inputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(InputError, match="x"):
        evaluate_tiles(by_hand(BUFFER), inputs, ConstStore())


def test_a_command_that_leaves_its_slot_names_its_group() -> None:
    offset = "%o = tile.affine [], 3 ()\n"
    load = f"tile.load %s, %a dynamic(%o) {MAP.format(at=0)[:-1]} offset 0 ?1> on ld0"
    module = by_hand(BUFFER + ACQUIRE + offset + load + " : !tile.dram<[4] i8>\n" + RELEASE)
    with pytest.raises(ExecutionError, match="group g"):
        evaluate_tiles(module, {"x": np.zeros(4, np.int8)}, ConstStore())


def test_a_module_of_another_level_is_refused() -> None:
    with pytest.raises(CompileError, match=r"tile\.program"):
        evaluate_tiles(ModuleOp([]), {}, ConstStore())
