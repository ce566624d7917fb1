"""Re-ranking at -O3: whole programs are timed, not groups; the fastest schedule is kept.

The closed form knows each group alone. Here the program is compiled by several policies, and the
``CycleOracle`` says what each takes, group by group; the better parts of two are put together and
timed again. So no program is slower than that of -O2. The bound is a number of trials, fewer where
they build many tile groups, so that the result does not depend on the computer.
"""

from dataclasses import dataclass, field, replace

from npuc.compiler.backend.emit import emit_program
from npuc.compiler.context import NpuContext
from npuc.compiler.dialects import nn
from npuc.compiler.dialects.tile_group import GroupOp
from npuc.compiler.locations import node_names
from npuc.compiler.pipeline import Pipeline
from npuc.compiler.remarks import Remarks
from npuc.compiler.reranking.changes import changes
from npuc.compiler.reranking.merging import Name, Timed, merge, with_given
from npuc.compiler.schedule.data import GroupSchedule, Schedule
from npuc.compiler.schedule.policies import PLANS, TILINGS, Policy
from npuc.compiler.xdsl_api import ModuleOp, walk
from npuc.isa.errors import NpucError
from npuc.isa.oracle import CycleOracle
from npuc.isa.program import Program

SOURCE = "rerank"
SCHEDULE = "schedule"  # the stage whose decisions are tried
MAX_TRIALS = 24
MIN_TRIALS = 8  # even of programs so large that they build more tile groups than that:
MAX_STEPS = 10_000  # in all trials
WORTH_A_TRIAL = 1000  # one part in so many of the cycles must be expected to be gained


def rerank(module: ModuleOp, ctx: NpuContext, pipeline: Pipeline) -> None:
    """Leave in ``ctx`` the schedule of the fastest program found of the partitioned ``module``.

    Where none is faster than that of -O2, ``ctx`` is as it was. Parts of a schedule file that is in
    ``ctx`` are kept. Raises: NpucError where the program of -O2 cannot be made.
    """
    oracle = pipeline.oracle
    if oracle is None:
        text = "no timing engine at hand: the closed form serves, as at -O2"
        ctx.remarks.missed(SOURCE, text)
        return
    if SCHEDULE in pipeline.stage_names:
        _Reranking(module, ctx, pipeline, oracle).run()


