"""Is a node what ONNX's own definition of its operator allows? Asked before it is imported.

Import functions read only what they need; attributes that are unknown, axes out of range and
shapes that do not go together are found here, by the definitions of the onnx package.
"""

from collections.abc import Mapping

import onnx
from onnx import defs, helper, numpy_helper, shape_inference

from npuc.compiler.dialects.element_types import dtype_of
from npuc.compiler.frontend.node import Value
from npuc.compiler.frontend.order import describe_node
from npuc.isa.dtypes import DType
from npuc.isa.errors import ModelError

_LARGEST_SHOWN_DATA = 64  # elements: shapes and axes are shown to ONNX's rules, weights are not


def check_node(
    proto: onnx.NodeProto, values: Mapping[str, Value], opsets: Mapping[str, int]
) -> frozenset[str]:
    """Pass a node that suits its operator's definition, or one that onnx does not define.

    Returns the names of its outputs that are bool: the nn dialect does not tell them from int8.
    Raises: ModelError naming the node, and the attribute or what ONNX's rules say against it.
    """
    schema = _schema(proto, opsets)
    if schema is None:
        return frozenset()
    _check_attributes(proto, schema)
    named = {name: values[name] for name in proto.input if name}
    types = {name: _type_of(value) for name, value in named.items()}
    data = {
        name: numpy_helper.from_array(value.array, name)
        for name, value in named.items()
        if value.array is not None and value.array.size <= _LARGEST_SHOWN_DATA
    }
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    try:
        made = shape_inference.infer_node_outputs(schema, proto, types, data, opset_imports=imports)
    except (shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise _invalid(
            "the node breaks the rules of its operator", proto, " ".join(str(error).split())
        ) from error

    is_bool = onnx.TensorProto.BOOL
    return frozenset(name for name, t in made.items() if t.tensor_type.elem_type == is_bool)


_ATTRIBUTE_TYPES = dict(onnx.AttributeProto.AttributeType.items())


def _schema(proto: onnx.NodeProto, opsets: Mapping[str, int]) -> defs.OpSchema | None:
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    version = opsets.get(domain, 1)
    if not defs.has(proto.op_type, version, domain):
        return None
    return defs.get_schema(proto.op_type, version, domain)


def _check_attributes(proto: onnx.NodeProto, schema: defs.OpSchema) -> None:
    for attribute in proto.attribute:
        known = schema.attributes.get(attribute.name)
        if known is None:
            allowed = ", ".join(sorted(schema.attributes)) or "none"
            raise _invalid("unknown attribute", proto, attribute.name, allowed)
        wanted = _ATTRIBUTE_TYPES[str(known.type).rpartition(".")[2]]
        if attribute.type != wanted:
            given, allowed = map(onnx.AttributeProto.AttributeType.Name, (attribute.type, wanted))
            raise _invalid("wrong type of attribute", proto, f"{attribute.name}: {given}", allowed)


def _invalid(what: str, proto: onnx.NodeProto, given: str, allowed: str = "") -> ModelError:
    return ModelError(what, describe_node(proto), given, allowed, "export the model again")


def _type_of(value: Value) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(element_type(value), value.shape)


def element_type(value: Value) -> int:
    """The ONNX element type of ``value``; the import holds uint8 and bool as int8."""
    if value.array is not None:
        return int(helper.np_dtype_to_tensor_dtype(value.array.dtype))
    assert value.ssa is not None
    if value.is_bool:
        return int(onnx.TensorProto.BOOL)
    dtype = DType.u8 if value.is_unsigned else dtype_of(value.ssa)
    return int(helper.np_dtype_to_tensor_dtype(dtype.numpy))
