"""Operator cases that the importer expands from function bodies."""

from __future__ import annotations

from onnx import helper

from tests.compiler.ops.case import Builder, Case


def body(op: str, opset: int = 20, **attributes: object) -> Case:
    b = Builder(len(op), opset=opset)
    y = b.node(op, b.input((2, 4, 3, 5)), **attributes)
    return b.case(f"{op.lower()}_body", y, tolerance=2e-5)


def group_norm() -> Case:
    b = Builder(1, opset=21)
    y = b.node(
        "GroupNormalization", b.input((2, 6, 4, 4)), b.weights(6), b.weights(6), num_groups=3
    )
    return b.case("group_norm", y, tolerance=2e-5)


def model_function() -> Case:
    """A function of the model that calls another, with an attribute handed down."""
    b = Builder(2)
    y = b.node("Twice", b.input((2, 3)), domain="own", slope=0.25)
    case = b.case("model_function", b.node("Neg", y))
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    leaky = helper.make_node("LeakyRelu", ["x"], ["y"])
    leaky.attribute.append(_reference("alpha", "slope"))
    calls = [helper.make_node("Once", [a], [c], domain="own") for a, c in (("x", "t"), ("t", "y"))]
    for call in calls:
        call.attribute.append(_reference("slope", "slope"))
    case.model.functions.extend(
        helper.make_function("own", name, ["x"], ["y"], nodes, opsets, ["slope"])
        for name, nodes in (("Once", [leaky]), ("Twice", calls))
    )
    case.model.opset_import.append(helper.make_opsetid("own", 1))
    return case


def _reference(name: str, outer: str):  # type: ignore[no-untyped-def]
    attribute = helper.make_attribute(name, 1.0)
    attribute.ClearField("f")
    attribute.ref_attr_name = outer
    return attribute


BODY_CASES: list[Case] = [
    body("LogSoftmax", axis=-1),
    body("MeanVarianceNormalization", 13),
    group_norm(),
    model_function(),
]
