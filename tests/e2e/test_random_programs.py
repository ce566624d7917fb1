"""Random small graphs compiled and emulated: the bits of the graph after partition, any level."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.compiler.driver import compile_model
from npuc.compiler.interpreter import evaluate
from npuc.compiler.options import CompileOptions
from npuc.emulator.machine import run
from tests.compiler.test_random_graphs import Chain, steps_of_graph


@settings(max_examples=15)
@given(
    kinds=steps_of_graph,
    seed=st.integers(0, 999),
    is_quantised=st.booleans(),
    target=st.sampled_from(["tiny", "edge"]),
    level=st.sampled_from([0, 2]),
)
def test_random_programs(
    kinds: list[str], seed: int, is_quantised: bool, target: str, level: int
) -> None:
    chain = Chain(seed, is_quantised=is_quantised)
    for kind in kinds:
        chain.step(kind)
    case = chain.case()
    model = case.model.SerializeToString()
    graph = compile_model(model, CompileOptions(level=level, stop_after="partition"))
    (want,) = evaluate(graph.module, case.inputs, graph.ctx.consts).values()
    program = compile_model(model, CompileOptions(target=target, level=level)).program
    assert program is not None
    (got,) = run(program, case.inputs).outputs.values()
    np.testing.assert_array_equal(got.view(np.uint8), want.view(np.uint8))
