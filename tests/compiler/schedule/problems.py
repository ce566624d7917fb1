"""Group problems and random tilings for the scheduler's tests, and their value by definition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from npuc.compiler.dialects.tile_structure import MAX_LOOP_NEST
from npuc.compiler.schedule.problem import (
    DIM_NAMES,
    K_DIMS,
    PARALLEL,
    RANK,
    Contraction,
    GroupProblem,
    LinearForm,
    Operand,
    VectorWork,
)
from npuc.compiler.schedule.tiling import Tiling
from npuc.isa.descriptors import Kernel, Op, Output, Params, Stream
from npuc.isa.dtypes import DType
from npuc.isa.target import load_target

Array = npt.NDArray[np.generic]
Int64s = npt.NDArray[np.int64]
TINY = load_target("tiny")
EDGE = load_target("edge")
COPY = Kernel((Stream("i"),), (), 0, (Output(0),))
ADD = Kernel((Stream("i"), Stream("i")), (Op("addi", (0, 1)),), 1, (Output(16),))
MAXIMUM = Kernel((Stream("i"),), (Op("rmaxi", (0,)),), 1, (Output(16, epilogue=True),))
PRODUCTS = Kernel(
    (Stream("i"), Stream("i")), (Op("mac8", (0, 1)),), 1, (Output(16, epilogue=True),)
)
ACC = -1


def form(constant: int = 0, **coefficients: int) -> LinearForm:
    return LinearForm(tuple(coefficients.get(name, 0) for name in DIM_NAMES), constant)


M = tuple(form(**{name: 1}) for name in DIM_NAMES[:PARALLEL])


def operand(
    argument: int, name: str, forms: Sequence[LinearForm], shape: Sequence[int], **more: object
) -> Operand:
    """A row-major int8 operand on ld0, unless ``more`` says otherwise."""
    base = Operand(argument, DType.i8, tuple(shape), (), tuple(forms), "ld0", 0, name)
    base = replace(base, **more)  # type: ignore[arg-type]  # fields of Operand by name
    steps = [prod(shape[axis + 1 :]) * base.dtype.bytes for axis in range(len(shape))]
    return replace(base, strides=tuple(steps))


def output(argument: int, extents: Sequence[int], dtype: DType = DType.i32) -> Operand:
    return operand(argument, "y", M, extents, queue="st", dtype=dtype)


def conv(
    image: Sequence[int], kernel: Sequence[int], steps: Sequence[int], is_biased: bool = False
) -> GroupProblem:
    """``image`` n h w c, ``kernel`` kh kw o, ``steps`` stride, dilation, pad."""
    (n, h, w, c), (kh, kw, o), (s, d, p) = image, kernel, steps
    rows, columns = ((e + 2 * p - d * (k - 1) - 1) // s + 1 for e, k in ((h, kh), (w, kw)))
    x_forms = (M[0], form(-p, m1=s, k0=d), form(-p, m2=s, k1=d), form(k2=1))
    w_forms = (form(k0=1), form(k1=1), form(k2=1), form(n=1))
    operands = [
        operand(0, "x", x_forms, image, fill=5),
        operand(1, "w", w_forms, (kh, kw, c, o), queue="ld1"),
    ]
    work = VectorWork(COPY, Params(()), (ACC,), (2,))
    if is_biased:
        operands.append(operand(2, "b", (M[3],), (o,), dtype=DType.i32))
        work = VectorWork(ADD, Params(()), (ACC, 2), (3,))
    operands.append(output(len(operands), (n, rows, columns, o)))
    extents = (n, rows, columns, o, kh, kw, c)
    return GroupProblem(extents, tuple(operands), work, Contraction(0, 1, DType.i32), "conv")


def matmul(batch: int, sizes: Sequence[int], is_batched: bool = False) -> GroupProblem:
    """A batch of M x K by K x N products, ``sizes`` M K N; W is shared unless ``is_batched``."""
    m, k, n = sizes
    rows = (M[1],) if is_batched else ()
    w_shape = (batch, k, n) if is_batched else (k, n)
    operands = (
        operand(0, "a", (M[1], M[2], form(k2=1)), (batch, m, k)),
        operand(1, "w", (*rows, form(k2=1), M[3]), w_shape, queue="ld1"),
        operand(2, "y", M[1:], (batch, m, n), queue="st", dtype=DType.i32),
    )
    work = VectorWork(COPY, Params(()), (ACC,), (2,))
    extents = (1, batch, m, n, 1, 1, k)
    return GroupProblem(extents, operands, work, Contraction(0, 1, DType.i32), "matmul")


def depthwise(image: Sequence[int], kernel: int, steps: Sequence[int]) -> GroupProblem:
    """A depthwise convolution on the vector engine; ``steps`` stride, dilation, pad."""
    (n, h, w, c), (s, d, p) = image, steps
    rows, columns = ((e + 2 * p - d * (kernel - 1) - 1) // s + 1 for e in (h, w))
    x_forms = (M[0], form(-p, m1=s, k1=d), form(-p, m2=s, k2=d), M[3])
    operands = (
        operand(0, "x", x_forms, image),
        operand(1, "w", (form(k1=1), form(k2=1), M[3]), (kernel, kernel, c), queue="ld1"),
        output(2, (n, rows, columns, c)),
    )
    work = VectorWork(PRODUCTS, Params(()), (0, 1), (2,))
    return GroupProblem((n, rows, columns, c, 1, kernel, kernel), operands, work, None, "depthwise")


def pooling(image: Sequence[int], kernel: int, steps: Sequence[int]) -> GroupProblem:
    """Max pooling padded with -128."""
    problem = depthwise(image, kernel, steps)
    x, y = replace(problem.operands[0], fill=0x80), replace(problem.operands[2], argument=1)
    work = VectorWork(MAXIMUM, Params(()), (0,), (1,))
    return GroupProblem(problem.extents, (x, y), work, None, "pooling")


def elementwise(extents: Sequence[int], kept: Sequence[bool]) -> GroupProblem:
    """x + b, where b has only the dimensions ``kept``: the others broadcast."""
    axes = [d for d in range(PARALLEL) if kept[d]]
    operands = (
        operand(0, "x", M, extents),
        operand(1, "b", [M[d] for d in axes], [extents[d] for d in axes]),
        output(2, extents),
    )
    work = VectorWork(ADD, Params(()), (0, 1), (2,))
    return GroupProblem((*extents, 1, 1, 1), operands, work, None, "elementwise")


def transpose(extents: Sequence[int], permutation: Sequence[int]) -> GroupProblem:
    forms, shape = [M[d] for d in permutation], [extents[d] for d in permutation]
    operands = (operand(0, "x", forms, shape), output(1, extents, DType.i8))
    work = VectorWork(COPY, Params(()), (0,), (1,))
    return GroupProblem((*extents, 1, 1, 1), operands, work, None, "transpose")


def _sizes(*highs: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*(st.integers(1, high) for high in highs))


_IMAGES = st.tuples(st.integers(1, 2), st.integers(5, 8), st.integers(5, 8), st.integers(1, 5))
_STEPS = st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(0, 2))

PROBLEMS: st.SearchStrategy[GroupProblem] = st.one_of(
    st.builds(conv, _IMAGES, _sizes(3, 3, 5), _STEPS, st.booleans()),
    st.builds(matmul, st.integers(1, 3), _sizes(7, 9, 7), st.booleans()),
    st.builds(depthwise, _IMAGES, st.integers(1, 3), _STEPS),
    st.builds(pooling, _IMAGES, st.integers(1, 3), _STEPS),
    st.builds(elementwise, _sizes(3, 5, 5, 7), st.tuples(*[st.booleans()] * PARALLEL)),
    st.builds(transpose, _sizes(3, 5, 5, 7), st.permutations(range(PARALLEL))),
)


@st.composite
def tilings(draw: st.DrawFn, problem: GroupProblem) -> Tiling:
    """Any legal tiling: more than the search looks at."""
    tile = [draw(st.integers(1, e)) for e in problem.extents]
    if problem.contraction is None:
        tile[PARALLEL:] = problem.extents[PARALLEL:]
    else:
        cut = draw(st.sampled_from(K_DIMS))  # everything outside is cut to 1, inside is whole
        tile[PARALLEL:cut] = [1] * (cut - PARALLEL)
        tile[cut + 1 :] = problem.extents[cut + 1 :]
        for dim in problem.operands[problem.contraction.w].dims & {0, 1, 2}:
            tile[dim] = 1
    loops = [d for d in range(RANK) if tile[d] < problem.extents[d]]
    if len(loops) > MAX_LOOP_NEST:
        tile[3] = problem.extents[3]
    order = tuple(draw(st.permutations(range(PARALLEL))))
    return Tiling(tuple(tile), order, draw(st.integers(1, 3)), draw(st.integers(1, 3)))


@st.composite
def tiled_problems(draw: st.DrawFn) -> tuple[GroupProblem, Tiling]:
    problem = draw(PROBLEMS)
    return problem, draw(tilings(problem))


def random_inputs(problem: GroupProblem, seed: int) -> list[Array]:
    """One array for each loaded operand's argument; small numbers, so that nothing saturates."""
    generator = np.random.default_rng(seed)
    arrays: dict[int, Array] = {}
    for number in problem.inputs:
        o = problem.operands[number]
        arrays[o.argument] = generator.integers(-100, 100, o.shape).astype(o.dtype.numpy)
    return [arrays[a] for a in sorted(arrays)]


