"""schedule-groups: from the partitioned graph to the ``tile`` level, one tile group per nn.group.

For each group the decision comes from the schedule file where it has one, else from the search;
what was decided is left in the context as data, and told in remarks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from npuc.compiler.analysis.layouts import Layouts, layouts_of
from npuc.compiler.context import NpuContext, npu_context
from npuc.compiler.dialects import nn
from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.tile_attributes import DramType, TensorSpec
from npuc.compiler.dialects.tile_structure import CoreOp, ProgramOp, TensorOp
from npuc.compiler.locations import describe, node_names
from npuc.compiler.ops.group_problem import Placed, problem_of
from npuc.compiler.schedule.build import build_group
from npuc.compiler.schedule.data import (
    GroupSchedule,
    Schedule,
    check_tiling,
    product_of,
    shape_hash,
)
from npuc.compiler.schedule.problem import GroupProblem
from npuc.compiler.schedule.search import Choice, SearchOptions, choose_tiling
from npuc.compiler.schedule.tiling import Tiling
from npuc.compiler.xdsl_api import (
    Block,
    Context,
    ModuleOp,
    ModulePass,
    Region,
    SSAValue,
    StringAttr,
)
from npuc.isa.errors import CompileError

SEARCHED_FROM_LEVEL = 1
DOUBLE_BUFFERED_FROM_LEVEL = 2


@dataclass(frozen=True)
class ScheduleGroups(ModulePass):
    """Choose a tiling for every group and write its loops; replaces nn.graph by tile.program."""

    name = "schedule-groups"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Replace the graph in ``op``. Raises: CompileError for groups that fit no tiling."""
        (graph,) = [o for o in op.body.block.ops if isinstance(o, nn.GraphOp)]
        program = _Scheduler(npu_context(ctx)).run(graph)
        op.body.block.insert_op_before(program, graph)
        graph.detach()  # type: ignore[no-untyped-call]  # xDSL
        graph.erase()


@dataclass
class _Scheduler:
    ctx: NpuContext
    tensors: dict[SSAValue, SSAValue] = field(default_factory=dict)
    decided: list[GroupSchedule] = field(default_factory=list)
    named: dict[str, int] = field(default_factory=dict)
    layouts: Layouts = field(default_factory=Layouts)

    def run(self, graph: nn.GraphOp) -> ProgramOp:
        program = ProgramOp()
        self.body = program.body.block
        core = CoreOp(0, Region(Block()))
        self.layouts = layouts_of(graph)
        assert not self.layouts.copies, "place-pieces has made every piece a view"
        self._declare_arguments(graph)
        for op in graph.block.ops:
            if isinstance(op, nn.GroupOp):
                self._schedule(op, core)
            elif isinstance(op, nn.ConstantOp):
                self._declare_constant(op)
        self.body.add_op(core)
        self._report_stale()
        self.ctx.schedule = Schedule(tuple(self.decided))
        return program

    def _declare_arguments(self, graph: nn.GraphOp) -> None:
        for name, value in graph.inputs.items():
            self._declare(value, name, "input")
        for name, value in graph.outputs.items():
            place = self.layouts.of[value]
            result, is_whole = place.base, place.offset == 0
            is_made = isinstance(result.owner, nn.GroupOp | nn.ConcatOp)
            if not is_made or not is_whole or result in self.tensors:
                raise CompileError(
                    "an output is not computed by a group of its own",
                    f"output {name}",
                    next_step="add an Identity node that computes it",
                )
            self._declare(result, name, "output", shape_of(value))

    def _declare_constant(self, op: nn.ConstantOp) -> None:
        spec = DramType(TensorSpec(shape_of(op.result), dtype_of(op.result)))
        name = op.result.name_hint or f"constant {len(self.tensors)}"
        self._bind(op.result, TensorOp(self._unique(name), "constant", spec, op.key.data))

    def _declare(
        self, value: SSAValue, name: str, segment: str, shape: Sequence[int] | None = None
    ) -> None:
        spec = TensorSpec(tuple(shape if shape is not None else shape_of(value)), dtype_of(value))
        tensor = TensorOp(self._unique(name), segment, DramType(spec))
        if segment == "output" and tensor.tensor_name.data != name:  # an input has it
            tensor.known_as = StringAttr(name)
        self._bind(value, tensor)

    def _unique(self, name: str) -> str:
        """``name``, numbered where another tensor has it: below, names are symbols."""
        count = self.named.get(name, 0) + 1
        self.named[name] = count
        return name if count == 1 else self._unique(f"{name}.{count}")

    def _bind(self, value: SSAValue, op: TensorOp) -> None:
        self.body.add_op(op)
        self.tensors[value] = op.tensor

    def _schedule(self, group: nn.GroupOp, core: CoreOp) -> None:
        locations = [self.layouts.of[v] for v in (*group.inputs, *group.outputs)]
        problem = problem_of(group, [Placed(found.offset, found.strides) for found in locations])
        tiling = self._decide(group, problem)
        for result in group.outputs:
            whole = self.layouts.of[result].base
            if whole not in self.tensors:
                self._declare(whole, whole.name_hint or group.group_name.data, "scratch")
        tensors = [self.tensors[found.base] for found in locations]
        work = build_group(problem, tiling, self.ctx.target, tensors)
        for op in work.walk():
            op.location = group.location
        core.body.block.add_op(work)

    def _decide(self, group: nn.GroupOp, problem: GroupProblem) -> Tiling:
        nodes, shape, target = node_names(group), shape_hash(problem), self.ctx.target
        replayed = self._replayed(nodes, shape)
        if replayed is not None:
            check_tiling(problem, replayed, target, f"group {describe(group)}")
            self.ctx.remarks.applied("schedule-groups", "tiling replayed from the file", nodes)
        tiling = replayed or self._search(problem, nodes)
        self.decided.append(GroupSchedule(nodes, shape, tiling, product_of(problem)))
        return tiling

    def _search(self, problem: GroupProblem, nodes: tuple[str, ...]) -> Tiling:
        level = self.ctx.options.level
        options = SearchOptions(
            double_buffer=level >= DOUBLE_BUFFERED_FROM_LEVEL, by_cost=level >= SEARCHED_FROM_LEVEL
        )
        choice: Choice = choose_tiling(problem, self.ctx.target, options)
        self.ctx.remarks.applied(
            "schedule-groups",
            f"tile {'x'.join(map(str, choice.tiling.tile))} of {choice.considered} considered",
            nodes,
            estimated_cycles=choice.estimate.cycles,
            mxu_cycles=choice.estimate.mxu_cycles,
            vpu_cycles=choice.estimate.vpu_cycles,
            dma_cycles=choice.estimate.dma_cycles,
            dram_bytes=choice.estimate.dram_bytes,
        )
        return choice.tiling

    def _replayed(self, nodes: tuple[str, ...], shape: str) -> Tiling | None:
        given = self.ctx.schedule
        found = given.find(nodes, shape) if isinstance(given, Schedule) else None
        return found.tiling if found else None

    def _report_stale(self) -> None:
        given = self.ctx.schedule
        if not isinstance(given, Schedule):
            return
        used = {(g.nodes, g.shape) for g in self.decided}
        for group in given.groups:
            if (group.nodes, group.shape) not in used:
                self.ctx.remarks.missed(
                    "schedule-groups",
                    "a group of the schedule file suits no group of the model: it is ignored",
                    group.nodes,
                )
