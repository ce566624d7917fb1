"""ONNX graph to nn.graph: one pass over the nodes in order, without recursion."""

from collections import deque
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import onnx

from npuc.compiler.context import NpuContext
from npuc.compiler.dialects.element_types import shape_of, tensor_type
from npuc.compiler.dialects.nn import GraphOp, ReturnOp, Scalars
from npuc.compiler.frontend.bind import bound_inputs
from npuc.compiler.frontend.folding import fold, is_foldable
from npuc.compiler.frontend.functions import Pending, expanded, operator_key
from npuc.compiler.frontend.load import Array, Source, initializers, load_model, tensor_array
from npuc.compiler.frontend.node import Node, UnsupportedError, Value, import_function
from npuc.compiler.frontend.order import describe_node, node_name, ordered_nodes
from npuc.compiler.frontend.stated_types import check_stated, stated_types
from npuc.compiler.frontend.unsigned import UNSIGNED_SHIFT, to_signed
from npuc.compiler.frontend.validity import check_node
from npuc.compiler.locations import named
from npuc.compiler.ops.movement import make_constant
from npuc.compiler.ops.scalar_ops import Body
from npuc.compiler.ops.structured import make_elementwise
from npuc.compiler.xdsl_api import Block, ModuleOp, Operation, Region, SSAValue
from npuc.isa.dtypes import DType
from npuc.isa.errors import CompileError, ModelError

_STORABLE = {dtype.numpy for dtype in (DType.i8, DType.i32, DType.i64, DType.f32)}


