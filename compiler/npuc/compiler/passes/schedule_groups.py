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
from npuc.compiler.dialects.tile_commands import SignalOp
from npuc.compiler.dialects.tile_group import GroupOp
from npuc.compiler.dialects.tile_structure import BufferOp, CoreOp, ProgramOp, TensorOp
from npuc.compiler.locations import node_names
from npuc.compiler.ops.group_problem import Placed, problem_of
from npuc.compiler.schedule.build import GroupMemory, build_group, build_multicast
from npuc.compiler.schedule.data import Schedule
from npuc.compiler.schedule.decisions import Decisions
from npuc.compiler.schedule.panels import in_panels, panel_columns, with_panels
from npuc.compiler.schedule.problem import GroupProblem, Home
from npuc.compiler.schedule.program import (
    Buffer,
    Job,
    PartLoad,
    ProgramPlan,
    Step,
    TensorFacts,
    Work,
    whole_words,
)
from npuc.compiler.schedule.sharing import Sharing, share_by, share_work
from npuc.compiler.schedule.split.cores import Share
from npuc.compiler.schedule.split.division import Division
from npuc.compiler.schedule.split.multicast import slices
from npuc.compiler.schedule.tiling import Tiling
from npuc.compiler.xdsl_api import (
    Block,
    Context,
    ModuleOp,
    ModulePass,
    Region,
    Rewriter,
    SSAValue,
    StringAttr,
    walk,
)
from npuc.isa.descriptors import Space
from npuc.isa.errors import CompileError, UsageError

SPLIT_FROM_LEVEL = 2
PANELS_FROM_LEVEL = 1


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


_Decided = tuple[Share, ProgramPlan, list[Tiling]]


