"""Segments: which runs of jobs go in stripes, and in how many.

Only runs around tensors that cannot stay in SPM whole are looked at. For each, the fewest stripes
that fit are taken; a partition into segments and single jobs with the fewest expected cycles is
found by dynamic programming over the jobs in order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

from npuc.compiler.schedule.estimate import Estimate
from npuc.compiler.schedule.legal import illegal
from npuc.compiler.schedule.problem import Home
from npuc.compiler.schedule.program import Job, StripedRun, TensorFacts, uses, whole_words
from npuc.compiler.schedule.residency import with_homes
from npuc.compiler.schedule.search import SearchOptions, choose_tiling
from npuc.compiler.schedule.stripes import RowJob, Striping, stripe
from npuc.isa.cost import transfer_rate
from npuc.isa.target import Target

MAX_SEGMENT_JOBS = 20
STRIPE_COUNTS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 56, 80, 112)
STEP_CYCLES = 200  # fill, drain and dispatch of one more step
ROOM_SHARE = 8  # one part in so many of SPM is left to the rings of a segment's steps


@dataclass(frozen=True)
class Segment:
    """Jobs [first, last] in stripes; ``internal`` are the tensors that never leave SPM."""

    first: int
    last: int
    striping: Striping
    internal: frozenset[int]
    peak_bytes: int
    cycles: int


@dataclass
class Segments:
    """Finds the segments of a program; ``staying`` are tensors that are in SPM whole anyway."""

    jobs: Sequence[Job]
    tensors: Sequence[TensorFacts]
    target: Target
    options: SearchOptions
    staying: set[int]
    row_jobs: list[RowJob | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        made = {tensor for job in self.jobs for tensor in job.outputs}
        self.row_jobs = [RowJob.of(job, made) for job in self.jobs]

    def choose(self) -> list[Segment]:
        """The segments of the cheapest partition, in order."""
        singles = [self._single(n) for n in range(len(self.jobs))]
        best: list[tuple[int, Segment | None]] = [(0, None)]
        for end in range(1, len(self.jobs) + 1):
            cost: tuple[int, Segment | None] = (best[end - 1][0] + singles[end - 1], None)
            for segment in self._ending[end - 1]:
                total = best[segment.first][0] + segment.cycles
                if total < cost[0]:
                    cost = (total, segment)
            best.append(cost)
        chosen: list[Segment] = []
        end = len(self.jobs)
        while end:
            last = best[end][1]
            if last is not None:
                chosen.append(last)
            end = last.first if last is not None else end - 1
        return chosen[::-1]

    def given(self, run: StripedRun) -> Segment:
        """The segment that a schedule file asks for. Raises: CompileError where it cannot be."""
        jobs = self.jobs[run.first : run.last + 1]
        rows = []
        for job, found in zip(jobs, self.row_jobs[run.first : run.last + 1], strict=True):
            if found is None or found.extent < run.stripes:
                allowed = "groups whose results have at least as many rows, one after another"
                raise illegal(f"group {job.problem.name}", "stripes", run.stripes, allowed)
            rows.append(found)
        internal = self._internal(run.first, run.last)
        striping = stripe(rows, run.first, set(internal), run.stripes)
        if striping is None:
            allowed = "runs whose tensors with windows have one writer each, row by row"
            where = f"groups {jobs[0].problem.name} to {jobs[-1].problem.name}"
            raise illegal(where, "stripes", run.stripes, allowed)
        return self._measured(run.first, run.last, (striping, internal))

    def _measured(self, first: int, last: int, found: tuple[Striping, frozenset[int]]) -> Segment:
        striping, internal = found
        cycles = self._cycles(striping, internal)
        return Segment(first, last, striping, internal, self.peak(striping), cycles)

    def _single(self, number: int) -> int:
        problem = with_homes(self.jobs[number], self.staying)
        return choose_tiling(problem, self.target, self.options).estimate.overlapped_cycles

    @cached_property
    def _ending(self) -> list[list[Segment]]:
        """Segments by their last job."""
        found: list[list[Segment]] = [[] for _ in self.jobs]
        for first in range(len(self.jobs)):
            for last in range(first + 1, min(first + MAX_SEGMENT_JOBS, len(self.jobs))):
                if self.row_jobs[last] is None or self.row_jobs[first] is None:
                    break
                internal = self._internal(first, last)
                if not self._is_worth_a_look(first, last, internal - self.staying):
                    continue
                segment = self._segment(first, last, internal)
                if segment is not None:
                    found[last].append(segment)
        return found

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

    def _is_worth_a_look(self, first: int, last: int, large: frozenset[int]) -> bool:
        """Whether both ends hand on a tensor that cannot stay whole; else a shorter run does."""
        return not large.isdisjoint(self.jobs[first].outputs) and not large.isdisjoint(
            self.jobs[last].inputs
        )

    def _fewest(self, first: int, last: int, internal: frozenset[int], capacity: int) -> int:
        """Stripes below which not even one job's internal tensors fit."""
        largest = max(
            sum(self.tensors[t].n_bytes for t in internal.intersection(job.tensors))
            for job in self.jobs[first : last + 1]
        )
        return -(-largest // max(capacity, 1))

    def _segment(self, first: int, last: int, internal: frozenset[int]) -> Segment | None:
        rows = [job for job in self.row_jobs[first : last + 1] if job is not None]
        outside = self._outside_bytes(first, last, internal)
        capacity = self.target.spm.capacity_bytes * (ROOM_SHARE - 1) // ROOM_SHARE - outside
        fewest = self._fewest(first, last, internal, capacity)
        counts = [n for n in STRIPE_COUNTS if fewest <= n <= rows[-1].extent]
        found: Segment | None = None
        while counts:  # more stripes need less room: halve what is left
            middle = len(counts) // 2
            striping = stripe(rows, first, set(internal), counts[middle])
            if striping is None:
                return None
            if self.peak(striping) <= capacity:
                found = self._measured(first, last, (striping, internal))
                counts = counts[:middle]
            else:
                counts = counts[middle + 1 :]
        return found

    def _outside_bytes(self, first: int, last: int, internal: frozenset[int]) -> int:
        """Bytes of whole tensors that stay during the segment."""
        return sum(
            whole_words(self.tensors[t].n_bytes, self.target)
            for t in self.staying - internal
            if self._lives[t][0] <= last and first <= self._lives[t][1]
        )

    def peak(self, striping: Striping) -> int:
        """The most bytes of buffers that are alive at once in the segment."""
        change = [0] * (len(striping.order) + 1)
        for (begin, end), n_bytes in self._pieces(striping):
            change[begin] += whole_words(n_bytes, self.target)
            change[end + 1] -= whole_words(n_bytes, self.target)
        return max(accumulate(change))

    def _pieces(self, striping: Striping) -> Iterator[tuple[tuple[int, int], int]]:
        """Life, as positions in the order, and bytes of every buffer of the segment."""
        lives: dict[tuple[int, int], tuple[int, int]] = {}  # (tensor, stripe), or (constant, -1)
        for position, (index, s) in enumerate(striping.order):
            for tensor in self.jobs[striping.first + index].tensors:
                is_held = tensor in striping.held
                if is_held or self.tensors[tensor].segment == "constant":
                    piece = (tensor, striping.buffer_of(tensor, s) if is_held else -1)
                    lives[piece] = (lives.get(piece, (position, 0))[0], position)
        for (tensor, s), (begin, end) in lives.items():
            if s < 0:
                yield (begin, end), self.tensors[tensor].n_bytes
                continue
            low, high = striping.held[tensor][s]
            kept, last = striping.kept[tensor], end
            made = [n for n in range(s + 1, len(kept)) if striping.buffer_of(tensor, n) == n]
            if made and kept[made[0]][1] > kept[made[0]][0]:  # the next buffer copies from this one
                last = max(end, lives[tensor, made[0]][0])
            yield (begin, last), high - low

    def _cycles(self, striping: Striping, internal: frozenset[int]) -> int:
        mxu = vpu = moved = 0
        for number in range(striping.first, striping.first + len(striping.rows)):
            estimate = self._resident_estimate(number, internal)
            mxu, vpu = mxu + estimate.mxu_cycles, vpu + estimate.vpu_cycles
            moved += estimate.dram_bytes
        copied = sum(high - low for kept in striping.kept.values() for low, high in kept)
        vpu += copied // (4 * self.target.vpu.lanes)
        steps = len(striping.order)
        busiest = max(mxu, vpu, int(moved / transfer_rate(self.target)))
        return busiest + steps * STEP_CYCLES

    def _resident_estimate(self, number: int, internal: frozenset[int]) -> Estimate:
        job = self.jobs[number]
        constants = {t: Home.fetched for t in job.inputs if self.tensors[t].segment == "constant"}
        homes = constants | dict.fromkeys(self.staying | internal, Home.spm)
        problem = with_homes(job, homes)
        return choose_tiling(problem, self.target, self.options).estimate
