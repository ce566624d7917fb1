"""Reading an ONNX model: bytes to protobuf, tensors to arrays, external data from its folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # no stubs
from onnx import numpy_helper
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from npuc.isa.errors import ModelError

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Source:
    """A parsed model, what to call it in messages, and the folder of its external data."""

    model: onnx.ModelProto
    origin: str
    folder: Path | None

    @property
    def opsets(self) -> dict[str, int]:
        """Opset version by domain; the standard domain is ''."""
        return {
            "" if o.domain == "ai.onnx" else o.domain: o.version for o in self.model.opset_import
        }


def load_model(source: str | Path | bytes) -> Source:
    """The model in a file or in bytes.

    Raises: ModelError for what is missing, empty, truncated or no ONNX model.
    """
    if isinstance(source, bytes):
        return Source(_parse(source, "the given bytes"), "the given bytes", None)
    path = Path(source)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(
            "the model cannot be read",
            where=str(path),
            given=str(error.strerror),
            next_step="give the path of an ONNX file",
        ) from error
    return Source(_parse(data, str(path)), str(path), path.resolve().parent)


def _parse(data: bytes, origin: str) -> onnx.ModelProto:
    if not data:
        raise ModelError(
            "the model is empty",
            where=origin,
            given="0 bytes",
            next_step="export or download the model again",
        )
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(
            "this is no ONNX model, or a truncated one",
            where=origin,
            given=f"{len(data)} bytes that do not decode as a model",
            allowed="a protobuf of onnx.ModelProto",
            next_step="check the file's size against its source; export it again",
        ) from error
    if not _has_readable_names(model.graph):
        raise ModelError(
            "the model has a name that is not UTF-8 text",
            where=origin,
            next_step="check the file's size against its source; export it again",
        )
    if not model.HasField("graph") or not model.opset_import:
        raise ModelError(
            "this is no ONNX model, or a truncated one",
            where=origin,
            given="a protobuf without graph or opset",
            allowed="a protobuf of onnx.ModelProto",
            next_step="check the file's size against its source; export it again",
        )
    _check_opsets(model, origin)
    return model


def _check_opsets(model: onnx.ModelProto, origin: str) -> None:
    newest = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and not 1 <= opset.version <= newest:
            raise ModelError(
                "the model's opset is not known",
                where=origin,
                given=str(opset.version),
                allowed=f"1 to {newest}, the newest of the installed onnx",
                next_step="upgrade the onnx package, or export for an older opset",
            )


def _has_readable_names(graph: onnx.GraphProto) -> bool:
    """Whether all names are text: protobuf hands others out as bytes."""
    named = (graph, *graph.node, *graph.input, *graph.output, *graph.initializer)
    wires = (wire for node in graph.node for wire in (*node.input, *node.output, node.op_type))
    return all(isinstance(name, str) for name in (*(n.name for n in named), *wires))


def initializers(source: Source) -> Iterator[tuple[str, Array]]:
    """Name and array of each initializer."""
    if source.model.graph.sparse_initializer:
        raise ModelError(
            "sparse initializers are not supported",
            where=source.origin,
            next_step="store these tensors densely",
        )
    for tensor in source.model.graph.initializer:
        yield tensor.name, tensor_array(tensor, source)


def tensor_array(tensor: onnx.TensorProto, source: Source) -> Array:
    """The array of a tensor, inline or external. Raises: ModelError where it cannot be had."""
    if uses_external_data(tensor):
        return _external_array(tensor, source)
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            "a tensor's data does not suit its shape or type",
            where=_where(tensor, source),
            given=str(error),
            next_step="export the model again",
        ) from error


def _external_array(tensor: onnx.TensorProto, source: Source) -> Array:
    info, where = ExternalDataInfo(tensor), _where(tensor, source)
    if source.folder is None:
        raise ModelError(
            "a model given as bytes has no folder for external data",
            where=where,
            given=info.location,
            next_step="give the path of the model file",
        )
    path = (source.folder / info.location).resolve()
    if not path.is_relative_to(source.folder) or Path(info.location).is_absolute():
        raise ModelError(
            "external data leaves the model's folder",
            where=where,
            given=info.location,
            allowed=f"a path inside {source.folder}",
            next_step="move the data file beside the model",
        )
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    count = int(np.prod(tensor.dims, dtype=np.int64))
    offset = info.offset or 0
    n_bytes = count * dtype.itemsize
    available = path.stat().st_size - offset if path.is_file() else -1
    if available < n_bytes or info.length not in (None, n_bytes):
        raise ModelError(
            "external data is missing or too short",
            where=where,
            given=f"{path.name}: {max(available, 0)} bytes from offset {offset}",
            allowed=f"{n_bytes} bytes",
            next_step="copy the data file again",
        )
    if count == 0:
        return np.zeros(tuple(tensor.dims), dtype)
    return np.memmap(path, dtype, "r", offset, tuple(tensor.dims))


def _where(tensor: onnx.TensorProto, source: Source) -> str:
    return f"tensor {tensor.name!r} of {source.origin}"
