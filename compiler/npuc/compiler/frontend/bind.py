"""Static shapes for the graph's inputs: what the model states, what the options bind."""

from collections.abc import Sequence
from math import prod

import onnx

from npuc.compiler.frontend.stated_types import stated_size
from npuc.compiler.options import CompileOptions
from npuc.isa.dtypes import DType
from npuc.isa.errors import ModelError, UsageError

_DTYPES: dict[int, DType] = {
    onnx.TensorProto.FLOAT: DType.f32,
    onnx.TensorProto.INT8: DType.i8,
    onnx.TensorProto.UINT8: DType.u8,
    onnx.TensorProto.INT32: DType.i32,
    onnx.TensorProto.INT64: DType.i64,
    onnx.TensorProto.BOOL: DType.i8,
}
Shape = tuple[int, ...]
MAX_INPUT_BYTES = 1 << 32
"""Above this nothing on this side of the binary is meant to work; mistyped sizes end up here."""


def bound_inputs(
    inputs: Sequence[onnx.ValueInfoProto], options: CompileOptions
) -> dict[str, tuple[DType, Shape]]:
    """Element type and static shape of each input; a bool is held as int8 of 0 and 1.

    Raises: ModelError listing every dimension that is still free, UsageError for options that
    name nothing of this model or contradict it.
    """
    _check_names(inputs, options)
    free: list[str] = []
    bound: dict[str, tuple[DType, Shape]] = {}
    for value in inputs:
        tensor = value.type.tensor_type
        if tensor.elem_type not in _DTYPES:
            raise ModelError(
                "an input has an unsupported element type",
                where=f"input {value.name!r}",
                given=_type_name(value),
                allowed=", ".join(map(onnx.TensorProto.DataType.Name, _DTYPES)),
                next_step="let a Cast node make the other type inside the model",
            )
        shape = _shape(value, options, free)
        _check_size(value.name, shape, _DTYPES[tensor.elem_type])
        bound[value.name] = (_DTYPES[tensor.elem_type], shape)
    if free:
        raise ModelError(
            "the model has free dimensions",
            given="; ".join(free),
            allowed="static shapes",
            next_step="bind them: --dim NAME=SIZE or --shape INPUT=AxBxC",
        )
    return bound


def dimension_names(inputs: Sequence[onnx.ValueInfoProto]) -> set[str]:
    """Names of the symbolic dimensions of the inputs."""
    return {d.dim_param for v in inputs for d in v.type.tensor_type.shape.dim if d.dim_param}


def _check_names(inputs: Sequence[onnx.ValueInfoProto], options: CompileOptions) -> None:
    names, dims = {value.name for value in inputs}, dimension_names(inputs)
    for what, given, known in (
        ("--dim names no dimension of this model", set(options.dims), dims),
        ("--shape names no input of this model", set(options.shapes), names),
    ):
        if given - known:
            raise UsageError(
                what,
                given=", ".join(sorted(given - known)),
                allowed=", ".join(sorted(known)) or "none: all shapes are static",
            )


def _shape(value: onnx.ValueInfoProto, options: CompileOptions, free: list[str]) -> Shape:
    tensor = value.type.tensor_type
    given = options.shapes.get(value.name)
    if not tensor.HasField("shape"):
        if given is None:
            free.append(f"input {value.name!r} has no shape")
        return given or ()
    stated = [_size(dim, options) for dim in tensor.shape.dim]
    if given is not None:
        _check_agreement(value.name, given, stated)
        return given
    for axis, (dim, size) in enumerate(zip(tensor.shape.dim, stated, strict=True)):
        if size is None:
            free.append(f"{dim.dim_param or 'unnamed'!r} (axis {axis} of input {value.name!r})")
        elif size < 1:
            raise ModelError(
                "an input has an empty dimension",
                where=f"input {value.name!r}",
                given=f"{size} on axis {axis}",
                allowed="sizes of at least 1",
            )
    return tuple(size or 1 for size in stated)


def _check_size(name: str, shape: Shape, dtype: DType) -> None:
    n_bytes = prod(shape) * dtype.bytes
    if n_bytes > MAX_INPUT_BYTES:
        raise ModelError(
            "an input is too large",
            where=f"input {name!r}",
            given=f"{'x'.join(map(str, shape))} {dtype.name}, {n_bytes} bytes",
            allowed=f"at most {MAX_INPUT_BYTES} bytes",
            next_step="bind smaller sizes: --dim NAME=SIZE or --shape INPUT=AxBxC",
        )


def _size(dim: onnx.TensorShapeProto.Dimension, options: CompileOptions) -> int | None:
    size = stated_size(dim)
    return options.dims.get(dim.dim_param) if size is None else size


def _check_agreement(name: str, given: Shape, stated: Sequence[int | None]) -> None:
    agrees = len(given) == len(stated) and all(
        size in (None, wanted) for size, wanted in zip(stated, given, strict=True)
    )
    if not agrees:
        allowed = "x".join("?" if size is None else str(size) for size in stated)
        raise UsageError(
            "--shape contradicts the model",
            where=f"input {name!r}",
            given="x".join(map(str, given)),
            allowed=allowed,
        )


def _type_name(value: onnx.ValueInfoProto) -> str:
    if not value.type.HasField("tensor_type"):
        return str(value.type.WhichOneof("value"))
    return str(onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type))
