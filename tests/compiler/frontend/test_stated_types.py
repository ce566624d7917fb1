"""Models that state of a value what its nodes do not make, and functions without end."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from npuc.compiler.driver import compile_model
from npuc.compiler.options import CompileOptions
from npuc.isa.errors import ModelError
from tests.compiler.ops.cases import F32, Builder

IMPORT = CompileOptions(stop_after="import")


def relu_stated_as(element: int, shape: list[int | str], *, inside: bool) -> onnx.ModelProto:
    b = Builder()
    first = b.node("Relu", b.input((2, 3)))
    second = b.node("Neg", first)
    model = b.model(second)
    info = helper.make_tensor_value_info(first if inside else second, element, shape)
    if inside:
        model.graph.value_info.append(info)
    else:
        model.graph.output[0].CopyFrom(info)
    return model


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(
    ("element", "shape"), [(F32, [2, 4]), (F32, [2, 3, 1]), (TensorProto.INT8, [2, 3])]
)
def test_contradiction_is_refused(element: int, shape: list[int | str], inside: bool) -> None:
    model = relu_stated_as(element, shape, inside=inside)
    with pytest.raises(ModelError, match="contradicts itself") as caught:
        compile_model(model.SerializeToString(), IMPORT)
    assert ("relu0" if inside else "neg1") in str(caught.value)


@pytest.mark.parametrize("shape", [[2, 3], ["batch", 3]])
def test_agreement_is_accepted(shape: list[int | str]) -> None:
    model = relu_stated_as(F32, shape, inside=True)
    compile_model(model.SerializeToString(), IMPORT)


def test_function_that_calls_itself() -> None:
    b = Builder()
    model = b.model(b.node("Loop", b.input((2, 3)), domain="own"))
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    call = helper.make_node("Loop", ["x"], ["y"], domain="own")
    model.functions.append(helper.make_function("own", "Loop", ["x"], ["y"], [call], opsets))
    model.opset_import.append(helper.make_opsetid("own", 1))
    with pytest.raises(ModelError, match="calls itself"):
        compile_model(model.SerializeToString(), IMPORT)


def test_a_deep_chain_needs_no_recursion() -> None:
    b = Builder()
    x = b.input((1, 2))
    for _ in range(3000):
        x = b.node("Neg", x)
    result = compile_model(b.model(x).SerializeToString(), CompileOptions(stop_after="normalise"))
    assert sum(op.name == "nn.elementwise" for op in result.module.walk()) == 3000


def test_a_size_of_minus_one_is_free() -> None:
    model = relu_stated_as(F32, [-1, 3], inside=True)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    data = model.SerializeToString()
    with pytest.raises(ModelError, match="free dimensions"):
        compile_model(data, IMPORT)
    name = model.graph.input[0].name
    compile_model(data, CompileOptions(stop_after="import", shapes={name: (2, 3)}))
