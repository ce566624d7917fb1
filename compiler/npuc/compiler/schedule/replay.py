"""What a schedule file says of a program: names become numbers, and misfits become messages."""

from dataclasses import dataclass, field
from itertools import pairwise

from npuc.compiler.schedule.data import Resident, RunSchedule, Schedule
from npuc.compiler.schedule.legal import illegal
from npuc.compiler.schedule.program import ProgramPlan, StripedRun, Work
from npuc.compiler.schedule.residency import stay_candidates
from npuc.isa.target import Target


@dataclass
class Replay:
    """Reads ``given`` for ``work``; ``used`` collects the entries that say something of it."""

    given: Schedule
    work: Work
    where: str
    used: set[Resident | RunSchedule] = field(default_factory=set)

    def resident(self) -> frozenset[int] | None:
        """The tensors that stay in SPM, or None where the file does not say."""
        if self.given.resident is None:
            return None
        numbers = {facts.name: n for n, facts in enumerate(self.work.tensors)}
        candidates = stay_candidates(self.work.jobs, self.work.tensors)
        touched = {tensor for job in self.work.jobs for tensor in job.tensors}
        found = set()
        mine = [given for given in self.given.resident if given.core in (None, self.work.core)]
        for entry in mine:
            number = numbers.get(entry.tensor)
            if number not in touched:
                continue  # it is for other cores, or for none
            if number not in candidates:
                allowed = (
                    "a tensor between groups, padded along two axes at most, not gathered from"
                )
                raise illegal(self.where, "resident", entry.tensor, allowed)
            self.used.add(entry)
            found.add(number)
        return frozenset(found)

    def runs(self) -> tuple[StripedRun, ...] | None:
        """The runs of jobs in stripes, in order, or None where the file does not say."""
        if self.given.stripes is None:
            return None
        mine = [given for given in self.given.stripes if given.core in (None, self.work.core)]
        found = [run for given in mine for run in self._run(given)]
        runs = sorted(found, key=lambda run: run.first)
        for one, other in pairwise(runs):
            if other.first <= one.last:
                nodes = list(self.work.jobs[other.first].nodes)
                raise illegal(self.where, "stripes", nodes, "each group in at most one run")
        return tuple(runs)

    def _run(self, given: RunSchedule) -> list[StripedRun]:
        jobs = self.work.jobs
        firsts = given.beginnings([job.nodes for job in jobs])
        lasts = [n for n, job in enumerate(jobs) if job.nodes == given.last]
        if not firsts or not lasts:
            return []
        self.used.add(given)
        if firsts[0] >= lasts[-1]:
            allowed = "a group after the first one"
            raise illegal(f"{self.where}, stripes", "last", list(given.last), allowed)
        ends = [(a, b) for a in firsts for b in reversed(lasts) if a < b]  # the widest one first
        if given.turns is not None:
            ends = [(a, b) for a, b in ends if b - a + 1 == len(given.turns)]
        if not ends:
            allowed = f"a permutation of 0 to {lasts[-1] - firsts[0]}"
            raise illegal(f"{self.where}, stripes", "turns", list(given.turns or ()), allowed)
        first, last = ends[0]
        if any(number > last - first for number in given.recomputes):
            allowed = f"numbers from 0 to {last - first}"
            raise illegal(f"{self.where}, stripes", "recomputes", list(given.recomputes), allowed)
        return [StripedRun(first, last, given.stripes, given.turns, given.recomputes)]

    def check(self, plan: ProgramPlan, target: Target) -> None:
        """Raise CompileError where what stays in SPM does not fit it."""
        for live, step in zip(plan.live_bytes(target), plan.steps, strict=True):
            if live > target.spm.capacity_bytes:
                raise illegal(
                    f"{self.where}, group {self.work.jobs[step.job].problem.name}",
                    "resident, stripes",
                    f"{live} bytes that stay in SPM",
                    f"{target.spm.capacity_bytes} bytes ({target.name})",
                )
