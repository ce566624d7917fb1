"""In which order the stripes of a segment follow each other, so that both engines stay busy.

In a round each job of a segment runs at most one stripe, and all of them are independent: their
inputs come from rounds before. Engines take commands in program order, so that vector work is
hidden only if the jobs that follow have matrix work that needs the vector unit little: the
accumulator holds two tiles of a job, and no more than fit of all. Orders are compared by playing
all rounds.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil, prod

import numpy as np

from npuc.compiler.schedule.problem import N_DIM, PARALLEL, GroupProblem, Home
from npuc.compiler.schedule.program import tensor_bytes
from npuc.compiler.schedule.search import Choice
from npuc.compiler.schedule.striping.rows import RowJob, Striping
from npuc.compiler.schedule.tiling import Ints, single_step_dims
from npuc.isa.cost import ACC_BYTES, mma_cycles, transfer_rate
from npuc.isa.target import Target

MAX_PLAYED = 12_000  # pieces, while one segment's order is looked for
ACC_SLOTS = 2
STEADY_TILES = 2 + ACC_SLOTS  # from then on each tile takes what the busier engine takes
GUESSED_SHARE = 0.94
NEVER = 1 << 61
STEP_CYCLES = 40  # nops and dispatch of one more piece, on each engine


@dataclass(frozen=True)
class StripeOptions:
    """What the search for runs in stripes supposes and may use.

    ``step_cycles`` are those that one more piece costs each engine: the more, the fewer stripes.
    One part in ``room_share`` of SPM is left to the rings of a segment's steps; ``longest_run``
    are jobs. ``recompute``: halos are computed again, not copied, where that fits.
    """

    step_cycles: int = STEP_CYCLES
    room_share: int = 8
    longest_run: int = 32
    recompute: bool = False


@dataclass(frozen=True)
class Load:
    """What a job asks of the engines, in cycles, when its rows are one piece.

    ``fetched`` are the transfers of constants, which come whole before the first stripe.
    """

    mxu: int
    vpu: int
    loads: int
    stores: int
    fetched: int

    @staticmethod
    def of(problem: GroupProblem, choice: Choice, target: Target) -> "Load":
        """The load of one job with the tiling that was chosen for it."""
        rate = transfer_rate(target)
        fetched = [o for o in problem.operands if o.home is Home.fetched]
        outputs = [problem.operands[n] for n in problem.vector.outputs]
        fetches = ceil(sum(map(tensor_bytes, fetched)) / rate)
        stores = ceil(sum(tensor_bytes(o) for o in outputs if not o.is_resident) / rate)
        estimate = choice.estimate
        all_loads = max(ceil(estimate.dram_bytes / rate) - fetches - stores, 0)
        return Load(estimate.mxu_cycles, estimate.vpu_cycles, all_loads, stores, fetches)


@dataclass(frozen=True)
class Piece:
    """One stripe of a job: cycles of the engines and of its transfers, output tiles.

    ``tile_bytes`` are what each of these takes in the accumulator until it is drained.
    """

    job: int
    mxu: int
    vpu: int
    tiles: int
    loads: int
    stores: int
    tile_bytes: int = 0


@dataclass(frozen=True)
class Rounds:
    """The pieces of each round, and for each job those whose results it reads.

    ``acc_bytes`` are those of the accumulator; ``is_ahead`` says that loads come a round before
    they are used, for which there must be room. ``step_cycles``: see ``StripeOptions``.
    """

    pieces: tuple[tuple[Piece, ...], ...]
    producers: tuple[tuple[int, ...], ...]
    acc_bytes: int = NEVER
    is_ahead: bool = True
    step_cycles: int = STEP_CYCLES

    def cycles(self, turns: Sequence[int], limit: int = NEVER) -> int:
        """Cycles of all rounds, when the jobs of each run in the order of ``turns``.

        Stores take time of DRAM alone: no engine waits for them. It is ``limit`` as soon as it is
        certain that it is no less.
        """
        mxu = vpu = dma = issued = 0
        accumulator = Accumulator(self.acc_bytes)
        done = [0] * len(self.producers)  # when each job ended its last round
        for by_job, left in zip(self._by_job, self._left, strict=True):
            if mxu + left[0] >= limit or vpu + left[1] >= limit or dma + left[2] >= limit:
                return limit
            ends = list(done)
            begun = max(mxu, vpu)
            for piece in [by_job[job] for job in turns if job in by_job]:
                ready = 0  # by comparisons: max() takes longer than all the rest
                for producer in self.producers[piece.job]:
                    ready = done[producer] if done[producer] > ready else ready
                if piece.loads:
                    dma = max(dma, issued if self.is_ahead else max(mxu, vpu)) + piece.loads
                    ready = dma if dma > ready else ready
                if piece.mxu:
                    start = (mxu if mxu > ready else ready) + self.step_cycles
                    mxu, vpu = accumulator.drained(piece, start, vpu)
                else:
                    vpu = (vpu if vpu > ready else ready) + piece.vpu + self.step_cycles
                dma += piece.stores
                ends[piece.job] = vpu
            done, issued = ends, begun
        return max(mxu, vpu, dma)

    @cached_property
    def _by_job(self) -> list[dict[int, Piece]]:
        """The pieces of each round by their jobs."""
        return [{piece.job: piece for piece in pieces} for pieces in self.pieces]

    @cached_property
    def _left(self) -> list[tuple[int, int, int]]:
        """By round: cycles of matrix and vector engine and DRAM from then on, without any wait."""
        mxu = vpu = dma = 0
        found = []
        for pieces in reversed(self.pieces):
            for piece in pieces:
                dma += piece.loads + piece.stores
                if piece.mxu:
                    mxu += piece.mxu // piece.tiles * piece.tiles + self.step_cycles
                    vpu += piece.vpu // piece.tiles * piece.tiles
                else:
                    vpu += piece.vpu + self.step_cycles
            found.append((mxu, vpu, dma))
        return found[::-1]

    def better_turns(self, turns: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Orders of the jobs, each faster than the one before it; the first is the one given.

        One job at a time is moved to where the rounds are shortest, those without matrix work
        first, until none gains or ``MAX_PLAYED`` pieces were played.
        """
        found, fewest = [turns], self.cycles(turns)
        left = MAX_PLAYED // sum(len(pieces) for pieces in self.pieces)
        jobs = sorted(turns, key=self._matrix_cycles)
        idle = 0  # jobs since the last gain
        while left > 0 and idle < len(jobs):
            job = jobs.pop(0)
            jobs.append(job)
            idle += 1
            rest = tuple(j for j in found[-1] if j != job)
            for place in range(len(turns)):
                moved = (*rest[:place], job, *rest[place:])
                cycles = self.cycles(moved, fewest)
                left -= 1
                if cycles < fewest:
                    fewest, idle = cycles, 0
                    found.append(moved)
        return found

    def _matrix_cycles(self, job: int) -> int:
        return sum(p.mxu for pieces in self.pieces for p in pieces if p.job == job)


