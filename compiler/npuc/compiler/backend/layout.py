"""Addresses of a program: buffers in SPM and ACC per core, tensors in the segments of DRAM."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import accumulate

from npuc.compiler.dialects import npu
from npuc.compiler.dialects.tile import SegmentName
from npuc.compiler.planning.buffers import Buffer
from npuc.compiler.planning.plan import Plan, PlanOptions, plan
from npuc.compiler.planning.spill import fullest
from npuc.isa.descriptors import Space
from npuc.isa.errors import CompileError
from npuc.isa.target import Target

TENSOR_ALIGNMENT = 64
LINGER_GROUPS = 16  # how long bytes are left alone at most, in groups
LINGER_ROUNDS = 50
FIRST_FIT = PlanOptions(max_nodes=0)
EFFORT = PlanOptions(max_nodes=1_000_000)  # it must fit
ACC_WORD_BYTES = 4


@dataclass(frozen=True)
class Memory:
    """One on-chip memory of a core: its space, capacity and the alignment that suits its banks."""

    space: Space
    capacity_bytes: int
    alignment: int


@dataclass(frozen=True)
class CoreLayout:
    """Offsets of a core's buffers by name, and the plan of each memory."""

    offsets: dict[str, int]
    plans: dict[Space, Plan]


@dataclass
class DramLayout:
    """Offsets of tensors by name and the size of each segment."""

    offsets: dict[str, int] = field(default_factory=dict)
    sizes: dict[SegmentName, int] = field(default_factory=dict)


def memories(target: Target) -> tuple[Memory, ...]:
    """SPM and ACC of a core of ``target``."""
    return (
        Memory(Space.spm, target.spm.capacity_bytes, target.spm.bank_width_bytes),
        Memory(Space.acc, target.acc.capacity_bytes, target.mxu.cols * ACC_WORD_BYTES),
    )


def lay_out_core(core: npu.CoreOp, target: Target) -> CoreLayout:
    """Place the buffers of ``core`` behind those that have an address.

    Raises: CompileError naming the buffers that do not fit.
    """
    buffers = [op for op in core.body.block.ops if isinstance(op, npu.BufferOp)]
    layout = CoreLayout({}, {})
    for memory in memories(target):
        mine = [op for op in buffers if op.buffer_type.data.space is memory.space]
        fixed = {op.buffer_name.data: op.offset.data for op in mine if op.offset is not None}
        others = [op for op in mine if op.offset is None]
        start = max([0, *(_end(op) for op in mine)])
        if start > memory.capacity_bytes:
            raise _beyond(mine, memory)
        left = replace(memory, capacity_bytes=memory.capacity_bytes - start)
        chosen = _plan_memory(others, left)
        if chosen.peak_bytes > left.capacity_bytes:
            raise _too_small(others, left, chosen, start)
        layout.plans[memory.space] = placed = _behind(chosen, start)
        layout.offsets.update(placed.offsets | fixed)
    return layout


def _end(op: npu.BufferOp) -> int:
    """The byte after a buffer that has an address; 0 for others."""
    return 0 if op.offset is None else op.offset.data + op.buffer_type.data.n_bytes


def _behind(found: Plan, start: int) -> Plan:
    """A plan whose bytes begin at ``start``."""
    return replace(
        found,
        offsets={name: start + at for name, at in found.offsets.items()},
        peak_bytes=start + found.peak_bytes,
        lower_bound_bytes=start + found.lower_bound_bytes,
    )


def _plan_memory(buffers: list[npu.BufferOp], memory: Memory) -> Plan:
    """Bytes are left alone for a while after their last use where there is room.

    So whoever has them next need not wait for the last commands of the one before. Where first fit
    exceeds the capacity, whatever lives at that time lingers half as long, until it fits.
    """
    exact = [buffer_of(op, memory) for op in buffers]
    lingering = _Lingering(exact, memory.capacity_bytes)
    attempt: Plan | None = None
    for _ in range(LINGER_ROUNDS):
        wanted = lingering.buffers()
        attempt = plan(wanted, memory.capacity_bytes, FIRST_FIT)
        if attempt.fits:
            break
        if not lingering.shorten(_crowded(wanted, attempt.offsets, memory)):
            attempt = plan(wanted, memory.capacity_bytes, EFFORT)  # they may linger all the same
            break
    if attempt is None or not attempt.fits:
        attempt = plan(exact, memory.capacity_bytes, EFFORT)
    return replace(attempt, lower_bound_bytes=fullest(exact)[0])


def _crowded(buffers: list[Buffer], offsets: dict[str, int], memory: Memory) -> set[str]:
    """Buffers that live while one lies beyond the capacity."""
    beyond = [b for b in buffers if offsets[b.id] + b.size_bytes > memory.capacity_bytes]
    times = {time for b in beyond for time in range(b.lower, b.upper)}
    end = max((b.upper for b in buffers), default=0)
    before = [0, *accumulate(time in times for time in range(end))]  # crowded times before each
    return {b.id for b in buffers if before[b.lower] < before[b.upper]}


def buffer_of(op: npu.BufferOp, memory: Memory) -> Buffer:
    """What the planner is told of ``op``."""
    return Buffer(
        op.buffer_name.data,
        op.first.data,
        op.last.data + 1,
        op.buffer_type.data.n_bytes,
        memory.alignment,
    )


