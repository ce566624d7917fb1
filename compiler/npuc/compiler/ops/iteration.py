"""The iteration space of an operation: how the scheduler sees it, without knowing its name.

``SPACES`` maps an operation class to the function that describes it. A contraction describes its
two operands over (m0, m1, m2, n, k0, k1, k2); everything else is vector work over four parallel
and three reduced dimensions. Bodies become kernels in ``npuc.compiler.ops.scalar_ops``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.index_forms import IndexForm
from npuc.compiler.dialects.nn import Conv2dOp, GatherOp, GenericOp, MatmulOp, TransposeOp
from npuc.compiler.locations import describe
from npuc.compiler.ops.scalar_ops import kernel_of
from npuc.compiler.schedule.problem import PARALLEL, RANK, LinearForm
from npuc.compiler.xdsl_api import Operation, SSAValue
from npuc.isa.descriptors import Kernel, Output, Params, Stream
from npuc.isa.dtypes import DType
from npuc.isa.errors import CompileError

Forms = tuple[LinearForm, ...]
M0, M1, M2, N, K0, K1, K2 = range(RANK)


@dataclass(frozen=True)
class IndexedValue:
    """A tensor and the linear form of each of its axes; ``fill`` are raw bits outside it.

    ``rows_from`` numbers the input whose elements say which rows (indices of the first axis) are
    read; the form of that axis then counts the elements of that list.
    """

    value: SSAValue
    forms: Forms
    fill: int = 0
    rows_from: int | None = None


@dataclass(frozen=True)
class Iteration:
    """An operation over the seven dimensions.

    ``inputs`` are its operands, a list of rows before what it chooses from. ``result`` gives the
    forms of its result's axes. ``kernel`` is None for a contraction, whose result the mxu makes.
    """

    extents: tuple[int, ...]
    inputs: tuple[IndexedValue, ...]
    result: Forms
    kernel: Kernel | None = None
    params: Params = field(default_factory=lambda: Params(()))

    @property
    def is_contraction(self) -> bool:
        """Whether the mxu does the work."""
        return self.kernel is None


def form(constant: int = 0, **coefficients: int) -> LinearForm:
    """A linear form by dimension names, such as ``form(-1, m1=2, k0=1)``."""
    names = ("m0", "m1", "m2", "n", "k0", "k1", "k2")
    return LinearForm(tuple(coefficients.get(name, 0) for name in names), constant)


def iteration_of(op: Operation) -> Iteration:
    """The iteration space of ``op``. Raises: CompileError for what no engine can run."""
    return SPACES[type(op)](op)


def copy_iteration(source: SSAValue, forms: Sequence[LinearForm], result: SSAValue) -> Iteration:
    """Moving ``source``, indexed by ``forms``, into ``result``, whose axes are the last dims."""
    shape = shape_of(result)
    extents = (1,) * (PARALLEL - len(shape)) + shape + (1,) * (RANK - PARALLEL)
    axes = tuple(_single(PARALLEL - len(shape) + axis) for axis in range(len(shape)))
    return Iteration(
        extents, (IndexedValue(source, tuple(forms)),), axes, identity_kernel(dtype_of(source))
    )


def identity_kernel(dtype: DType) -> Kernel:
    """The kernel that stores what it loads."""
    return Kernel((Stream("f" if dtype.is_float else "i"),), (), 0, (Output(0),))


def _conv2d(op: Operation) -> Iteration:
    assert isinstance(op, Conv2dOp)
    sh, sw = op.strides.get_values()
    dh, dw = op.dilations.get_values()
    top, left = op.pads.get_values()[:2]
    n, oh, ow, o = shape_of(op.result)
    kh, kw, c = shape_of(op.w)[:3]
    fill = op.pad_number & ((1 << 8 * dtype_of(op.x).bytes) - 1)
    x = (form(m0=1), form(-top, m1=sh, k0=dh), form(-left, m2=sw, k1=dw), form(k2=1))
    w = (form(k0=1), form(k1=1), form(k2=1), form(n=1))
    y = (form(m0=1), form(m1=1), form(m2=1), form(n=1))
    inputs = (IndexedValue(op.x, x, fill), IndexedValue(op.w, w))
    return Iteration((n, oh, ow, o, kh, kw, c), inputs, y)


def _matmul(op: Operation) -> Iteration:
    assert isinstance(op, MatmulOp)
    *batch, m, k = shape_of(op.a)
    n = shape_of(op.b)[-1]
    if len(batch) > 2:
        raise CompileError(
            "a product has too many batch dimensions",
            describe(op),
            f"rank {len(batch) + 2}",
            "rank 4 at most",
        )
    rows = [form(m0=1), form(m1=1)][2 - len(batch) :]
    a = (*rows, form(m2=1), form(k2=1))
    b_rank = len(shape_of(op.b))
    b = (*(rows if b_rank > 2 else []), form(k2=1), form(n=1))
    extents = (1,) * (2 - len(batch)) + tuple(batch) + (m, n, 1, 1, k)
    inputs = (IndexedValue(op.a, a), IndexedValue(op.b, b))
    return Iteration(extents, inputs, (*rows, form(m2=1), form(n=1)))


def _generic(op: Operation) -> Iteration:
    assert isinstance(op, GenericOp)
    space = op.space
    reduced = len(space.extents) - space.parallel
    if space.parallel > PARALLEL or reduced > RANK - PARALLEL:
        raise CompileError(
            "an operation has too many dimensions for the vector engine",
            describe(op),
            f"{space.parallel} parallel, {reduced} reduced",
            "4 parallel, 3 reduced",
        )
    dims = [PARALLEL - space.parallel + d for d in range(space.parallel)]
    dims += [RANK - reduced + d for d in range(reduced)]
    extents = [1] * RANK
    for dim, extent in zip(dims, space.extents, strict=True):
        extents[dim] = extent
    inputs = tuple(
        IndexedValue(value, spread(forms, dims, op), _raw_fill(value, fill))
        for value, forms, fill in zip(op.inputs, space.forms[:-1], space.fills, strict=True)
    )
    kernel, params = kernel_of(op)
    return Iteration(tuple(extents), inputs, spread(space.result_forms, dims, op), kernel, params)


def _transpose(op: Operation) -> Iteration:
    assert isinstance(op, TransposeOp)
    rank = len(op.permutation)
    if rank > PARALLEL:
        raise CompileError(
            "a transpose has too many dimensions",
            describe(op),
            f"rank {rank}",
            f"rank {PARALLEL} at most",
        )
    first = PARALLEL - rank
    forms = [_single(first + op.permutation.index(axis)) for axis in range(rank)]
    return copy_iteration(op.x, forms, op.result)


def _gather(op: Operation) -> Iteration:
    assert isinstance(op, GatherOp)
    count, elements = shape_of(op.result)
    rows = (form(m2=1), form(n=1))
    inputs = (IndexedValue(op.indices, rows[:1]), IndexedValue(op.table, rows, rows_from=0))
    extents = (1, 1, count, elements, 1, 1, 1)
    return Iteration(extents, inputs, rows, identity_kernel(dtype_of(op.table)))


def spread(forms: Sequence[IndexForm], dims: Sequence[int], op: Operation) -> Forms:
    """Forms over an operation's own dimensions, moved to dimensions ``dims`` of the space."""
    return tuple(_spread_one(f, dims, op) for f in forms)


def _spread_one(index: IndexForm, dims: Sequence[int], op: Operation) -> LinearForm:
    coefficients = [0] * RANK
    for dim, coefficient in zip(dims, index.coefficients, strict=True):
        coefficients[dim] += coefficient
    if min(coefficients) < 0:
        raise CompileError(
            "an operand is read backwards",
            describe(op),
            str(index.coefficients),
            "coefficients of 0 or more",
        )
    return LinearForm(tuple(coefficients), index.constant)


def _single(dim: int) -> LinearForm:
    return LinearForm(tuple(int(d == dim) for d in range(RANK)))


def _raw_fill(value: SSAValue, fill: int | float | None) -> int:
    if fill is None:
        return 0
    dtype = dtype_of(value)
    return int.from_bytes(dtype.numpy.type(fill).tobytes(), "little")


SPACES: dict[type[Operation], Callable[[Operation], Iteration]] = {
    Conv2dOp: _conv2d,
    MatmulOp: _matmul,
    GenericOp: _generic,
    TransposeOp: _transpose,
    GatherOp: _gather,
}