class Accumulator:
    """Tiles that are multiplied and not yet drained, first in, first out."""

    def __init__(self, capacity_bytes: int) -> None:
        self.free_bytes = capacity_bytes
        self.tiles: deque[tuple[int, int]] = deque()  # when it is drained, its bytes

    def drained(self, piece: Piece, mxu: int, vpu: int) -> tuple[int, int]:
        """When the engines are done with a piece whose tiles the vector unit drains."""
        slots = [0] * ACC_SLOTS
        tile_bytes, free_bytes, tiles = piece.tile_bytes, self.free_bytes, self.tiles
        multiply, drain = piece.mxu // piece.tiles, piece.vpu // piece.tiles
        played = min(piece.tiles, STEADY_TILES)
        for tile in range(played):
            slot = slots[tile % ACC_SLOTS]
            mxu = slot if slot > mxu else mxu  # by comparisons, as above
            while free_bytes < tile_bytes and tiles:
                end, freed = tiles.popleft()
                mxu = end if end > mxu else mxu
                free_bytes += freed
            mxu += multiply
            vpu = (mxu if mxu > vpu else vpu) + drain
            slots[tile % ACC_SLOTS] = vpu
            tiles.append((vpu, tile_bytes))
            free_bytes -= tile_bytes
        self.free_bytes = free_bytes
        rest = (piece.tiles - played) * max(multiply, drain)
        return mxu + rest, vpu + rest