@dataclass
class _Scheduler:
    ctx: NpuContext
    tensors: dict[SSAValue, SSAValue] = field(default_factory=dict)
    named: dict[str, int] = field(default_factory=dict)
    layouts: Layouts = field(default_factory=Layouts)

    def run(self, graph: nn.GraphOp) -> ProgramOp:
        program = ProgramOp()
        self.body = program.body.block
        self.layouts = layouts_of(graph)
        assert not self.layouts.copies, "place-pieces has made every piece a view"
        self._declare_arguments(graph)
        for op in graph.block.ops:
            if isinstance(op, nn.ConstantOp):
                self._declare_constant(op)
        groups = [op for op in graph.block.ops if isinstance(op, nn.GroupOp)]
        whole, alone = self._work(groups)
        given = self.ctx.schedule if isinstance(self.ctx.schedule, Schedule) else None
        sharing = self._sharing(whole, alone, given)
        self.shares = sharing.shares
        division = sharing.division if self.ctx.target.cores > 1 else None
        for decided in self._decisions(given, division):
            self._build(groups, decided)
        return program

    def _sharing(self, whole: Work, alone: Work, given: Schedule | None) -> Sharing:
        """How cores share the work: as the schedule says, or as is expected to gain."""
        if given is None or given.division is None:
            return share_work(whole, alone, self._cores(), self.ctx)
        cores = self._cores() if self.ctx.options.cores else self.ctx.target.cores
        if given.division.cores > cores:
            raise CompileError(
                "the schedule divides the work over more cores than may share it",
                f"{self.ctx.options.schedule or 're-ranking'}, division, cores",
                str(given.division.cores),
                f"1 to {cores} ({self.ctx.target.name})",
                "give the --cores that it was dumped with, or drop the division from the file",
            )
        return share_by(whole, alone, given.division, self.ctx)

    def _decisions(self, given: Schedule | None, division: Division | None) -> list[_Decided]:
        decisions = Decisions(self.ctx, given, division)
        decided = [(share, *decisions.of(share.work)) for share in self.shares]
        decisions.leave()
        return decided

    def _cores(self) -> int:
        """How many cores share the work."""
        target, options = self.ctx.target, self.ctx.options
        if options.cores is not None and options.cores > target.cores:
            raise UsageError(
                "the target has fewer cores",
                given=f"--cores {options.cores}",
                allowed=f"1 to {target.cores} ({target.name})",
            )
        if options.cores is not None:
            return options.cores
        return target.cores if options.level >= SPLIT_FROM_LEVEL else 1

    def _work(self, groups: Sequence[nn.GroupOp]) -> tuple[Work, Work]:
        """Every group as a job, and the tensors that they touch; and as one core has it alone."""
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
        whole = Work(tuple(jobs), tuple(facts))
        if self.ctx.options.level < PANELS_FROM_LEVEL:
            return whole, whole
        return whole, replace(whole, jobs=tuple(with_panels(jobs, facts)))

    def _facts(self, value: SSAValue, group: nn.GroupOp) -> TensorFacts:
        declared = self.tensors.get(value)
        n_bytes = prod(shape_of(value)) * dtype_of(value).bytes
        if declared is None:
            name = self._unique(value.name_hint or group.group_name.data)
            return TensorFacts(name, n_bytes, "scratch")
        assert isinstance(declared.owner, TensorOp)
        op = declared.owner
        return TensorFacts(op.tensor_name.data, n_bytes, op.segment.data.value)

    def _build(self, groups: Sequence[nn.GroupOp], decided: _Decided) -> None:
        """The core of one share, with all its groups."""
        share, plan, tilings = decided
        core = CoreOp(share.core, Region(Block()))
        buffers = [self._buffer(buffer, core) for buffer in plan.buffers]
        coming: dict[int, list[PartLoad]] = {}
        for load in plan.part_loads:
            coming.setdefault(load.step, []).append(load)
        loaded = {buffers[load.buffer] for load in plan.part_loads}
        lives, ends = plan.lives(), plan.job_ends()
        for position, (step, tiling) in enumerate(zip(plan.steps, tilings, strict=True)):
            for load in coming.get(position, ()):
                core.body.block.add_op(self._part_load(load, share, groups, buffers[load.buffer]))
            group = groups[share.numbers[step.job]]
            used, exchange = [b for _, b in step.buffers], share.exchanges[step.job]
            memory = GroupMemory(
                self._dram(step, tiling, share.work),
                {n: buffers[b] for n, b in step.buffers},
                first={buffers[b] for b in used if lives[b][0] == position} - loaded,
                last={buffers[b] for b in used if lives[b][1] == position},
                awaits=exchange.awaits if position == ends[step.job][0] else (),
            )
            problem = _in_whole_tensors(step.problem, share, step.job)
            made = build_group(problem, tiling, self.ctx.target, memory)
            if position == ends[step.job][1]:
                made.body.block.add_ops([SignalOp(name, "st") for name in exchange.signals])
            core.body.block.add_op(_located(made, group))
        self.body.add_op(core)

    def _part_load(
        self, load: PartLoad, share: Share, groups: Sequence[nn.GroupOp], buffer: SSAValue
    ) -> GroupOp:
        """The group that loads this core's part of a constant for all cores."""
        multicast, work = load.multicast, share.work
        group = groups[share.numbers[multicast.job]]
        name = self._weights_name(work.jobs[multicast.job].problem.name, groups)
        ends = buffer, self._tensor(multicast.tensor, work)
        cores = share.core, len(self.shares)
        if share is self.shares[0]:
            text = f"each of {cores[1]} cores loads a part of the weights and sends it to all"
            n_bytes, nodes = work.tensors[multicast.tensor].n_bytes, work.jobs[multicast.job].nodes
            self.ctx.remarks.applied(ScheduleGroups.name, text, nodes, weight_bytes=n_bytes)
        part = slices(multicast.part, self.ctx.target)
        return _located(build_multicast(name, ends, part, cores), group)

    def _weights_name(self, name: str, groups: Sequence[nn.GroupOp]) -> str:
        """A name for the loads of a group's weights that no group has; the same on all cores."""
        taken, found = {group.group_name.data for group in groups}, f"{name}.weights"
        while found in taken:
            found += ".all"
        return found

    def _buffer(self, buffer: Buffer, core: CoreOp) -> SSAValue:
        spec = BufferSpec(Space.spm, whole_words(buffer.n_bytes, self.ctx.target))
        op = BufferOp(buffer.name, BufferType(spec), buffer.address)
        core.body.block.add_op(op)
        return op.buffer

    def _dram(self, step: Step, tiling: Tiling, work: Work) -> list[SSAValue | None]:
        """The DRAM tensors of a step by argument; None for those that are in SPM."""
        tensors: list[SSAValue | None] = [None] * len(work.jobs[step.job].tensors)
        for operand in step.problem.operands:
            if operand.home is not Home.spm:
                number = work.jobs[step.job].tensor(operand)
                columns = panel_columns(step.problem, tiling, operand, self.ctx.target)
                if columns is not None:
                    self._store_in_panels(self.values[number], operand.shape, columns)
                    nodes, text = work.jobs[step.job].nodes, "weights are stored as tiles read them"
                    self.ctx.remarks.applied(ScheduleGroups.name, text, nodes, columns=columns)
                tensors[operand.argument] = self._tensor(number, work)
        return tensors

    def _store_in_panels(self, constant: SSAValue, shape: tuple[int, ...], columns: int) -> None:
        """Lay a constant out as its only reader, which sees it in ``shape``, wants it."""
        declared = self.tensors[constant].owner
        assert isinstance(declared, TensorOp) and declared.key is not None
        array = in_panels(self.ctx.consts.get(declared.key.data).reshape(shape), columns)
        spec = DramType(TensorSpec(array.shape, dtype_of(constant)))
        key = self.ctx.consts.put(array)
        made = TensorOp(declared.tensor_name.data, "constant", spec, key)
        Rewriter.replace_op(declared, made)
        self.tensors[constant] = made.tensor

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


def _located(made: GroupOp, group: nn.GroupOp) -> GroupOp:
    """``made``, all of it for what ``group`` says."""
    for op in walk(made):
        op.location = group.location
    return made


def _in_whole_tensors(problem: GroupProblem, share: Share, job: int) -> GroupProblem:
    """``problem`` with DRAM operands counted from the beginning of their tensors."""
    tensor = share.work.jobs[job].tensor
    operands = tuple(
        o if o.is_resident else replace(o, base=o.base + share.offsets.get(tensor(o), 0))
        for o in problem.operands
    )
    return replace(problem, operands=operands)
