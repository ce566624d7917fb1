"""Which core does what: every job is split along the rows of its result, or along its columns.

Rows go to the same core from job to job where no window crosses them (images of a batch), so that
what is handed on stays private to a core. Columns suit products with few rows and many weights:
every weight is then read once; so it is where cores load weights for each other (``multicast``).
Tensors that other cores read lie in DRAM, and whoever reads them waits for the signals of those
who wrote them. A reduction is never split.
"""

from bisect import bisect_left
from collections import Counter as Multiset
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import gcd, prod

from npuc.compiler.schedule.problem import K_DIMS, N_DIM, PARALLEL, GroupProblem, Home, Operand
from npuc.compiler.schedule.program import (
    Job,
    Multicast,
    TensorFacts,
    Work,
    tensor_bytes,
    whole_words,
)
from npuc.compiler.schedule.queues import LOAD_QUEUES
from npuc.compiler.schedule.split.division import Division
from npuc.compiler.schedule.split.multicast import (
    multicast_operand,
    parts_of,
    place_multicasts,
    sending_queues,
    sent_signal,
)
from npuc.compiler.schedule.split.ranges import even_ranges
from npuc.compiler.schedule.striping.rows import Range, RowReads, restrict, row_dim
from npuc.isa.cost import mma_cycles, transfer_rate
from npuc.isa.target import Target

GROUPS_AHEAD = 2  # so far ahead of the array its loads are
LEAST_LOAD_SHARE = 1 / 16  # of the array's cycles, for weights to be multicast
EXCHANGE_CYCLES = 2000  # latency of a store, a signal and a load before others go on
NOTHING = (0, 0)
SHARED = "shared"  # segment of tensors in DRAM that several cores touch


@dataclass(frozen=True)
class Exchange:
    """Waits of a job before it starts, as pairs (signal, engine that waits); signals at its end."""

    awaits: tuple[tuple[str, str], ...] = ()
    signals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Share:
    """The part of one core: jobs over its ranges, their numbers in the whole, their exchanges.

    ``offsets``: first byte of each private tensor in the whole one; jobs count from there.
    """

    core: int
    work: Work
    numbers: tuple[int, ...]
    exchanges: tuple[Exchange, ...]
    offsets: Mapping[int, int] = field(default_factory=dict)

    @property
    def waits(self) -> int:
        """How many jobs wait for what other cores make, multicast weights apart."""
        return sum(any(by in LOAD_QUEUES for _, by in e.awaits) for e in self.exchanges)


@dataclass(frozen=True)
class _Cut:
    """A job's dimension that is split, and the range of each core, some of them empty."""

    dim: int
    ranges: tuple[Range, ...]
    by_rows: bool


def split_work(work: Work, target: Target, division: Division) -> list[Share]:
    """The shares of all cores, some of them perhaps empty; the first is the largest."""
    return _Splitter(work, target, division).shares()


def parts_of_rows(work: Work) -> int:
    """The most equal parts that the rows of every job have."""
    rows = [(job.problem, row_dim(job.problem)) for job in work.jobs]
    return gcd(*(problem.extents[dim] for problem, dim in rows if dim is not None)) or 1


def whole_share(work: Work) -> Share:
    """All of ``work`` for one core."""
    numbers = tuple(range(len(work.jobs)))
    return Share(0, work, numbers, (Exchange(),) * len(numbers))