def value_of(problem: GroupProblem, inputs: Sequence[Array]) -> Array:
    """The group's result by definition: every point of the seven dimensions at once."""
    (number,) = problem.vector.outputs
    result = problem.operands[number]
    read = [_gathered(problem, o, inputs[o.argument]) for o in problem.operands if o != result]
    streams = list(read)
    if (parts := problem.contraction) is not None:
        acc = (read[parts.a] * read[parts.w]).sum(axis=K_DIMS, keepdims=True)
        streams = [acc if n == ACC else read[n] for n in problem.vector.inputs]
    if problem.vector.kernel == ADD:
        value = streams[0] + streams[1]
    elif problem.vector.kernel == PRODUCTS:
        value = (streams[0] * streams[1]).sum(axis=K_DIMS, keepdims=True)
    elif problem.vector.kernel == MAXIMUM:
        value = streams[0].max(axis=K_DIMS, keepdims=True)
    else:
        value = streams[0]
    whole = np.broadcast_to(value, (*problem.extents[:PARALLEL], *value.shape[PARALLEL:]))
    return whole.reshape(result.shape).astype(result.dtype.numpy)


def _gathered(problem: GroupProblem, o: Operand, array: Array) -> Int64s:
    """The operand's value at every point, (p0, p1, p2, p3, r0, r1, r2); the fill outside."""
    points = np.indices(problem.extents)
    value = np.full(problem.extents, array.dtype.type(_signed(o.fill, o.dtype)), np.int64)
    index = [f.constant + sum(c * points[d] for d, c in enumerate(f.coefficients)) for f in o.forms]
    inside = np.ones(problem.extents, bool)
    for axis, coordinate in enumerate(index):
        inside &= (coordinate >= 0) & (coordinate < o.shape[axis])
    clipped = [np.broadcast_to(i, problem.extents)[inside] for i in index]
    value[inside] = array[tuple(clipped)] if clipped else array
    if not o.dims & set(K_DIMS):
        return value[..., :1, :1, :1]
    return value


def _signed(fill: int, dtype: DType) -> int:
    bits = 8 * dtype.bytes
    return fill - (1 << bits) if fill >> (bits - 1) else fill
