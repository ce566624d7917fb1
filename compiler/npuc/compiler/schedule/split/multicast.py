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
from npuc.isa.cost import transfer_rate
from npuc.isa.target import Target

QUEUE = "ld1"  # that of weights
JOBS_AHEAD = 8  # so far ahead of the job that reads, parts are loaded at most
SPM_PARTS = 4  # one of so many is for multicast constants
WORTH_CYCLES = 2000  # of a load that is saved: two signals and a wait for the slowest core
FIRST_FIT = PlanOptions(max_nodes=0)


def room_signal(core: int) -> str:
    """What a core gives when its bytes of the next constant are free."""
    return f"core{core}.room"


def sent_signal(core: int) -> str:
    """What a core gives when its part is in SPM of all cores."""
    return f"core{core}.sent"


def multicast_operand(job: Job, tensors: Sequence[TensorFacts], target: Target) -> Operand | None:
    """The weights of ``job``, where it gains that each core loads a part of them.

    They are a constant that the array alone reads and that is worth the wait for other cores.
    """
    parts = job.problem.contraction
    if parts is None or target.cores < 2:
        return None
    weights = job.problem.operands[parts.w]
    tensor = job.tensor(weights)
    n_bytes = tensors[tensor].n_bytes
    room = target.spm.capacity_bytes // SPM_PARTS // 2  # beside those of the next job
    fits = whole_words(n_bytes, target) <= room and can_stay(job.problem, weights)
    is_alone = tensors[tensor].segment == "constant" and job.tensors.count(tensor) == 1
    is_worth_it = n_bytes > WORTH_CYCLES * transfer_rate(target)
    return weights if fits and is_alone and is_worth_it else None


def place_multicasts(
    wanted: Mapping[int, int], tensors: Sequence[TensorFacts], target: Target
) -> list[Multicast]:
    """Where the constants of ``wanted``, a tensor by job, lie and from which job on.

    As many jobs ahead as there is room for; the largest ones are left out where none is enough.
    """
    left = dict(wanted)
    room = target.spm.capacity_bytes // SPM_PARTS
    while left:
        for ahead in range(JOBS_AHEAD, 0, -1):
            buffers = [
                Buffer(
                    str(job),
                    max(job - ahead, 0),
                    job + 1,
                    whole_words(tensors[tensor].n_bytes, target),
                    target.spm.bank_width_bytes,
                )
                for job, tensor in left.items()
            ]
            found = plan(buffers, room, FIRST_FIT)
            if found.fits:
                return [
                    Multicast(left[job], job, max(job - ahead, 0), found.offsets[str(job)])
                    for job in sorted(left)
                ]
        del left[max(left, key=lambda job: tensors[left[job]].n_bytes)]
    return []


def parts_of(multicast: Multicast, n_bytes: int, target: Target, cores: int) -> list[Multicast]:
    """The multicast as each core sees it: an equal part of its bytes, in whole bursts."""
    granule = max(target.dram.burst_bytes, target.spm.bank_width_bytes)
    blocks = -(-n_bytes // granule)
    ends = [min(-(-blocks * core // cores) * granule, n_bytes) for core in range(cores + 1)]
    return [replace(multicast, part=(ends[core], ends[core + 1])) for core in range(cores)]
