"""From jobs to steps: what stays in SPM, what runs in stripes, in which order."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from npuc.compiler.schedule.problem import Home
from npuc.compiler.schedule.program import Buffer, Job, ProgramPlan, Step, TensorFacts
from npuc.compiler.schedule.residency import Residency, with_homes
from npuc.compiler.schedule.search import SearchOptions
from npuc.compiler.schedule.segments import ROOM_SHARE, Segment, Segments
from npuc.compiler.schedule.stripe_steps import StripeSteps
from npuc.isa.target import Target


@dataclass(frozen=True)
class Work:
    """All jobs of a program in order, and the tensors that they number."""

    jobs: tuple[Job, ...]
    tensors: tuple[TensorFacts, ...]


@dataclass(frozen=True)
class PlanOptions:
    """What the plan may use: the search's freedom, tensors that stay in SPM, stripes."""

    search: SearchOptions = field(default_factory=SearchOptions)
    resident: bool = True
    stripes: bool = True


def plan_program(work: Work, target: Target, options: PlanOptions) -> ProgramPlan:
    """The steps of ``work`` on one core of ``target``."""
    return _Planner(work, target, options).plan()


@dataclass
class _Planner:
    work: Work
    target: Target
    options: PlanOptions

    def plan(self) -> ProgramPlan:
        staying = self._residency({}, frozenset()) if self.options.resident else set()
        segments = self._segments(staying) if self.options.stripes else []
        if segments:
            rings = self.target.spm.capacity_bytes // ROOM_SHARE
            staying = self._residency(
                {n: s.peak_bytes + rings for s in segments for n in range(s.first, s.last + 1)},
                frozenset().union(*(s.internal for s in segments)),
            )
        return self._steps(staying, segments)

    def _residency(self, taken: Mapping[int, int], internal: frozenset[int]) -> set[int]:
        work, options = self.work, self.options.search
        return Residency(work.jobs, work.tensors, self.target, options, taken, internal).decide()

    def _segments(self, staying: set[int]) -> list[Segment]:
        work = self.work
        return Segments(work.jobs, work.tensors, self.target, self.options.search, staying).choose()

    def _steps(self, staying: set[int], segments: list[Segment]) -> ProgramPlan:
        plan = ProgramPlan()
        whole: dict[int, int] = {}
        for tensor in sorted(staying):
            whole[tensor] = len(plan.buffers)
            facts = self.work.tensors[tensor]
            plan.buffers.append(Buffer(facts.name, facts.n_bytes))
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
        return plan


def _whole_step(job: Job, number: int, whole: Mapping[int, int]) -> Step:
    problem = with_homes(job, whole.keys())
    buffers = tuple(
        (n, whole[job.tensor(o)]) for n, o in enumerate(problem.operands) if o.home is not Home.dram
    )
    return Step(problem, number, buffers)