@dataclass
class _Reranking:
    """The search; ``skipped`` are the policies for which the budget was too small.

    ``kept`` are decisions of the schedule file for groups of the program of -O2: all programs are
    to have them.
    """

    module: ModuleOp
    ctx: NpuContext
    pipeline: Pipeline
    oracle: CycleOracle
    trials: int = 0
    steps: int = 0
    skipped: list[str] = field(default_factory=list)
    kept: set[GroupSchedule] = field(default_factory=set)
    declined: str = ""  # why the last trial was not timed
    _seen: dict[Schedule, Timed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = self.ctx.schedule
        self.given = given if isinstance(given, Schedule) else Schedule()
        groups = [op for op in walk(self.module) if isinstance(op, nn.GroupOp)]
        self.names: list[Name] = [(op.group_name.data, node_names(op)) for op in groups]

    def run(self) -> None:
        """Try, tell, and leave the best in the context."""
        base = self._base()
        if base is None:
            return
        if set(self.given.groups) >= set(base.schedule.groups) and self.given.stripes is not None:
            self._note("the schedule file decides every group: nothing is re-ranked")
            return
        self.kept = set(self.given.groups) & set(base.schedule.groups)
        best = base
        for policy in PLANS if self.given.stripes is None else ():
            best = self._better(best, policy, self.ctx.schedule)
        for policy in TILINGS:
            best = self._better(best, policy, self._plan(best))
        if self.skipped:
            self.ctx.remarks.missed(
                SOURCE,
                f"stopped early after {self.trials} trials of {self.steps} tile groups; "
                f"not tried: {', '.join(self.skipped)}",
            )
        self._keep(base, best)

    def _plan(self, timed: Timed) -> Schedule:
        """What stays and is striped in ``timed``; no tilings but those that are given."""
        plan = replace(timed.schedule, groups=())
        return with_given(plan, self.given)

    def _base(self) -> Timed | None:
        """The program of -O2; None, and a remark, where it cannot be timed."""
        scheduled = self._scheduled(Policy(), self.ctx.schedule)
        program = self._emitted(*scheduled)
        try:
            return self._timed(scheduled[0], program)
        except NpucError as error:
            text = f"the timing engine declines, the closed form serves: {error.what}"
            self.ctx.remarks.missed(SOURCE, text)
        return None

    def _better(self, best: Timed, policy: Policy, given: object | None) -> Timed:
        """The fastest of ``best``, the program by ``policy``, and the better parts of both."""
        if self._is_spent:
            self.skipped.append(policy.name)
            return best
        other = self._tried(policy, given)
        if other is None:
            self._note(f"{policy.name} is declined: {self.declined}")
            return best
        found = {"cycles": other.total}
        winner = min(best, other, key=lambda timed: timed.total)
        merged = merge(self.names, best, other)
        least = winner.total - winner.total // WORTH_A_TRIAL
        if merged is not None and merged.expected_cycles <= least and not self._is_spent:
            together = self._tried(Policy(), with_given(merged.schedule, self.given))
            if together is not None:
                found |= {"parts": merged.parts, "cycles_together": together.total}
                winner = min(winner, together, key=lambda timed: timed.total)
        add = self.ctx.remarks.note if winner is best else self.ctx.remarks.applied
        add(SOURCE, f"{policy.name}:", (), **found, gained=best.total - winner.total)
        return winner

    def _keep(self, base: Timed, best: Timed) -> None:
        """Leave ``best`` in the context and tell what it changes, if its replay is faster."""
        replayed = with_given(best.schedule, self.given)  # stale entries, too: they are told later
        if best.total < base.total:
            again = self._tried(Policy(), replayed, is_replay=True)
            best = base if again is None or again.total >= base.total else again
        if best is not base:
            for nodes, text in changes(base.schedule, best.schedule):
                self.ctx.remarks.applied(SOURCE, text, nodes)
            self.ctx.schedule = replayed
        figures = {"trials": self.trials, "cycles_before": base.total, "cycles": best.total}
        self._note("re-ranked by the timing engine", **figures)

    @property
    def _is_spent(self) -> bool:
        """Whether one more trial, of about as many tile groups as the others, is too many."""
        if self.trials < MIN_TRIALS:
            return False
        return self.trials >= MAX_TRIALS or self.steps * (1 + 1 / self.trials) > MAX_STEPS

    def _tried(
        self, policy: Policy, given: object | None, *, is_replay: bool = False
    ) -> Timed | None:
        """A timed program, or None where it cannot be. A replay is never one that was seen."""
        try:
            ctx, module = self._scheduled(policy, given)
            decided = _decided(ctx)
            if not self.kept <= set(decided.groups):  # in other stripes they are of no use
                self.declined = "tilings of the schedule file would be of no use"
                return None
            seen = self._seen.get(decided)
            if seen is not None and not is_replay:
                return seen
            return self._timed(ctx, self._emitted(ctx, module))
        except NpucError as error:
            self.declined = error.what
            return None

    def _scheduled(self, policy: Policy, given: object | None) -> tuple[NpuContext, ModuleOp]:
        """A copy of the module after the schedule stage, and its context. Raises: NpucError."""
        ctx = self.ctx.clone()
        ctx.remarks, ctx.consts = Remarks(), self.ctx.consts.branch()
        ctx.policy, ctx.schedule = policy, given
        module = self.module.clone()
        self._run_stages(SCHEDULE, SCHEDULE, (ctx, module))
        return ctx, module

    def _emitted(self, ctx: NpuContext, module: ModuleOp) -> Program:
        """The program; verification is left to the compilation that is kept. Raises: NpucError."""
        self.trials += 1
        self.steps += sum(isinstance(op, GroupOp) for op in walk(module))
        names = self.pipeline.stage_names
        after = names[names.index(SCHEDULE) + 1 :]
        if after:
            self._run_stages(after[0], after[-1], (ctx, module))
        return emit_program(module, ctx)

    def _run_stages(self, first: str, last: str, what: tuple[NpuContext, ModuleOp]) -> None:
        for stage in self.pipeline.stages_between(first, last):
            for compiler_pass in stage.passes:
                compiler_pass.apply(*what)

    def _timed(self, ctx: NpuContext, program: Program) -> Timed:
        schedule = _decided(ctx)
        timed = self._seen[schedule] = Timed(schedule, self.oracle.group_cycles(program))
        return timed

    def _note(self, text: str, **figures: float) -> None:
        self.ctx.remarks.note(SOURCE, text, (), **figures)


def _decided(ctx: NpuContext) -> Schedule:
    """What the schedule stage left in ``ctx``; nothing, where a plug-in decides."""
    return ctx.schedule if isinstance(ctx.schedule, Schedule) else Schedule()
