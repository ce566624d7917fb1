"""Tensor operations of the nn dialect: contractions, movement, and what normalise decomposes.

Axis letters: N batch, H height, W width, C channels in, O channels out, M K N of a product.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from npuc.compiler.xdsl_api import (
    Attribute,
    DenseArrayBase,
    Float32Type,
    FloatAttr,
    IntegerAttr,
    IRDLOperation,
    Pure,
    SSAValue,
    StringAttr,
    TensorType,
    VerifyException,
    f32,
    i64,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)


def _integers(values: Sequence[int]) -> Attribute:
    return DenseArrayBase.from_list(i64, list(values))


def _check_length(what: str, values: Sequence[int], length: int) -> None:
    if len(values) != length:
        raise VerifyException(f"{what} has {len(values)} numbers, not {length}")


@dataclass(frozen=True)
class Rescale:
    """How nn.requantize scales: key of the scale, zero point, bounds of the result."""

    scale: str
    zero_point: int = 0
    low: int = -128
    high: int = 127


@irdl_op_definition
class Conv2dOp(IRDLOperation):
    """Convolution of ``x_NHWC`` by ``w_HWIO`` into accumulators: i32 of i8, f32 of floats.

    ``pads`` are top, left, bottom, right. Zero points are subtracted before the product; padding
    reads as ``pad_value`` (raw, as stored in x). Output channel o reads the input channels of its
    group. After quantize neither zero points nor groups remain.
    """

    name = "nn.conv2d"
    x = operand_def(TensorType)
    w = operand_def(TensorType)
    result = result_def(TensorType)
    strides = prop_def(DenseArrayBase.constr(i64))
    pads = prop_def(DenseArrayBase.constr(i64))
    dilations = prop_def(DenseArrayBase.constr(i64))
    groups = opt_prop_def(IntegerAttr.constr(type=i64))
    pad_value = opt_prop_def(IntegerAttr.constr(type=i64))
    x_zero_point = opt_prop_def(IntegerAttr.constr(type=i64))
    w_zero_point = opt_prop_def(StringAttr)
    traits = traits_def(Pure())
    assembly_format = (
        "$x `,` $w `strides` $strides `pads` $pads `dilations` $dilations (`groups` $groups^)?"
        " (`pad_value` $pad_value^)? (`x_zero_point` $x_zero_point^)?"
        " (`w_zero_point` $w_zero_point^)? attr-dict"
        " `:` type($x) `,` type($w) `->` type($result)"
    )

    def verify_(self) -> None:
        _check_length("strides", self.strides.get_values(), 2)
        _check_length("pads", self.pads.get_values(), 4)
        _check_length("dilations", self.dilations.get_values(), 2)
        if min(self.pads.get_values()) < 0:
            raise VerifyException(f"pads {self.pads.get_values()}: none may be negative")
        if min(*self.strides.get_values(), *self.dilations.get_values(), self.group_count) < 1:
            raise VerifyException("strides, dilations and groups must be at least 1")

    @property
    def group_count(self) -> int:
        """Number of groups; 1 where the property is absent."""
        return self.groups.value.data if self.groups else 1

    @property
    def pad_number(self) -> int:
        """The raw value that padding reads as; 0 where the property is absent."""
        return self.pad_value.value.data if self.pad_value else 0

    @property
    def x_zero(self) -> int:
        """The zero point of x; 0 where the property is absent."""
        return self.x_zero_point.value.data if self.x_zero_point else 0


@irdl_op_definition
class MatmulOp(IRDLOperation):
    """Product of ``a[..., M, K]`` and ``b[K, N]`` or ``b[..., K, N]``: i32 of i8, f32 of floats.

    Zero points (``b_zero_point``: key of a scalar or of N numbers) are subtracted before the
    product; after quantize none remain.
    """

    name = "nn.matmul"
    a = operand_def(TensorType)
    b = operand_def(TensorType)
    result = result_def(TensorType)
    a_zero_point = opt_prop_def(IntegerAttr.constr(type=i64))
    b_zero_point = opt_prop_def(StringAttr)
    traits = traits_def(Pure())
    assembly_format = (
        "$a `,` $b (`a_zero_point` $a_zero_point^)? (`b_zero_point` $b_zero_point^)? attr-dict"
        " `:` type($a) `,` type($b) `->` type($result)"
    )

    @property
    def a_zero(self) -> int:
        """The zero point of a; 0 where the property is absent."""
        return self.a_zero_point.value.data if self.a_zero_point else 0


@irdl_op_definition
class ReshapeOp(IRDLOperation):
    """The same elements in row-major order under another shape; moves nothing."""

    name = "nn.reshape"
    x = operand_def(TensorType)
    result = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = "$x attr-dict `:` type($x) `->` type($result)"

    def __init__(self, x: SSAValue, result_type: Attribute) -> None:
        super().__init__(operands=[x], result_types=[result_type])


@irdl_op_definition
class TransposeOp(IRDLOperation):
    """Axes in another order: result axis i is axis ``perm[i]`` of x."""

    name = "nn.transpose"
    x = operand_def(TensorType)
    result = result_def(TensorType)
    perm = prop_def(DenseArrayBase.constr(i64))
    traits = traits_def(Pure())
    assembly_format = "$x `perm` $perm attr-dict `:` type($x) `->` type($result)"

    def __init__(self, x: SSAValue, perm: Sequence[int], result_type: Attribute) -> None:
        super().__init__(
            operands=[x], result_types=[result_type], properties={"perm": _integers(perm)}
        )

    @property
    def permutation(self) -> tuple[int, ...]:
        """The permutation as plain numbers."""
        return tuple(int(axis) for axis in self.perm.get_values())

    def verify_(self) -> None:
        if sorted(self.permutation) != list(range(len(self.permutation))):
            raise VerifyException(f"{self.permutation} is no permutation")


class _Affine(IRDLOperation):
    """Shared accessors of quantize and dequantize."""

    scale = prop_def(StringAttr)
    zero_point = opt_prop_def(StringAttr)
    axis = opt_prop_def(IntegerAttr.constr(type=i64))

    @property
    def axis_number(self) -> int | None:
        """The axis of a scale per channel, or None for one scale."""
        return None if self.axis is None else self.axis.value.data


@irdl_op_definition
class QuantizeOp(_Affine):
    """saturate(round_half_even(x / scale) + zero point), scale and zero point by key."""

    name = "nn.quantize"
    x = operand_def(TensorType)
    result = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = (
        "$x `scale` $scale (`zero_point` $zero_point^)? (`axis` $axis^)? attr-dict"
        " `:` type($x) `->` type($result)"
    )


@irdl_op_definition
class DequantizeOp(_Affine):
    """(x - zero point) * scale in float32, scale and zero point by key."""

    name = "nn.dequantize"
    x = operand_def(TensorType)
    result = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = (
        "$x `scale` $scale (`zero_point` $zero_point^)? (`axis` $axis^)? attr-dict"
        " `:` type($x) `->` type($result)"
    )


@irdl_op_definition
class RequantizeOp(IRDLOperation):
    """An int32 accumulator, plus ``bias[O]``, in the type of the result.

    An integer result is clamp(round_half_even(float32(acc + bias) * scale) + zero_point, low, high)
    with a scale by key, one number or one per channel (the last axis); a float32 result is the
    scaled accumulator alone.
    """

    name = "nn.requantize"
    acc = operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    result = result_def(TensorType)
    scale = prop_def(StringAttr)
    zero_point = prop_def(IntegerAttr.constr(type=i64))
    low = prop_def(IntegerAttr.constr(type=i64))
    high = prop_def(IntegerAttr.constr(type=i64))
    traits = traits_def(Pure())
    assembly_format = (
        "$acc (`bias` $bias^)? `scale` $scale `zero_point` $zero_point `clamp` $low `to` $high"
        " attr-dict `:` type($acc) (`,` type($bias)^)? `->` type($result)"
    )

    def __init__(
        self, acc: SSAValue, bias: SSAValue | None, rescale: Rescale, result_type: Attribute
    ) -> None:
        super().__init__(
            operands=[acc, bias],
            result_types=[result_type],
            properties={
                "scale": StringAttr(rescale.scale),
                "zero_point": IntegerAttr(rescale.zero_point, i64),
                "low": IntegerAttr(rescale.low, i64),
                "high": IntegerAttr(rescale.high, i64),
            },
        )

    @property
    def rescale(self) -> Rescale:
        """The properties as plain data."""
        low, high = self.low.value.data, self.high.value.data
        return Rescale(self.scale.data, self.zero_point.value.data, low, high)


@irdl_op_definition
class ElementwiseOp(IRDLOperation):
    """A scalar function by name (``ops/elementwise.py`` lists them), operands broadcast."""

    name = "nn.elementwise"
    function = prop_def(StringAttr)
    inputs = var_operand_def(TensorType)
    result = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = "$function $inputs attr-dict `:` type($inputs) `->` type($result)"

    def __init__(self, function: str, inputs: Sequence[SSAValue], result_type: Attribute) -> None:
        super().__init__(
            operands=[inputs],
            result_types=[result_type],
            properties={"function": StringAttr(function)},
        )


@irdl_op_definition
class ClipOp(IRDLOperation):
    """min(max(x, low), high); an absent bound does not bind."""

    name = "nn.clip"
    x = operand_def(TensorType)
    result = result_def(TensorType)
    low = opt_prop_def(FloatAttr[Float32Type])
    high = opt_prop_def(FloatAttr[Float32Type])
    traits = traits_def(Pure())
    assembly_format = "$x (`low` $low^)? (`high` $high^)? attr-dict `:` type($x)"
    assembly_format += " `->` type($result)"

    def __init__(self, x: SSAValue, low: float | None, high: float | None) -> None:
        super().__init__(
            operands=[x],
            result_types=[x.type],
            properties={
                "low": None if low is None else FloatAttr(low, f32),
                "high": None if high is None else FloatAttr(high, f32),
            },
        )


@irdl_op_definition
class Pool2dOp(IRDLOperation):
    """Pooling of ``x_NHWC``: kind ``max`` or ``average``.

    An average divides by the number of elements inside the tensor, or by the whole window where
    ``counts_padding`` is 1. ``pads`` are top, left, bottom, right.
    """

    name = "nn.pool2d"
    kind = prop_def(StringAttr)
    x = operand_def(TensorType)
    result = result_def(TensorType)
    kernel = prop_def(DenseArrayBase.constr(i64))
    strides = prop_def(DenseArrayBase.constr(i64))
    pads = prop_def(DenseArrayBase.constr(i64))
    dilations = prop_def(DenseArrayBase.constr(i64))
    counts_padding = opt_prop_def(IntegerAttr.constr(type=i64))
    traits = traits_def(Pure())
    assembly_format = (
        "$kind $x `kernel` $kernel `strides` $strides `pads` $pads `dilations` $dilations"
        " (`counts_padding` $counts_padding^)? attr-dict `:` type($x) `->` type($result)"
    )

    def verify_(self) -> None:
        if self.kind.data not in ("max", "average"):
            raise VerifyException(f"kind {self.kind.data!r} is neither max nor average")
        for what, values, length in (
            ("kernel", self.kernel, 2),
            ("strides", self.strides, 2),
            ("pads", self.pads, 4),
            ("dilations", self.dilations, 2),
        ):
            _check_length(what, values.get_values(), length)


@irdl_op_definition
class ReduceOp(IRDLOperation):
    """Reduction over ``axes``, which stay with size 1; kind ``mean``, ``sum``, ``max``, ``min``."""

    name = "nn.reduce"
    kind = prop_def(StringAttr)
    x = operand_def(TensorType)
    result = result_def(TensorType)
    axes = prop_def(DenseArrayBase.constr(i64))
    traits = traits_def(Pure())
    assembly_format = "$kind $x `axes` $axes attr-dict `:` type($x) `->` type($result)"

    def __init__(self, kind: str, x: SSAValue, axes: Sequence[int], result_type: Attribute) -> None:
        super().__init__(
            operands=[x],
            result_types=[result_type],
            properties={"kind": StringAttr(kind), "axes": _integers(axes)},
        )


@irdl_op_definition
class SoftmaxOp(IRDLOperation):
    """exp(x - max) / sum over ``axis``."""

    name = "nn.softmax"
    x = operand_def(TensorType)
    result = result_def(TensorType)
    axis = prop_def(IntegerAttr.constr(type=i64))
    traits = traits_def(Pure())
    assembly_format = "$x `axis` $axis attr-dict `:` type($x) `->` type($result)"

    def __init__(self, x: SSAValue, axis: int) -> None:
        super().__init__(
            operands=[x], result_types=[x.type], properties={"axis": IntegerAttr(axis, i64)}
        )
