"""The exact bytes that a command reads and writes, of clipped views and boxes."""

from collections.abc import Iterator
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from npuc.emulator.footprint import (
    Int64s,
    Mask,
    element_addresses,
    inside_windows,
    pieces,
    touched_range,
    without_repeats,
)
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
from npuc.isa.errors import CapacityError

_PARALLEL = 4
_KEPT_POINTS = 1 << 12
MAX_PIECES = 1 << 22


class MemoryKey(NamedTuple):
    """A memory: ``spm`` or ``acc`` of a core, or a DRAM segment (core -1)."""

    name: str
    core: int

    def __str__(self) -> str:
        """The name in a message."""
        return f"{self.name} of core {self.core}" if self.core >= 0 else f"segment {self.name}"


class ByteSet(NamedTuple):
    """Bytes of ``runs`` (k x 2: first, after the last; ascending, apart), ``offset`` further on."""

    runs: Int64s
    offset: int = 0

    @property
    def low(self) -> int:
        """The first byte; 0 where there is none."""
        return int(self.runs[0, 0]) + self.offset if len(self.runs) else 0

    @property
    def high(self) -> int:
        """The byte after the last."""
        return int(self.runs[-1, 1]) + self.offset if len(self.runs) else 0

    @property
    def n_bytes(self) -> int:
        """Number of bytes."""
        return int((self.runs[:, 1] - self.runs[:, 0]).sum())

    @property
    def all(self) -> Int64s:
        """Every address, ascending."""
        parts = [np.arange(first, stop) for first, stop in (self.runs + self.offset).tolist()]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def __bool__(self) -> bool:
        """Whether there is any byte."""
        return len(self.runs) > 0

    def shifted(self, by: int) -> "ByteSet":
        """The same bytes ``by`` further on."""
        return ByteSet(self.runs, self.offset + by)

    def common(self, other: "ByteSet") -> "ByteSet":
        """The bytes of both."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        if low >= high:
            return EMPTY
        both = np.ones(high - low, bool)
        for part in (self, other):
            mine = np.zeros(high - low, bool)
            for first, stop in (part.runs + (part.offset - low)).tolist():
                mine[max(first, 0) : max(stop, 0)] = True
            both &= mine
        return _of_marks(both).shifted(low)


class Access(NamedTuple):
    """A command touches ``bytes`` of ``memory``; ``operand`` names them in messages.

    Where ``is_exact`` is false values decide which of the bytes: it may be any of them.
    """

    memory: MemoryKey
    bytes: ByteSet
    is_write: bool
    operand: str
    is_exact: bool = True


EMPTY = ByteSet(np.zeros((0, 2), np.int64))


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
        whole = ByteSet(_one_run(work.dtype.bytes), work.address)
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
    first, counts = clipped_box(work)
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


def clipped_box(work: DmaWork) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First point of the box that lies inside the tensor, and how many do along each dimension."""
    made = work.map
    first = tuple(max(0, -c) for c in work.corner)
    stop = (min(b, e - c) for b, e, c in zip(made.box, made.extents, work.corner, strict=True))
    return first, tuple(max(0, s - f) for f, s in zip(first, stop, strict=True))


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


@lru_cache(maxsize=1024)
def _one_run(n_bytes: int) -> Int64s:
    return np.array([[0, n_bytes]], np.int64)


def strided_bytes(extents: tuple[int, ...], strides: tuple[int, ...], size: int) -> ByteSet:
    """Bytes of elements of ``size`` bytes, relative to the first one.

    Raises: CapacityError where they lie in too many pieces to be noted.
    """
    return (_kept if prod(extents) <= _KEPT_POINTS else _kept_large)(extents, strides, size)


def _strided(extents: tuple[int, ...], strides: tuple[int, ...], size: int) -> ByteSet:
    if 0 in extents:
        return EMPTY
    dims = sorted((abs(s), e) for e, s in zip(extents, strides, strict=True) if s != 0 and e > 1)
    low = sum((e - 1) * s for e, s in zip(extents, strides, strict=True) if s < 0)
    run = size
    while dims and dims[0][0] <= run:  # a step inside the run only lengthens it
        stride, extent = dims.pop(0)
        run += stride * (extent - 1)
    span = run + sum(stride * (extent - 1) for stride, extent in dims)
    _check_pieces(prod(extent for _, extent in dims), span)
    reach = run
    for stride, extent in dims:
        if stride <= reach:  # runs that touch each other, or interlock
            return _of_marks(_marks(dims, run)).shifted(low)
        reach += stride * (extent - 1)
    first = np.zeros(1, np.int64)
    for stride, extent in dims:
        first = (np.arange(extent)[:, np.newaxis] * stride + first).reshape(-1)
    runs = np.empty((len(first), 2), np.int64)
    runs[:, 0] = first
    np.add(first, run, out=runs[:, 1])
    return ByteSet(runs, low)


_kept, _kept_large = lru_cache(maxsize=256)(_strided), lru_cache(maxsize=2)(_strided)


def _check_pieces(pieces_at_most: int, span: int) -> None:
    if min(pieces_at_most, span) > MAX_PIECES:
        raise CapacityError(
            "strict mode cannot note the bytes of a command",
            given=f"up to {min(pieces_at_most, span):,} pieces",
            allowed=f"{MAX_PIECES:,}",
            next_step="run without --strict, or let the command move longer runs",
        )


def _marks(dims: list[tuple[int, int]], run: int) -> Mask:
    """For each byte of the span whether an element touches it; in time of the span, not points."""
    marks = np.zeros(run + sum(stride * (extent - 1) for stride, extent in dims), bool)
    marks[:run] = True
    for stride, extent in dims:
        done = 1
        while done < extent:  # what is marked for the first ``done`` steps, again further on
            step = min(done, extent - done)
            shift = step * stride
            marks[shift:] |= marks[:-shift].copy()
            done += step
    return marks


@lru_cache(maxsize=16)
def _window_bytes(region: Region) -> ByteSet:
    region, run = _without_runs(without_repeats(region))
    first, stop = touched_range(region)
    span = stop - first - region.view.dtype.bytes + run if stop > first else 0
    _check_pieces(prod(region.extents), span)
    begin = np.zeros(span, np.int64)  # how many runs begin at each byte
    for piece in pieces(region):
        touched = element_addresses(piece)[inside_windows(piece)] - first
        begin += np.bincount(touched, minlength=span)
    begin[run:] -= begin[:-run].copy()
    return _of_marks(np.cumsum(begin) > 0).shifted(first)


def _without_runs(region: Region) -> tuple[Region, int]:
    """The region without dimensions that no window knows and that leave no gap, and their bytes."""
    extents, run = list(region.extents), region.view.dtype.bytes
    for dim in sorted(range(len(extents)), key=lambda d: region.view.strides[d]):
        stride = region.view.strides[dim]
        is_free = not any(window.coefficients[dim] for window in region.view.windows)
        if is_free and 0 < stride <= run and extents[dim] > 0:
            run += stride * (extents[dim] - 1)
            extents[dim] = 1
    return region._replace(extents=tuple(extents)), run


def _of_marks(marks: Mask) -> ByteSet:
    """The set of the marked bytes."""
    edges = np.flatnonzero(np.diff(marks.astype(np.int8), prepend=0, append=0))
    return ByteSet(edges.reshape(-1, 2))


def is_constant(key: MemoryKey) -> bool:
    """Whether a memory is the constant segment, which nobody writes."""
    return key.name == Segment.constant.name and key.core < 0
