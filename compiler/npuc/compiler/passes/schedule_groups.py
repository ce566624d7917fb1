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
from npuc.compiler.locations import node_names
from npuc.compiler.ops.group_problem import Placed, problem_of
from npuc.compiler.schedule.build import GroupMemory, build_group
from npuc.compiler.schedule.data import RunSchedule, Schedule
from npuc.compiler.schedule.decide import SOURCE, Tilings
from npuc.compiler.schedule.plan import PlanOptions, plan_program
from npuc.compiler.schedule.problem import Home
from npuc.compiler.schedule.program import (
    Buffer,
    Job,
    ProgramPlan,
    Step,
    TensorFacts,
    Work,
    whole_words,
)
from npuc.compiler.schedule.replay import Replay
from npuc.compiler.schedule.search import SearchOptions
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
        self._build(groups, work, self._plan(work), core)
        self.body.add_op(core)
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
        n_bytes = prod(shape_of(value)) * dtype_of(value).bytes
        if declared is None:
            name = self._unique(value.name_hint or group.group_name.data)
            return TensorFacts(name, n_bytes, "scratch")
        assert isinstance(declared.owner, TensorOp)
        op = declared.owner
        return TensorFacts(op.tensor_name.data, n_bytes, op.segment.data.value)

    def _build(
        self, groups: Sequence[nn.GroupOp], work: Work, plan: ProgramPlan, core: CoreOp
    ) -> None:
        buffers = [self._buffer(buffer, core) for buffer in plan.buffers]
        lives = plan.lives()
        tilings = self._tilings(work, plan)
        for position, (step, tiling) in enumerate(zip(plan.steps, tilings, strict=True)):
            group = groups[step.job]
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
        tensor = TensorOp(
            name if segment == "scratch" else self._unique(name), segment, DramType(spec)
        )
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

    def _given(self) -> Schedule | None:
        given = self.ctx.schedule
        return given if isinstance(given, Schedule) else None

    def _plan(self, work: Work) -> ProgramPlan:
        """What stays and what is striped: from the schedule file, or else searched."""
        options = _plan_options(self.ctx)
        given = self._given()
        if given is None:
            return plan_program(work, self.ctx.target, options)
        replay = Replay(given, work, f"{self.ctx.options.schedule}")
        staying, runs = replay.resident(), replay.runs()
        plan = plan_program(work, self.ctx.target, replace(options, staying=staying, runs=runs))
        replay.check(plan, self.ctx.target)
        for nodes in replay.stale:
            self._report_stale("a tensor or run", nodes)
        return plan

    def _tilings(self, work: Work, plan: ProgramPlan) -> list[Tiling]:
        """The tiling of every step; leaves all decisions in the context."""
        given, search = self._given(), _plan_options(self.ctx).search
        tilings = Tilings(self.ctx.target, search, given, self.ctx.remarks)
        found = tilings.of(plan, work.jobs)
        used = {(g.nodes, g.shape) for g in tilings.decided}
        for group in given.groups if given is not None else ():
            if (group.nodes, group.shape) not in used:
                self._report_stale("a group", group.nodes)
        jobs = work.jobs
        self.ctx.schedule = Schedule(
            tuple(tilings.decided),
            tuple(work.tensors[n].name for n in sorted(plan.staying)),
            tuple(
                RunSchedule(jobs[r.first].nodes, jobs[r.last].nodes, r.stripes) for r in plan.runs
            ),
        )
        return found

    def _report_stale(self, kind: str, nodes: tuple[str, ...]) -> None:
        self.ctx.remarks.missed(
            SOURCE, f"{kind} of the schedule file suits nothing in the model: it is ignored", nodes
        )