class _Lingering:
    """Buffers that live longer, small ones first, as far as the sum of live bytes allows."""

    def __init__(self, exact: list[Buffer], capacity_bytes: int) -> None:
        self._exact = exact
        self._small_first = sorted(exact, key=lambda b: (b.size_bytes, b.lower, b.id))
        self._longest = dict.fromkeys((b.id for b in exact), LINGER_GROUPS)
        self._known: dict[tuple[str, int], Buffer] = {}  # by name and end of life
        change = [0] * (max((b.upper for b in exact), default=0) + LINGER_GROUPS)
        for b in exact:
            change[b.lower] += b.size_bytes
            change[b.upper] -= b.size_bytes
        self._free = [capacity_bytes - n_bytes for n_bytes in accumulate(change)]

    def buffers(self) -> list[Buffer]:
        """Each with its longer life, in the order given."""
        free, result = list(self._free), {}
        for b in self._small_first:
            upper, last, size = b.upper, b.upper + self._longest[b.id], b.size_bytes
            while upper < last and size <= free[upper]:
                free[upper] -= size
                upper += 1
            if (b.id, upper) not in self._known:
                self._known[b.id, upper] = replace(b, upper=upper)
            result[b.id] = self._known[b.id, upper]
        return [result[b.id] for b in self._exact]

    def shorten(self, names: Iterable[str]) -> bool:
        """Let these linger half as long; whether any of them did linger."""
        shorter = [name for name in names if self._longest[name]]
        self._longest.update((name, self._longest[name] // 2) for name in shorter)
        return bool(shorter)


def _beyond(buffers: list[npu.BufferOp], memory: Memory) -> CompileError:
    last = max(buffers, key=_end)
    return CompileError(
        f"the address of a buffer is beyond the {memory.space.name.upper()} of the target",
        where=f"buffer {last.buffer_name.data}",
        given=f"{last.buffer_type.data.n_bytes} bytes that end at {_end(last)}",
        allowed=f"up to {memory.capacity_bytes}",
        next_step="give it a lower address, or none",
    )


def _too_small(
    buffers: list[npu.BufferOp], memory: Memory, chosen: Plan, taken: int
) -> CompileError:
    """``taken`` bytes of the memory are those of buffers that have addresses."""
    largest = max(buffers, key=lambda op: op.buffer_type.data.n_bytes)
    return CompileError(
        f"the buffers do not fit into the {memory.space.name.upper()} of the target",
        where=f"buffer {largest.buffer_name.data}",
        given=f"{chosen.peak_bytes} bytes (at least {chosen.lower_bound_bytes}); "
        f"the largest buffer has {largest.buffer_type.data.n_bytes}",
        allowed=f"{memory.capacity_bytes} bytes" + f" beside {taken} with addresses" * bool(taken),
        next_step="use smaller tiles or depths, or a target with more memory",
    )


def lay_out_dram(program: npu.ProgramOp) -> DramLayout:
    """Place all DRAM tensors: constants with equal keys once, scratch by lifetime, others apart."""
    layout = DramLayout()
    by_key: dict[str, int] = {}
    tensors = [op for op in program.body.block.ops if isinstance(op, npu.TensorOp)]
    for op in tensors:
        segment = op.segment.data
        if segment is SegmentName.scratch:
            continue
        key = op.key.data if op.key is not None else op.tensor_name.data
        if segment is SegmentName.constant and key in by_key:
            layout.offsets[op.tensor_name.data] = by_key[key]
            continue
        offset = _aligned(layout.sizes.get(segment, 0))
        by_key[key] = layout.offsets[op.tensor_name.data] = offset
        layout.sizes[segment] = offset + op.tensor_type.data.n_bytes
    chosen = plan(scratch_buffers(program, tensors), None, EFFORT)
    layout.offsets.update(chosen.offsets)
    layout.sizes[SegmentName.scratch] = _aligned(chosen.peak_bytes)
    return layout


def scratch_buffers(program: npu.ProgramOp, tensors: list[npu.TensorOp]) -> list[Buffer]:
    """The scratch tensors among ``tensors``; with several cores they live all the time."""
    cores = [op for op in program.body.block.ops if isinstance(op, npu.CoreOp)]
    lives = _tensor_lives(cores)
    buffers = []
    for op in tensors:
        name = op.tensor_name.data
        if op.segment.data is SegmentName.scratch:
            first, last = lives.get(name, (0, 0)) if len(cores) == 1 else (0, 0)
            n_bytes = op.tensor_type.data.n_bytes
            buffers.append(Buffer(name, first, last + 1, n_bytes, TENSOR_ALIGNMENT))
    return buffers


def _tensor_lives(cores: Iterable[npu.CoreOp]) -> dict[str, tuple[int, int]]:
    """First and last group that touches each tensor; meaningful for one core only."""
    lives: dict[str, tuple[int, int]] = {}
    for core in cores:
        groups = [op for op in core.body.block.ops if isinstance(op, npu.GroupOp)]
        for position, group in enumerate(groups):
            for name in (t.data for t in group.tensors.data):
                lives[name] = (lives.get(name, (position, 0))[0], position)
    return lives


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // TENSOR_ALIGNMENT) * TENSOR_ALIGNMENT
