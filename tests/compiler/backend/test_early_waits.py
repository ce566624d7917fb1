"""Early waits: the first iterations of a loop do not wait for the group before."""

from __future__ import annotations

import re

import numpy as np
import pytest

from npuc.compiler.backend.trace import Objects
from npuc.compiler.backend.waits import plan_waits
from npuc.compiler.dialects import tile
from npuc.emulator.machine import RunOptions, run
from npuc.emulator.strict import check
from npuc.isa.instructions import Engine
from tests.compiler.backend.test_lower_tiles import T, group, lowered, pipeline_body, program
from tests.e2e.tile_files import compile_tile, make_context

TRIPS = 64  # all rows


def two_groups(depth: int) -> str:
    """A ring of ``depth`` slots refilled in a loop; the second group repeats it on %z."""
    body = pipeline_body(depth, TRIPS)
    return f"""tile.program {{
      %x = tile.tensor "x" input : {T}
      %z = tile.tensor "z" input : {T}
      %y = tile.tensor "y" output : {T}
      %w = tile.tensor "w" output : {T}
      tile.core 0 {{
        tile.group "g" (%a = %x : {T}, %b = %y : {T}) {{ {body} }}
        tile.group "h" (%a = %z : {T}, %b = %w : {T}) {{ {body} }}
      }}
    }}"""


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_only_waits_that_may_name_the_group_before_are_early(depth: int) -> None:
    (source,) = [
        op for op in program(group(pipeline_body(depth))).walk() if isinstance(op, tile.GroupOp)
    ]
    plan = plan_waits(source, Objects.of(source))
    early = {type(op): plan.early(op, distances) for op, distances in plan.at.items()}
    assert early == {tile.LoadOp: {Engine.st}, tile.StoreOp: frozenset()}


def test_code_of_an_early_wait() -> None:
    """The count at the group's start is kept; a threshold not beyond it is multiplied by 0."""
    text = str(lowered(group(pipeline_body(2)))[0])
    (kept,) = re.findall(r"scalar add (r\d+) = r3, r0, 0", text)
    assert text.index(f"add {kept} = r3") < text.index("npu.loop")
    (is_beyond,) = re.findall(rf"scalar slt (r\d+) = {kept}, r3, -1", text)
    assert f"scalar mul {is_beyond} = {is_beyond}, r3, 0" in text
    waits = re.findall(r"waits \[0 (\w+) 0 (-?\d+) \?(\d+)\]", text)
    assert waits == [("st", "-1", is_beyond[1:]), ("ld0", "1", "1")]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_first_iterations_wait_for_nothing(depth: int) -> None:
    compiled = compile_tile(make_context(), two_groups(depth))
    rng = np.random.default_rng(depth)
    inputs = {name: rng.integers(-99, 99, (64, 16), np.int8) for name in ("x", "z")}
    result = run(compiled, inputs, RunOptions(strict=True))
    for source, target in (("x", "y"), ("z", "w")):
        np.testing.assert_array_equal(result.outputs[target][:TRIPS], inputs[source][:TRIPS])
    assert check(compiled, result.streams) == ()
    (stream,) = result.streams
    loads = stream.wait_threshold[stream.engine == Engine.ld0.value].max(axis=1)
    behind = np.arange(TRIPS) - (depth - 1)  # the store that freed the slot
    for number, thresholds in enumerate(loads.reshape(2, TRIPS)):
        assert (thresholds[:depth] <= 0).all(), "it waits for the group before"
        want = number * TRIPS + behind[depth:]
        np.testing.assert_array_equal(thresholds[depth:], want)
