"""From jobs to steps: what stays in SPM, what runs in stripes, in which order."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from npuc.compiler.schedule.problem import Home
from npuc.compiler.schedule.program import (
    Buffer,
    Job,
    PartLoad,
    ProgramPlan,
    Step,
    StripedRun,
    Work,
    uses,
)
from npuc.compiler.schedule.residency import Residency, take_overs, with_homes
from npuc.compiler.schedule.search import SearchOptions
from npuc.compiler.schedule.striping.interleave import StripeOptions
from npuc.compiler.schedule.striping.segments import Run, Segment, Segments
from npuc.compiler.schedule.striping.steps import StripeSteps
from npuc.isa.target import Target


@dataclass(frozen=True)
class PlanOptions:
    """What the plan may use: the search's freedom, tensors that stay in SPM, stripes.

    ``staying`` and ``runs`` are decided already, by ``origin``, where they are given; ``striping``
    is for the search for runs.
    """

    search: SearchOptions = field(default_factory=SearchOptions)
    resident: bool = True
    stripes: bool = True
    striping: StripeOptions = field(default_factory=StripeOptions)
    staying: frozenset[int] | None = None
    runs: tuple[StripedRun, ...] | None = None
    origin: str = "the schedule"


def plan_program(work: Work, target: Target, options: PlanOptions) -> ProgramPlan:
    """The steps of ``work`` on one core of ``target``."""
    return _Planner(work, target, options).plan()


@dataclass
class _Planner:
    work: Work
    target: Target
    options: PlanOptions
    stopped_early: bool = False

    def plan(self) -> ProgramPlan:
        segments = self._segments()
        internal = frozenset[int]().union(*(s.internal for s in segments))
        rings = self.target.spm.capacity_bytes // self.options.striping.room_share
        taken = {segment.run: segment.peak_bytes + rings for segment in segments}
        return self._steps(self._staying(taken, internal), segments)

    def _staying(self, taken: Mapping[Run, int], internal: frozenset[int]) -> frozenset[int]:
        """The tensors in SPM whole; ``taken`` and ``internal``: see ``Residency``."""
        if self.options.staying is not None:
            return self.options.staying - internal
        if not self.options.resident:
            return frozenset()
        work, options = self.work, self.options.search
        found = Residency(work.jobs, work.tensors, self.target, options, taken, internal)
        return frozenset(found.decide())

    def _segments(self) -> list[Segment]:
        if self.options.runs is None and not self.options.stripes:
            return []
        work, search = self.work, self.options.search
        staying = set(self._staying({}, frozenset()))
        segments = Segments(work, self.target, search, staying, self.options.striping)
        if self.options.runs is None:
            found = segments.choose()
            self.stopped_early = segments.stopped_early
            return found
        return [segments.given(run, self.options.origin) for run in self.options.runs]

    def _steps(self, staying: frozenset[int], segments: list[Segment]) -> ProgramPlan:
        runs = [_run_of(segment) for segment in segments]
        plan = ProgramPlan([], [], staying, tuple(runs), self.stopped_early)
        whole = self._whole_buffers(plan, staying)
        beginning = {segment.first: segment for segment in segments}
        number = 0
        while number < len(self.work.jobs):
            segment = beginning.get(number)
            if segment is None:
                plan.steps.append(_whole_step(self.work.jobs[number], number, whole))
                number += 1
                continue
            StripeSteps(self.work.jobs, self.work.tensors, plan, whole).add(segment.striping)
            number = segment.last + 1
        for multicast in self.work.multicasts:
            step = next(n for n, step in enumerate(plan.steps) if step.job >= multicast.before)
            plan.part_loads.append(PartLoad(step, whole[multicast.tensor], multicast))
        return plan

    def _whole_buffers(self, plan: ProgramPlan, staying: frozenset[int]) -> dict[int, int]:
        """The buffer of each tensor that is in SPM whole: its own, or that which it takes over."""
        striped = {n for run in plan.runs for n in range(run.first, run.last + 1)}
        taken_over = take_overs(self.work.jobs, self.work.tensors, striped)
        whole: dict[int, int] = {}
        made = uses(self.work.jobs)
        for tensor in sorted(staying, key=lambda t: (made[t], t)):
            operand, _ = taken_over.get(tensor, (-1, -1))
            if operand in whole:
                whole[tensor] = whole[operand]
                continue
            whole[tensor] = len(plan.buffers)
            facts = self.work.tensors[tensor]
            plan.buffers.append(Buffer(facts.name, facts.n_bytes))
        for multicast in self.work.multicasts:
            whole[multicast.tensor] = len(plan.buffers)
            facts = self.work.tensors[multicast.tensor]
            plan.buffers.append(Buffer(facts.name, facts.n_bytes, multicast.address))
        return whole


def _run_of(segment: Segment) -> StripedRun:
    striping = segment.striping
    recomputes = tuple(sorted(striping.recomputes))
    return StripedRun(*segment.run, striping.stripes, striping.turns, recomputes)


def _whole_step(job: Job, number: int, whole: Mapping[int, int]) -> Step:
    problem = with_homes(job, whole.keys())
    buffers = tuple(
        (n, whole[job.tensor(o)]) for n, o in enumerate(problem.operands) if o.home is not Home.dram
    )
    return Step(problem, number, buffers)
