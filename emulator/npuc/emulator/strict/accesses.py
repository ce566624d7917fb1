"""What a command reads and writes: memories, and which of their bytes."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from npuc.emulator.region import (
    DmaWork,
    IndexedWork,
    MmaWork,
    MoveWork,
    NoWork,
    Region,
    ScanWork,
    SelectWork,
    VexecWork,
    WordWork,
    Work,
)
from npuc.emulator.strict.bytesets import Box, ByteSet, region_bytes, touched_by
from npuc.isa.descriptors import Segment, Space
from npuc.isa.descriptors.kernel import MAX_INPUTS, MAX_OUTPUTS

_PARALLEL = 4
_INPUTS = tuple(f"in{number}" for number in range(MAX_INPUTS))
_OUTPUTS = tuple(f"out{number}" for number in range(MAX_OUTPUTS))


class MemoryKey(NamedTuple):
    """A memory: ``spm`` or ``acc`` of a core, or a DRAM segment (core -1)."""

    name: str
    core: int

    def __str__(self) -> str:
        """The name in a message."""
        return f"{self.name} of core {self.core}" if self.core >= 0 else f"segment {self.name}"


class Access(NamedTuple):
    """A command touches some bytes of ``memory``; ``operand`` names them in messages.

    ``touched`` is a region where windows clip it. Where ``is_exact`` is false values decide which
    of the bytes: it may be any of them.
    """

    memory: MemoryKey
    touched: Box | Region
    is_write: bool
    operand: str
    is_exact: bool = True

    @property
    def bytes(self) -> ByteSet:
        """Which bytes. Raises: CapacityError where they lie in too many pieces."""
        return self.touched.bytes if isinstance(self.touched, Box) else region_bytes(self.touched)


@cache
def _memories(core: int) -> tuple[MemoryKey, MemoryKey]:
    """SPM and ACC of a core."""
    return MemoryKey(Space.spm.name, core), MemoryKey(Space.acc.name, core)


@cache
def _segment(segment: Segment) -> MemoryKey:
    return MemoryKey(segment.name, -1)


def accesses(core: int, work: Work) -> list[Access]:
    """Reads, then writes of one command; those without elements are left out."""
    made = _BY_KIND[type(work)](core, work)
    return [access for access in made if 0 not in access.touched.extents]


def _of_view(core: int, region: Region, operand: str, is_write: bool = False) -> Access:
    memory = _memories(core)[region.view.space is Space.acc]
    return Access(memory, touched_by(region), is_write, operand)


def _mma(core: int, work: MmaWork) -> list[Access]:
    made = []
    if 0 not in work.a.extents and 0 not in work.w.extents:
        made = [_of_view(core, work.a, "a"), _of_view(core, work.w, "w")]
    if work.accumulate:
        made.append(_of_view(core, work.acc, "acc"))
    made.append(_of_view(core, work.acc, "acc", True))
    return made


def _vexec(core: int, work: VexecWork) -> list[Access]:
    kernel, part, made = work.kernel, work.part, []
    first = (*work.space[:_PARALLEL], 1, 1, 1)
    at_end = part is None or part.is_last
    for stream, region in enumerate(work.inputs):
        in_body = stream in kernel.body_streams
        if in_body or (at_end and stream in kernel.epilogue_streams):
            extents = work.space if in_body else first
            read = region if region.extents == extents else region._replace(extents=extents)
            made.append(_of_view(core, read, _INPUTS[stream]))
    if part and not part.is_first:
        made.append(_of_view(core, part.state, "state"))
    made += [_of_view(core, region, _OUTPUTS[i], True) for i, region in work.written]
    if part and not part.is_last:
        made.append(_of_view(core, part.state, "state", True))
    return made


def _ordered(core: int, work: ScanWork | SelectWork) -> list[Access]:
    reads = [_of_view(core, region, name) for name, region in work.reads.items()]
    return reads + [_of_view(core, region, name, True) for name, region in work.writes.items()]


def _move(core: int, work: MoveWork) -> list[Access]:
    reads = [] if work.source is None else [_of_view(core, work.source, "source")]
    return [*reads, _of_view(core, work.target, "to", True)]


def _word(core: int, work: WordWork) -> list[Access]:
    memory = work.memory
    key = _segment(memory) if isinstance(memory, Segment) else _memories(core)[memory is Space.acc]
    return [Access(key, Box(work.address, (), (), work.dtype.bytes), work.is_store, "word")]


def _transfer(core: int, work: DmaWork) -> list[Access]:
    made = work.map
    first, counts = clipped_box(work)
    element = tuple(c + f for c, f in zip(work.corner, first, strict=True))
    size = made.dtype.bytes
    at = made.base + _dot(element, made.dram_strides)
    in_dram = Access(_segment(made.segment), Box(at, counts, made.dram_strides, size),
                     not work.is_load, "tensor")  # fmt: skip
    if work.is_load:
        whole = Box(work.address, made.box, made.spm_strides, size)
        receivers = work.cores or (core,)
        return [in_dram, *(Access(_memories(one)[0], whole, True, "box") for one in receivers)]
    inside = Box(work.address + _dot(first, made.spm_strides), counts, made.spm_strides, size)
    return [Access(_memories(core)[0], inside, False, "box"), in_dram]


def clipped_box(work: DmaWork) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First point of the box that lies inside the tensor, and how many do along each dimension."""
    made = work.map
    first = tuple(max(0, -c) for c in work.corner)
    stop = (min(b, e - c) for b, e, c in zip(made.box, made.extents, work.corner, strict=True))
    return first, tuple(max(0, s - f) for f, s in zip(first, stop, strict=True))


def _indexed(core: int, work: IndexedWork) -> list[Access]:
    """Which elements of the tensor a list of indices names is not known here: any of them."""
    made, first = work.first.map, work.first
    size, count = made.dtype.bytes, work.indices.extents[0]
    tensor = Box(made.base, made.extents if count else (0,), made.dram_strides, size)
    boxes = Box(first.address, (count, *made.box), (work.step, *made.spm_strides), size)
    in_dram = Access(_segment(made.segment), tensor, not first.is_load, "tensor", is_exact=False)
    in_spm = Access(_memories(core)[0], boxes, first.is_load, "boxes")
    both = [in_dram, in_spm] if first.is_load else [in_spm, in_dram]
    return [_of_view(core, work.indices, "index"), *both]


def _none(core: int, work: NoWork) -> list[Access]:
    del core, work
    return []


# type: each takes the kind that it stands beside
_BY_KIND: dict[type, Callable[[int, Any], list[Access]]] = {
    MmaWork: _mma,
    VexecWork: _vexec,
    DmaWork: _transfer,
    ScanWork: _ordered,
    SelectWork: _ordered,
    IndexedWork: _indexed,
    MoveWork: _move,
    WordWork: _word,
    NoWork: _none,
}


def _dot(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


def is_constant(key: MemoryKey) -> bool:
    """Whether a memory is the constant segment, which nobody writes."""
    return key.name == Segment.constant.name and key.core < 0
