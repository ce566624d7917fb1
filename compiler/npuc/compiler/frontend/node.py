"""What an import function sees of an ONNX node, and the table of import functions.

A function is registered for an operator and a range of opsets; it gets a ``Node``, emits nn
operations and returns the values of the node's outputs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

import numpy as np
import onnx
from onnx import helper

from npuc.compiler.context import NpuContext
from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.nn import ConstantOp, DequantizeOp
from npuc.compiler.frontend.load import Array
from npuc.compiler.frontend.order import describe_node
from npuc.compiler.ops import reference
from npuc.compiler.ops.structured import Made
from npuc.compiler.xdsl_api import IRDLOperation, Operation, SSAValue
from npuc.isa.dtypes import DType
from npuc.isa.errors import ModelError

T = TypeVar("T")
MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class Value:
    """An ONNX value: a constant array, or an SSA value.

    ONNX's uint8 tensors are held as int8, each element less 128: ``is_unsigned`` says so; bool ones
    as int8 of 0 and 1: ``is_bool``.
    """

    ssa: SSAValue | None = None
    array: Array | None = None
    is_unsigned: bool = False
    is_bool: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The static shape."""
        if self.array is not None:
            return self.array.shape
        assert self.ssa is not None
        return shape_of(self.ssa)


class UnsupportedError(ModelError):
    """A node that npuc cannot compile, with the reason; the importer collects them."""


class ImportSession(Protocol):
    """What import functions use of the import in progress."""

    ctx: NpuContext
    values: dict[str, Value]

    def emit(self, op: Operation, proto: onnx.NodeProto) -> None:
        """Append ``op``, located at ``proto``."""
        ...

    def materialise(self, value: Value, node: "Node") -> SSAValue:
        """``value`` as an SSA value."""
        ...


Result = Sequence[SSAValue | Value]
ImportFunction = Callable[["Node"], Result]


@dataclass(frozen=True)
class Registration:
    """An import function and the opsets, ends included, for which it stands."""

    since: int
    until: int
    function: ImportFunction


TABLE: dict[tuple[str, str], list[Registration]] = {}


def onnx_operator(
    op_type: str, *, since: int = 1, until: int = 1 << 30, domain: str = ""
) -> Callable[[ImportFunction], ImportFunction]:
    """Register the decorated function for ``op_type`` in opsets since..until of ``domain``."""

    def register(function: ImportFunction) -> ImportFunction:
        TABLE.setdefault((domain, op_type), []).append(Registration(since, until, function))
        return function

    return register


def import_function(domain: str, op_type: str, version: int) -> ImportFunction | None:
    """The function for an operator at an opset version, or None."""
    for entry in TABLE.get((domain, op_type), []):
        if entry.since <= version <= entry.until:
            return entry.function
    return None


@dataclass(frozen=True)
class Node:
    """One ONNX node during its import."""

    proto: onnx.NodeProto
    importer: ImportSession

    def unsupported(self, reason: str, given: object = "", allowed: str = "") -> UnsupportedError:
        """The error to raise for what npuc does not do, with the reason."""
        return UnsupportedError(
            reason, where=describe_node(self.proto), given=str(given), allowed=allowed
        )

    def has(self, index: int) -> bool:
        """Whether input ``index`` is given."""
        return index < len(self.proto.input) and bool(self.proto.input[index])

    def uses_output(self, index: int) -> bool:
        """Whether output ``index`` is named."""
        return index < len(self.proto.output) and bool(self.proto.output[index])

    def value(self, index: int) -> Value:
        """Input ``index``. Raises: ModelError when it is absent."""
        if not self.has(index):
            raise ModelError(
                "a required input is missing",
                where=describe_node(self.proto),
                given=f"input {index}",
                next_step="export the model again",
            )
        return self.importer.values[self.proto.input[index]]

    def tensor(self, index: int) -> SSAValue:
        """Input ``index`` as an SSA value; a constant becomes nn.constant."""
        return self.importer.materialise(self.value(index), self)

    def floats(self, index: int) -> SSAValue:
        """Input ``index`` as a float32 SSA value. Raises: UnsupportedError for other types."""
        value = self.tensor(index)
        if dtype_of(value) is not DType.f32:
            raise self.unsupported(
                "the operator is supported on float32 only", dtype_of(value).name, "f32"
            )
        return value

    def constant(self, index: int) -> Array:
        """Input ``index`` as an array, dequantised where it is quantised.

        Raises: UnsupportedError when it is not constant.
        """
        value = self.value(index)
        array = self._dequantised(value.ssa) if value.array is None else value.array
        if array is None:
            raise self.unsupported("this input must be constant", self.proto.input[index])
        return array

    def _dequantised(self, value: SSAValue | None) -> Array | None:
        """The values of a dequantised constant: quantisation stays visible in the IR."""
        op = value.owner if value is not None else None
        if not isinstance(op, DequantizeOp) or not isinstance(op.x.owner, ConstantOp):
            return None
        consts = self.importer.ctx.consts
        return reference(op, [consts.get(op.x.owner.key.data)], consts)[0]

    def constant_or(self, index: int, default: T) -> Array | T:
        """Input ``index`` as an array, or ``default`` where it is absent."""
        return self.constant(index) if self.has(index) else default

    def attribute(self, name: str, default: T) -> T:
        """An attribute, or ``default``; bytes are given as text."""
        for attribute in self.proto.attribute:
            if attribute.name == name:
                value = helper.get_attribute_value(attribute)
                given = value.decode() if isinstance(value, bytes) else value
                return cast(T, given)
        return default

    def integers(self, name: str, default: Sequence[int]) -> list[int]:
        """An attribute that lists integers."""
        return [int(number) for number in self.attribute(name, list(default))]

    def emit(self, op: IRDLOperation) -> SSAValue:
        """Append ``op`` at the node's location; its first result."""
        self.importer.emit(op, self.proto)
        return op.results[0]

    def emit_made(self, made: Made) -> SSAValue:
        """Append what a builder made."""
        for op in made.ops:
            self.importer.emit(op, self.proto)
        return made.result

    def constant_tensor(self, array: Array) -> SSAValue:
        """A constant of this node's own."""
        return self.importer.materialise(Value(array=np.asarray(array)), self)
