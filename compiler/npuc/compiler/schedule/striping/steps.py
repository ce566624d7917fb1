"""From rows per stripe to steps: restricted problems over the buffers of each stripe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from npuc.compiler.schedule.problem import (
    RANK,
    GroupProblem,
    Home,
    LinearForm,
    Operand,
    VectorWork,
)
from npuc.compiler.schedule.program import Buffer, Job, ProgramPlan, Step, TensorFacts
from npuc.compiler.schedule.striping.rows import Striping, restrict, row_dim
from npuc.isa.descriptors import Kernel, Output, Params, Stream
from npuc.isa.dtypes import DType

COPY_ROWS = 2  # dimension of a copy's only axis: the innermost parallel one is 3


@dataclass
class StripeSteps:
    """Appends the steps of segments to ``plan``.

    ``whole`` maps tensors that stay in SPM whole to their buffers.
    """

    jobs: Sequence[Job]
    tensors: Sequence[TensorFacts]
    plan: ProgramPlan
    whole: Mapping[int, int]
    held: dict[tuple[int, int], int] = field(default_factory=dict)
    constants: dict[int, int] = field(default_factory=dict)
    fetched: set[int] = field(default_factory=set)

    def add(self, striping: Striping) -> None:
        """All steps of one segment, copies between stripes among them."""
        self._declare(striping)
        writers: dict[tuple[int, int], tuple[int, int]] = {}
        for job, s in striping.order:
            for tensor in self.jobs[striping.first + job].outputs:
                writers.setdefault((tensor, s), (job, s))
        for job, s in striping.order:
            for tensor in dict.fromkeys(self.jobs[striping.first + job].outputs):
                if tensor in striping.held and writers[tensor, s] == (job, s):
                    self._copy(striping, tensor, s, striping.first + job)
            self._work(striping, job, s)

    def _declare(self, striping: Striping) -> None:
        """Numbers for the buffers of every stripe; one that gains no rows is the one before."""
        for tensor, ranges in striping.held.items():
            for s, (low, high) in enumerate(ranges):
                if (made := striping.buffer_of(tensor, s)) != s:
                    self.held[tensor, s] = self.held[tensor, made]
                elif high > low:
                    name = f"{self.tensors[tensor].name}@{s}"
                    self.held[tensor, s] = self._buffer(name, high - low)

    def _buffer(self, name: str, n_bytes: int) -> int:
        self.plan.buffers.append(Buffer(name, n_bytes))
        return len(self.plan.buffers) - 1

    def _copy(self, striping: Striping, tensor: int, s: int, job: int) -> None:
        low, high = striping.kept[tensor][s]
        source = self._held_at(striping, tensor, s - 1)
        if high <= low or source is None or source[0] == self.held[tensor, s]:
            return
        problem = copy_problem(
            self.jobs[job].problem.name,
            high - low,
            low - source[1],
            low - striping.held[tensor][s][0],
        )
        buffers = ((0, source[0]), (1, self.held[tensor, s]))
        self.plan.steps.append(Step(problem, job, buffers, is_copy=True))

    def _held_at(self, striping: Striping, tensor: int, s: int) -> tuple[int, int] | None:
        """Buffer of a stripe and the tensor's first byte in it."""
        if s < 0 or (tensor, s) not in self.held:
            return None
        made = striping.buffer_of(tensor, s)
        return self.held[tensor, s], striping.held[tensor][made][0]

    def _work(self, striping: Striping, index: int, s: int) -> None:
        number = striping.first + index
        job = self.jobs[number]
        dim = row_dim(job.problem)
        assert dim is not None, "jobs without rows are in no segment"
        problem = restrict(job.problem, dim, striping.rows[index][s])
        operands, buffers = list(problem.operands), []
        for n, operand in enumerate(problem.operands):
            placed = self._place(striping, job, operand, s)
            if placed is not None:
                operands[n], buffer = placed
                buffers.append((n, buffer))
        self.plan.steps.append(
            Step(replace(problem, operands=tuple(operands)), number, tuple(buffers))
        )

    def _place(
        self, striping: Striping, job: Job, operand: Operand, s: int
    ) -> tuple[Operand, int] | None:
        """The operand in its buffer, or None where it stays in DRAM."""
        tensor = job.tensor(operand)
        found = self._held_at(striping, tensor, s) if tensor in striping.held else None
        if found is not None:
            return replace(operand, home=Home.spm, base=operand.base - found[1]), found[0]
        if tensor in self.whole:
            return replace(operand, home=Home.spm), self.whole[tensor]
        if self.tensors[tensor].segment != "constant":
            return None
        if tensor not in self.constants:
            facts = self.tensors[tensor]
            self.constants[tensor] = self._buffer(facts.name, facts.n_bytes)
        home = Home.spm if tensor in self.fetched else Home.fetched
        self.fetched.add(tensor)
        return replace(operand, home=home), self.constants[tensor]


def copy_problem(name: str, n_bytes: int, source: int, destination: int) -> GroupProblem:
    """Moving bytes between two buffers, from offset ``source`` to offset ``destination``."""
    is_words = (n_bytes | source | destination) % 4 == 0
    dtype = DType.i32 if is_words else DType.i8
    count = n_bytes // dtype.bytes
    form = LinearForm(tuple(int(d == COPY_ROWS + 1) for d in range(RANK)))
    ends = [
        Operand(i, dtype, (count,), (dtype.bytes,), (form,), queue, 0, label, base, Home.spm)
        for i, (queue, label, base) in enumerate(
            [("ld0", "rows", source), ("st", "kept rows", destination)]
        )
    ]
    kernel = Kernel((Stream("i"),), (), 0, (Output(0),))
    work = VectorWork(kernel, Params(()), (0,), (1,))
    extents = tuple(count if d == COPY_ROWS + 1 else 1 for d in range(RANK))
    return GroupProblem(extents, tuple(ends), work, None, name)