class _Splitter:
    """``multicasts``: the constants that cores load for each other, by the job that reads them."""

    def __init__(self, work: Work, target: Target, division: Division) -> None:
        self.work, self.target, self.cores = work, target, division.cores
        self.weights = [
            multicast_operand(job, work.tensors, target) if division.multicasts else None
            for job in work.jobs
        ]
        self.cuts = [
            _cut(job, work.tensors, (target, division), weights)
            for job, weights in zip(work.jobs, self.weights, strict=True)
        ]
        self.multicasts = self._multicasts()
        self.apart = self._apart()
        self.private = {t: r for t, r in self.apart.items() if work.tensors[t].is_scratch}

    def _multicasts(self) -> dict[int, Multicast]:
        wanted = {}
        for number, (job, cut) in enumerate(zip(self.work.jobs, self.cuts, strict=True)):
            weights = self.weights[number]
            if weights is not None and _may_multicast(job.problem, cut, weights, self.target):
                wanted[number] = job.tensor(weights)
        readers = Multiset(t for job in self.work.jobs for t in job.tensors)
        alone = {number: tensor for number, tensor in wanted.items() if readers[tensor] == 1}
        found = place_multicasts(alone, self.work.tensors, self.target)
        return {multicast.job: multicast for multicast in found}

    def shares(self) -> list[Share]:
        exchanges = self._exchanges()
        return [self._share(core, exchanges[core]) for core in range(self.cores)]

    def _share(self, core: int, exchanges: dict[int, Exchange]) -> Share:
        offsets = {t: ranges[core][0] for t, ranges in self.private.items()}
        facts = [
            replace(f, n_bytes=self.private[t][core][1] - offsets[t])
            if t in self.private
            else replace(f, segment=SHARED if f.is_scratch else f.segment)
            for t, f in enumerate(self.work.tensors)
        ]
        numbers = [n for n, cut in enumerate(self.cuts) if _size(cut.ranges[core])]
        jobs = [self._part(n, core, offsets) for n in numbers]
        waits = tuple(exchanges.get(n, Exchange()) for n in numbers)
        readers = [i for i, n in enumerate(numbers) if self._shared_reads(self.work.jobs[n])]
        own, n_bytes = self._own_multicasts(core, numbers)
        work = Work(tuple(jobs), tuple(facts), frozenset(readers), core, own, n_bytes)
        return Share(core, work, tuple(numbers), waits, offsets)

    def _own_multicasts(
        self, core: int, numbers: Sequence[int]
    ) -> tuple[tuple[Multicast, ...], int]:
        """The multicasts as ``core`` sees them, whose jobs have these ``numbers``; bytes of SPM."""
        own, end = [], 0
        for number, multicast in self.multicasts.items():
            n_bytes = self.work.tensors[multicast.tensor].n_bytes
            end = max(end, multicast.address + whole_words(n_bytes, self.target))
            part = parts_of(multicast, n_bytes, self.target, self.cores)[core]
            before = bisect_left(numbers, multicast.before)
            own.append(replace(part, job=bisect_left(numbers, number), before=before))
        return tuple(own), end

    def _part(self, number: int, core: int, offsets: Mapping[int, int]) -> Job:
        job, cut = self.work.jobs[number], self.cuts[number]
        problem = restrict(job.problem, cut.dim, cut.ranges[core])
        operands = tuple(
            replace(
                o,
                base=o.base - offsets.get(job.tensor(o), 0),
                waits=n in problem.inputs and self._is_shared(job.tensor(o)),
                home=Home.spm if self._is_multicast(number, job.tensor(o)) else o.home,
            )
            for n, o in enumerate(problem.operands)
        )
        problem = self._apart_from_waits(job, replace(problem, operands=operands))
        if problem.waits:
            recent = range(max(number - GROUPS_AHEAD, 0), number)
            before = round(sum(map(self._spare_cycles, recent)))
            problem = replace(problem, cycles_before=before)
        return replace(job, problem=problem)

    def _apart_from_waits(self, job: Job, problem: GroupProblem) -> GroupProblem:
        """Constants on the queue that does not wait for other cores, where one of the two does."""
        held = {o.queue for o in problem.operands if o.waits}
        if len(held) != 1:
            return problem
        (free,) = set(LOAD_QUEUES) - held
        segments = [self.work.tensors[job.tensor(o)].segment for o in problem.operands]
        pairs = zip(problem.operands, segments, strict=True)
        operands = tuple(replace(o, queue=free) if s == "constant" else o for o, s in pairs)
        return replace(problem, operands=operands)

    def _spare_cycles(self, number: int) -> float:
        """Of what a job takes by peak rates, those in which its constants are there already."""
        job, cut = self.work.jobs[number], self.cuts[number]
        constants = shared = 0.0
        for n in job.problem.inputs:
            operand = job.problem.operands[n]
            part = _part_of(job.problem, cut) if cut.dim in operand.dims else 1.0
            if self._is_multicast(number, job.tensor(operand)):
                part /= self.cores
            cycles = tensor_bytes(operand) * part / transfer_rate(self.target)
            constants += cycles * (self.work.tensors[job.tensor(operand)].segment == "constant")
            shared += cycles * self._is_shared(job.tensor(operand))
        exchanged = shared + EXCHANGE_CYCLES if shared else 0.0
        return max(_cycles(job.problem, cut, self.target), exchanged, constants) - constants

    def _apart(self) -> dict[int, list[Range]]:
        """Bytes of each tensor that jobs make, per core, where no core touches those of another."""
        own: dict[int, list[Range]] = {}
        reads: dict[int, list[Range]] = {}
        for job, cut in zip(self.work.jobs, self.cuts, strict=True):
            for number, operand in enumerate(job.problem.operands):
                is_written = number in job.problem.vector.outputs
                touched = [_touched(job.problem, operand, cut, core) for core in range(self.cores)]
                _widen((own if is_written else reads).setdefault(job.tensor(operand), []), touched)
        return {
            tensor: ranges
            for tensor, ranges in own.items()
            if _apart(ranges)
            and all(map(_inside, reads.get(tensor, [NOTHING] * self.cores), ranges))
        }

    def _exchanges(self) -> list[dict[int, Exchange]]:
        """Per core and job: the signals of the others that it waits for, and its own."""
        given = [0] * self.cores  # signals of each core so far
        written: dict[int, list[int]] = {}  # of them, the last that covers a tensor
        awaited: Multiset[tuple[int, str, str]] = Multiset()
        found: list[dict[int, Exchange]] = [{} for _ in range(self.cores)]
        queues, sending = self._reading_queues(), sending_queues(self.target)
        for number, (job, cut) in enumerate(zip(self.work.jobs, self.cuts, strict=True)):
            shared = [t for t in job.outputs if self._is_shared(t)]
            needs = [(queue, written.get(t, given)) for t, queue in self._shared_reads(job)]
            for core in [c for c in range(self.cores) if _size(cut.ranges[c])]:
                others = [c for c in range(self.cores) if c != core and number in self.multicasts]
                awaits = [(sent_signal(other, q), "mxu") for other in others for q in sending]
                awaits += [
                    await_
                    for queue, counts in needs
                    for await_ in _awaits(core, queue, counts, awaited)
                ]
                signals = [_signal(core, queue) for queue in queues] if shared else []
                found[core][number] = Exchange(tuple(awaits), tuple(signals))
            given = [n + bool(shared and _size(r)) for n, r in zip(given, cut.ranges, strict=True)]
            written.update(dict.fromkeys(shared, given))
        return found

    def _reading_queues(self) -> list[str]:
        found = {queue for job in self.work.jobs for _, queue in self._shared_reads(job)}
        return sorted(found)

    def _shared_reads(self, job: Job) -> list[tuple[int, str]]:
        operands = [job.problem.operands[n] for n in job.problem.inputs]
        pairs = [(job.tensor(o), o.queue) for o in operands if self._is_shared(job.tensor(o))]
        return list(dict.fromkeys(pairs))

    def _is_multicast(self, number: int, tensor: int) -> bool:
        multicast = self.multicasts.get(number)
        return multicast is not None and multicast.tensor == tensor

    def _is_shared(self, tensor: int) -> bool:
        is_made = self.work.tensors[tensor].segment in ("scratch", "output")
        return is_made and tensor not in self.apart


