"""Operators that are functions of others: bodies of the model, and those of the onnx package.

A node without an import function is replaced by the nodes of its body, in place and without
recursion; the names inside are prefixed by the node's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import onnx
from onnx import defs, helper

from npuc.compiler.dialects.element_types import dtype_of
from npuc.compiler.frontend.node import Value
from npuc.compiler.frontend.order import describe_node, node_name
from npuc.isa.dtypes import DType
from npuc.isa.errors import ModelError

# Functions may not call themselves; a chain longer than this does.
MAX_DEPTH = 32
Opsets = Mapping[str, int]


class _FunctionSchema(Protocol):
    """What onnx's compiled schemas offer beyond their stubs."""

    has_function: bool
    has_context_dependent_function: bool
    function_opset_versions: list[int]
    context_dependent_function_opset_versions: list[int]

    def get_function_with_opset_version(self, version: int) -> bytes: ...

    def get_context_dependent_function_with_opset_version(
        self, version: int, node: bytes, types: list[bytes]
    ) -> bytes: ...


@dataclass(frozen=True)
class Pending:
    """A node to import, the opsets that it is written in, and how deep in functions it stands."""

    proto: onnx.NodeProto
    opsets: Opsets
    depth: int = 0


def operator_key(proto: onnx.NodeProto) -> tuple[str, str]:
    """Domain (the standard one is '') and name of an operator."""
    return ("" if proto.domain == "ai.onnx" else proto.domain, proto.op_type)


def expanded(
    pending: Pending, model: onnx.ModelProto, values: Mapping[str, Value]
) -> list[Pending] | None:
    """The body of a node that is a function, or None. Raises: ModelError for endless functions."""
    body = _of_model(pending.proto, model) or _of_onnx(pending, values)
    if body is None:
        return None
    if pending.depth >= MAX_DEPTH:
        raise ModelError(
            "a function of the model calls itself",
            where=describe_node(pending.proto),
            next_step="export the model again",
        )
    opsets = {"" if o.domain == "ai.onnx" else o.domain: o.version for o in body.opset_import}
    merged = {**pending.opsets, **opsets}
    nodes = _renamed(pending.proto, body)
    return [Pending(node, merged, pending.depth + 1) for node in nodes]


def _of_model(proto: onnx.NodeProto, model: onnx.ModelProto) -> onnx.FunctionProto | None:
    wanted = (proto.domain, proto.op_type)
    return next((f for f in model.functions if (f.domain, f.name) == wanted), None)


def _of_onnx(pending: Pending, values: Mapping[str, Value]) -> onnx.FunctionProto | None:
    domain, name = operator_key(pending.proto)
    version = pending.opsets.get(domain, 1)
    if not defs.has(name, version, domain):
        return None
    schema = cast(_FunctionSchema, defs.get_schema(name, version, domain))
    data = b""
    if schema.has_function:
        known = [v for v in schema.function_opset_versions if v <= version]
        data = schema.get_function_with_opset_version(max(known)) if known else b""
    elif schema.has_context_dependent_function:
        known = [v for v in schema.context_dependent_function_opset_versions if v <= version]
        types = [_type_of(values[n]).SerializeToString() for n in pending.proto.input if n]
        text = pending.proto.SerializeToString()
        if known:
            data = schema.get_context_dependent_function_with_opset_version(max(known), text, types)
    if not data:
        return None
    body = onnx.FunctionProto()
    body.ParseFromString(data)
    return body


def _type_of(value: Value) -> onnx.TypeProto:
    if value.array is not None:
        dtype = value.array.dtype
    else:
        assert value.ssa is not None
        dtype = (DType.u8 if value.is_unsigned else dtype_of(value.ssa)).numpy
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(dtype), value.shape)


def _renamed(proto: onnx.NodeProto, body: onnx.FunctionProto) -> list[onnx.NodeProto]:
    """The nodes of ``body`` with the names and attributes of the call ``proto``."""
    outer = node_name(proto)
    names = {"": ""}
    names.update(_paired(body.input, proto.input))
    names.update((k, v) for k, v in _paired(body.output, proto.output).items() if v)
    given = {attribute.name: attribute for attribute in body.attribute_proto}
    given.update(_defaults(proto))
    given.update((attribute.name, attribute) for attribute in proto.attribute)
    nodes = []
    for node in body.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = outer
        for field in (copy.input, copy.output):
            field[:] = [names.get(name, f"{outer}/{name}") for name in field]
        _bind_attributes(copy, given)
        nodes.append(copy)
    return nodes


def _paired(formal: Sequence[str], actual: Sequence[str]) -> dict[str, str]:
    padded = [*actual, *[""] * (len(formal) - len(actual))]
    return dict(zip(formal, padded, strict=False))


def _defaults(proto: onnx.NodeProto) -> dict[str, onnx.AttributeProto]:
    domain, name = operator_key(proto)
    if not defs.has(name, domain):
        return {}
    attributes = defs.get_schema(name, domain).attributes
    return {n: a.default_value for n, a in attributes.items() if a.default_value.name}


def _bind_attributes(node: onnx.NodeProto, given: Mapping[str, onnx.AttributeProto]) -> None:
    """Replace references to the function's attributes; those without a value are left out."""
    bound = []
    for attribute in node.attribute:
        source = attribute
        if attribute.ref_attr_name:
            if attribute.ref_attr_name not in given:
                continue
            source = onnx.AttributeProto()
            source.CopyFrom(given[attribute.ref_attr_name])
            source.name = attribute.name
        bound.append(source)
    copies = [onnx.AttributeProto.FromString(a.SerializeToString()) for a in bound]
    del node.attribute[:]
    node.attribute.extend(copies)
