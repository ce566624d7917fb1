"""Sets of bytes: of strided boxes, and of views that windows clip."""

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
from npuc.emulator.region import Region
from npuc.isa.errors import CapacityError

_KEPT_POINTS = 1 << 12
MAX_PIECES = 1 << 22


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


EMPTY = ByteSet(np.zeros((0, 2), np.int64))


class Box(NamedTuple):
    """Elements of ``size`` bytes at ``address`` + sum of i x stride, each i below its extent."""

    address: int
    extents: tuple[int, ...]
    strides: tuple[int, ...]
    size: int

    @property
    def bytes(self) -> ByteSet:
        """Exactly its bytes. Raises: CapacityError where they lie in too many pieces."""
        return strided_bytes(self.extents, self.strides, self.size).shifted(self.address)


def touched_by(region: Region) -> Box | Region:
    """The region as a box, where its windows clip it to one."""
    if region.view.windows and 0 not in region.extents:
        return _clipped(region) or region
    return _unclipped(region)


def _unclipped(region: Region) -> Box:
    """All elements of a region, whatever its windows."""
    view = region.view
    return Box(region.address, region.extents, view.strides, view.dtype.bytes)


def _clipped(region: Region) -> Box | None:
    """The part of a region inside its windows, where addresses grow as the coordinates do.

    So they do where windows pad a tensor: the dimensions that move a window act as one. None where
    they do not, and where two windows share a dimension.
    """
    view, address = region.view, region.address
    extents, strides = list(region.extents), list(view.strides)
    taken: set[int] = set()
    for window, origin in zip(view.windows, region.origins, strict=True):
        coefficients = window.coefficients
        moving = [d for d, step in enumerate(coefficients) if step and region.extents[d] > 1]
        if not moving and 0 <= origin < window.limit:
            continue
        if not moving:
            return Box(address, (0,) * len(extents), view.strides, view.dtype.bytes)
        base = min(moving, key=coefficients.__getitem__)
        step, stride = coefficients[base], view.strides[base]
        is_even = all(view.strides[d] * step == stride * coefficients[d] for d in moving)
        if step < 0 or not is_even or not taken.isdisjoint(moving):
            return None
        (_, count), *more = _joined(sorted((coefficients[d], region.extents[d]) for d in moving))
        if more:
            return None
        first = max(0, -(origin // step))
        stop = min(count, -((origin - window.limit) // step))
        taken.update(moving)
        for d in moving:
            extents[d] = 1
        extents[base], address = max(0, stop - first), address + first * stride
    return Box(address, tuple(extents), tuple(strides), view.dtype.bytes)


def region_bytes(region: Region) -> ByteSet:
    """Exactly the bytes of a region that its windows let through."""
    if region.view.windows:
        return _window_bytes(region._replace(address=0)).shifted(region.address)
    return _unclipped(region).bytes


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
    dims = _joined(dims)
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


def _joined(dims: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same sums of steps, by fewer dimensions: a step k times the one before, which has at
    least k steps, only makes it longer, as the rows of overlapping windows do.
    """
    joined: list[tuple[int, int]] = []
    for stride, extent in dims:
        inner, steps = joined[-1] if joined else (1, 0)
        if stride % inner == 0 and stride // inner <= steps:
            joined[-1] = (inner, steps + stride // inner * (extent - 1))
        else:
            joined.append((stride, extent))
    return joined


_kept, _kept_large = lru_cache(maxsize=256)(_strided), lru_cache(maxsize=2)(_strided)


def _check_pieces(pieces_at_most: int, span: int) -> None:
    if min(pieces_at_most, span) > MAX_PIECES:
        raise too_many_pieces(f"up to {min(pieces_at_most, span):,}")


def too_many_pieces(given: str) -> CapacityError:
    """The error for a command whose bytes lie in too many pieces to be noted."""
    return CapacityError(
        "strict mode cannot note the bytes of a command",
        given=f"{given} pieces",
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
