"""Three tile programs that the compiler does not write yet pass every stage below ``tile``."""

import numpy as np
import pytest

from npuc.compiler.backend.lower_tiles import LowerTiles
from npuc.compiler.backend.place_memory import PlaceMemory
from npuc.emulator.machine import RunOptions, run
from npuc.emulator.strict import check
from npuc.isa.descriptors import Segment
from npuc.isa.encoding import decode
from npuc.isa.instructions.dma import Load, Store
from tests.e2e.tile_files import (
    FOLDER,
    SHAPES,
    compile_wall,
    expected,
    make_context,
    parse,
    random_case,
)

WALLS = sorted(SHAPES)


def test_every_file_is_tested() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.mlir")) == WALLS


@pytest.mark.parametrize("name", WALLS)
@pytest.mark.parametrize("path", ["fast", "plain"])
def test_values_equal_numpy(name: str, path: str) -> None:
    x, weights = random_case(name)
    program = compile_wall(name, weights)
    result = run(program, {"x": x}, RunOptions(path=path, strict=True))
    want = expected(name, x, weights)
    assert np.unique(want).size > 50, "the case would not notice a wrong value"
    np.testing.assert_array_equal(result.outputs["y"], want)


@pytest.mark.parametrize("name", WALLS)
def test_strict_mode_is_clean(name: str) -> None:
    x, weights = random_case(name, 1)
    program = compile_wall(name, weights)
    streams = run(program, {"x": x}).streams
    assert check(program, streams) == ()


@pytest.mark.parametrize("name", WALLS)
def test_text_of_every_level_round_trips(name: str) -> None:
    ctx = make_context(2)
    module = parse(ctx, (FOLDER / f"{name}.mlir").read_text())
    for stage in (None, LowerTiles(), PlaceMemory()):
        if stage is not None:
            stage.apply(ctx, module)
        assert str(parse(ctx, str(module))) == str(module)


def test_stripe_keeps_the_intermediate_tensor_on_chip() -> None:
    program = compile_wall("stripe", random_case("stripe")[1])
    assert program.scratch_bytes == 0
    assert {m.segment for m in program.maps} == {Segment.input, Segment.constant, Segment.output}


def test_prefetch_loads_the_next_weights_inside_the_loop_of_the_first_group() -> None:
    program = compile_wall("prefetch", random_case("prefetch")[1])
    first, second = program.debug.sources
    queues = [
        [i.engine.name for i in decode(program.code[0][s.start : s.stop]) if isinstance(i, Load)]
        for s in (first, second)
    ]
    assert queues == [["ld1", "ld1", "ld0"], ["ld0"]]


def test_two_cores_share_the_work() -> None:
    program = compile_wall("two_cores", random_case("two_cores")[1])
    assert len(program.code) == 2
    for code in program.code:
        assert any(isinstance(i, Store) for i in decode(code))
    waits = [w for i in decode(program.code[1]) for w in getattr(i, "waits", ())]
    assert any(w.counter.core == 0 and w.counter.index == 1 for w in waits)
