"""nn.generic: its evaluation against loops over points, its kernel against its body."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.compiler.consts import ConstStore
from npuc.compiler.dialects.element_types import tensor_type
from npuc.compiler.dialects.index_forms import IndexForm, dim_form
from npuc.compiler.dialects.nn import ConstantOp, GenericOp, Scalars, Space
from npuc.compiler.ops import reference
from npuc.compiler.ops.axis_groups import Axis, merge_axes
from npuc.compiler.ops.contraction import ConvGeometry
from npuc.compiler.ops.scalar_ops import PLAIN, Body, kernel_of, kernel_size
from npuc.compiler.ops.structured import Window, make_elementwise, make_windows
from npuc.isa.descriptors import Kernel, Params
from npuc.isa.descriptors.kernel import FIRST_PARAM, FIRST_RESULT
from npuc.isa.dtypes import DType
from npuc.isa.errors import CompileError
from npuc.isa.microops import BY_NAME


def value(dtype: DType, *shape: int) -> Any:
    return ConstantOp("operand", tensor_type(dtype, shape)).result


def by_loops(op: GenericOp, operands: list[Any]) -> Any:
    """The result of an integer generic with a sum of products, point by point."""
    space = op.space
    out = np.zeros(space.extents[: space.parallel], np.int64)
    for point in itertools.product(*map(range, space.extents)):
        product = 1
        for operand, forms, fill in zip(operands, space.forms, space.fills, strict=False):
            index = [f.constant + sum(map(int.__mul__, f.coefficients, point)) for f in forms]
            inside = all(0 <= i < n for i, n in zip(index, operand.shape, strict=True))
            product *= int(operand[tuple(index)]) if inside else int(fill)
        out[point[: space.parallel]] += product
    return out.astype(np.int32)


@given(
    st.integers(1, 3),
    st.tuples(st.integers(1, 3), st.integers(1, 2)),
    st.integers(0, 2),
    st.integers(1, 2),
    st.integers(0, 2**31),
)
def test_windows_equal_loops(
    taps: int, steps: tuple[int, int], pad: int, channels: int, seed: int
) -> None:
    stride, dilation = steps
    rng = np.random.default_rng(seed)
    x, w = (rng.integers(-128, 128, s, np.int8) for s in ((1, 7, 6, channels), (taps, 2, channels)))
    geometry = ConvGeometry((stride, 1), (pad, 0, pad, 1), (dilation, 1))
    body = Body("ii")
    scalars = Scalars(body.done(*body.args), "mac8")
    window = Window((taps, 2), geometry, 5)
    made = make_windows(
        [value(DType.i8, *x.shape), value(DType.i8, *w.shape)], window, DType.i32, scalars
    )
    (op,) = made.ops
    assert isinstance(op, GenericOp)
    op.verify()
    (got,) = reference(op, [x, w], ConstStore())
    np.testing.assert_array_equal(got, by_loops(op, [x, w]))


def run_kernel(kernel: Kernel, params: Params, streams: list[Any]) -> Any:
    """A kernel without reductions over points, by the meanings of its micro-ops alone."""
    numbered: dict[int, Any] = dict(enumerate(streams))

    def operand(number: int, domain: str) -> Any:
        if FIRST_PARAM <= number < FIRST_RESULT:
            word = np.uint32(params.words[number - FIRST_PARAM])
            return np.asarray(word.view(np.float32 if domain == "f" else np.int32))
        return numbered[number]

    for position, op in enumerate(kernel.ops):
        spec = BY_NAME[op.name]
        arguments = [operand(n, d) for n, d in zip(op.operands, spec.operands, strict=True)]
        numbered[FIRST_RESULT + position] = spec.meaning(*arguments)
    return numbered[kernel.outputs[0].value]


FLOAT_OPS = [n for n in PLAIN if BY_NAME[n].signature in ("f>f", "ff>f")]
INTEGER_OPS = [n for n in PLAIN if BY_NAME[n].signature == "ii>i" and n != "divi"]


@given(st.lists(st.sampled_from(FLOAT_OPS), max_size=12), st.integers(0, 2**31))
def test_kernels_compute_what_bodies_compute(names: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    body = Body("ff")
    known = list(body.args)
    for name in names:
        arity = len(BY_NAME[name].operands)
        known.append(body.number(float(rng.integers(-2, 3))))
        known.append(body(name, *(known[i] for i in rng.integers(0, len(known), arity))))
    region = body.done(known[-1])
    inputs = [value(DType.f32, 5), value(DType.f32, 5)]
    (op,) = make_elementwise(inputs, (5,), DType.f32, Scalars(region)).ops
    assert isinstance(op, GenericOp)
    x, y = (rng.standard_normal(5).astype(np.float32) for _ in range(2))
    (got,) = reference(op, [x, y], ConstStore())
    want = np.broadcast_to(run_kernel(*kernel_of(op), [x, y]), (5,))
    assert (
        got.tobytes() == np.where(np.isnan(want), np.float32(np.nan), want).astype("f4").tobytes()
    )
    assert kernel_size(op).ops == len(kernel_of(op)[0].ops)


@given(st.lists(st.sampled_from(INTEGER_OPS), min_size=1, max_size=8), st.integers(0, 2**31))
def test_integer_kernels(names: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    body = Body("ii")
    total = body.args[0]
    for name in names:
        total = body(name, total, body.args[1])
    inputs = [value(DType.i32, 4), value(DType.i8, 4)]
    (op,) = make_elementwise(inputs, (4,), DType.i8, Scalars(body.done(total))).ops
    assert isinstance(op, GenericOp)
    x, y = rng.integers(-(2**31), 2**31, 4).astype(np.int32), rng.integers(-9, 9, 4, np.int8)
    (got,) = reference(op, [x, y], ConstStore())
    want = np.clip(run_kernel(*kernel_of(op), [x, y.astype(np.int32)]), -128, 127)
    np.testing.assert_array_equal(got, want.astype(np.int8))


def test_comparison_and_selection_become_micro_ops() -> None:
    from npuc.compiler.xdsl_api import arith

    body = Body("ff")
    a, b = body.args
    larger = arith.CmpfOp(a, b, "ogt")
    body.block.add_op(larger)
    region = body.done(body("selectf", larger.result, a, b))
    inputs = [value(DType.f32, 3), value(DType.f32, 3)]
    (op,) = make_elementwise(inputs, (3,), DType.f32, Scalars(region)).ops
    assert isinstance(op, GenericOp)
    kernel, _ = kernel_of(op)
    assert [(o.name, o.operands) for o in kernel.ops] == [("ltf", (1, 0)), ("selectf", (16, 0, 1))]
    x, y = np.float32([1, 2, 3]), np.float32([3, 2, 1])
    np.testing.assert_array_equal(reference(op, [x, y], ConstStore())[0], np.maximum(x, y))


def test_a_reduction_with_an_epilogue_has_the_machine_form() -> None:
    body, epilogue = Body("if"), Body("if")
    region = body.done(body.args[0])
    scaled = epilogue("mulf", epilogue("i2f", epilogue.args[0]), epilogue.args[1])
    end = epilogue.done(epilogue("addf", scaled, epilogue.number(0.5)))
    rank = 3
    forms = (
        (dim_form(rank, 0), dim_form(rank, 1), dim_form(rank, 2)),
        (dim_form(rank, 0),),
        (dim_form(rank, 0),),
    )
    space = Space((2, 3, 4), 1, forms, (None, None))
    op = GenericOp(
        [value(DType.i8, 2, 3, 4), value(DType.f32, 2)],
        tensor_type(DType.f32, (2,)),
        space,
        Scalars(region, "sumi", end),
    )
    op.verify()
    kernel, params = kernel_of(op)
    assert kernel.body_count == 1 and kernel.outputs[0].epilogue
    assert [o.name for o in kernel.ops] == ["sumi", "i2f", "mulf", "addf"]
    assert kernel.ops[2].operands == (17, 1) and params.words == (0x3F000000,)
    x = np.arange(24, dtype=np.int8).reshape(2, 3, 4)
    (got,) = reference(op, [x, np.float32([1, 2])], ConstStore())
    np.testing.assert_array_equal(got, np.float32([66.5, 420.5]))


def test_permuted_results_and_fixed_indices() -> None:
    body = Body("f")
    forms = (
        (dim_form(2, 0), dim_form(2, 1), IndexForm((0, 0), 1)),
        (dim_form(2, 1), dim_form(2, 0)),
    )
    op = GenericOp(
        [value(DType.f32, 2, 3, 4)],
        tensor_type(DType.f32, (3, 2)),
        Space((2, 3), 2, forms, (None,)),
        Scalars(body.done(body.args[0])),
    )
    op.verify()
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(reference(op, [x], ConstStore())[0], x[:, :, 1].T)


def test_large_spaces_are_evaluated_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from npuc.compiler.ops import generic

    body = Body("ff")
    region = body.done(body("addf", *body.args))
    inputs = [value(DType.f32, 7, 5), value(DType.f32, 5)]
    (op,) = make_elementwise(inputs, (7, 5), DType.f32, Scalars(region)).ops
    x, y = np.random.default_rng(0).random((7, 5), np.float32), np.ones(5, np.float32)
    (whole,) = reference(op, [x, y], ConstStore())
    monkeypatch.setattr(generic, "_CHUNK_POINTS", 11)
    np.testing.assert_array_equal(reference(op, [x, y], ConstStore())[0], whole)
    np.testing.assert_array_equal(whole, x + 1)


def test_too_many_parameters_are_refused_with_the_limit() -> None:
    body = Body("f")
    total = body.args[0]
    for number in range(9):
        total = body("addf", total, body.number(float(number)))
    (op,) = make_elementwise([value(DType.f32, 3)], (3,), DType.f32, Scalars(body.done(total))).ops
    assert isinstance(op, GenericOp)
    with pytest.raises(CompileError, match="9 parameters, but a vector kernel has at most 8"):
        kernel_of(op)


def test_axes_merge_only_when_alike() -> None:
    axes = [Axis(2, "a"), Axis(3, "a"), Axis(4, "b"), Axis(1, "c"), Axis(5, "b")]
    assert merge_axes(axes, lambda g: len(g) <= 4) == ((0,), (1,), (2,), (3, 4))
    assert merge_axes(axes, lambda g: False) == ((0, 1), (2, 3, 4))
