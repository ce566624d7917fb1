"""Stripes: a run of jobs computed a few rows at a time, so that what they hand on stays in SPM.

The *row* dimension of a job is the outermost one of its result; a stripe of it is a range of bytes
of the tensor. From the last job's rows back, every job computes just the rows that its readers need
next and did not have yet. Rows that a window needs again, the *halo*, are copied from one stripe's
buffer to the next, or computed again there, so that every stripe of a tensor is one piece.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate

from npuc.compiler.schedule.problem import (
    PARALLEL,
    RANK,
    GroupProblem,
    LinearForm,
    Operand,
)
from npuc.compiler.schedule.program import Job, can_stay

Range = tuple[int, int]
Places = list[tuple[int, int]]  # positions of a job's stripes in the order, and which they are
NOWHERE = 1 << 62  # where bytes begin that nobody needs


def row_dim(problem: GroupProblem) -> int | None:
    """The outermost dimension of the result, or None where its rows do not lie one by one."""
    outs = [problem.operands[n] for n in problem.vector.outputs]
    dims = [d for d in range(PARALLEL) if problem.extents[d] > 1]
    if not dims:
        return None
    outer = max(dims, key=lambda d: outs[0].steps[d])
    for out in outs:
        inner = sum((problem.extents[d] - 1) * out.steps[d] for d in range(RANK) if d != outer)
        step = out.steps[outer]
        if step < inner + out.dtype.bytes or not 0 <= out.origin < step:
            return None
    return outer


def restrict(problem: GroupProblem, dim: int, rows: Range) -> GroupProblem:
    """``problem`` over a range of ``dim`` alone."""
    low, high = rows
    extents = tuple(high - low if d == dim else e for d, e in enumerate(problem.extents))
    operands = tuple(
        replace(o, forms=tuple(_shifted(form, dim, low) for form in o.forms))
        if low and dim in o.dims
        else o
        for o in problem.operands
    )
    return replace(problem, extents=extents, operands=operands)


def _shifted(form: LinearForm, dim: int, low: int) -> LinearForm:
    step = form.coefficients[dim] * low
    return replace(form, constant=form.constant + step) if step else form


@dataclass(frozen=True)
class RowReads:
    """How an operand's bytes follow a range of rows; one tuple per axis that moves with them.

    ``start`` and ``stop`` are where bytes begin and end as far as other axes tell.
    """

    axes: tuple[tuple[int, int, int, int, int], ...]  # constant, per row, other span, last, stride
    start: int
    stop: int

    @staticmethod
    def of(problem: GroupProblem, operand: Operand, dim: int) -> "RowReads":
        """The reads of ``operand`` by rows of ``dim``."""
        axes = []
        start, stop = operand.base, operand.base + operand.dtype.bytes
        indexed = zip(operand.forms, operand.shape, operand.strides, strict=True)
        if operand.rows_from is not None:  # any row of all
            _, size, stride = next(indexed)
            stop += (size - 1) * stride
        for form, size, stride in indexed:
            per_row = form.coefficients[dim]
            other = form.box(problem.extents) - 1 - per_row * (problem.extents[dim] - 1)
            begin, end = max(form.constant, 0), min(form.constant + other, size - 1)
            if per_row or begin > end:
                axes.append((form.constant, per_row, other, size - 1, stride))
                continue
            start += begin * stride
            stop += end * stride
        return RowReads(tuple(axes), start, stop)

    def span(self, rows: Range) -> Range:
        """Bytes [first, last) of the tensor that ``rows`` touch, padding aside."""
        low, high = rows
        start, stop = self.start, self.stop
        for constant, per_row, other, last, stride in self.axes:
            begin = max(constant + per_row * low, 0)
            end = min(constant + per_row * (high - 1) + other, last)
            if begin > end:
                return 0, 0
            start += begin * stride
            stop += end * stride
        return start, stop


@dataclass(frozen=True)
class RowJob:
    """A job as stripes see it: its row dimension, what it reads and writes by rows."""

    job: Job
    dim: int
    extent: int
    reads: tuple[tuple[int, RowReads], ...]  # tensor that some job makes, reads of it
    writes: tuple[tuple[int, int], ...]  # tensor, bytes per row
    known: dict[tuple[int, ...], "JobRows"] = field(default_factory=dict, compare=False)

    def rows(self, wanted: tuple[int, ...]) -> "JobRows":
        """The rows of each stripe after which so many are wanted; many runs want the same."""
        found = self.known.get(wanted)
        if found is None:
            ends = [min(want, self.extent) for want in accumulate(wanted, max)]
            ranges = list(zip([0, *ends], ends, strict=False))
            found = self.known[wanted] = self.over(ranges)
        return found

    def over(self, ranges: list[Range]) -> "JobRows":
        """The job over these rows, and what it reads for them."""
        spans = [
            [reads.span(rows) if rows[0] < rows[1] else (0, 0) for rows in ranges]
            for _, reads in self.reads
        ]
        return JobRows(ranges, spans)

    @staticmethod
    def of(job: Job, made: AbstractSet[int]) -> "RowJob | None":
        """None where the job cannot run by rows; what is in SPM already is there for one step.

        ``made`` are the tensors that jobs make.
        """
        problem = job.problem
        dim = row_dim(problem)
        if dim is None:
            return None
        reads = tuple(
            (job.tensor(problem.operands[n]), RowReads.of(problem, problem.operands[n], dim))
            for n in problem.inputs
            if job.tensor(problem.operands[n]) in made
        )
        outs = [problem.operands[n] for n in problem.vector.outputs]
        if not all(can_stay(problem, o) and not o.is_resident for o in problem.operands):
            return None
        writes = tuple((job.tensor(o), o.steps[dim]) for o in outs)
        return RowJob(job, dim, problem.extents[dim], reads, writes)


@dataclass(frozen=True)
class JobRows:
    """Rows of a job by stripes, and for each of its reads the bytes that they touch."""

    rows: list[Range]
    spans: list[list[Range]]


@dataclass
class Striping:
    """Rows of every job and bytes of every internal tensor, per stripe.

    ``rows[j][s]`` are the rows that job j computes; ``held[t][s]`` the bytes of tensor t that its
    buffer holds and ``kept[t][s]`` those of them that come from the stripe before. In a
    round every job runs one stripe, by ``turns``. The jobs of ``recomputes`` compute halos again.
    """

    first: int
    stripes: int
    rows: list[list[Range]] = field(default_factory=list)
    held: dict[int, list[Range]] = field(default_factory=dict)
    kept: dict[int, list[Range]] = field(default_factory=dict)
    depths: list[int] = field(default_factory=list)
    turns: tuple[int, ...] = ()
    recomputes: frozenset[int] = frozenset()

    @property
    def run(self) -> tuple[int, int]:
        """First and last job."""
        return self.first, self.first + len(self.rows) - 1

    @cached_property
    def internal(self) -> frozenset[int]:
        """The tensors that never leave SPM."""
        return frozenset(self.held)

    @cached_property
    def order(self) -> list[tuple[int, int]]:
        """(job, stripe) in the order of execution: a job runs one stripe behind its producers."""
        rounds = range(self.stripes + max(self.depths, default=0))
        jobs = [(job, self.depths[job], self.rows[job]) for job in self.turns]
        return [
            (job, s)
            for number in rounds
            for job, depth, rows in jobs
            if 0 <= (s := number - depth) < self.stripes and rows[s][0] < rows[s][1]
        ]

    @cached_property
    def places(self) -> list[Places]:
        """By job, the positions of its stripes in the order, and which they are."""
        found: list[Places] = [[] for _ in self.rows]
        for position, (job, s) in enumerate(self.order):
            found[job].append((position, s))
        return found

    def buffer_of(self, tensor: int, s: int) -> int:
        """The stripe that made the buffer of ``s``: one that gains no rows uses the one before."""
        return self.makers[tensor][s]

    @cached_property
    def makers(self) -> dict[int, list[int]]:
        """``buffer_of`` every stripe, by tensor."""
        makers: dict[int, list[int]] = {}
        for tensor, held in self.held.items():
            gains = [s for s in range(len(held)) if not s or held[s][1] != held[s - 1][1]]
            ends = [*gains[1:], len(held)]
            makers[tensor] = [s for s, end in zip(gains, ends, strict=True) for _ in range(s, end)]
        return makers


def halo_tensor(jobs: Sequence[RowJob], number: int, internal: AbstractSet[int]) -> int | None:
    """The tensor whose halo the job of this number may compute again: its one result, all its own.

    None where it has no such.
    """
    writes = [tensor for tensor, _ in jobs[number].writes]
    shared = {tensor for n, job in enumerate(jobs) if n != number for tensor, _ in job.writes}
    is_alone = len(writes) == 1 and writes[0] in internal and writes[0] not in shared
    return writes[0] if is_alone else None


@dataclass(frozen=True)
class Division:
    """How often a run is divided, and which jobs compute halos again instead of copying them."""

    stripes: int
    recomputes: frozenset[int] = frozenset()


def stripe(
    jobs: Sequence[RowJob], first: int, internal: set[int], division: Division
) -> Striping | None:
    """``jobs``, which begin at number ``first``, in stripes.

    Results that are not ``internal`` go elsewhere in equal parts, or sooner where jobs of the
    segment read them. None where rows that stay would be copied before they are complete: the
    first job that writes a stripe copies them, so all that write it must run in one round.
    """
    unit: dict[int, int] = {}
    for job in jobs:
        for tensor, row_bytes in job.writes:
            if unit.setdefault(tensor, row_bytes) != row_bytes:
                return None
    stripes, recomputes = division.stripes, division.recomputes
    needs = _Needs(unit, stripes, internal)
    numbered = reversed(list(enumerate(jobs)))
    rows = [needs.rows(job, n in recomputes) for n, job in numbered][::-1]
    depths = _depths(jobs)
    turns = tuple(sorted(range(len(jobs)), key=lambda j: (depths[j], j)))
    result = Striping(first, stripes, rows, {}, {}, depths, turns, recomputes)
    again = {halo_tensor(jobs, n, internal): n for n in recomputes}
    rounds: dict[int, set[int]] = {}
    for job, depth in zip(jobs, depths, strict=True):
        for tensor, _ in job.writes:
            rounds.setdefault(tensor, set()).add(depth)
    for tensor in sorted(internal):
        if tensor in again:
            held, kept = _computed(rows[again[tensor]], unit[tensor])
        else:
            held, kept = _held(needs.of[tensor].lows, needs.of[tensor].highs)
        if any(high > low for low, high in kept) and len(rounds[tensor]) > 1:
            return None
        result.held[tensor], result.kept[tensor] = held, kept
    if not _writers_agree(jobs, result, internal, unit):
        return None
    return result


@dataclass(frozen=True)
class _Need:
    """Bytes of a result that each stripe needs, of rows of ``row_bytes``.

    ``highs``: the end of what is needed so far; ``lows``: the first byte needed, or ``NOWHERE``.
    """

    row_bytes: int
    highs: list[int]
    lows: list[int]

    def write(self, rows: Sequence[Range]) -> None:
        """Each stripe needs the rows that it makes, if any."""
        firsts = [low * self.row_bytes if low < high else NOWHERE for low, high in rows]
        self.lows[:] = map(min, self.lows, firsts)

    def read(self, spans: Sequence[Range]) -> None:
        """Each stripe needs the rows of these bytes, if any."""
        size = self.row_bytes
        firsts = [start // size * size if start < stop else NOWHERE for start, stop in spans]
        ends = [-(-stop // size) * size if start < stop else 0 for start, stop in spans]
        self.lows[:] = map(min, self.lows, firsts)
        self.highs[:] = map(max, self.highs, ends)


class _Needs:
    """What each stripe needs of the jobs' results, from the last job to the first."""

    def __init__(self, unit: dict[int, int], stripes: int, internal: set[int]) -> None:
        self.of = {t: _Need(step, [0] * stripes, [NOWHERE] * stripes) for t, step in unit.items()}
        self.stripes = stripes
        self.internal = internal

    def rows(self, job: RowJob, with_halo: bool) -> list[Range]:
        """Rows of ``job`` per stripe, all its readers being known; notes what they read."""
        found = job.rows(self._wanted(job))
        if with_halo:
            ((tensor, row_bytes),) = job.writes
            found = job.over(_with_halo(found.rows, self.of[tensor].lows, row_bytes))
        for tensor, _ in job.writes:
            self.of[tensor].write(found.rows)
        for (tensor, _), spans in zip(job.reads, found.spans, strict=True):
            if tensor in self.of:
                self.of[tensor].read(spans)
        return found.rows

    def _wanted(self, job: RowJob) -> tuple[int, ...]:
        """Rows that each result must have after each stripe."""
        wanted = [0] * self.stripes
        for tensor, row_bytes in job.writes:
            highs = self.of[tensor].highs
            highs[:] = accumulate(highs, max)
            rows = [-(-high // row_bytes) for high in highs]
            wanted = list(map(max, wanted, rows))
            if tensor not in self.internal:  # others read it, too: all of it, in equal parts
                shares = [-(-job.extent * n // self.stripes) for n in range(1, self.stripes + 1)]
                wanted = list(map(max, wanted, shares))
        return tuple(wanted)


def _with_halo(ranges: Sequence[Range], lows: Sequence[int], row_bytes: int) -> list[Range]:
    """Rows of each stripe from the first that it needs on; ``lows`` are bytes.

    A stripe without new rows uses the buffer of the one before, which has what it needs.
    """
    found: list[Range] = []
    needed = NOWHERE
    for (low, high), first in zip(reversed(ranges), reversed(lows), strict=True):
        needed = min(needed, first)
        if low < high:
            found.append((min(low, needed // row_bytes), high))
            needed = NOWHERE
        else:
            found.append((low, high))
    return found[::-1]


def _computed(ranges: Sequence[Range], row_bytes: int) -> tuple[list[Range], list[Range]]:
    """What each stripe's buffer holds where all of it is computed there; nothing is handed on."""
    held = [(low * row_bytes, high * row_bytes) for low, high in ranges]
    return held, [(low, low) for low, _ in held]


def _held(lows: list[int], highs: list[int]) -> tuple[list[Range], list[Range]]:
    """What each stripe's buffer holds, and what of it the stripe before hands on."""
    needed = list(lows)
    following = NOWHERE
    for s in reversed(range(len(lows))):  # what a later stripe needs again is held until then
        if following < needed[s]:
            needed[s] = min(following, highs[s])
        following = needed[s]
    held: list[Range] = []
    kept: list[Range] = []
    done = 0
    for low, high in zip(needed, highs, strict=True):
        start = low if low < NOWHERE else high
        held.append((start, high))
        kept.append((start, max(done, start)))
        done = high
    return held, kept


def _writers_agree(
    jobs: Sequence[RowJob], result: Striping, internal: set[int], unit: dict[int, int]
) -> bool:
    """Whether all writers of a tensor are equally far after each stripe, and rows stay in order."""
    for job, rows in zip(jobs, result.rows, strict=True):
        for tensor, _ in job.writes:
            if tensor not in internal:
                continue
            wanted = [high // unit[tensor] for _, high in result.held[tensor]]
            if [high for _, high in rows] != wanted:
                return False
    return all(
        result.held[t][s][0] <= kept[0] and (s == 0 or result.held[t][s - 1][0] <= kept[0])
        for t in internal
        for s, kept in enumerate(result.kept[t])
        if kept[1] > kept[0]
    )


def _depths(jobs: Sequence[RowJob]) -> list[int]:
    depth_of: dict[int, int] = {}
    depths = []
    for job in jobs:
        depth = 1 + max((depth_of.get(t, -1) for t, _ in job.reads), default=-1)
        depths.append(depth)
        for tensor, _ in job.writes:
            depth_of[tensor] = max(depth, depth_of.get(tensor, depth))
    return depths
