"""Random small graphs over the supported operators, from ONNX to both emulator paths.

npuc's levels from quantize on must agree bit for bit, and strict mode must find nothing; ONNX
Runtime judges the values: float graphs as a whole, quantised ones link by link.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from npuc import api
from npuc.compiler.options import CompileOptions
from tests.compiler.ops.cases import Case
from tests.e2e.random_graphs import graphs
from tests.e2e.whole_path import (
    Tensor,
    assert_same_bits,
    check_levels,
    compile_watched,
    exposed,
    linked,
    onnx_runtime,
    quantised_tensors,
)

CLOSE = 1e-4  # of the largest magnitude of the tensor
MAX_STEPS = 1
MAX_DIFFERING = 0.02  # products of small scales often lie half-way between two steps
DIFFERING_OF_FEW = 2
LEVELS = st.sampled_from([0, 1, 2, 3])
TARGETS = st.sampled_from(["tiny", "edge"])


def agree(case: Case, target: str, level: int) -> None:
    """All of npuc's levels with each other, then with ONNX Runtime."""
    options = CompileOptions(target=target, level=level)
    outputs = check_levels(compile_watched(case.model.SerializeToString(), options), case.inputs)
    whole = exposed(case.model)
    nn_only = CompileOptions(level=level, stop_after="partition")
    compiled = compile_watched(whole.SerializeToString(), nn_only)
    values = compiled.values(case.inputs)["partition"]
    own = {name: values[name] for name in outputs}
    if not quantised_tensors(case.model):
        assert_same_bits(own, outputs, "compiled twice")
    proto, given_values = linked(case.model, values)
    wanted = onnx_runtime(proto, {**case.inputs, **given_values})
    for name, value in wanted.items():
        check_link(name, values[name], value)


def check_link(name: str, got: Tensor, want: Tensor) -> None:
    """Floats relative to the largest; integers to a step, and nearly all identical."""
    assert (got.dtype, got.shape) == (want.dtype, want.shape), name
    if got.dtype == np.float32:
        largest = float(np.abs(want).max(initial=1e-6))
        np.testing.assert_allclose(got, want, rtol=0, atol=CLOSE * largest, err_msg=name)
        return
    steps = np.abs(got.astype(np.int32) - want.astype(np.int32))
    assert steps.max(initial=0) <= MAX_STEPS, name
    differing = int(np.count_nonzero(steps))
    assert differing <= max(MAX_DIFFERING * steps.size, DIFFERING_OF_FEW), f"{name}: {differing}"


@pytest.mark.parametrize("notation", ["float", "qdq", "qop"])
@settings(max_examples=12)
@given(data=st.data(), target=TARGETS, level=LEVELS)
def test_random_graphs(notation: str, data: st.DataObject, target: str, level: int) -> None:
    agree(data.draw(graphs(notation)), target, level)


@pytest.mark.slow
@pytest.mark.parametrize("notation", ["float", "qdq", "qop"])
@settings(max_examples=300)
@given(data=st.data(), target=TARGETS, level=LEVELS)
def test_many_random_graphs(notation: str, data: st.DataObject, target: str, level: int) -> None:
    agree(data.draw(graphs(notation)), target, level)


@pytest.mark.parametrize("level", [0, 2])
def test_an_output_that_is_an_input(level: int) -> None:
    """Alone, and beside work that reads it."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 3))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 3))
    given_x = np.arange(6, dtype=np.float32).reshape(2, 3) - 2
    relu = helper.make_node("Relu", ["x"], ["y"])
    for nodes, outputs in (([], [x]), ([relu], [x, y])):
        graph = helper.make_graph(nodes, "through", [x], outputs)
        model: onnx.ModelProto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9
        )
        case = Case("through", model, {"x": given_x})
        compiled = compile_watched(model.SerializeToString(), CompileOptions(level=level))
        got = check_levels(compiled, case.inputs)
        np.testing.assert_array_equal(got["x"], given_x)
        report = api.verify(model.SerializeToString(), inputs=case.inputs, level=level)
        assert report.passed