@dataclass(frozen=True)
class RowWork:
    """A job as pieces are made of it; ``problem`` has its operands where the segment has them."""

    job: RowJob
    problem: GroupProblem
    choice: Choice
    target: Target
    pieces: dict[tuple[int, int, bool], Piece] = field(default_factory=dict)

    @cached_property
    def constant_bytes(self) -> int:
        """Bytes of the constants, which are in SPM as long as the segment runs."""
        return sum(tensor_bytes(o) for o in self.problem.operands if o.home is Home.fetched)

    @cached_property
    def result_bytes(self) -> int:
        """Bytes of the results, of which the stripes that are alive are in SPM."""
        return sum(tensor_bytes(self.problem.operands[n]) for n in self.problem.vector.outputs)

    @cached_property
    def streamed_bytes(self) -> int:
        """Bytes that come from DRAM by rows: what is neither a constant nor in SPM."""
        operands = [self.problem.operands[n] for n in self.problem.inputs]
        streamed = [o for o in operands if not o.is_resident and o.home is not Home.fetched]
        return sum(map(tensor_bytes, streamed))

    @cached_property
    def acc_bytes(self) -> int:
        """Bytes of all that the matrix engine hands over."""
        if self.problem.contraction is None:
            return 0
        return ACC_BYTES * prod(self.problem.extents[:PARALLEL])

    @cached_property
    def tiles(self) -> int:
        """Number of output tiles."""
        return prod(self.choice.tiling.trips(self.problem)[:PARALLEL])

    @cached_property
    def load(self) -> Load:
        """The whole job at once."""
        return Load.of(self.problem, self.choice, self.target)

    def piece(self, number: int, rows: int, is_first: bool) -> Piece:
        """The piece of so many rows: a part of the whole, but no less than one product takes."""
        found = self.pieces.get((number, rows, is_first))
        if found is None:
            extent, load = self.job.extent, self.load
            acc_bytes = self.acc_bytes * rows // extent
            slot = self.target.acc.capacity_bytes // ACC_SLOTS
            n_tiles = max(ceil(self.tiles * rows / extent), ceil(acc_bytes / slot))
            found = self.pieces[number, rows, is_first] = Piece(
                number,
                max(ceil(load.mxu * rows / extent), int(self.products[rows - 1])),
                ceil(load.vpu * rows / extent),
                n_tiles,
                load.loads * rows // extent + (load.fetched if is_first else 0),
                load.stores * rows // extent,
                acc_bytes // n_tiles,
            )
        return found

    @cached_property
    def products(self) -> Ints:
        """Cycles of the products of 1, 2, ... rows, each as one command: all load all weights."""
        rows = np.arange(1, self.job.extent + 1)
        if self.problem.contraction is None:
            return np.zeros_like(rows)
        single = single_step_dims(self.problem)
        extents = [rows if d == self.job.dim else e for d, e in enumerate(self.problem.extents)]
        products = prod(extents[d] for d in single)
        m = prod(extents[d] for d in range(N_DIM) if d not in single)
        a = self.problem.operands[self.problem.contraction.a]
        k, n = prod(extents[PARALLEL:]), extents[N_DIM]
        cycles: Ints = products * mma_cycles(self.target, m, k, n, dtype=a.dtype)
        return cycles

    def mxu_cycles(self, stripes: Ints) -> Ints:
        """Cycles of the matrix engine in so many equal stripes."""
        rows = -(-self.job.extent // stripes)
        cycles: Ints = np.maximum(stripes * self.products[rows - 1], self.load.mxu)
        return cycles


def rounds_of(
    striping: Striping, works: Sequence[RowWork], step_cycles: int = STEP_CYCLES
) -> Rounds:
    """The pieces of all rounds of ``striping``; ``works`` are those of its jobs."""
    makers: dict[int, list[int]] = {}
    for number, work in enumerate(works):
        for tensor, _ in work.job.writes:
            makers.setdefault(tensor, []).append(number)
    producers = tuple(
        tuple(p for tensor, _ in work.job.reads for p in makers.get(tensor, ())) for work in works
    )
    rounds: dict[int, list[Piece]] = {}
    begun: set[int] = set()
    for number, s in striping.order:
        low, high = striping.rows[number][s]
        piece = works[number].piece(number, high - low, number not in begun)
        begun.add(number)
        rounds.setdefault(s + striping.depths[number], []).append(piece)
    capacity = works[0].target.acc.capacity_bytes if works else NEVER
    played = tuple(tuple(pieces) for pieces in rounds.values())
    return Rounds(played, producers, capacity, step_cycles=step_cycles)


@dataclass(frozen=True)
class Guess:
    """About what a run takes, in its best number of stripes."""

    cycles: int
    stripes: int


def guess_runs(
    works: Sequence[RowWork], counts: Sequence[int], room_bytes: int, step_cycles: int
) -> list[Guess]:
    """For each run of jobs from the first one on: what is not the busiest engine's shows once.

    Two stripes of every result are taken to be in SPM. Guesses are the share
    ``GUESSED_SHARE`` of what is expected, so that more runs are looked at than seem to be worth it.
    """
    if not works:
        return []
    stripes = np.array(counts, np.int64)
    loads = [work.load for work in works]
    mxu = np.array([work.mxu_cycles(stripes) for work in works])
    vpu = _column(load.vpu for load in loads)
    moved = _column(load.loads + load.stores + load.fetched for load in loads)
    room = (
        _column(w.constant_bytes for w in works)
        + 2 * _column(w.result_bytes for w in works) // stripes
    )
    mxu, vpu, moved, room = (np.cumsum(part, axis=0) for part in (mxu, vpu, moved, room))
    busiest = np.maximum(mxu, vpu)
    steps = np.arange(1, len(works) + 1)[:, None] * stripes
    cycles = np.maximum(busiest, moved) + (mxu + vpu - busiest) // stripes + steps * step_cycles
    extents = _column(work.job.extent for work in works)
    cycles[(stripes > extents) | (room > room_bytes)] = NEVER
    best = cycles.argmin(axis=1)
    return [
        Guess(int(row[n] * GUESSED_SHARE), int(stripes[n]))
        for row, n in zip(cycles, best, strict=True)
    ]


def _column(values: Iterable[int]) -> Ints:
    return np.array(list(values), np.int64)[:, None]
