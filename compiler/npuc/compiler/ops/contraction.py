"""nn.conv2d and nn.matmul: the work of the matrix engine, in its order of accumulation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np

from npuc.compiler.consts import ConstStore
from npuc.compiler.dialects.element_types import (
    dtype_of,
    element_dtype,
    shape_of,
    tensor_of,
    tensor_type,
)
from npuc.compiler.dialects.nn import Conv2dOp, MatmulOp
from npuc.compiler.ops.interface import Array, contradiction
from npuc.compiler.xdsl_api import (
    Attribute,
    DenseArrayBase,
    IntegerAttr,
    Operation,
    SSAValue,
    StringAttr,
    i64,
)
from npuc.isa.dtypes import DType
from npuc.isa.numerics.matrix import mma_float, mma_int

ContractionT = TypeVar("ContractionT", Conv2dOp, MatmulOp)
_ACCUMULATORS = {
    (DType.i8, DType.i8): DType.i32,
    (DType.f32, DType.f32): DType.f32,
    (DType.bf16, DType.bf16): DType.f32,
    (DType.f16, DType.f16): DType.f32,
}


@dataclass(frozen=True)
class ConvGeometry:
    """Where the windows of a convolution or pooling lie; ``pads`` are top, left, bottom, right.

    ``groups`` is the number of groups of channels that a convolution keeps apart.
    """

    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1

    def output_size(self, size: int, kernel: int, axis: int) -> int:
        """Positions of a window of ``kernel`` taps along axis 0 (height) or 1 (width)."""
        span = (kernel - 1) * self.dilations[axis] + 1
        return (size + self.pads[axis] + self.pads[axis + 2] - span) // self.strides[axis] + 1


@dataclass(frozen=True)
class ZeroPoints:
    """Zero point of the first operand, and the key of those of the second, where not 0."""

    first: int = 0
    second: str | None = None


def geometry_of(op: Conv2dOp) -> ConvGeometry:
    """The geometry in the properties of ``op``."""
    sy, sx = op.strides.get_values()
    top, left, bottom, right = op.pads.get_values()
    dy, dx = op.dilations.get_values()
    return ConvGeometry((sy, sx), (top, left, bottom, right), (dy, dx), op.group_count)


def make_conv2d(
    x: SSAValue,
    w: SSAValue,
    geometry: ConvGeometry,
    zero: ZeroPoints = ZeroPoints(),  # frozen
) -> Conv2dOp:
    """The convolution of ``x_NHWC`` by ``w_HWIO``, its result type inferred."""
    op = Conv2dOp.build(
        operands=[x, w],
        result_types=[tensor_type(DType.i32, (1, 1, 1, 1))],
        properties={
            "strides": DenseArrayBase.from_list(i64, list(geometry.strides)),
            "pads": DenseArrayBase.from_list(i64, list(geometry.pads)),
            "dilations": DenseArrayBase.from_list(i64, list(geometry.dilations)),
            "groups": _present(geometry.groups if geometry.groups > 1 else 0),
            "pad_value": _present(zero.first if any(geometry.pads) else 0),
            "x_zero_point": _present(zero.first),
            "w_zero_point": StringAttr(zero.second) if zero.second else None,
        },
    )
    return _with_inferred_type(op, Conv2d().infer(op))


def make_matmul(a: SSAValue, b: SSAValue, zero: ZeroPoints = ZeroPoints()) -> MatmulOp:
    """The product of ``a[..., M, K]`` and ``b[(...,) K, N]``, its result type inferred."""
    op = MatmulOp.build(
        operands=[a, b],
        result_types=[tensor_type(DType.i32, (1, 1))],
        properties={
            "a_zero_point": _present(zero.first),
            "b_zero_point": StringAttr(zero.second) if zero.second else None,
        },
    )
    return _with_inferred_type(op, Matmul().infer(op))


def _present(value: int) -> IntegerAttr | None:
    return IntegerAttr(value, i64) if value else None


def _with_inferred_type(op: ContractionT, types: tuple[Attribute, ...]) -> ContractionT:
    final = type(op).build(
        operands=list(op.operands), result_types=list(types), properties=dict(op.properties)
    )
    op.erase()  # the draft must not count as a user of the operands
    return final


def _accumulator(op: Operation) -> DType:
    pair = (dtype_of(op.operands[0]), dtype_of(op.operands[1]))
    if pair not in _ACCUMULATORS:
        raise contradiction(
            op,
            "operands must be both i8 or both of one float type",
            f"{pair[0].name} and {pair[1].name}",
        )
    return _ACCUMULATORS[pair]


class Conv2d:
    """Convolution into accumulators."""

    op_class = Conv2dOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        conv = cast(Conv2dOp, op)
        x, w = shape_of(conv.x), shape_of(conv.w)
        if len(x) != 4 or len(w) != 4:
            raise contradiction(op, "x and w must have 4 axes", f"{conv.x.type}, {conv.w.type}")
        groups = conv.group_count
        if w[2] * groups != x[3] or w[3] % groups:
            raise contradiction(
                op,
                "channels of x and w do not fit together",
                f"x has {x[3]}, w has {w[2]} to {w[3]}, {groups} groups",
            )
        geometry = geometry_of(conv)
        height, width = (geometry.output_size(x[1 + axis], w[axis], axis) for axis in (0, 1))
        if min(height, width) < 1:
            raise contradiction(
                op, "the kernel is larger than the padded input", f"{w[0]}x{w[1]} on {x[1]}x{x[2]}"
            )
        return (tensor_type(_accumulator(op), (x[0], height, width, w[3])),)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        conv = cast(Conv2dOp, op)
        x_NHWC, w_HWIO = operands
        padded = _padded(conv, x_NHWC)
        w_zero = _second_zero(conv.w_zero_point, consts)
        x_wide, w_wide = _minus(padded, np.asarray(conv.x_zero)), _minus(w_HWIO, w_zero)
        out_shape = shape_of(conv.result)
        columns = _windows(x_wide, conv, w_HWIO.shape[:2], out_shape[1:3])
        per_group_in, per_group_out = w_HWIO.shape[2], out_shape[3] // conv.group_count
        parts = []
        for g in range(conv.group_count):
            inside = slice(g * per_group_in, (g + 1) * per_group_in)
            outside = slice(g * per_group_out, (g + 1) * per_group_out)
            a_MK = columns[..., inside].reshape(int(np.prod(out_shape[:3])), -1)
            w_KN = w_wide[..., outside].reshape(-1, per_group_out)
            parts.append(_multiply(a_MK, w_KN))
        return (np.concatenate(parts, axis=1).reshape(out_shape),)


def _padded(conv: Conv2dOp, x_NHWC: Array) -> Array:
    top, left, bottom, right = conv.pads.get_values()
    widths = [(0, 0), (top, bottom), (left, right), (0, 0)]
    return np.pad(x_NHWC, widths, constant_values=conv.pad_number)


def _second_zero(key: StringAttr | None, consts: ConstStore) -> Array:
    return np.asarray(0) if key is None else consts.get(key.data)


def _minus(values: Array, zero: Array) -> Array:
    """Integers less their zero point, widened to 16 bits; floats as they are."""
    if DType.from_numpy(values.dtype).is_float:
        return values
    return (values.astype(np.int16) - zero.astype(np.int16)).astype(np.int16)


def _windows(padded: Array, conv: Conv2dOp, kernel: Sequence[int], out: Sequence[int]) -> Array:
    """A view [N, OH, OW, KH, KW, C] of the padded input."""
    n, y, x, c = padded.strides
    (sy, sx), (dy, dx) = conv.strides.get_values(), conv.dilations.get_values()
    shape = (padded.shape[0], *out, *kernel, padded.shape[3])
    strides = (n, y * sy, x * sx, y * dy, x * dx, c)
    return np.lib.stride_tricks.as_strided(padded, shape, strides, writeable=False)


def _multiply(a_MK: Array, w_KN: Array) -> Array:
    rows, columns = a_MK.shape[0], w_KN.shape[1]
    if DType.from_numpy(a_MK.dtype).is_float:
        return mma_float(a_MK, w_KN, np.zeros((rows, columns), np.float32))
    a, w = a_MK.astype(np.int16), w_KN.astype(np.int16)
    return mma_int(a, w, np.zeros((rows, columns), np.int32))


class Matmul:
    """Matrix product into accumulators."""

    op_class = MatmulOp

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        matmul = cast(MatmulOp, op)
        a, b = shape_of(matmul.a), shape_of(matmul.b)
        if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
            raise contradiction(op, "shapes do not multiply", f"{matmul.a.type}, {matmul.b.type}")
        if len(b) > 2 and a[:-2] != b[:-2]:
            raise contradiction(op, "batches differ", f"{matmul.a.type}, {matmul.b.type}")
        return (tensor_type(_accumulator(op), (*a[:-1], b[-1])),)

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        matmul = cast(MatmulOp, op)
        a = _minus(operands[0], np.asarray(matmul.a_zero))
        b = _minus(operands[1], _second_zero(matmul.b_zero_point, consts))
        shape = shape_of(matmul.result)
        if b.ndim == 2:
            return (_multiply(a.reshape(-1, a.shape[-1]), b).reshape(shape),)
        pairs = zip(a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:]), strict=True)
        return (np.stack([_multiply(x, y) for x, y in pairs]).reshape(shape),)


def accumulator_dtype(op: Conv2dOp | MatmulOp) -> DType:
    """Element type of the accumulators."""
    return element_dtype(tensor_of(op.result).element_type)


OPS = (Conv2d(), Matmul())
