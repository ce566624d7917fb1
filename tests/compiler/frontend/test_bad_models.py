"""Models that are damaged, contradict themselves or ask for what npuc does not do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from npuc.compiler.context import make_context
from npuc.compiler.frontend import import_model
from npuc.compiler.interpreter import evaluate, graph_of
from npuc.compiler.options import CompileOptions
from npuc.isa.errors import InputError, ModelError, NpucError, UsageError
from tests.compiler.ops.cases import Builder

F32 = TensorProto.FLOAT


def importing(model: onnx.ModelProto | bytes | str | Path, **options: object) -> object:
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    return import_model(source, make_context(CompileOptions(**options)))


def graph_model(nodes: list[onnx.NodeProto], outputs: tuple[str, ...] = ("y",)) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", F32, [2, 3])
    infos = [helper.make_tensor_value_info(name, F32, None) for name in outputs]
    return helper.make_model(
        helper.make_graph(nodes, "g", [x], infos),
        ir_version=9,
        opset_imports=[helper.make_opsetid("", 20)],
    )


def relu(source: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Relu", [source], [target], name=f"relu_{target}")


def refusal(model: object, kind: type[NpucError] = ModelError, **options: object) -> str:
    with pytest.raises(kind) as caught:
        importing(model, **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_empty_and_missing(tmp_path: Path) -> None:
    assert "the model is empty" in refusal(b"")
    assert "cannot be read" in refusal(tmp_path / "absent.onnx")
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize("data", [b"hello, world", b"\x00" * 64, b"PK\x03\x04" + b"z" * 99])
def test_no_onnx(data: bytes) -> None:
    assert "no ONNX model, or a truncated one" in refusal(data)


def test_every_truncation_is_refused_or_complete() -> None:
    b = Builder()
    data = b.model(b.node("MatMul", b.input((2, 3)), b.weights(3, 4))).SerializeToString()
    for length in range(0, len(data), 7):
        with pytest.raises(ModelError):
            importing(data[:length])


def test_cycle() -> None:
    text = refusal(
        graph_model(
            [
                helper.make_node("Add", ["x", "b"], ["a"], name="first"),
                relu("a", "b"),
                relu("b", "y"),
            ]
        )
    )
    assert "the graph has a cycle" in text and "Add 'first'" in text and "Relu 'relu_b'" in text


def test_dangling() -> None:
    text = refusal(graph_model([relu("nowhere", "y")]))
    assert "values that nothing makes" in text and "'nowhere' of Relu 'relu_y'" in text
    assert "graph output 'y'" in refusal(graph_model([relu("x", "z")]))


def test_two_origins() -> None:
    assert "a value has two origins" in refusal(graph_model([relu("x", "y"), relu("x", "y")]))


def test_no_outputs() -> None:
    assert "no outputs" in refusal(graph_model([relu("x", "y")], ()))


def test_unsorted_nodes_are_sorted() -> None:
    ctx = make_context(CompileOptions())
    model = graph_model([relu("a", "y"), relu("x", "a")]).SerializeToString()
    x = np.asarray([[-1, 0, 1], [2, -3, 4]], np.float32)
    got = evaluate(import_model(model, ctx), {"x": x}, ctx.consts)
    np.testing.assert_array_equal(got["y"], np.maximum(x, 0))


def test_all_unsupported_nodes_at_once() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["a"], name="first"),
        helper.make_node("Einsum", ["x"], ["b"], name="second", equation="ij->ji"),
        relu("a", "c"),
        helper.make_node("Unique", ["x"], ["y"], name="third"),
    ]
    text = refusal(graph_model(nodes, ("c", "b", "y")))
    assert "3 nodes of the model cannot be compiled" in text
    for part in ("NonZero 'first'", "Einsum 'second'", "Unique 'third'", "npuc ops"):
        assert part in text
    assert "relu_c" not in text, "what hangs on an unsupported node is not its own problem"


@pytest.mark.parametrize(
    ("op", "shapes", "attributes", "message"),
    [
        ("Conv", [(1, 4, 5, 5, 5), (4, 4, 3, 3, 3)], {}, "must be constant"),
        ("Conv", [(1, 4, 5, 5, 5, 5), (4, 4, 3, 3, 3, 3)], {}, "two or three spatial axes"),
        ("Gather", [(4, 5), (3,)], {}, "unsupported type: tensor(float)"),
        ("Conv", [(1, 4, 5, 5), (4, 3, 3, 3)], {}, "channels of x and w"),
        ("Conv", [(1, 4, 2, 2), (4, 4, 3, 3)], {}, "larger than the padded input"),
        ("MatMul", [(2, 3), (4, 5)], {}, "Incompatible dimensions"),
        ("Add", [(2, 3), (2, 4)], {}, "Incompatible dimensions"),
        ("MaxPool", [(1, 2, 4, 4)], {"kernel_shape": [2, 2], "pads": [-1, 0, 0, 0]}, "negative"),
        ("MaxPool", [(1, 2, 4, 4)], {"kernel_shape": [2, 2], "bogus": 3}, "unknown attribute"),
        ("MaxPool", [(1, 2, 4, 4)], {"kernel_shape": [0, 2]}, "positive values"),
        ("Conv", [(1, 4, 5, 5), (4, 4, 3, 3)], {"strides": [0, 1]}, "positive values"),
        ("Conv", [(1, 4, 5, 5), (4, 4, 3, 3)], {"pads": [1, 1]}, "incorrect size"),
        ("Softmax", [(2, 3)], {"axis": 9}, "'axis' must be in"),
        ("Transpose", [(2, 3)], {"perm": [0, 0]}, "repeated value"),
    ],
)
def test_refused_attributes(
    op: str, shapes: list[tuple[int, ...]], attributes: dict[str, object], message: str
) -> None:
    b = Builder()
    inputs = [b.input(shape) for shape in shapes]
    text = refusal(b.model(b.node(op, *inputs, **attributes)))
    assert message in text and f"{op} '{op.lower()}0'" in text


def test_a_clip_bound_is_a_scalar() -> None:
    b = Builder()
    low = b.const(np.zeros(2, np.float32))
    assert "bound is not a scalar" in refusal(b.model(b.node("Clip", b.input((2, 3)), low)))


def test_a_huge_input_is_refused_at_once() -> None:
    x = helper.make_tensor_value_info("x", F32, (1 << 31, 1 << 20))
    y = helper.make_tensor_value_info("y", F32, None)
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    opset = helper.make_opsetid("", 20)
    text = refusal(helper.make_model(graph, ir_version=9, opset_imports=[opset]))
    assert "an input is too large" in text and "2147483648x1048576" in text


def test_an_opset_of_the_future() -> None:
    b = Builder()
    model = b.model(b.node("Relu", b.input((2, 3))))
    model.opset_import[0].version = onnx.defs.onnx_opset_version() + 1
    assert "opset is not known" in refusal(model)


def test_reshape_to_a_wrong_size() -> None:
    b = Builder()
    target = b.const(np.asarray([4, -1], np.int64))
    assert "Reshape" in refusal(b.model(b.node("Reshape", b.input((2, 3)), target)))


def symbolic() -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", F32, ["batch", 3])
    z = helper.make_tensor_value_info("z", F32, [None, 3])
    y = helper.make_tensor_value_info("y", F32, None)
    add = helper.make_node("Add", ["x", "z"], ["y"], name="add")
    return helper.make_model(
        helper.make_graph([add], "g", [x, z], [y]),
        ir_version=9,
        opset_imports=[helper.make_opsetid("", 20)],
    )


def test_free_dimensions_are_all_listed() -> None:
    text = refusal(symbolic())
    assert "'batch' (axis 0 of input 'x')" in text and "axis 0 of input 'z'" in text
    assert "--dim NAME=SIZE" in text
    importing(symbolic(), dims={"batch": 4}, shapes={"z": (4, 3)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": {"bath": 1}}, "--dim names no dimension"),
        ({"shapes": {"w": (1, 3)}}, "--shape names no input"),
        ({"shapes": {"x": (1, 4)}}, "--shape contradicts"),
        ({"shapes": {"x": (1, 3, 1)}}, "--shape contradicts"),
    ],
)
def test_options_that_do_not_suit(options: dict[str, object], message: str) -> None:
    assert message in refusal(symbolic(), UsageError, **options)


def external_model(folder: Path, location: str, n_bytes: int = 24) -> Path:
    tensor = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(3, 2), "w")
    onnx.external_data_helper.set_external_data(tensor, location, length=n_bytes)
    tensor.ClearField("raw_data")
    x = helper.make_tensor_value_info("x", F32, [1, 3])
    y = helper.make_tensor_value_info("y", F32, None)
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="mm")
    graph = helper.make_graph([node], "g", [x], [y], [tensor])
    path = folder / "model.onnx"
    model = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 20)])
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_inside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(np.arange(6, dtype=np.float32).tobytes())
    ctx = make_context(CompileOptions())
    module = import_model(external_model(tmp_path, "w.bin"), ctx)
    got = evaluate(module, {"x": np.ones((1, 3), np.float32)}, ctx.consts)
    np.testing.assert_array_equal(got["y"], [[6, 9]])


def test_external_data_outside_the_folder(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(24))
    for location in ("../w.bin", str(tmp_path / "w.bin")):
        assert "leaves the model's folder" in refusal(external_model(inner, location))
    (inner / "link.bin").symlink_to(tmp_path / "w.bin")
    assert "leaves the model's folder" in refusal(external_model(inner, "link.bin"))


def test_external_data_missing_or_short(tmp_path: Path) -> None:
    assert "missing or too short" in refusal(external_model(tmp_path, "absent.bin"))
    (tmp_path / "w.bin").write_bytes(bytes(20))
    assert "missing or too short" in refusal(external_model(tmp_path, "w.bin"))
    data = external_model(tmp_path, "w.bin").read_bytes()
    assert "no folder for external data" in refusal(data)


def test_wrong_inputs_of_the_interpreter() -> None:
    ctx = make_context(CompileOptions())
    module = import_model(graph_model([relu("x", "y")]).SerializeToString(), ctx)
    good = np.zeros((2, 3), np.float32)
    for inputs, message in (
        ({}, "an input is missing"),
        ({"x": good, "q": good}, "no such input"),
        ({"x": good.astype(np.float64)}, "wrong shape or element type"),
        ({"x": good[:1]}, "wrong shape or element type"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate(module, inputs, ctx.consts)
    assert list(graph_of(module).inputs) == ["x"]


def test_a_chain_of_thousands_of_nodes_needs_no_recursion() -> None:
    nodes = [relu("x" if i == 0 else f"v{i - 1}", f"v{i}") for i in range(3000)]
    nodes.append(relu("v2999", "y"))
    module = importing(graph_model(nodes))
    assert sum(1 for _ in module.walk()) > 3000  # type: ignore[attr-defined]
