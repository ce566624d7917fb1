"""Which bytes a view or a box touches: ranges for checks, exact addresses for strict mode."""

from collections.abc import Iterator
from math import prod

import numpy as np
import numpy.typing as npt

from npuc.emulator.region import Region
from npuc.isa.descriptors import View

Int64s = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
MAX_PIECE = 1 << 20


def static_range(view: View) -> tuple[int, int]:
    """First byte and byte after the last of a view without registers, windows ignored."""
    spans = [(e - 1) * s for e, s in zip(view.extents, view.strides, strict=True)]
    low = view.base + sum(s for s in spans if s < 0)
    return low, view.base + sum(s for s in spans if s > 0) + view.dtype.bytes


def along(values: Int64s, axis: int, rank: int) -> Int64s:
    """A one-dimensional array laid along ``axis`` of ``rank`` axes."""
    shape = [1] * rank
    shape[axis] = len(values)
    return values.reshape(shape)


def element_addresses(region: Region) -> Int64s:
    """Byte address of each point of a region, with the region's extents as shape."""
    rank = len(region.extents)
    address = np.full((1,) * rank, region.address, np.int64)
    for axis, (extent, stride) in enumerate(zip(region.extents, region.view.strides, strict=True)):
        address = address + along(np.arange(extent) * stride, axis, rank)
    return np.broadcast_to(address, region.extents)


def inside_windows(region: Region) -> Mask:
    """True for each point of a region that all its windows let through."""
    rank = len(region.extents)
    valid = np.ones((1,) * rank, bool)
    for window, origin in zip(region.view.windows, region.origins, strict=True):
        coordinate = np.full((1,) * rank, origin, np.int64)
        for axis, (extent, step) in enumerate(
            zip(region.extents, window.coefficients, strict=True)
        ):
            coordinate = coordinate + along(np.arange(extent) * step, axis, rank)
        valid = valid & (coordinate >= 0) & (coordinate < window.limit)
    return np.broadcast_to(valid, region.extents)


def touched_range(region: Region) -> tuple[int, int]:
    """First byte and byte after the last that a region really touches; 0, 0 where it is empty.

    Works through the region piece by piece, so that its points never lie in memory together.
    """
    region = _without_broadcasts(region) if not region.view.windows else region
    if 0 in region.extents:
        return 0, 0
    low, high = [], []
    for piece in pieces(region):
        touched = element_addresses(piece)[inside_windows(piece)]
        if touched.size:
            low.append(int(touched.min()))
            high.append(int(touched.max()) + region.view.dtype.bytes)
    return (min(low), max(high)) if low else (0, 0)


def pieces(region: Region) -> Iterator[Region]:
    """The region cut along its first dimensions into pieces of at most MAX_PIECE points."""
    points = prod(region.extents)
    if points <= MAX_PIECE:
        yield region
        return
    axis = next(d for d, extent in enumerate(region.extents) if extent > 1)
    extent = region.extents[axis]
    step = max(1, extent * MAX_PIECE // points)
    for start in range(0, extent, step):
        size = min(step, extent - start)
        yield from pieces(_piece(region, axis, start, size))


def _piece(region: Region, axis: int, start: int, size: int) -> Region:
    origins = tuple(
        origin + start * window.coefficients[axis]
        for origin, window in zip(region.origins, region.view.windows, strict=True)
    )
    extents = (*region.extents[:axis], size, *region.extents[axis + 1 :])
    address = region.address + start * region.view.strides[axis]
    return Region(region.view, address, extents, origins)


def touched_elements(region: Region) -> Int64s:
    """Addresses of the elements that a region really touches, ascending, without repeats."""
    if not region.view.windows:
        return np.unique(element_addresses(_without_broadcasts(region)))
    return np.unique(element_addresses(region)[inside_windows(region)])


def touched_bytes(region: Region) -> Int64s:
    """Addresses of the bytes that a region really touches (repeats where elements overlap)."""
    size = region.view.dtype.bytes
    return (touched_elements(region)[:, np.newaxis] + np.arange(size)).reshape(-1)


def _without_broadcasts(region: Region) -> Region:
    extents = tuple(
        min(e, 1) if s == 0 else e for e, s in zip(region.extents, region.view.strides, strict=True)
    )
    return region._replace(extents=extents)