@dataclass
class Importer:
    """An import in progress: values by ONNX name, the block that grows, what is unsupported."""

    source: Source
    ctx: NpuContext
    block: Block = field(default_factory=Block)
    values: dict[str, Value] = field(default_factory=dict)
    unsupported: list[ModelError] = field(default_factory=list)

    def emit(self, op: Operation, proto: onnx.NodeProto) -> None:
        """Append ``op``, located at ``proto``."""
        op.location = named(node_name(proto))
        self.block.add_op(op)

    def materialise(self, value: Value, node: Node) -> SSAValue:
        """``value`` as an SSA value; uint8 constants are shifted to int8, float64 is narrowed."""
        if value.ssa is not None:
            return value.ssa
        assert value.array is not None
        array = to_signed(value.array)
        if array.dtype == np.bool_:
            array = array.astype(np.int8)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        if array.dtype not in _STORABLE:
            raise node.unsupported("a constant has an unsupported element type", array.dtype)
        return node.emit(make_constant(array, self.ctx.consts))

    def run(self) -> ModuleOp:
        """The whole model. Raises: ModelError, listing every unsupported node at once."""
        graph = self.source.model.graph
        self.values.update((name, Value(array=array)) for name, array in initializers(self.source))
        inputs = [value for value in graph.input if value.name not in self.values]
        names = self._add_inputs(inputs)
        opsets = self.source.opsets
        pending = deque(Pending(proto, opsets) for proto in ordered_nodes(graph, self.values))
        stated = stated_types(graph)
        while pending:
            node = pending.popleft()
            pending.extendleft(reversed(self._import_node(node)))
            check_stated(node.proto, self.values, stated)
        if self.unsupported:
            raise _all_unsupported(self.unsupported, self.source.origin)
        outputs = [self._output(output.name) for output in graph.output]
        self.block.add_op(ReturnOp(outputs))
        result_names = [output.name for output in graph.output]
        op = GraphOp(graph.name or "graph", names, result_names, Region(self.block))
        return ModuleOp([op])

    def _add_inputs(self, inputs: list[onnx.ValueInfoProto]) -> list[str]:
        bound = bound_inputs(inputs, self.ctx.options)
        for value, (name, (dtype, shape)) in zip(inputs, bound.items(), strict=True):
            argument = self.block.insert_arg(tensor_type(dtype, shape), len(self.block.args))
            argument.name_hint = name if name.isidentifier() else None
            is_bool = value.type.tensor_type.elem_type == onnx.TensorProto.BOOL
            is_unsigned = dtype is DType.u8
            ssa: SSAValue = argument
            if is_unsigned:
                ssa = self._shifted(argument, -UNSIGNED_SHIFT, name)
            elif is_bool:
                ssa = self._truth(argument, name)
            self.values[name] = Value(ssa=ssa, is_unsigned=is_unsigned, is_bool=is_bool)
        return [value.name for value in inputs]

    def _output(self, name: str) -> SSAValue:
        value = self.values[name]
        ssa = self.materialise(value, Node(onnx.NodeProto(name=name), self))
        is_unsigned = value.is_unsigned or (
            value.array is not None and value.array.dtype == np.uint8
        )
        return self._shifted(ssa, UNSIGNED_SHIFT, name) if is_unsigned else ssa

    def _shifted(self, value: SSAValue, shift: int, name: str) -> SSAValue:
        """Between ui8 outside and i8 inside the graph."""
        body = Body("i")
        region = body.done(body("addi", body.args[0], body.number(shift)))
        return self._pointwise(value, DType.i8 if shift < 0 else DType.u8, region, name)

    def _truth(self, value: SSAValue, name: str) -> SSAValue:
        """1 where an int8 from outside holds anything but 0."""
        body = Body("i")
        is_zero = body("eqi", body.args[0], body.number(0))
        region = body.done(body("selecti", is_zero, body.number(0), body.number(1)))
        return self._pointwise(value, DType.i8, region, name)

    def _pointwise(self, value: SSAValue, dtype: DType, region: Region, name: str) -> SSAValue:
        made = make_elementwise([value], shape_of(value), dtype, Scalars(region))
        for op in made.ops:
            self.emit(op, onnx.NodeProto(name=name))
        return made.result

    def _import_node(self, pending: Pending) -> list[Pending]:
        """Import a node; where it is a function, the nodes of its body are still to be done."""
        proto = pending.proto
        known = [name for name in proto.input if name]
        if any(name not in self.values for name in known):
            return []  # an input comes from a node that is reported already
        try:
            results = self._results(pending, known)
        except UnsupportedError as error:
            self.unsupported.append(error)
            return []
        except CompileError as error:
            raise ModelError(
                error.what, describe_node(proto), error.given, error.allowed, error.next_step
            ) from error
        if results is None:
            return expanded(pending, self.source.model, self.values) or []
        for name, value in zip(proto.output, results, strict=False):
            if name:
                self.values[name] = value
        return []

    def _results(self, pending: Pending, known: list[str]) -> list[Value] | None:
        """The values of a node; None where a function body stands for it."""
        proto, opsets = pending.proto, pending.opsets
        if proto.op_type == "Constant":
            return [Value(array=_constant_of(proto, self.source))]
        bools = check_node(proto, self.values, opsets)
        arrays = {name: self.values[name].array for name in known}
        constants = {name: array for name, array in arrays.items() if array is not None}
        if len(constants) == len(arrays) and is_foldable(proto):
            folded = iter(fold(proto, constants, opsets))
            return [Value(array=next(folded)) if name else Value() for name in proto.output]
        domain, name = operator_key(proto)
        version = opsets.get(domain, 1)
        function = import_function(domain, name, version)
        if function is None:
            if expanded(pending, self.source.model, self.values) is not None:
                return None
            full_name = f"{domain}.{proto.op_type}" if domain else proto.op_type
            raise UnsupportedError(
                "unsupported operator", describe_node(proto), f"{full_name} of opset {version}"
            )
        results = function(Node(proto, self))
        values = [value if isinstance(value, Value) else Value(ssa=value) for value in results]
        return [
            replace(value, is_bool=value.ssa is not None and name in bools)
            for name, value in zip_longest(proto.output, values)
            if value is not None
        ]


def import_model(source: str | Path | bytes, ctx: NpuContext) -> ModuleOp:
    """The nn module of an ONNX file or of its bytes. Raises: ModelError, UsageError."""
    return Importer(load_model(source), ctx).run()


def _constant_of(proto: onnx.NodeProto, source: Source) -> Array:
    (attribute,) = proto.attribute
    if attribute.name == "value":
        return tensor_array(attribute.t, source)
    value = onnx.helper.get_attribute_value(attribute)
    kinds = {
        "value_int": np.int64,
        "value_ints": np.int64,
        "value_float": np.float32,
        "value_floats": np.float32,
    }
    if attribute.name not in kinds:
        raise UnsupportedError("unsupported kind of constant", describe_node(proto), attribute.name)
    return np.asarray(value, kinds[attribute.name])


def _all_unsupported(errors: list[ModelError], origin: str) -> ModelError:
    lines = [
        f"{error.where}: {error.what}" + (f" ({error.given})" if error.given else "")
        for error in errors
    ]
    return ModelError(
        f"{len(errors)} node{'s' if len(errors) > 1 else ''} of the model cannot be compiled",
        where=origin,
        given="\n           ".join(lines),
        next_step="`npuc ops` lists what is supported; rewrite or remove these nodes",
    )
