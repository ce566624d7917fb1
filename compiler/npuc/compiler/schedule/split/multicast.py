"""Weights that every core needs: each loads a part of them and sends it to the SPM of all.

So DRAM gives every byte once, and a core's queue carries its part alone. The bytes lie at one
address in all cores, in a part of SPM that nothing else uses. Before a core's part is sent, every
core has signalled that the bytes are free; before the array reads, every core has signalled that
its part is sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from npuc.compiler.planning.buffers import Buffer
from npuc.compiler.planning.plan import PlanOptions, plan
from npuc.compiler.schedule.problem import Operand
from npuc.compiler.schedule.program import (
    Job,
    Multicast,
    TensorFacts,
    can_stay,
    whole_words,
)
from npuc.compiler.schedule.queues import LOAD_QUEUES, feeds_both
from npuc.compiler.schedule.split.ranges import even_ranges
from npuc.isa.cost import transfer_rate
from npuc.isa.target import Target

WEIGHTS_QUEUE = "ld1"
JOBS_AHEAD = 8  # so far ahead of the job that reads, parts are loaded at most
SPM_PARTS = 4  # one of so many is for multicast constants
WORTH_CYCLES = 1000  # of a load that is saved: two signals and a wait for the slowest core
FIRST_FIT = PlanOptions(max_nodes=0)


def sending_queues(target: Target) -> tuple[str, ...]:
    """The queues that share a core's part: both where DRAM feeds them in all cores."""
    return LOAD_QUEUES if feeds_both(target) else (WEIGHTS_QUEUE,)


def room_signal(core: int, queue: str) -> str:
    """What a core gives when its bytes of the next constant are free for the ``queue`` of all."""
    return f"core{core}.room.{queue}"


def sent_signal(core: int, queue: str) -> str:
    """What a core gives when what its ``queue`` loads of its part is in SPM of all cores."""
    return f"core{core}.sent.{queue}"


def slices(part: tuple[int, int], target: Target) -> list[tuple[str, tuple[int, int]]]:
    """The bytes of a core's part that each of its queues loads."""
    queues, (first, last) = sending_queues(target), part
    ranges = even_ranges(last - first, _granule(target), len(queues))
    return [(queue, (first + a, first + b)) for queue, (a, b) in zip(queues, ranges, strict=True)]


def multicast_operand(job: Job, tensors: Sequence[TensorFacts], target: Target) -> Operand | None:
    """The weights of ``job``, where it gains that each core loads a part of them.

    They are a constant that the array alone reads and that is worth the wait for other cores.
    """
    product = job.problem.contraction
    if product is None or target.cores < 2:
        return None
    weights = job.problem.operands[product.w]
    tensor = job.tensor(weights)
    n_bytes = tensors[tensor].n_bytes
    room = target.spm.capacity_bytes // SPM_PARTS // 2  # beside those of the next job
    fits = whole_words(n_bytes, target) <= room and can_stay(job.problem, weights)
    is_alone = tensors[tensor].segment == "constant" and job.tensors.count(tensor) == 1
    parts = target.cores * len(sending_queues(target))
    is_worth_it = n_bytes >= max(WORTH_CYCLES * transfer_rate(target), parts * _granule(target))
    return weights if fits and is_alone and is_worth_it else None


def place_multicasts(
    wanted: Mapping[int, int], tensors: Sequence[TensorFacts], target: Target
) -> list[Multicast]:
    """Where the constants of ``wanted``, a tensor by job, lie and from which job on.

    As many jobs ahead as there is room for, the first ones less, lest all come before the first
    job; the largest ones are left out where no number is small enough.
    """
    left = dict(wanted)
    room = target.spm.capacity_bytes // SPM_PARTS
    while left:
        for ahead in range(JOBS_AHEAD, 0, -1):
            begin = {job: max(job - ahead, (job + 1) // 2) for job in left}
            buffers = [
                Buffer(
                    str(job),
                    begin[job],
                    job + 1,
                    whole_words(tensors[tensor].n_bytes, target),
                    target.spm.bank_width_bytes,
                )
                for job, tensor in left.items()
            ]
            found = plan(buffers, room, FIRST_FIT)
            if found.fits:
                return [
                    Multicast(left[job], job, begin[job], found.offsets[str(job)])
                    for job in sorted(left)
                ]
        del left[max(left, key=lambda job: tensors[left[job]].n_bytes)]
    return []


def parts_of(multicast: Multicast, n_bytes: int, target: Target, cores: int) -> list[Multicast]:
    """The multicast as each core sees it: an equal part of its bytes, in whole bursts."""
    ranges = even_ranges(n_bytes, _granule(target), cores)
    return [replace(multicast, part=part) for part in ranges]


def _granule(target: Target) -> int:
    """Bytes of whole bursts and bank words."""
    return max(target.dram.burst_bytes, target.spm.bank_width_bytes)
