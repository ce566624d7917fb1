"""Which tensors of a model are compared, and how strictly, follows from how ONNX computes them."""

from __future__ import annotations

from functools import reduce

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from npuc.runtime.sample_data import QDQ_INT8, QOPERATOR_INT8, load_digits, sample_model
from npuc.runtime.verification.comparison import CLOSE, EXACT, Rule
from npuc.runtime.verification.exposure import (
    expose_quantised,
    input_ranges,
    linked,
    output_rules,
)
from npuc.runtime.verification.referee import judge
from tests.compiler.ops.case import I32, I64, Builder

pytest.importorskip("onnxruntime", reason="com.microsoft operators: extra 'verify'")


def outputs_of(model: onnx.ModelProto) -> list[str]:
    return [output.name for output in model.graph.output]


def float_model() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["y"]),
        helper.make_node("ArgMax", ["a"], ["best"]),
    ]
    weights = [numpy_helper.from_array(np.ones((4, 3), np.float32), "w")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])
    best = helper.make_tensor_value_info("best", TensorProto.INT64, [1, 3])
    return helper.make_model(helper.make_graph(nodes, "g", [x], [y, best], weights))


def test_a_float_model_exposes_nothing_and_is_compared_closely() -> None:
    model = float_model()
    assert outputs_of(expose_quantised(model)) == ["y", "best"]
    assert output_rules(model) == {"y": CLOSE, "best": Rule("steps", 1.0)}
    assert input_ranges(model) == {}


def test_inner_tensors_come_before_the_outputs_and_the_model_is_not_changed() -> None:
    model = onnx.load(sample_model(QOPERATOR_INT8))
    before = model.SerializeToString()
    exposed = outputs_of(expose_quantised(model))
    assert model.SerializeToString() == before
    assert exposed[0] == "x_quantized"
    assert exposed[-1] == "logits"
    assert len(exposed) == 13


def test_integer_chains_are_exact_up_to_the_first_float_operator() -> None:
    rules = output_rules(expose_quantised(onnx.load(sample_model(QOPERATOR_INT8))))
    exact = [name for name, rule in rules.items() if rule == EXACT]
    assert len(exact) == 10, "the quantised input and nine convolutions"
    mean = Rule("steps", 1.0, but_ties=True)
    assert rules["mean_quantized"] == mean, "the mean before it is a float operator"
    assert rules["logits_quantized"] == Rule("steps", 1.0), "no further than the next rounding"
    assert rules["logits"].name == "steps"


def test_a_qdq_model_is_exact_only_at_its_quantised_input() -> None:
    model = onnx.load(sample_model(QDQ_INT8))
    rules = output_rules(expose_quantised(model))
    assert [name for name, rule in rules.items() if rule == EXACT] == ["x_QuantizeLinear_Output"]
    (scale,) = (t for t in model.graph.initializer if t.name == "logits_scale")
    assert rules["logits"] == Rule("steps", float(numpy_helper.to_array(scale)))


@pytest.mark.parametrize("name", [QDQ_INT8, QOPERATOR_INT8])
def test_the_range_of_the_input_is_what_the_model_quantises(name: str) -> None:
    (low, high) = input_ranges(onnx.load(sample_model(name)))["x"]
    assert low == pytest.approx(0, abs=0.01)
    assert high == pytest.approx(1, abs=0.01)


def test_inputs_that_are_indices_name_rows_of_the_smallest_table() -> None:
    b = Builder()
    ids, other = b.input((3,), I32), b.input((3,), I32)
    rows = [b.node("Gather", b.weights(n, 2), ids) for n in (9, 5)]
    columns = b.node("Gather", b.weights(2, 7), b.node("Unsqueeze", other, b.const([0])), axis=1)
    model = b.model(b.node("Add", *rows), columns)
    assert input_ranges(model) == {ids: (0.0, 4.0), other: (0.0, 6.0)}


def test_inputs_that_are_indices_name_rows_of_tables_that_are_computed() -> None:
    b = Builder()
    ids, of_reshaped = b.input((3,), I64), b.input((4,), I32)
    computed = b.node("Gather", b.node("Relu", b.input((9, 5))), b.node("Cast", ids, to=I32))
    table = b.node("Reshape", b.weights(12), b.const(np.array([3, 4])))
    columns = b.node("Gather", table, of_reshaped, axis=-1)
    model = b.model(computed, columns)
    assert input_ranges(model) == {ids: (0.0, 8.0), of_reshaped: (0.0, 3.0)}


def test_nothing_is_said_of_rows_whose_number_is_open() -> None:
    b = Builder()
    ids = b.input((3,), I64)
    model = b.model(b.node("Gather", b.input((2, 5)), ids))
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "n"
    assert input_ranges(model) == {}


def test_exposing_changes_no_value() -> None:
    model = onnx.load(sample_model(QOPERATOR_INT8))
    x = {"x": load_digits().as_input_NCHW()[:3]}
    plain, exposed = judge(model, x).outputs, judge(expose_quantised(model), x).outputs
    np.testing.assert_array_equal(plain["logits"], exposed["logits"])
    assert exposed["getitem_24_quantized"].dtype == np.int8


@pytest.mark.parametrize("name", [QDQ_INT8, QOPERATOR_INT8])
def test_a_difference_in_one_link_shows_in_that_link_and_the_next_alone(name: str) -> None:
    model = expose_quantised(onnx.load(sample_model(name)))
    inputs = {"x": load_digits().as_input_NCHW()[:1]}
    right = judge(model, inputs).outputs
    assert len(right) > 10
    chain, links = linked(model, right)
    same = judge(chain, {**inputs, **links}).outputs
    assert [value.tobytes() for value in same.values()] == [v.tobytes() for v in right.values()]
    broken = list(right)[4]
    chain, links = linked(model, {**right, broken: ~right[broken]})
    found = judge(chain, {**inputs, **links}).outputs
    differing = [name for name in right if found[name].tobytes() != right[name].tobytes()]
    assert differing == [list(right)[5]]


def test_onnx_runtime_sums_the_window_of_an_average_by_columns() -> None:
    """Why ties of averages go either way: row by row, as npuc sums, is another float32 number."""
    x = np.random.default_rng(0).normal(size=(1, 4, 9, 9)).astype(np.float32)
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3])
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 7, 7])
    graph = helper.make_graph([node], "g", [given], [made])
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    got = judge(model, {"x": x}).outputs["y"]

    def total(parts: list[np.ndarray]) -> np.ndarray:
        return reduce(np.add, parts)

    taps = [[x[:, :, i : i + 7, j : j + 7] for j in range(3)] for i in range(3)]
    columns = total([total([row[j] for row in taps]) for j in range(3)]) / np.float32(9)
    rows = total([tap for row in taps for tap in row]) / np.float32(9)
    assert got.tobytes() == columns.tobytes()
    assert got.tobytes() != rows.tobytes()
