"""narrow-floats: with precision bf16 or fp16, which float tensors have 16 bits.

Work stays in float32; what changes is the element type of tensors, and with it the value that
their readers get. Decided here, from the graph alone, so that no later pass, level, tiling or
target has a say:

- Operands of contractions are narrow, constants too: the mxu then runs at its 16-bit rate.
- A tensor between two operations is narrow unless one vector kernel can make and read it (it is
  then float32, and never stored where the operations are fused).
- Float32 stay: inputs and outputs of the model, other constants, results of reductions that are
  much smaller than what they reduce (means, maxima, sums), and tensors beside integers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from npuc.compiler.analysis.families import VIEWS, Family, families_of
from npuc.compiler.context import NpuContext, npu_context
from npuc.compiler.dialects.element_types import dtype_of, shape_of, tensor_type
from npuc.compiler.dialects.nn import (
    ConstantOp,
    Conv2dOp,
    GenericOp,
    GraphOp,
    MatmulOp,
    ReturnOp,
)
from npuc.compiler.interpreter import graph_of
from npuc.compiler.locations import named, node_names
from npuc.compiler.ops.movement import make_constant
from npuc.compiler.ops.structured import make_copy
from npuc.compiler.options import PRECISIONS
from npuc.compiler.passes.form_groups import is_epilogue_of
from npuc.compiler.passes.generic_parts import element_count, point_count
from npuc.compiler.xdsl_api import (
    BlockArgument,
    Context,
    ModuleOp,
    ModulePass,
    Operation,
    Rewriter,
    SSAValue,
)
from npuc.isa.dtypes import DType
from npuc.isa.errors import CompileError
from npuc.isa.numerics.convert import load_as_f32, store_convert

# A reduction to at most one sixteenth is a statistic: its traffic is small, its error spreads.
STATISTIC_SHARE = 16
# How a tensor comes about, in the order in which an elementwise reader takes one into its kernel.
LIGHT, REDUCED, CONTRACTED = range(3)


@dataclass
class _Choice:
    """Decides which families of a graph are narrow."""

    families: dict[SSAValue, Family]
    kinds: dict[SSAValue, int] = field(default_factory=dict)
    kept: set[SSAValue] = field(default_factory=set)

    def narrow(self, graph: GraphOp) -> list[Family]:
        """The narrow families, in program order."""
        for op in graph.block.ops:
            self._visit(op)
        distinct = {id(family): family for family in self.families.values()}
        return [family for family in distinct.values() if self._is_narrow(family)]

    def _visit(self, op: Operation) -> None:
        """Note the operands that ``op`` takes into its kernel, and the kind of its result."""
        if isinstance(op, Conv2dOp | MatmulOp):
            self.kinds[op.result] = CONTRACTED
        if not isinstance(op, GenericOp):
            return
        taken = [value for value in dict.fromkeys(op.inputs) if self._may_pass(value, op)]
        kinds = [self.kinds.get(value, LIGHT) for value in taken]
        heaviest = max(kinds, default=LIGHT)
        if heaviest > LIGHT:
            first = kinds.index(heaviest)
            taken = [
                v for i, v in enumerate(taken) if i == first or self.kinds.get(v, LIGHT) == LIGHT
            ]
        self.kept.update(taken)
        self.kinds[op.result] = REDUCED if op.reduction_name and not heaviest else heaviest

    def _may_pass(self, value: SSAValue, op: GenericOp) -> bool:
        """Whether one kernel can make ``value`` and go on as ``op``, its only reader."""
        family, producer = self.families[value], value.owner
        if len(family.values) > 1 or len(family.readers) > 1 or op.fills is not None:
            return False
        if element_count(value) != point_count(op):
            return False
        if op.reduction_name is not None:
            return isinstance(producer, GenericOp) and not self.kinds.get(value, LIGHT)
        if isinstance(producer, Conv2dOp | MatmulOp):
            return is_epilogue_of(producer, op)
        return isinstance(producer, GenericOp)

    def _is_narrow(self, family: Family) -> bool:
        if dtype_of(family.values[0]) is not DType.f32:
            return False
        if any(isinstance(reader, Conv2dOp | MatmulOp) for reader in family.readers):
            return True
        made = list(family.made)
        if all(isinstance(v, BlockArgument) or isinstance(v.owner, ConstantOp) for v in made):
            return False
        is_only_output = all(isinstance(reader, ReturnOp) for reader in family.readers)
        if is_only_output or all(map(_is_statistic, made)) or _is_beside_integers(family):
            return False
        return family.has_views or len(family.readers) > 1 or family.values[0] not in self.kept


def _is_statistic(value: SSAValue) -> bool:
    op = value.owner
    if not isinstance(op, GenericOp) or op.reduction_name is None:
        return False
    return element_count(value) * STATISTIC_SHARE <= max(map(element_count, op.inputs))


def _is_beside_integers(family: Family) -> bool:
    """Whether work of the family reads integers or makes them: quantised parts of a model."""
    makers = [v.owner for v in family.made if isinstance(v.owner, GenericOp)]
    beside = [v for maker in makers for v in maker.inputs]
    beside += [result for reader in family.readers for result in reader.results]
    return any(not dtype_of(value).is_float for value in beside)


@dataclass
class _Narrowing:
    """Gives families of a graph the element type ``dtype``."""

    ctx: NpuContext
    graph: GraphOp
    dtype: DType
    source: str

    def apply(self, families: list[Family]) -> None:
        """All of ``families``; outputs stay float32."""
        for family in families:
            for value in family.values:
                self._narrow(value)
        last = self.graph.block.last_op
        assert isinstance(last, ReturnOp)
        names = self.graph.result_names.data
        for position, value in enumerate(last.values):
            if dtype_of(value) is self.dtype:
                copy = self._copy(value, DType.f32, last, names[position].data)
                last.operands[position] = copy

    def _narrow(self, value: SSAValue) -> None:
        owner = value.owner
        if isinstance(owner, ConstantOp):
            array = self.ctx.consts.get(owner.key.data)
            narrow = store_convert(load_as_f32(array), self.dtype.numpy)
            constant = make_constant(narrow, self.ctx.consts)
            constant.location = owner.location
            Rewriter.replace_op(owner, constant)
        elif isinstance(owner, (GenericOp, *VIEWS)):
            Rewriter.replace_value_with_new_type(value, tensor_type(self.dtype, shape_of(value)))
        else:
            self._narrow_copy(value)

    def _narrow_copy(self, value: SSAValue) -> None:
        """A copy for an argument or an accumulator, which the machine gives in float32."""
        uses = [use for use in value.uses if not isinstance(use.operation, ReturnOp)]
        first = self.graph.block.first_op
        owner = value.owner
        anchor = owner.next_op if isinstance(owner, Operation) else first
        assert anchor is not None, "a graph ends in nn.return"
        copy = self._copy(value, self.dtype, anchor, value.name_hint or "")
        for use in uses:
            use.operation.operands[use.index] = copy

    def _copy(self, value: SSAValue, dtype: DType, anchor: Operation, name: str) -> SSAValue:
        made, owner = make_copy(value, dtype), value.owner
        for op in made.ops:
            op.location = owner.location if isinstance(owner, Operation) else named(name)
            self.graph.block.insert_op_before(op, anchor)
        return made.result


def _products(graph: GraphOp) -> Iterator[tuple[Operation, bool]]:
    """Every contraction, and whether it is of floats."""
    for op in graph.block.ops:
        if isinstance(op, Conv2dOp | MatmulOp):
            yield op, dtype_of(op.result).is_float


def _check_products(graph: GraphOp, ctx: NpuContext, source: str) -> None:
    products = dict(_products(graph))
    if products and not any(products.values()):
        raise CompileError(
            "the model is quantised: it has no product of floats that a precision could narrow",
            given=f"--precision {ctx.options.precision}, {len(products)} products of integers",
            next_step="leave --precision out, or give the float model",
        )
    for op, is_float in products.items():
        if not is_float:
            ctx.remarks.missed(source, "stays an integer product: it is quantised", node_names(op))


@dataclass(frozen=True)
class NarrowFloats(ModulePass):
    """Store float tensors in 16 bits; ``precision`` None: as the options of the compilation ask."""

    name = "narrow-floats"
    precision: str | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Change types in place. Raises: CompileError where the model has only integer products."""
        npu, graph = npu_context(ctx), graph_of(op)
        dtype = PRECISIONS[self.precision or npu.options.precision]
        if dtype is DType.f32:
            return
        _check_products(graph, npu, self.name)
        families = families_of(graph)
        narrow = _Choice(families).narrow(graph)
        for family in narrow:
            owners = (value.owner for value in family.values)
            makers = [owner for owner in owners if isinstance(owner, Operation)]
            nodes = tuple(dict.fromkeys(name for maker in makers for name in node_names(maker)))
            npu.remarks.applied(self.name, f"stored as {dtype.name}", nodes)
        _Narrowing(npu, graph, dtype, self.name).apply(narrow)