def _signal(core: int, queue: str) -> str:
    return f"core{core}.{queue}"


def _awaits(
    core: int, queue: str, counts: Sequence[int], awaited: "Multiset[tuple[int, str, str]]"
) -> list[tuple[str, str]]:
    """Awaits of ``queue`` until every other core has given so many signals; notes them."""
    found = []
    for other, needed in enumerate(counts):
        key = (core, _signal(other, queue), queue)
        missing = 0 if other == core else max(needed - awaited[key], 0)
        awaited[key] += missing
        found += [key[1:]] * missing
    return found


def _cut(
    job: Job,
    tensors: Sequence[TensorFacts],
    machine: tuple[Target, Division],
    weights: Operand | None,
) -> _Cut:
    """The split that takes fewer cycles by peak rates; the first core does what has none.

    ``machine``: the target and how its cores share; ``weights`` may be multicast.
    """
    (target, division), cores = machine, machine[1].cores
    problem = job.problem
    options = []
    rows = row_dim(problem)
    if rows is not None and problem.extents[rows] > 1:
        ranges = even_ranges(problem.extents[rows], division.granule(problem.extents[rows]), cores)
        options.append(_Cut(rows, ranges, by_rows=True))
    if _has_columns(job, tensors, target):
        ranges = even_ranges(problem.extents[N_DIM], target.mxu.cols, cores)
        options.append(_Cut(N_DIM, ranges, by_rows=rows == N_DIM))
    if not options:
        whole = (0, problem.extents[0])
        return _Cut(0, (whole, *[NOTHING] * (cores - 1)), by_rows=False)

    def cycles(cut: _Cut) -> float:
        is_multicast = weights is not None and _may_multicast(problem, cut, weights, target)
        return _cycles(problem, cut, target, is_multicast)

    return min(options, key=cycles)


