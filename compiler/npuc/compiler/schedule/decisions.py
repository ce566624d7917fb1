"""What is decided for each core: from the schedule file where it says so, else by search.

All of it is left in the context as data, and told in remarks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from npuc.compiler.context import NpuContext
from npuc.compiler.options import RERANKED_FROM_LEVEL
from npuc.compiler.schedule.data import Resident, RunSchedule, Schedule
from npuc.compiler.schedule.decide import SOURCE, Given, Tilings
from npuc.compiler.schedule.legal import MISFIT
from npuc.compiler.schedule.plan import PlanOptions, plan_program
from npuc.compiler.schedule.program import ProgramPlan, Work
from npuc.compiler.schedule.replay import Replay
from npuc.compiler.schedule.search import SearchOptions
from npuc.compiler.schedule.split.division import Division
from npuc.compiler.schedule.tiling import Tiling
from npuc.isa.errors import CompileError

STOPPED_EARLY = "the search for runs in stripes stopped early: the best of those seen are taken"
SEARCHED_FROM_LEVEL = 1
DOUBLE_BUFFERED_FROM_LEVEL = 2
RESIDENT_FROM_LEVEL = 2
STRIPED_FROM_LEVEL = 2


@dataclass
class Decisions:
    """Decides for one core after another, by the options and target of ``ctx``."""

    ctx: NpuContext
    given: Schedule | None
    division: Division | None = None  # what the schedule says of it
    staying: dict[str, dict[int | None, bool]] = field(default_factory=dict)  # by core
    runs: dict[RunSchedule, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        policy, search = self.ctx.policy, _plan_options(self.ctx).search
        final = replace(
            search,
            uncrowded=True,
            prefers=policy.prefers,
            rank=policy.rank,
            three_slots=policy.three_slots,
        )
        file = self.ctx.options.schedule
        self._origin = "re-ranking" if file is None else str(file)
        said = Given(self.given, "re-ranking", binding=False)
        if file is not None:
            is_reranked = self.ctx.options.level >= RERANKED_FROM_LEVEL
            said = Given(self.given, "the file or re-ranking" if is_reranked else "the file")
        self._tilings = Tilings(self.ctx.target, final, said, self.ctx.remarks)
        self._target = self.ctx.target
        self._used: set[Resident | RunSchedule] = set()

    @property
    def expected_cycles(self) -> int:
        """What the closed form expects of all steps decided so far, each alone."""
        return self._tilings.expected_cycles

    def of(self, work: Work) -> tuple[ProgramPlan, list[Tiling]]:
        """The steps of one core and their tilings. Raises: CompileError for a misfit."""
        self._target = self._tilings.target = work.room(self.ctx.target)
        try:
            plan, tilings = self._fitting(work)
        except CompileError as error:
            self._tell_of_cores(error, work)
            raise
        if plan.stopped_early:
            self.ctx.remarks.missed(SOURCE, STOPPED_EARLY, ())
        jobs = work.jobs
        for tensor in sorted({tensor for job in jobs for tensor in job.tensors}):
            by_core = self.staying.setdefault(work.tensors[tensor].name, {})
            by_core[work.core] = tensor in plan.staying
        nodes = [job.nodes for job in jobs]
        for r in plan.runs:
            first, last = nodes[r.first], nodes[r.last]
            said = r.stripes, r.turns, work.core, r.recomputes, nodes[: r.first].count(first)
            self.runs[RunSchedule(first, last, *said)] = None
        return plan, tilings

    def _fitting(self, work: Work) -> tuple[ProgramPlan, list[Tiling]]:
        """The plan and its tilings; nothing stays where the rings would not fit beside it."""
        plan = self._plan(work)
        decided = dict(self._tilings.decided)
        try:
            return plan, self._tilings.of(plan, work.jobs)
        except CompileError:
            if self.given is not None or all(b.address is not None for b in plan.buffers):
                raise
        self._tilings.decided = decided
        self.ctx.remarks.missed(
            SOURCE, "too little SPM for tensors that stay: all go through DRAM", ()
        )
        options = replace(_plan_options(self.ctx), resident=False, stripes=False)
        plan = plan_program(work, self._target, options)
        return plan, self._tilings.of(plan, work.jobs)

    def _tell_of_cores(self, error: CompileError, work: Work) -> None:
        """Let ``error`` say more where the schedule may be for another number of cores."""
        given = self.given or Schedule()
        cores = {work.core, *(run.core for run in given.stripes or ())}
        cores |= {stays.core for stays in given.resident or ()}
        if error.what == MISFIT and cores != {None}:
            error.next_step += ", or give the --cores that it was dumped with"

    def leave(self) -> None:
        """Put the schedule into the context; tell what of the file was of no use."""
        decided = tuple(self._tilings.decided.values())
        for said in dict.fromkeys(self._stale()):
            self.ctx.remarks.missed(SOURCE, *said)
        self.ctx.schedule = Schedule(
            decided, tuple(self._resident()), tuple(self.runs), self.division
        )

    def _resident(self) -> Iterator[Resident]:
        """What stays, one entry where it does on all cores that touch it, else one for each."""
        for name, by_core in self.staying.items():
            if all(by_core.values()):
                yield Resident(name)
            else:
                yield from (Resident(name, core) for core, stays in by_core.items() if stays)

    def _plan(self, work: Work) -> ProgramPlan:
        """What stays and what is striped: from the schedule file, or else searched."""
        options = _plan_options(self.ctx)
        if self.given is None:
            return plan_program(work, self._target, options)
        replay = Replay(self.given, work, self._origin)
        staying, runs = replay.resident(), replay.runs()
        options = replace(options, staying=staying, runs=runs, origin=self._origin)
        plan = plan_program(work, self._target, options)
        replay.check(plan, self._target)
        self._used |= replay.used
        return plan

    def _stale(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """What of the file is of no use, and the nodes or the tensor that it names."""
        given = self.given or Schedule()
        for run in given.stripes or ():
            if run not in self._used:
                yield self._stale_text("run", run.core), (*run.first, *run.last)
        for stays in given.resident or ():
            if stays not in self._used:
                yield self._stale_text("tensor", stays.core), (stays.tensor,)
        for group in given.groups:
            if (group.nodes, group.shape) not in self._tilings.decided:
                yield self._stale_text("group"), group.nodes

    def _stale_text(self, kind: str, core: int | None = None) -> str:
        if core is None:
            return f"a {kind} of the schedule file suits nothing in the model: it is ignored"
        if self.division is None or self.division.cores == 1:
            said = f"a {kind} of core {core} in the schedule file, but one core has all the work"
            return f"{said}: it is ignored, leave its core out"
        said = f"a {kind} of another core in the schedule file"
        return f"{said}: core {core} has no such work, it is ignored"


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
        striping=ctx.policy.striping,
    )
