"""The exact bytes that a command reads and writes, of clipped views and boxes."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from npuc.emulator.footprint import Int64s, along, touched_bytes
from npuc.emulator.region import (
    DmaWork,
    IndexedWork,
    MmaWork,
    MoveWork,
    Region,
    ScanWork,
    SelectWork,
    VexecWork,
    WordWork,
    Work,
)
from npuc.emulator.resolve import body_streams, epilogue_streams
from npuc.isa.descriptors import Segment, Space

_PARALLEL = 4


class MemoryKey(NamedTuple):
    """A memory: ``spm`` or ``acc`` of a core, or a DRAM segment (core -1)."""

    name: str
    core: int

    def __str__(self) -> str:
        """The name in a message."""
        return f"{self.name} of core {self.core}" if self.core >= 0 else f"segment {self.name}"


class ByteSet(NamedTuple):
    """Bytes [low, high), or those of ``scattered`` (ascending) where they do not touch."""

    low: int
    high: int
    scattered: Int64s | None

    @property
    def where(self) -> slice | Int64s:
        """What NumPy indexes the bytes with."""
        return slice(self.low, self.high) if self.scattered is None else self.scattered

    @property
    def all(self) -> Int64s:
        """Every address, ascending."""
        return np.arange(self.low, self.high) if self.scattered is None else self.scattered

    def __bool__(self) -> bool:
        """Whether there is any byte."""
        return self.high > self.low

    def shifted(self, by: int) -> "ByteSet":
        """The same bytes ``by`` further on."""
        scattered = None if self.scattered is None else self.scattered + by
        return ByteSet(self.low + by, self.high + by, scattered)


class Access(NamedTuple):
    """A command touches ``bytes`` of ``memory``; ``operand`` names them in messages.

    Where ``is_exact`` is false values decide which of the bytes: it may be any of them.
    """

    memory: MemoryKey
    bytes: ByteSet
    is_write: bool
    operand: str
    is_exact: bool = True


EMPTY = ByteSet(0, 0, None)


def accesses(core: int, work: Work) -> Iterator[Access]:
    """Reads, then writes of one command; empty ones are left out."""
    yield from (access for access in _all_accesses(core, work) if access.bytes)


def _all_accesses(core: int, work: Work) -> Iterator[Access]:
    if isinstance(work, MmaWork):
        yield from _mma(core, work)
    elif isinstance(work, VexecWork):
        yield from _vexec(core, work)
    elif isinstance(work, DmaWork):
        yield from _transfer(core, work)
    elif isinstance(work, ScanWork | SelectWork):
        yield from (_of_view(core, region, name) for name, region in work.reads.items())
        for name, region in work.writes.items():
            yield _of_view(core, region, name, is_write=True)
    elif isinstance(work, IndexedWork):
        yield from _indexed(core, work)
    elif isinstance(work, MoveWork):
        if work.source is not None:
            yield _of_view(core, work.source, "source")
        yield _of_view(core, work.target, "to", is_write=True)
    elif isinstance(work, WordWork):
        owner = core if isinstance(work.memory, Space) else -1
        whole = ByteSet(work.address, work.address + work.dtype.bytes, None)
        yield Access(MemoryKey(work.memory.name, owner), whole, work.is_store, "word")


def _of_view(core: int, region: Region, operand: str, *, is_write: bool = False) -> Access:
    return Access(MemoryKey(region.view.space.name, core), region_bytes(region), is_write, operand)


def _mma(core: int, work: MmaWork) -> Iterator[Access]:
    if 0 not in work.a.extents and 0 not in work.w.extents:
        yield _of_view(core, work.a, "a")
        yield _of_view(core, work.w, "w")
    if work.accumulate:
        yield _of_view(core, work.acc, "acc")
    yield _of_view(core, work.acc, "acc", is_write=True)


def _vexec(core: int, work: VexecWork) -> Iterator[Access]:
    first = (*work.space[:_PARALLEL], 1, 1, 1)
    in_body = body_streams(work.kernel)
    at_end = work.part is None or work.part.is_last
    in_epilogue = epilogue_streams(work.kernel) if at_end else frozenset()
    for stream in sorted(in_body | in_epilogue):
        extents = work.space if stream in in_body else first
        yield _of_view(core, work.inputs[stream]._replace(extents=extents), f"in{stream}")
    if work.part and not work.part.is_first:
        yield _of_view(core, work.part.state, "state")
    for position, region in work.written:
        yield _of_view(core, region, f"out{position}", is_write=True)
    if work.part and not work.part.is_last:
        yield _of_view(core, work.part.state, "state", is_write=True)


def _transfer(core: int, work: DmaWork) -> Iterator[Access]:
    made = work.map
    first = tuple(max(0, -c) for c in work.corner)
    stop = (min(b, e - c) for b, e, c in zip(made.box, made.extents, work.corner, strict=True))
    counts = tuple(max(0, s - f) for f, s in zip(first, stop, strict=True))
    element = tuple(c + f for c, f in zip(work.corner, first, strict=True))
    size = made.dtype.bytes
    in_dram = strided_bytes(counts, made.dram_strides, size).shifted(
        made.base + _dot(element, made.dram_strides)
    )
    segment = MemoryKey(made.segment.name, -1)
    spm = MemoryKey(Space.spm.name, core)
    if work.is_load:
        yield Access(segment, in_dram, False, "tensor")
        whole = strided_bytes(made.box, made.spm_strides, size).shifted(work.address)
        for receiver in work.cores or (core,):
            yield Access(MemoryKey(Space.spm.name, receiver), whole, True, "box")
    else:
        inside = strided_bytes(counts, made.spm_strides, size).shifted(
            work.address + _dot(first, made.spm_strides)
        )
        yield Access(spm, inside, False, "box")
        yield Access(segment, in_dram, True, "tensor")


def _indexed(core: int, work: IndexedWork) -> Iterator[Access]:
    """Which elements of the tensor a list of indices names is not known here: any of them."""
    made, first = work.first.map, work.first
    yield _of_view(core, work.indices, "index")
    size, count = made.dtype.bytes, work.indices.extents[0]
    tensor = strided_bytes(made.extents, made.dram_strides, size).shifted(made.base)
    boxes = strided_bytes((count, *made.box), (work.step, *made.spm_strides), size)
    in_dram = Access(MemoryKey(made.segment.name, -1), tensor if count else EMPTY,
                     not first.is_load, "tensor", is_exact=False)  # fmt: skip
    in_spm = Access(MemoryKey(Space.spm.name, core), boxes.shifted(first.address),
                    first.is_load, "boxes")  # fmt: skip
    yield from (in_dram, in_spm) if first.is_load else (in_spm, in_dram)


def _dot(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


def region_bytes(region: Region) -> ByteSet:
    """Exactly the bytes of a region that its windows let through."""
    if region.view.windows:
        return _window_bytes(region._replace(address=0)).shifted(region.address)
    return strided_bytes(region.extents, region.view.strides, region.view.dtype.bytes).shifted(
        region.address
    )


@lru_cache(maxsize=256)
def strided_bytes(extents: tuple[int, ...], strides: tuple[int, ...], size: int) -> ByteSet:
    """Bytes of elements of ``size`` bytes, relative to the first one."""
    if 0 in extents:
        return EMPTY
    dims = sorted((abs(s), e) for e, s in zip(extents, strides, strict=True) if s != 0 and e > 1)
    low = sum((e - 1) * s for e, s in zip(extents, strides, strict=True) if s < 0)
    run = size
    while dims and dims[0][0] <= run:  # a step inside the run only lengthens it
        stride, extent = dims.pop(0)
        run += stride * (extent - 1)
    starts = np.zeros((1,) * len(dims), np.int64)
    for axis, (stride, extent) in enumerate(dims):
        starts = starts + along(np.arange(extent) * stride, axis, len(dims))
    if not dims:
        return ByteSet(low, low + run, None)
    addresses = starts.reshape(-1, 1) + np.arange(run)
    return _as_set(addresses.reshape(-1) + low)


@lru_cache(maxsize=256)
def _window_bytes(region: Region) -> ByteSet:
    return _as_set(touched_bytes(region))


def _as_set(addresses: Int64s) -> ByteSet:
    """The set of some addresses, which may repeat."""
    if addresses.size == 0:
        return EMPTY
    low, high = int(addresses.min()), int(addresses.max()) + 1
    mark = np.zeros(high - low, bool)
    mark[addresses - low] = True
    if mark.all():
        return ByteSet(low, high, None)
    return ByteSet(low, high, np.flatnonzero(mark) + low)


def is_constant(key: MemoryKey) -> bool:
    """Whether a memory is the constant segment, which nobody writes."""
    return key.name == Segment.constant.name and key.core < 0
