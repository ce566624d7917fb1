"""The program as the scheduler sees it: jobs over tensors, and what is planned of them.

A *job* is one fused group of the graph. The plan turns jobs into *steps*, in the order in which
they run: a job whole, or one stripe of it. Buffers of SPM that outlive a step keep whole tensors or
the rows of one stripe; everything else moves through the rings of a step's tiling.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

from npuc.compiler.schedule.problem import GroupProblem, Operand
from npuc.isa.target import Target

MAX_WINDOWS = 2


@dataclass(frozen=True)
class TensorFacts:
    """A tensor of the program: bytes, and its segment (constant, input, output or scratch)."""

    name: str
    n_bytes: int
    segment: str

    @property
    def is_scratch(self) -> bool:
        """Whether only jobs read and write it, so that it need not be in DRAM."""
        return self.segment == "scratch"


@dataclass(frozen=True)
class Job:
    """One fused group: its problem with all operands in DRAM, and the tensor of each argument."""

    problem: GroupProblem
    tensors: tuple[int, ...]
    nodes: tuple[str, ...]

    def tensor(self, operand: Operand) -> int:
        """The tensor that ``operand`` is, or is a view of."""
        return self.tensors[operand.argument]

    @property
    def outputs(self) -> tuple[int, ...]:
        """Tensors that the job writes."""
        return tuple(self.tensor(self.problem.operands[n]) for n in self.problem.vector.outputs)

    @property
    def inputs(self) -> tuple[int, ...]:
        """Tensors that the job reads, constants among them."""
        return tuple(self.tensor(self.problem.operands[n]) for n in self.problem.inputs)


@dataclass(frozen=True)
class Multicast:
    """A constant in SPM of all cores, at one address; each loads a part of it and sends it to all.

    ``job`` reads it. Parts are loaded before the first step of the job ``before``, or of one after
    it; ``part`` are the bytes, first to last, that this core loads.
    """

    tensor: int
    job: int
    before: int
    address: int
    part: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Work:
    """All jobs of a core in order, and the tensors that they number.

    ``readers``: the jobs that read what other cores write, and so wait for their signals.
    ``core``: whose they are, where several share the work. ``multicasts`` are in order of their
    jobs, and have the first ``multicast_bytes`` of SPM.
    """

    jobs: tuple[Job, ...]
    tensors: tuple[TensorFacts, ...]
    readers: frozenset[int] = frozenset()
    core: int | None = None
    multicasts: tuple[Multicast, ...] = ()
    multicast_bytes: int = 0

    def room(self, target: Target) -> Target:
        """``target`` with the SPM that is left beside multicast constants; its name says so."""
        if not self.multicast_bytes:
            return target
        left = target.spm.capacity_bytes - self.multicast_bytes
        name = f"{target.name} beside {self.multicast_bytes} bytes of multicast weights"
        return replace(target, name=name, spm=replace(target.spm, capacity_bytes=left))


@dataclass(frozen=True)
class StripedRun:
    """Jobs ``first`` to ``last`` that are computed in so many stripes of rows.

    ``turns``: their order in every round, counted from the first, where it is decided.
    ``recomputes``: those that compute rows which windows need again, rather than copy them.
    """

    first: int
    last: int
    stripes: int
    turns: tuple[int, ...] | None = None
    recomputes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Step:
    """One tile group: the work of a job, or of one stripe of it.

    ``buffers`` are pairs (operand, buffer) for the operands that lie in SPM. A step without a
    job moves rows from one stripe's buffer to the next.
    """

    problem: GroupProblem
    job: int
    buffers: tuple[tuple[int, int], ...] = ()
    is_copy: bool = False


@dataclass(frozen=True)
class Buffer:
    """SPM bytes that outlive a step; at an ``address`` where that is decided already."""

    name: str
    n_bytes: int
    address: int | None = None


@dataclass(frozen=True)
class PartLoad:
    """Before a step: the core loads its part of a constant into a buffer, here and in all cores."""

    step: int
    buffer: int
    multicast: Multicast


@dataclass
class ProgramPlan:
    """Steps in order and the buffers that they share.

    ``staying`` are the tensors that are in SPM whole, ``runs`` the jobs in stripes.
    ``stopped_early``: runs that might have been better were not looked at.
    """

    steps: list[Step] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)
    staying: frozenset[int] = frozenset()
    runs: tuple[StripedRun, ...] = ()
    stopped_early: bool = False
    part_loads: list[PartLoad] = field(default_factory=list)

    def lives(self) -> dict[int, tuple[int, int]]:
        """First and last step that uses each buffer; a part is loaded in the step it is before."""
        found = {load.buffer: (load.step, load.step) for load in self.part_loads}
        for position, step in enumerate(self.steps):
            for _, buffer in step.buffers:
                found[buffer] = (found.get(buffer, (position, 0))[0], position)
        return found

    def job_ends(self) -> dict[int, tuple[int, int]]:
        """First and last step of each job; copies belong to the job that they serve."""
        found: dict[int, tuple[int, int]] = {}
        for position, step in enumerate(self.steps):
            found[step.job] = (found.get(step.job, (position, 0))[0], position)
        return found

    def live_bytes(self, target: Target) -> list[int]:
        """Bytes of the buffers without address that are alive at each step, in whole bank words."""
        change = [0] * (len(self.steps) + 1)
        for buffer, (first, last) in self.lives().items():
            if self.buffers[buffer].address is not None:
                continue
            n_bytes = whole_words(self.buffers[buffer].n_bytes, target)
            change[first] += n_bytes
            change[last + 1] -= n_bytes
        total, live = 0, []
        for delta in change[:-1]:
            total += delta
            live.append(total)
        return live


def whole_words(n_bytes: int, target: Target) -> int:
    """``n_bytes`` rounded up to whole words of an SPM bank."""
    word = target.spm.bank_width_bytes
    return -(-n_bytes // word) * word


def can_stay(problem: GroupProblem, operand: Operand) -> bool:
    """Whether views can show ``operand`` in place: at most two of its axes are padded.

    What is gathered stays in DRAM.
    """
    return operand.rows_from is None and len(operand.masked_axes(problem.extents)) <= MAX_WINDOWS


def uses(jobs: Sequence[Job]) -> dict[int, tuple[int, int]]:
    """First and last job that touches each tensor."""
    found: dict[int, tuple[int, int]] = {}
    for position, job in enumerate(jobs):
        for tensor in job.tensors:
            found[tensor] = (found.get(tensor, (position, 0))[0], position)
    return found


def tensor_bytes(operand: Operand) -> int:
    """Bytes of the operand's elements."""
    return prod(operand.shape) * operand.dtype.bytes