def _may_multicast(problem: GroupProblem, cut: _Cut, weights: Operand, target: Target) -> bool:
    """Whether every core has a part of the job for which it needs all ``weights``.

    And whether their load is no small part of what the array takes: else it is hidden, and the job
    would gain nothing for the SPM and the place in a run of stripes that it gives up.
    """
    load = tensor_bytes(weights) / transfer_rate(target)
    all_need = cut.dim not in weights.dims and all(map(_size, cut.ranges))
    return all_need and load > LEAST_LOAD_SHARE * _array_cycles(problem, cut, target)


def _has_columns(job: Job, tensors: Sequence[TensorFacts], target: Target) -> bool:
    parts = job.problem.contraction
    if parts is None or job.problem.extents[N_DIM] <= target.mxu.cols:
        return False
    return tensors[job.tensor(job.problem.operands[parts.w])].segment == "constant"


def _cycles(problem: GroupProblem, cut: _Cut, target: Target, is_multicast: bool = False) -> float:
    """The longest share on the array, its weights through one core's DMA, or all cores' weights.

    ``is_multicast``: each core loads a part of the weights alone.
    """
    parts = problem.contraction
    if parts is None:
        return 0.0
    w = problem.operands[parts.w]
    copies = sum(_size(r) > 0 for r in cut.ranges)
    part = _part_of(problem, cut) if cut.dim in w.dims else 1.0
    if is_multicast:
        part = 1 / copies
    own = tensor_bytes(w) * part
    shared = own * copies / (target.dram.bytes_per_cycle * target.dram.efficiency)
    array = _array_cycles(problem, cut, target)
    if cut.by_rows:
        return max(array, own / transfer_rate(target), shared)
    rows = tensor_bytes(problem.operands[parts.a]) / transfer_rate(target)  # other cores made them
    return max(array, own / transfer_rate(target), shared, rows) + EXCHANGE_CYCLES


def _array_cycles(problem: GroupProblem, cut: _Cut, target: Target) -> float:
    """Cycles of the longest share on the array at its peak."""
    assert problem.contraction is not None
    extents = restrict(problem, cut.dim, max(cut.ranges, key=_size)).extents
    m, k = prod(extents[: PARALLEL - 1]), prod(extents[dim] for dim in K_DIMS)
    w = problem.operands[problem.contraction.w]
    return float(mma_cycles(target, m, k, extents[N_DIM], dtype=w.dtype))


def _part_of(problem: GroupProblem, cut: _Cut) -> float:
    """The part of the extent that the largest share has."""
    return max(map(_size, cut.ranges)) / problem.extents[cut.dim]


def _touched(problem: GroupProblem, operand: Operand, cut: _Cut, core: int) -> Range:
    """Bytes of the operand's tensor that the core's part touches; whole rows where they are cut."""
    low, high = cut.ranges[core]
    if high == low:
        return NOTHING
    start, stop = RowReads.of(problem, operand, cut.dim).span((low, high))
    is_output = operand.queue == "st"
    return (operand.steps[cut.dim] * low, stop) if is_output and cut.by_rows else (start, stop)


def _widen(ranges: list[Range], touched: Sequence[Range]) -> None:
    ranges[:] = [
        new if not _size(old) else old if not _size(new) else (min(*old, *new), max(*old, *new))
        for old, new in zip(ranges or [NOTHING] * len(touched), touched, strict=True)
    ]


def _size(found: Range) -> int:
    return found[1] - found[0]


def _apart(ranges: Sequence[Range]) -> bool:
    taken = sorted(r for r in ranges if _size(r))
    return all(one[1] <= other[0] for one, other in pairwise(taken))


def _inside(inner: Range, outer: Range) -> bool:
    return not _size(inner) or (outer[0] <= inner[0] and inner[1] <= outer[1])
