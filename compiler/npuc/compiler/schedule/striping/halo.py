"""Whether the rows that a window needs again are copied, or computed again, by cost.

A copy takes a vector command of its own and the time of its bytes; computing rows again takes the
engines of the job, and of those before it whose rows it needs again. Both are told by playing all
rounds, copies among the vector work.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from npuc.compiler.schedule.striping.interleave import RowWork, rounds_of
from npuc.compiler.schedule.striping.rows import Range, Striping, halo_tensor
from npuc.isa.target import Target

WORD_BYTES = 4
LEAST_GAIN = 0.02  # below it, what the rounds say is not certain


@dataclass(frozen=True)
class Halos:
    """Chooses for one segment; ``works`` are those of its jobs.

    ``striping_of`` gives the segment in stripes with halos that so many jobs compute again, None
    where it has no such form or does not fit.
    """

    target: Target
    works: Sequence[RowWork]
    step_cycles: int
    striping_of: Callable[[frozenset[int]], Striping | None]

    def choose(self, striping: Striping) -> Striping:
        """``striping``, or one that computes halos again and takes clearly fewer cycles."""
        best, fewest = striping, self.cycles(striping)
        enough = fewest * (1 - LEAST_GAIN)
        for number in self._candidates(striping):
            other = self.striping_of(best.recomputes | {number})
            cycles = fewest if other is None else self.cycles(other)
            if other is not None and cycles < fewest:
                best, fewest = other, cycles
        return best if fewest < enough else striping

    def cycles(self, striping: Striping) -> int:
        """Cycles of all rounds, with the copies that they need."""
        copies = self._copies(striping)
        rounds = rounds_of(striping, self.works, self.step_cycles, copies)
        return rounds.cycles(striping.turns)

    def _candidates(self, striping: Striping) -> Iterable[int]:
        """The jobs whose halos are copied so far, the last one first: it needs what others make."""
        jobs = [work.job for work in self.works]
        for number in reversed(range(len(jobs))):
            tensor = halo_tensor(jobs, number, striping.internal)
            if tensor is not None and any(map(_size, striping.kept[tensor])):
                yield number

    def _copies(self, striping: Striping) -> dict[tuple[int, int], int]:
        """Vector cycles of copies by job and stripe: of the first job that writes a tensor."""
        copies: dict[tuple[int, int], int] = {}
        seen: set[int] = set()
        for number, work in enumerate(self.works):
            for tensor in [t for t, _ in work.job.writes if t in striping.kept and t not in seen]:
                seen.add(tensor)
                sizes = enumerate(map(_size, striping.kept[tensor]))
                for s, n_bytes in [(s, n_bytes) for s, n_bytes in sizes if n_bytes]:
                    key = number, s
                    copies[key] = copies.get(key, 0) + self._copy_cycles(n_bytes)
        return copies

    def _copy_cycles(self, n_bytes: int) -> int:
        vpu = self.target.vpu
        is_words = n_bytes % WORD_BYTES == 0
        elements = n_bytes // WORD_BYTES if is_words else n_bytes
        return self.step_cycles + vpu.startup_cycles + -(-elements // vpu.lanes)


def _size(rows: Range) -> int:
    return rows[1] - rows[0]
