"""A tiling for every step: replayed from a schedule where it has one, else searched.

Steps of one job and one shape share a decision, made for the least room that any of them has.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from npuc.compiler.remarks import LAYER_CYCLES, Remarks
from npuc.compiler.schedule.data import GroupSchedule, Schedule, product_of, shape_hash
from npuc.compiler.schedule.expectation import expected_cycles
from npuc.compiler.schedule.legal import check_capacity, check_tiling
from npuc.compiler.schedule.program import Job, ProgramPlan, Step
from npuc.compiler.schedule.search import (
    SearchOptions,
    choose_tiling,
    without_origin,
)
from npuc.compiler.schedule.tiling import Tiling, spm_bytes
from npuc.isa.target import Target

SOURCE = "schedule-groups"
_Kind = tuple[int, str]  # job and hash of its shape


@dataclass(frozen=True)
class Given:
    """A schedule to replay, if there is one; what is not ``binding`` holds where it fits."""

    schedule: Schedule | None = None
    origin: str = ""  # for remarks
    binding: bool = True

    def find(self, step: Step, nodes: tuple[str, ...], room: tuple[Target, int]) -> Tiling | None:
        """The tiling for a step with these nodes, whose rings have so many bytes of SPM."""
        target, n_bytes = room
        schedule = self.schedule or Schedule()
        found = schedule.find(nodes, shape_hash(step.problem))
        if found is None:
            return None
        fits = self.binding or spm_bytes(step.problem, found.tiling, target) <= n_bytes
        return found.tiling if fits else None


@dataclass
class Tilings:
    """Decides; ``decided`` collects what was, in the order of the first step of each.

    ``expected_cycles``: of all steps so far, each alone.
    """

    target: Target
    options: SearchOptions
    given: Given
    remarks: Remarks
    decided: dict[tuple[tuple[str, ...], str], GroupSchedule] = field(default_factory=dict)
    expected_cycles: int = 0

    def of(self, plan: ProgramPlan, jobs: Sequence[Job]) -> list[Tiling]:
        """The tiling of every step of ``plan``. Raises: CompileError where none fits."""
        keys = [(step.job, shape_hash(step.problem)) for step in plan.steps]
        capacity = self.target.spm.capacity_bytes
        room: dict[_Kind, int] = {}
        steps: dict[_Kind, Step] = {}
        for key, step, live in zip(keys, plan.steps, plan.live_bytes(self.target), strict=True):
            room[key] = min(room.get(key, capacity), capacity - live)
            if key not in steps or _rings(step) >= _rings(steps[key]):
                steps[key] = step
        chosen = {
            key: self._decide(step, jobs[step.job], (key[1], room[key]))
            for key, step in steps.items()
        }
        self._expect(plan, jobs, [(key, chosen[key]) for key in keys])
        return [chosen[key] for key in keys]

    def _expect(
        self, plan: ProgramPlan, jobs: Sequence[Job], decided: Sequence[tuple[_Kind, Tiling]]
    ) -> None:
        """Tell the sum of what the closed form expects of the steps of each job, one by one.

        Steps of one kind differ in where their operands are, and where these begin, alone.
        """
        cycles, steps = [0] * len(jobs), [0] * len(jobs)
        known: dict[object, int] = {}
        for step, (kind, tiling) in zip(plan.steps, decided, strict=True):
            key = kind, tuple([o.home for o in step.problem.operands])
            if key not in known:
                problem = without_origin(step.problem)
                known[key] = expected_cycles(problem, tiling, self.target)
            cycles[step.job] += known[key]
            steps[step.job] += 1
        self.expected_cycles += sum(cycles)
        for job, expected, count in zip(jobs, cycles, steps, strict=True):
            figures = {LAYER_CYCLES: expected, "steps": count}
            self.remarks.expect(SOURCE, job.problem.name, job.nodes, **figures)

    def _decide(self, step: Step, job: Job, shape_and_room: tuple[str, int]) -> Tiling:
        shape, room = shape_and_room
        before = self.decided.get((job.nodes, shape))  # of another core
        if before is not None and spm_bytes(step.problem, before.tiling, self.target) <= room:
            return before.tiling
        tiling = self.given.find(step, job.nodes, (self.target, room))
        if tiling is None:
            tiling = self._search(step, job, room)
        else:
            where = f"group {job.problem.name}"
            check_tiling(step.problem, tiling, self.target, where)
            check_capacity(step.problem, tiling, (self.target, room), where)
            self.remarks.applied(SOURCE, f"tiling replayed from {self.given.origin}", job.nodes)
        product = None if step.is_copy else product_of(job.problem)
        self.decided[job.nodes, shape] = GroupSchedule(job.nodes, shape, tiling, product)
        return tiling

    def _search(self, step: Step, job: Job, room: int) -> Tiling:
        options = replace(self.options, spm_bytes=room)
        choice = choose_tiling(step.problem, self.target, options)
        self.remarks.applied(
            SOURCE,
            f"tile {'x'.join(map(str, choice.tiling.tile))} of {choice.considered} considered",
            job.nodes,
            estimated_cycles=choice.estimate.cycles,
            mxu_cycles=choice.estimate.mxu_cycles,
            vpu_cycles=choice.estimate.vpu_cycles,
            dma_cycles=choice.estimate.dma_cycles,
            dram_bytes=choice.estimate.dram_bytes,
        )
        return choice.tiling


def _rings(step: Step) -> int:
    return sum(not operand.is_resident for operand in step.problem.operands)
