"""The value of a graph at any nn stage, in machine numerics: what the emulator must reproduce.

Results are memoised by operation and operand content, so that after a pass only what it changed is
evaluated anew.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from npuc.compiler.analysis.fingerprint import fingerprint
from npuc.compiler.consts import ConstStore
from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.nn import GraphOp, GroupOp, ReshapeOp, ReturnOp, YieldOp
from npuc.compiler.ops import reference
from npuc.compiler.ops.interface import Array
from npuc.compiler.xdsl_api import Block, ModuleOp, Operation, SSAValue
from npuc.isa.errors import CompileError, InputError

Key = tuple[str, ...]


@dataclass
class Memo:
    """Results by operation and operands; one may serve many evaluations."""

    results: dict[Key, tuple[Array, ...]] = field(default_factory=dict)
    hits: int = 0


def evaluate(
    module: ModuleOp, inputs: Mapping[str, Array], consts: ConstStore, memo: Memo | None = None
) -> dict[str, Array]:
    """The outputs of the graph in ``module`` by name, for ``inputs`` by name.

    Raises: InputError for an input of wrong name, shape or element type.
    """
    graph = graph_of(module)
    arguments = [checked_input(name, value, inputs) for name, value in graph.inputs.items()]
    _check_names(graph, inputs)
    evaluation = _Evaluation(consts, memo or Memo())
    values = evaluation.run(graph.block, arguments)
    return dict(zip([name.data for name in graph.result_names], values, strict=True))


def group_values(
    module: ModuleOp, inputs: Mapping[str, Array], consts: ConstStore, memo: Memo | None = None
) -> dict[str, Array]:
    """The result of every group of the graph by the name that its DRAM tensor gets, in order.

    Raises: as ``evaluate``.
    """
    graph = graph_of(module)
    arguments = [checked_input(name, value, inputs) for name, value in graph.inputs.items()]
    values = _Evaluation(consts, memo or Memo()).values(graph.block, arguments)
    names = {base_of(value): name for name, value in graph.outputs.items()}
    groups = [op for op in graph.block.ops if isinstance(op, GroupOp)]
    return {
        names.get(result) or result.name_hint or group.group_name.data: values[result]
        for group in groups
        for result in group.outputs
    }


def base_of(value: SSAValue) -> SSAValue:
    """The tensor whose bytes ``value`` shows: reshapes move nothing."""
    while isinstance(value.owner, ReshapeOp):
        value = value.owner.x
    return value


def graph_of(module: ModuleOp) -> GraphOp:
    """The one graph of an nn module. Raises: CompileError for a module of another form."""
    graphs = [op for op in module.body.block.ops if isinstance(op, GraphOp)]
    if len(graphs) != 1:
        raise CompileError(
            "the module has another form than passes and values of the nn level need",
            given=f"{len(graphs)} operations nn.graph",
            allowed="one nn.graph",
            next_step="give IR of the stages import to partition",
        )
    return graphs[0]


def checked_input(name: str, value: SSAValue, inputs: Mapping[str, Array]) -> Array:
    """The array given for input ``name``. Raises: InputError unless it suits ``value``."""
    shape, dtype = shape_of(value), dtype_of(value).numpy
    if name not in inputs:
        raise InputError(
            "an input is missing",
            where=name,
            given=", ".join(inputs) or "none",
            allowed=f"{dtype} {list(shape)}",
            next_step=f"give an array named {name}",
        )
    array = np.asarray(inputs[name])
    if array.shape != shape or array.dtype != dtype:
        raise InputError(
            "an input has the wrong shape or element type",
            where=name,
            given=f"{array.dtype} {list(array.shape)}",
            allowed=f"{dtype} {list(shape)}",
        )
    return array


def _check_names(graph: GraphOp, inputs: Mapping[str, Array]) -> None:
    unknown = set(inputs) - set(graph.inputs)
    if unknown:
        raise InputError(
            "the model has no such input",
            given=", ".join(sorted(unknown)),
            allowed=", ".join(graph.inputs),
        )


@dataclass
class _Evaluation:
    """One run: values of the block in progress, and the shared memo."""

    consts: ConstStore
    memo: Memo
    digests: dict[int, tuple[Array, str]] = field(default_factory=dict)

    def run(self, block: Block, arguments: Sequence[Array]) -> list[Array]:
        """The operands of the terminator of ``block``."""
        values, end = self.values(block, arguments), block.last_op
        assert isinstance(end, ReturnOp | YieldOp), "a verified block ends in a terminator"
        return [values[value] for value in end.values]

    def values(self, block: Block, arguments: Sequence[Array]) -> dict[SSAValue, Array]:
        """Every value of ``block`` outside the groups in it."""
        values: dict[SSAValue, Array] = dict(zip(block.args, arguments, strict=True))
        for op in block.ops:
            if isinstance(op, ReturnOp | YieldOp):
                break
            results = self._memoised(op, [values[value] for value in op.operands])
            values.update(zip(op.results, results, strict=True))
        return values

    def _memoised(self, op: Operation, operands: list[Array]) -> tuple[Array, ...]:
        if isinstance(op, GroupOp):
            return tuple(self.run(op.block, operands))
        key = (fingerprint(op), *(self._digest(operand) for operand in operands))
        if key in self.memo.results:
            self.memo.hits += 1
            return self.memo.results[key]
        results = reference(op, operands, self.consts)
        self.memo.results[key] = results
        return results

    def _digest(self, array: Array) -> str:
        known = self.digests.get(id(array))
        if known is None:
            text = f"{array.dtype.name}{array.shape}".encode()
            content = hashlib.sha256(text + np.ascontiguousarray(array).tobytes()).hexdigest()
            known = self.digests[id(array)] = (array, content)
        return known[1]
