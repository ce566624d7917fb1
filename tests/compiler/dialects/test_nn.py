"""The nn dialect: text round trips, verifier messages, index forms, locations, constants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.compiler.consts import ConstStore
from npuc.compiler.context import make_context, npu_context
from npuc.compiler.dialects.index_forms import IndexForm, dim_form, forms_of, map_of
from npuc.compiler.driver import compile_model
from npuc.compiler.ir_text import parse_module, print_module
from npuc.compiler.legality import NN_STAGES
from npuc.compiler.locations import describe, fused, named, node_names
from npuc.compiler.options import CompileOptions
from npuc.compiler.xdsl_api import AffineMap, ModuleOp
from npuc.isa.errors import CompileError, UsageError
from tests.compiler.ops.cases import CASES, Case

GRAPH = """builtin.module {{
  nn.graph "g" args ["x"] results ["y"] {{
  ^bb0(%x : {argument}):
    {body}
    nn.return %y : {result}
  }}
}}"""


def graph(body: str, argument: str = "tensor<2x4xf32>", result: str = "tensor<2x4xf32>") -> str:
    return GRAPH.format(body=body, argument=argument, result=result)


def generic(maps: str, **parts: str) -> str:
    given_parts = {
        "extents": "[2, 4]",
        "parallel": "2",
        "reduce": "",
        "fills": "",
        "result": "2x4xf32",
        "body": "^bb1(%a : f32):\n nn.yield %a : f32",
        "epilogue": "",
        **parts,
    }
    return (
        "%y = nn.generic extents {extents} parallel {parallel} {reduce} maps [" + maps + "]"
        " {fills} ins(%x : tensor<2x4xf32>) -> tensor<{result}> body {{\n{body}\n}}"
        " epilogue {{ {epilogue} }}"
    ).format(**given_parts)


def reparsed(text: str) -> ModuleOp:
    return parse_module(text, make_context(CompileOptions()))


@pytest.mark.parametrize("case", CASES[::4], ids=lambda case: case.name)
def test_text_round_trip_at_every_stage(case: Case) -> None:
    options = CompileOptions(print_after=("all",), stop_after="partition")
    result = compile_model(case.model.SerializeToString(), options)
    assert tuple(result.snapshots) == NN_STAGES
    has_work = 'loc("' in result.snapshots[NN_STAGES[0]]  # a cast to the same type leaves none
    for name, text in result.snapshots.items():
        module = reparsed(text)
        assert print_module(module) == text, name
        names = {n for op in module.walk() for n in node_names(op)}
        assert names or not has_work, "locations survive printing and parsing"


IDENTITY = "affine_map<(d0, d1) -> (d0, d1)>"


def test_a_correct_generic_is_accepted() -> None:
    reparsed(graph(generic(f"{IDENTITY}, {IDENTITY}")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (generic(IDENTITY), "1 maps for 1 inputs and a result"),
        (generic(f"affine_map<(d0, d1) -> (d0, d1 + 1)>, {IDENTITY}"), "has no fill"),
        (generic(f"affine_map<(d0, d1) -> (d0)>, {IDENTITY}"), "has 1 results for"),
        (generic(f"{IDENTITY}, affine_map<(d0, d1) -> (d0, 0)>"), "leaves out dimensions"),
        (generic(f"{IDENTITY}, {IDENTITY}", reduce='reduce "sumf"'), "come together or not"),
        (generic(f"{IDENTITY}, {IDENTITY}", parallel="3"), "parallel dimensions of"),
        (
            generic(f"{IDENTITY}, {IDENTITY}", body="^bb1(%a : f16):\n nn.yield %a : f16"),
            "argument of type f16",
        ),
        (
            generic(f"{IDENTITY}, {IDENTITY}", body="^bb1(%a : f32):\n nn.yield %a, %a : f32, f32"),
            "must yield one",
        ),
        (
            generic(
                f"{IDENTITY}, affine_map<(d0, d1) -> (d0)>",
                parallel="1",
                reduce='reduce "addf"',
                result="2xf32",
            ),
            "no reducing micro-op",
        ),
        (
            generic(
                f"{IDENTITY}, affine_map<(d0, d1) -> (d0)>",
                parallel="1",
                reduce='reduce "sumi"',
                result="2xf32",
            ),
            "sumi takes i",
        ),
        (generic(f"affine_map<(d0, d1) -> (d0, d1 mod 2)>, {IDENTITY}"), "is not linear"),
        (
            generic(f"{IDENTITY}, {IDENTITY}", epilogue="^bb2(%r : f32):\n nn.yield %r : f32"),
            "an epilogue needs a reduction",
        ),
    ],
)
def test_a_wrong_generic_is_refused(text: str, message: str) -> None:
    result = "tensor<2xf32>" if "-> tensor<2xf32>" in text else "tensor<2x4xf32>"
    with pytest.raises(UsageError, match=message):
        reparsed(graph(text, result=result))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("%y = nn.transpose %x perm [0, 0] : tensor<2x4xf32> -> tensor<2x4xf32>", "permutation"),
        ("%y = nn.micro_typo %x : tensor<2x4xf32>", "does not parse"),
        (
            (
                '%y = nn.group "g" ins(%x : tensor<2x4xf32>) -> tensor<2x4xf32> {\n'
                "^bb1(%a : tensor<2x4xi8>):\n nn.yield %x : tensor<2x4xf32>\n}"
            ),
            "IsolatedFromAbove",
        ),
        (
            (
                '%y = nn.group "g" ins(%x : tensor<2x4xf32>) -> tensor<2x4xf32> {\n'
                "^bb1(%a : tensor<2x4xi8>):\n nn.yield %a : tensor<2x4xi8>\n}"
            ),
            "do not suit",
        ),
        (
            (
                '%y = nn.pool2d "median" %x kernel [1, 1] strides [1, 1] pads [0, 0, 0, 0]'
                " dilations [1, 1] : tensor<2x4xf32> -> tensor<2x4xf32>"
            ),
            "neither max nor average",
        ),
    ],
)
def test_other_operations_are_verified(body: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        reparsed(graph(body))


@given(
    st.lists(
        st.tuples(st.lists(st.integers(-3, 3), min_size=3, max_size=3), st.integers(-5, 5)),
        max_size=4,
    )
)
def test_index_forms_and_maps_are_inverse(rows: list[tuple[list[int], int]]) -> None:
    forms = tuple(IndexForm(tuple(coefficients), constant) for coefficients, constant in rows)
    index_map = map_of(3, forms)
    assert forms_of(index_map) == forms
    values = index_map.eval([2, 5, 7], [])
    for form, value in zip(forms, values, strict=True):
        point = zip(form.coefficients, (2, 5, 7), strict=True)
        assert value == form.constant + sum(c * i for c, i in point)


def test_bounds_and_single_dims() -> None:
    form = IndexForm((2, 0, -1), -1)
    assert form.bounds((4, 9, 3)) == (-3, 5)
    assert form.dims == {0, 2} and form.single_dim is None
    assert dim_form(3, 1).single_dim == 1 and dim_form(3, 1, constant=1).single_dim is None


def test_maps_with_division_are_no_forms() -> None:
    division = AffineMap.from_callable(lambda i, j: (i // 2, j))
    with pytest.raises(ValueError, match="not linear"):
        forms_of(division)


def test_locations_fuse_without_repeats() -> None:
    module = reparsed(graph(generic(f"{IDENTITY}, {IDENTITY}")))
    a, b = module.clone(), module.clone()
    assert node_names(a) == () and describe(a) == "operation builtin.module"
    a.location, b.location = named("conv1"), named("relu1")
    a.location = fused(a, b, a)
    assert node_names(a) == ("conv1", "relu1")
    assert node_names(b) == ("relu1",)


def test_the_store_is_by_content_and_read_only(tmp_path: Path) -> None:
    store = ConstStore()
    first = store.put(np.asarray([1, 2], np.int8))
    assert store.put(np.asarray([1, 2], np.int8)) == first and len(store) == 1
    assert store.put(np.asarray([1, 2], np.uint8)) != first
    assert store.put(np.asarray([[1, 2]], np.int8)) != first
    with pytest.raises(ValueError, match="read-only"):
        store.get(first)[0] = 3
    with pytest.raises(CompileError, match="not in the store"):
        store.get("absent")
    store.save(tmp_path / "consts.npz")
    other = ConstStore()
    other.add_named(dict(np.load(tmp_path / "consts.npz")))
    np.testing.assert_array_equal(other.get(first), [1, 2])


def test_the_context_clones_with_its_fields() -> None:
    ctx = make_context(CompileOptions(target="tiny"))
    ctx.consts.put(np.zeros(3, np.int8))
    copy = npu_context(ctx.clone())
    assert copy.target.name == "tiny" and copy.consts is ctx.consts and copy.remarks is ctx.remarks
    assert "[mxu]" in copy.target_toml
