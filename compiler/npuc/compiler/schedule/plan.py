"""From jobs to steps: what stays in SPM, what runs in stripes, in which order."""

from dataclasses import dataclass, field

from npuc.compiler.schedule.problem import Home
from npuc.compiler.schedule.program import Buffer, Job, ProgramPlan, Step, TensorFacts
from npuc.compiler.schedule.residency import Residency, with_homes
from npuc.compiler.schedule.search import SearchOptions
from npuc.isa.target import Target


@dataclass(frozen=True)
class Work:
    """All jobs of a program in order, and the tensors that they number."""

    jobs: tuple[Job, ...]
    tensors: tuple[TensorFacts, ...]


@dataclass(frozen=True)
class PlanOptions:
    """What the plan may use: the search's freedom, and tensors that stay in SPM."""

    search: SearchOptions = field(default_factory=SearchOptions)
    resident: bool = True


def plan_program(work: Work, target: Target, options: PlanOptions) -> ProgramPlan:
    """The steps of ``work`` on one core of ``target``."""
    plan = ProgramPlan()
    staying: set[int] = set()
    if options.resident:
        staying = Residency(work.jobs, work.tensors, target, options.search).decide()
    buffer_of: dict[int, int] = {}
    for tensor in sorted(staying):
        buffer_of[tensor] = len(plan.buffers)
        facts = work.tensors[tensor]
        plan.buffers.append(Buffer(facts.name, facts.n_bytes))
    for number, job in enumerate(work.jobs):
        problem = with_homes(job, staying)
        buffers = tuple(
            (n, buffer_of[job.tensor(o)])
            for n, o in enumerate(problem.operands)
            if o.home is not Home.dram
        )
        plan.steps.append(Step(problem, number, buffers))
    return plan
