"""simplify-scalars: the same value for every accumulator, or the body as it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.compiler.dialects.element_types import tensor_type
from npuc.compiler.dialects.nn import ConstantOp, GenericOp, Scalars
from npuc.compiler.ops.scalar_ops import Body, evaluate_block
from npuc.compiler.ops.structured import make_elementwise
from npuc.compiler.passes.simplify_scalars import simplify_scalars
from npuc.isa.dtypes import DType

I32 = np.iinfo(np.int32)
EXTREMES = [I32.min, I32.min + 1, -(1 << 24) - 1, 1 << 24, I32.max - 1, I32.max]
ACCUMULATORS = np.concatenate([np.arange(-70_000, 70_000), EXTREMES]).astype(np.int32)


def requantised(zero_point: int, bounds: tuple[int, int], *, is_max_first: bool) -> GenericOp:
    """clamp(f2i(round(acc * scale) + zero_point)) - zero_point; the scale is the second input."""
    body = Body("if")
    acc, scale = body.args
    scaled = body("mulf", body("i2f", acc), scale)
    shifted = body("addf", body("roundf", scaled), body.number(float(zero_point)))
    value = body("f2i", shifted)
    steps = [("maxi", bounds[0]), ("mini", bounds[1])]
    for name, bound in steps if is_max_first else steps[::-1]:
        value = body(name, value, body.number(bound))
    scalars = Scalars(body.done(body("subi", value, body.number(zero_point))))
    inputs = [
        ConstantOp(name, tensor_type(dtype, (4,))).result
        for name, dtype in (("acc", DType.i32), ("scale", DType.f32))
    ]
    ops = make_elementwise(inputs, (4,), DType.i32, scalars).ops
    (generic,) = [op for op in ops if isinstance(op, GenericOp)]
    return generic


def names(op: GenericOp) -> list[str]:
    return [inner.name for inner in op.body.block.ops]


@given(
    st.one_of(st.integers(-128, 127), st.integers(0, 255)),
    st.sampled_from([(-128, 127), (0, 255), (-100, 3)]),
    st.one_of(
        st.floats(2.0**-30, 2.0**10, width=32), st.sampled_from([0.5, 0.25, 1.0, 1e-38, 3e38])
    ),
    st.booleans(),
)
def test_same_value_for_every_accumulator(
    zero_point: int, bounds: tuple[int, int], scale: float, is_max_first: bool
) -> None:
    before = requantised(zero_point, bounds, is_max_first=is_max_first)
    after = requantised(zero_point, bounds, is_max_first=is_max_first)
    simplify_scalars(after, lambda value: True)
    assert len(names(after)) < len(names(before))
    assert "math.roundeven" not in names(after)
    scales = np.full(ACCUMULATORS.shape, scale, np.float32)
    with np.errstate(all="ignore"):
        want, got = (
            evaluate_block(op.body.block, [ACCUMULATORS, scales])[0] for op in (before, after)
        )
    np.testing.assert_array_equal(got, want)


def test_a_scale_that_may_be_infinite_is_left_alone() -> None:
    """0 * infinity is NaN, which becomes 0 before the shift or after it: not the same."""
    op = requantised(5, (-128, 127), is_max_first=True)
    before = names(op)
    simplify_scalars(op, lambda value: False)
    assert names(op) == before


@pytest.mark.parametrize("bounds", [(-(1 << 23), 127), (-128, 1 << 23)])
def test_bounds_that_floats_do_not_count_exactly_are_left_alone(bounds: tuple[int, int]) -> None:
    op = requantised(5, bounds, is_max_first=True)
    before = names(op)
    simplify_scalars(op, lambda value: True)
    assert names(op) == before
