"""The roof of a model on a target: cycles that no schedule of its groups can go below.

Computed from the partitioned ``nn`` graph alone; nothing here knows a schedule. A group that
multiplies takes at least what its busiest resource takes: its MACs at the best engine's peak, its
own constants at the DRAM's bandwidth, its vector work at the vpu's lanes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, prod

from npuc.compiler.dialects import nn
from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.interpreter import graph_of
from npuc.compiler.locations import node_names
from npuc.compiler.ops.group_problem import problem_of
from npuc.compiler.schedule.problem import PARALLEL, GroupProblem
from npuc.compiler.xdsl_api import ModuleOp, SSAValue
from npuc.isa.cost import kernel_cost, mac_rate
from npuc.isa.target import Target

PRODUCTS = ("mac8", "mulf", "muli")


@dataclass(frozen=True)
class GroupRoof:
    """One group that multiplies: cycles of each resource alone."""

    name: str
    nodes: tuple[str, ...]
    macs: int
    mac_cycles: int
    weight_cycles: int
    vector_cycles: int

    @property
    def cycles(self) -> int:
        """Those of the busiest resource."""
        return max(self.mac_cycles, self.weight_cycles, self.vector_cycles)


@dataclass(frozen=True)
class Roof:
    """``groups`` that multiply; bytes that must move whatever is kept on chip, in each direction.

    ``compulsory_bytes``: constants once, of tables only the rows that are gathered, the model's
    inputs and outputs.
    """

    groups: tuple[GroupRoof, ...]
    macs: int
    compulsory_bytes: int
    io_bytes: int
    target: Target

    @property
    def cycles(self) -> int:
        """The sum of the groups' roofs, not below the time of the model's inputs and outputs."""
        return max(sum(g.cycles for g in self.groups), self._at_dram(self.io_bytes))

    @property
    def whole_model_cycles(self) -> int:
        """As if all resources were busy all the time: all MACs, or all compulsory bytes."""
        peak = self.target.mxu.macs_per_cycle * self.target.cores
        return max(ceil(self.macs / peak), self._at_dram(self.compulsory_bytes))

    def _at_dram(self, n_bytes: int) -> int:
        return ceil(n_bytes / self.target.dram.bytes_per_cycle)


def roof_of(module: ModuleOp, target: Target) -> Roof:
    """The roof of the graph in ``module``, which is of the stage ``partition``."""
    graph = graph_of(module)
    found = [op for op in graph.block.ops if isinstance(op, nn.GroupOp)]
    groups = tuple(_group_roofs(found, target))
    constants = [op.result for op in graph.block.ops if isinstance(op, nn.ConstantOp)]
    outside = [*graph.inputs.values(), *graph.outputs.values()]
    return Roof(
        groups,
        sum(g.macs for g in groups),
        sum(map(_read_bytes, constants)) + sum(map(_n_bytes, outside)),
        sum(map(_n_bytes, outside)),
        target,
    )


def _group_roofs(groups: list[nn.GroupOp], target: Target) -> Iterator[GroupRoof]:
    for group in groups:
        problem = problem_of(group)
        macs = problem.macs or _vector_macs(problem)
        if not macs:
            continue
        weights = [v for v in group.inputs if isinstance(v.owner, nn.ConstantOp)]
        yield GroupRoof(
            group.group_name.data,
            node_names(group),
            macs,
            _mac_cycles(problem, macs, target),
            ceil(sum(map(_n_bytes, weights)) / target.dram.bytes_per_cycle),
            _vector_cycles(problem, target),
        )


def _vector_macs(problem: GroupProblem) -> int:
    """Products of a reduction on the vpu (depthwise convolution); 0 for other vector work."""
    kernel = problem.vector.kernel
    body = [op.name for op in kernel.ops[: kernel.body_count]]
    reduces = prod(problem.extents[PARALLEL:]) > 1
    is_product = any(name in PRODUCTS for name in body) and len(problem.inputs) > 1
    return prod(problem.extents) if reduces and is_product else 0


def _mac_cycles(problem: GroupProblem, macs: int, target: Target) -> int:
    if problem.contraction is None:  # the vpu's time is in the vector cycles
        return 0
    dtype = problem.operands[problem.contraction.a].dtype
    peak = target.mxu.macs_per_cycle * mac_rate(target, dtype) * target.cores
    return ceil(macs / peak)


def _vector_cycles(problem: GroupProblem, target: Target) -> int:
    """Lane time of all points, then of the epilogue over all outputs."""
    cost = kernel_cost(target, problem.vector.kernel)
    outputs = prod(problem.extents[:PARALLEL])
    points = outputs if problem.contraction is not None else prod(problem.extents)
    body = ceil(points / (int(cost.body_lanes) * target.cores)) * int(cost.body_passes)
    return body + ceil(outputs / (target.vpu.lanes * target.cores)) * int(cost.epilogue_passes)


def _read_bytes(constant: SSAValue) -> int:
    """Bytes of ``constant`` that its readers touch: all, or as many rows as they gather."""
    touched = 0
    for use in constant.uses:
        if not isinstance(use.operation, nn.GroupOp):
            return _n_bytes(constant)
        problem = problem_of(use.operation)
        operands = [o for o in problem.operands if o.argument == use.index]
        if any(o.rows_from is None for o in operands):
            return _n_bytes(constant)
        touched += sum(prod(o.box(problem.extents)) * o.dtype.bytes for o in operands)
    return min(touched, _n_bytes(constant))


def _n_bytes(value: SSAValue) -> int:
    return prod(shape_of(value)) * dtype_of(value).bytes
