"""Between IR types and element types: signless integers are signed, ``ui8`` is unsigned."""

from collections.abc import Iterable
from functools import lru_cache

from npuc.compiler.shared_attributes import KEPT
from npuc.compiler.xdsl_api import (
    Attribute,
    Float32Type,
    IntegerType,
    Signedness,
    SSAValue,
    TensorType,
    bf16,
    f16,
    f32,
    i8,
    i16,
    i32,
    i64,
)
from npuc.isa.dtypes import DType

ELEMENT_TYPES: dict[DType, Attribute] = {
    DType.i8: i8,
    DType.u8: IntegerType(8, Signedness.UNSIGNED),
    DType.i16: i16,
    DType.u16: IntegerType(16, Signedness.UNSIGNED),
    DType.i32: i32,
    DType.i64: i64,
    DType.f32: f32,
    DType.bf16: bf16,
    DType.f16: f16,
}
_DTYPES = {attribute: dtype for dtype, attribute in ELEMENT_TYPES.items()}


def tensor_type(dtype: DType, shape: Iterable[int]) -> TensorType[Attribute]:
    """The ranked tensor type of static ``shape``; equal ones are mostly one object."""
    return _tensor_type(dtype, tuple(shape))


@lru_cache(maxsize=KEPT)
def _tensor_type(dtype: DType, shape: tuple[int, ...]) -> TensorType[Attribute]:
    return TensorType(ELEMENT_TYPES[dtype], shape)


def has_known_dtype(attribute: Attribute) -> bool:
    """Whether ``attribute`` is an element type of ours."""
    return attribute in _DTYPES


def element_dtype(attribute: Attribute) -> DType:
    """The element type that an IR type such as ``i8`` stands for."""
    return _DTYPES[attribute]


def tensor_of(value: SSAValue) -> TensorType[Attribute]:
    """The tensor type of ``value``."""
    assert isinstance(value.type, TensorType), f"{value} is no tensor"
    return value.type


def shape_of(value: SSAValue) -> tuple[int, ...]:
    """The static shape of a tensor value."""
    return tensor_of(value).get_shape()


def dtype_of(value: SSAValue) -> DType:
    """The element type of a tensor value."""
    return element_dtype(tensor_of(value).element_type)


def is_float_scalar(attribute: Attribute) -> bool:
    """Whether a scalar of this type lives in the float32 domain."""
    return isinstance(attribute, Float32Type)
