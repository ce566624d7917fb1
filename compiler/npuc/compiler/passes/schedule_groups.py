"""schedule-groups: from the partitioned graph to the ``tile`` level, one tile group per nn.group.

For each group the decision comes from the schedule file where it has one, else from the search;
what was decided is left in the context as data, and told in remarks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

from npuc.compiler.analysis.layouts import Layouts, layouts_of
from npuc.compiler.context import NpuContext, npu_context
from npuc.compiler.dialects import nn
from npuc.compiler.dialects.element_types import dtype_of, shape_of
from npuc.compiler.dialects.tile_attributes import BufferSpec, BufferType, DramType, TensorSpec
from npuc.compiler.dialects.tile_structure import BufferOp, CoreOp, ProgramOp, TensorOp
from npuc.compiler.locations import describe, node_names
from npuc.compiler.ops.group_problem import Placed, problem_of
from npuc.compiler.schedule.build import GroupMemory, build_group
from npuc.compiler.schedule.data import (
    GroupSchedule,
    Schedule,
    check_tiling,
    product_of,
    shape_hash,
)
from npuc.compiler.schedule.plan import PlanOptions, Work, plan_program
from npuc.compiler.schedule.problem import GroupProblem, Home
from npuc.compiler.schedule.program import (
    Buffer,
    Job,
    ProgramPlan,
    Step,
    TensorFacts,
    whole_words,
)
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
from npuc.isa.descriptors import Space
from npuc.isa.errors import CompileError

SEARCHED_FROM_LEVEL = 1
DOUBLE_BUFFERED_FROM_LEVEL = 2
RESIDENT_FROM_LEVEL = 2
STRIPED_FROM_LEVEL = 2


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


def _plan_options(ctx: NpuContext) -> PlanOptions:
    level = ctx.options.level
    return PlanOptions(
        SearchOptions(
            double_buffer=level >= DOUBLE_BUFFERED_FROM_LEVEL,
            by_cost=level >= SEARCHED_FROM_LEVEL,
            acc_bytes=ctx.target.acc.capacity_bytes // 2 if level >= RESIDENT_FROM_LEVEL else None,
        ),
        resident=level >= RESIDENT_FROM_LEVEL,
        stripes=level >= STRIPED_FROM_LEVEL,
    )


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
            if isinstance(op, nn.ConstantOp):
                self._declare_constant(op)
        groups = [op for op in graph.block.ops if isinstance(op, nn.GroupOp)]
        work = self._jobs(groups)
        plan = plan_program(work, self.ctx.target, _plan_options(self.ctx))
        self._build(groups, work, plan, core)
        self.body.add_op(core)
        self._report_stale()
        self.ctx.schedule = Schedule(tuple(self.decided))
        return program

    def _jobs(self, groups: Sequence[nn.GroupOp]) -> Work:
        """Every group as a job, and the tensors that they touch."""
        numbers: dict[SSAValue, int] = {}
        facts: list[TensorFacts] = []
        jobs = []
        for group in groups:
            locations = [self.layouts.of[v] for v in (*group.inputs, *group.outputs)]
            for found in locations:
                if found.base not in numbers:
                    numbers[found.base] = len(facts)
                    facts.append(self._facts(found.base, group))
            problem = problem_of(group, [Placed(f.offset, f.strides) for f in locations])
            tensors = tuple(numbers[found.base] for found in locations)
            jobs.append(Job(problem, tensors, node_names(group)))
        self.values = list(numbers)
        return Work(tuple(jobs), tuple(facts))

    def _facts(self, value: SSAValue, group: nn.GroupOp) -> TensorFacts:
        declared = self.tensors.get(value)
        name = value.name_hint or group.group_name.data
        n_bytes = prod(shape_of(value)) * dtype_of(value).bytes
        if declared is None:
            return TensorFacts(name, n_bytes, "scratch")
        assert isinstance(declared.owner, TensorOp)
        return TensorFacts(name, n_bytes, declared.owner.segment.data.value)

    def _build(
        self, groups: Sequence[nn.GroupOp], work: Work, plan: ProgramPlan, core: CoreOp
    ) -> None:
        buffers = [self._buffer(buffer, core) for buffer in plan.buffers]
        lives = plan.lives()
        live = plan.live_bytes(self.ctx.target)
        for position, step in enumerate(plan.steps):
            group = groups[step.job]
            budget = self.ctx.target.spm.capacity_bytes - live[position]
            tiling = self._decide(group, step.problem, budget)
            used = [b for _, b in step.buffers]
            memory = GroupMemory(
                self._dram(step, work),
                {n: buffers[b] for n, b in step.buffers},
                first={buffers[b] for b in used if lives[b][0] == position},
                last={buffers[b] for b in used if lives[b][1] == position},
            )
            made = build_group(step.problem, tiling, self.ctx.target, memory)
            for op in made.walk():
                op.location = group.location
            core.body.block.add_op(made)

    def _buffer(self, buffer: Buffer, core: CoreOp) -> SSAValue:
        spec = BufferSpec(Space.spm, whole_words(buffer.n_bytes, self.ctx.target))
        op = BufferOp(buffer.name, BufferType(spec))
        core.body.block.add_op(op)
        return op.buffer

    def _dram(self, step: Step, work: Work) -> list[SSAValue | None]:
        """The DRAM tensors of a step by argument; None for those that are in SPM."""
        tensors: list[SSAValue | None] = [None] * len(work.jobs[step.job].tensors)
        for operand in step.problem.operands:
            if operand.home is not Home.spm:
                number = work.jobs[step.job].tensor(operand)
                tensors[operand.argument] = self._tensor(number, work)
        return tensors

    def _tensor(self, number: int, work: Work) -> SSAValue:
        value = self.values[number]
        if value not in self.tensors:
            self._declare(value, work.tensors[number].name, "scratch")
        return self.tensors[value]

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

    def _decide(self, group: nn.GroupOp, problem: GroupProblem, spm_bytes: int) -> Tiling:
        nodes, shape, target = node_names(group), shape_hash(problem), self.ctx.target
        replayed = self._replayed(nodes, shape)
        if replayed is not None:
            check_tiling(problem, replayed, target, f"group {describe(group)}")
            self.ctx.remarks.applied("schedule-groups", "tiling replayed from the file", nodes)
        tiling = replayed or self._search(problem, nodes, spm_bytes)
        self.decided.append(GroupSchedule(nodes, shape, tiling, product_of(problem)))
        return tiling

    def _search(self, problem: GroupProblem, nodes: tuple[str, ...], spm_bytes: int) -> Tiling:
        options = replace(_plan_options(self.ctx).search, spm_bytes=spm_bytes)
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
