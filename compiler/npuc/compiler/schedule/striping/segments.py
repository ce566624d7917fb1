"""Segments: which runs of jobs go in stripes, and in how many.

Stripes serve two ends: tensors that cannot stay in SPM whole need not leave it, and engines work
on different jobs at the same time. A partition of the jobs into segments and single jobs with the
fewest expected cycles is found by dynamic programming. It begins with guesses that know little of
room and rows; the segments that a partition takes are then looked at one by one, until it takes
none that is not known.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate

from npuc.compiler.schedule.legal import illegal
from npuc.compiler.schedule.problem import GroupProblem, Home
from npuc.compiler.schedule.program import StripedRun, Work, uses, whole_words
from npuc.compiler.schedule.residency import with_homes
from npuc.compiler.schedule.search import SearchOptions, choose_tiling, without_params
from npuc.compiler.schedule.striping.interleave import (
    NEVER,
    Guess,
    Rounds,
    RowWork,
    StripeOptions,
    guess_runs,
    rounds_of,
)
from npuc.compiler.schedule.striping.rows import (
    Division,
    Places,
    Range,
    RowJob,
    Striping,
    halo_tensor,
    stripe,
)
from npuc.isa.target import Target

STRIPE_COUNTS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 56, 80, 112)
TRIED_PER_JOB = 3  # segments looked at closely
FITS_TRIED, FITS_APART = 3, 2  # numbers of stripes looked at for one that fits
LEAST_GAIN = 0.003  # of the cycles: for less than that a run is not cut into more stripes
RUN_CHARGE = 1.03  # on the cycles of a run beside its jobs one by one: it fills and drains, too

Run = tuple[int, int]  # first and last job


@dataclass(frozen=True)
class Segment:
    """Jobs [first, last] in stripes; ``internal`` are the tensors that never leave SPM."""

    first: int
    last: int
    striping: Striping
    internal: frozenset[int]
    peak_bytes: int
    cycles: int

    @property
    def run(self) -> Run:
        """First and last job."""
        return self.first, self.last


@dataclass
class Segments:
    """Finds the segments of a core; ``staying`` are tensors that are in SPM whole anyway.

    A job that reads what other cores write is in a segment only as its first: a segment then waits
    for others before it starts and nowhere else, so that cores cannot wait for each other.
    """

    work: Work
    target: Target
    options: SearchOptions
    staying: set[int]
    stripes: StripeOptions = field(default_factory=StripeOptions)
    row_jobs: list[RowJob | None] = field(default_factory=list)
    stopped_early: bool = False
    _works: dict[tuple[int, frozenset[int]], RowWork] = field(default_factory=dict)
    _works_by_run: dict[Run, list[RowWork]] = field(default_factory=dict)
    _rooms: dict[Run, int] = field(default_factory=dict)
    _numbers: dict[tuple[object, ...], int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.jobs, self.tensors = self.work.jobs, self.work.tensors
        made = {tensor for job in self.jobs for tensor in job.outputs}
        self.row_jobs = [RowJob.of(job, made) for job in self.jobs]

    def choose(self) -> list[Segment]:
        """The segments of the cheapest partition, in order."""
        guesses = self._guesses()
        costs = {run: guess.cycles for run, guess in guesses.items()}
        known: dict[Run, Segment | None] = {}
        while True:
            chosen = self._partition(costs)
            unknown = [run for run in chosen if run not in known]
            if not unknown:
                found = [segment for run in chosen if (segment := known[run]) is not None]
                turned = [self._in_turns(segment) for segment in found]
                return [self._recomputed(s) for s in turned] if self.stripes.recompute else turned
            if len(known) > TRIED_PER_JOB * len(self.jobs):
                self.stopped_early = True
                costs = {run: _charged(segment) for run, segment in known.items() if segment}
                continue
            for run in unknown:
                known[run] = segment = self._segment(run, guesses[run].stripes)
                costs[run] = NEVER if segment is None else _charged(segment)

    def _best_stripes(self, segment: Segment) -> Segment:
        """The segment in more stripes as long as each step of that gains, else in fewer.

        Fewer are taken while they are slower than the best by no more than would be no gain: they
        take fewer commands, of which the played rounds count the array's and vector unit's alone.
        """
        row = self.row_jobs[segment.last]
        counts = _counts(row) if row is not None else []
        place, best = counts.index(segment.striping.stripes), segment.cycles
        for step in (1, -1):
            near = place + step
            while 0 <= near < len(counts):
                striping = self._striping(segment.run, segment.internal, Division(counts[near]))
                if striping is None:
                    break
                alive = self.alive_bytes(striping)
                if max(alive) > self._capacity(segment.run, segment.internal):
                    break
                limit = best - int(step * LEAST_GAIN * best)
                other = self._measured(striping, alive, limit=limit)
                if other.cycles >= limit:
                    break
                segment, near, best = other, near + step, min(best, other.cycles)
        return segment

    def _in_turns(self, segment: Segment) -> Segment:
        """The segment with its jobs in the order that keeps engines busy, as far as it fits."""
        striping, internal = segment.striping, segment.internal
        room = max(self._capacity(segment.run, internal), segment.peak_bytes)
        rounds = self._rounds(striping)  # loads are ahead: the planner tries to
        for turns in reversed(rounds.better_turns(striping.turns)):
            turned = self._measured(replace(striping, turns=turns))
            if turned.peak_bytes <= room:
                return turned
        return segment

    def _recomputed(self, segment: Segment) -> Segment:
        """The segment with all halos computed again that may be and fit, the last job first."""
        room = max(self._capacity(segment.run, segment.internal), segment.peak_bytes)
        jobs = self._rows(segment.run)
        for number in reversed(range(len(jobs))):
            before = segment.striping
            tensor = halo_tensor(jobs, number, segment.internal)
            if tensor is None or all(low == high for low, high in before.kept[tensor]):
                continue
            division = Division(before.stripes, before.recomputes | {number})
            striping = self._striping(segment.run, segment.internal, division)
            if striping is not None and max(self.alive_bytes(striping)) <= room:
                segment = self._measured(replace(striping, turns=before.turns))
        return segment

    def _guesses(self) -> dict[Run, Guess]:
        """Runs that are likely to gain, with their best numbers of stripes."""
        scratch = frozenset(n for n, facts in enumerate(self.tensors) if facts.is_scratch)
        room = self.target.spm.capacity_bytes
        rows = enumerate(self.row_jobs)
        every = [None if row is None else self._work(n, scratch) for n, row in rows]
        guesses = {}
        for first in range(len(self.jobs)):
            works = []
            for number in range(first, min(first + self.stripes.longest_run, len(self.jobs))):
                work = every[number]
                if work is None or not self._may_join(number, first):
                    break
                works.append(work)
            singly = list(accumulate(self._singles[first : first + len(works)]))
            found = guess_runs(works, STRIPE_COUNTS, room, self.stripes.step_cycles)
            for n, guess in enumerate(found):
                if n and guess.cycles < singly[n]:
                    guesses[first, first + n] = guess
        return guesses

    def _may_join(self, number: int, first: int) -> bool:
        """Whether what the job waits for stands at the beginning of the run from ``first``."""
        return number == first or number not in self.work.readers

    @cached_property
    def _singles(self) -> list[int]:
        return [self._single(n) for n in range(len(self.jobs))]

    def _partition(self, costs: Mapping[Run, int]) -> list[Run]:
        """The runs of the cheapest partition into runs and single jobs."""
        ending: dict[int, list[tuple[int, int]]] = {}
        for (first, last), cycles in costs.items():
            ending.setdefault(last, []).append((first, cycles))
        best: list[tuple[int, int]] = [(0, 0)]  # cycles of the jobs before, first of the last run
        for last, single in enumerate(self._singles):
            cost = (best[last][0] + single, last)
            for first, cycles in ending.get(last, ()):
                cost = min(cost, (best[first][0] + cycles, first))
            best.append(cost)
        runs = []
        end = len(self.jobs)
        while end:
            first = best[end][1]
            if first < end - 1:
                runs.append((first, end - 1))
            end = first
        return runs[::-1]

    def given(self, run: StripedRun, origin: str) -> Segment:
        """The segment that the schedule of ``origin`` asks for: any that ``choose`` might find.

        Only the last group needs a row for each stripe: one with fewer rows has none in some.
        Raises: CompileError where it cannot be.
        """
        ends = run.first, run.last
        names = [job.problem.name for job in self.jobs[run.first : run.last + 1]]
        where = f"{origin}, groups {names[0]} to {names[-1]}"
        for number, name in enumerate(names, start=run.first):
            if not self._may_join(number, run.first):
                allowed = "runs in which none but the first group reads what other cores write"
                raise illegal(f"{where}: {name}", "stripes", run.stripes, allowed)
            if self.row_jobs[number] is None:
                allowed = "runs of groups whose results are written in rows, one after another"
                raise illegal(f"{where}: {name}", "stripes", run.stripes, allowed)
        rows = self._rows(ends)
        if run.stripes > rows[-1].extent:
            allowed = f"2 to {rows[-1].extent}, the rows of the last group"
            raise illegal(f"{where}: {names[-1]}", "stripes", run.stripes, allowed)
        internal = self._internal(*ends)
        for number in run.recomputes:
            if halo_tensor(rows, number, internal) is None:
                allowed = "groups whose one result, written by no other, is for the run alone"
                raise illegal(f"{where}: {names[number]}", "recomputes", number, allowed)
        division = Division(run.stripes, frozenset(run.recomputes))
        striping = self._striping(ends, internal, division)
        if striping is None:
            allowed = "runs whose tensors with windows are written in one round, row by row"
            raise illegal(where, "stripes", run.stripes, allowed)
        if run.turns is None:
            return self._in_turns(self._measured(striping))
        return self._measured(replace(striping, turns=run.turns))

    def _measured(
        self, striping: Striping, alive: Sequence[int] | None = None, limit: int = NEVER
    ) -> Segment:
        """A run in stripes; ``alive`` are the bytes of its buffers, where they are known.

        It counts ``limit`` cycles as soon as it is certain that it takes no fewer.
        """
        alive = alive or self.alive_bytes(striping)
        rounds = replace(self._rounds(striping), is_ahead=self._is_roomy(striping, alive))
        cycles = rounds.cycles(striping.turns, limit)
        return Segment(*striping.run, striping, striping.internal, max(alive), cycles)

    def _rounds(self, striping: Striping) -> Rounds:
        return rounds_of(striping, self._works_of(striping), self.stripes.step_cycles)

    def _single(self, number: int) -> int:
        problem = with_homes(self.jobs[number], self.staying)
        return choose_tiling(problem, self.target, self.options).estimate.overlapped_cycles

    @cached_property
    def _lives(self) -> dict[int, tuple[int, int]]:
        return uses(self.jobs)

    def _internal(self, first: int, last: int) -> frozenset[int]:
        """Scratch tensors that only jobs of the range touch."""
        inside = set()
        for job in self.jobs[first : last + 1]:
            for tensor in job.outputs:
                begin, end = self._lives[tensor]
                if self.tensors[tensor].is_scratch and begin >= first and first < end <= last:
                    inside.add(tensor)
        return frozenset(inside)

    def _segment(self, run: Run, stripes: int) -> Segment | None:
        """The run in at least so many stripes; of runs that are alike only one is looked at."""
        internal = self._internal(*run)
        alike = stripes, self._likeness(run, internal)
        if alike not in self._numbers:
            found = self._fitting(run, internal, stripes)
            self._numbers[alike] = None if found is None else found.striping.stripes
            return found
        number = self._numbers[alike]
        striping = None if number is None else self._striping(run, internal, Division(number))
        return None if striping is None else self._measured(striping)

    def _likeness(self, run: Run, internal: frozenset[int]) -> tuple[object, ...]:
        """What decides how many stripes are best, whatever the tensors' numbers are."""
        numbers: dict[int, int] = {}
        said: list[object] = [self._capacity(run, internal)]
        for n in range(run[0], run[1] + 1):
            local = [numbers.setdefault(t, len(numbers)) for t in self.jobs[n].tensors]
            said.append((self._kinds[n], tuple(local)))
        facts = [self.tensors[t] for t in numbers]
        said += [(t in internal, t in self.staying) for t in numbers]
        return *said, *((f.n_bytes, f.segment) for f in facts)

    @cached_property
    def _kinds(self) -> list[int]:
        """By job, a number that jobs share whose problems differ in parameters alone."""
        known: dict[GroupProblem, int] = {}
        return [known.setdefault(without_params(job.problem), len(known)) for job in self.jobs]

    def _fitting(self, run: Run, internal: frozenset[int], stripes: int) -> Segment | None:
        """The run in so many stripes, or the fewest more that fit of a few numbers."""
        row = self.row_jobs[run[1]]
        counts = [n for n in _counts(row) if n >= stripes] if row is not None else []
        for count in counts[: FITS_TRIED * FITS_APART : FITS_APART]:
            striping = self._striping(run, internal, Division(count))
            if striping is None:
                return None
            alive = self.alive_bytes(striping)
            if max(alive) <= self._capacity(run, internal):
                return self._best_stripes(self._measured(striping, alive))
        return None

    def _striping(self, run: Run, internal: frozenset[int], division: Division) -> Striping | None:
        return stripe(self._rows(run), run[0], set(internal), division)

    def _rows(self, run: Run) -> list[RowJob]:
        return [job for job in self.row_jobs[run[0] : run[1] + 1] if job is not None]

    def _capacity(self, run: Run, internal: frozenset[int]) -> int:
        """SPM bytes for the buffers of a segment; ``internal`` are those of the run."""
        if run not in self._rooms:
            all_bytes, outside = self.target.spm.capacity_bytes, self._outside_bytes(*run, internal)
            self._rooms[run] = all_bytes - all_bytes // self.stripes.room_share - outside
        return self._rooms[run]

    def _outside_bytes(self, first: int, last: int, internal: frozenset[int]) -> int:
        """Bytes of whole tensors that stay during the segment."""
        return sum(
            whole_words(self.tensors[t].n_bytes, self.target)
            for t in self.staying - internal
            if self._lives[t][0] <= last and first <= self._lives[t][1]
        )

    def alive_bytes(self, striping: Striping) -> list[int]:
        """Bytes of buffers that are alive at each place of the segment's order."""
        return self._alive(striping, self._pieces(striping))

    def _is_roomy(self, striping: Striping, alive: Sequence[int]) -> bool:
        """Whether there is room for what the next stripe needs from DRAM beside what is alive."""
        coming = self._alive(striping, self._streamed(striping))
        room = self._capacity(striping.run, striping.internal)
        return all(a + b <= room for a, b in zip(alive, coming, strict=True))

    def _alive(self, striping: Striping, pieces: Iterable[tuple[Range, int]]) -> list[int]:
        """Bytes of ``pieces`` that are alive at each place of the order."""
        change = [0] * (len(striping.order) + 1)
        word = self.target.spm.bank_width_bytes
        for (begin, end), n_bytes in pieces:
            rounded = -(-n_bytes // word) * word
            change[begin] += rounded
            change[end + 1] -= rounded
        return list(accumulate(change))

    def _pieces(self, striping: Striping) -> list[tuple[Range, int]]:
        """Life, as positions in the order, and bytes of every buffer of the segment."""
        touched: dict[int, list[Places]] = {}  # by tensor, the places of each job that touches it
        for index, places in enumerate(striping.places):
            for tensor in dict.fromkeys(self.jobs[striping.first + index].tensors):
                touched.setdefault(tensor, []).append(places)
        found: list[tuple[Range, int]] = []
        for tensor, by_job in touched.items():
            if tensor in striping.held:
                found += _held_pieces(striping, tensor, by_job)
            elif self.tensors[tensor].segment == "constant":
                ends = [p for places in by_job for p, _ in (*places[:1], *places[-1:])]
                if ends:
                    found.append(((min(ends), max(ends)), self.tensors[tensor].n_bytes))
        return found

    def _streamed(self, striping: Striping) -> Iterator[tuple[Range, int]]:
        """Life and bytes of what comes from DRAM: each stripe's from the one before."""
        works = self._works_of(striping)
        for work, rows, stripes in zip(works, striping.rows, striping.places, strict=True):
            if not work.streamed_bytes:
                continue
            before = -1
            for position, s in stripes:
                low, high = rows[s]
                n_bytes = work.streamed_bytes * (high - low) // work.job.extent
                yield (position if before < 0 else before, position), n_bytes
                before = position

    def _works_of(self, striping: Striping) -> list[RowWork]:
        """What each job of a segment is."""
        (first, last), internal = striping.run, striping.internal
        if striping.run not in self._works_by_run:
            works = [self._work(n, internal) for n in range(first, last + 1)]
            self._works_by_run[striping.run] = works
        return self._works_by_run[striping.run]

    def _work(self, number: int, internal: frozenset[int]) -> RowWork:
        """The job when ``internal`` and what stays are in SPM, and constants are fetched whole."""
        job = self.jobs[number]
        key = number, frozenset(t for t in job.tensors if t in internal or t in self.staying)
        if key not in self._works:
            row_job = self.row_jobs[number]
            assert row_job is not None, "jobs without rows are in no segment"
            inputs = [t for t in job.inputs if self.tensors[t].segment == "constant"]
            homes = dict.fromkeys(inputs, Home.fetched) | dict.fromkeys(key[1], Home.spm)
            problem = with_homes(job, homes)
            choice = choose_tiling(problem, self.target, self.options)
            self._works[key] = RowWork(row_job, problem, choice, self.target)
        return self._works[key]


def _charged(segment: Segment) -> int:
    return int(RUN_CHARGE * segment.cycles)


def _held_pieces(
    striping: Striping, tensor: int, by_job: Sequence[Places]
) -> list[tuple[Range, int]]:
    """Life and bytes of each buffer, which is alive until the next one has copied from it."""
    makers, held, kept = striping.makers[tensor], striping.held[tensor], striping.kept[tensor]
    begins, ends = [NEVER] * len(held), [-1] * len(held)
    for places in by_job:
        for position, s in places:
            n = makers[s]
            begins[n] = position if position < begins[n] else begins[n]  # quicker than min()
            ends[n] = position if position > ends[n] else ends[n]
    found = []
    copied = -1  # when the buffer after this one is made, if it copies from this
    for s in reversed(range(len(held))):
        if makers[s] != s:
            continue
        if ends[s] >= 0:
            found.append(((begins[s], max(ends[s], copied)), held[s][1] - held[s][0]))
        is_copied = ends[s] >= 0 and kept[s][1] > kept[s][0]
        copied = begins[s] if is_copied else -1
    return found


def _counts(last: RowJob) -> list[int]:
    """How many stripes a run may have that ends with the job ``last``."""
    return [n for n in STRIPE_COUNTS if n <= last.extent]
