"""Which bytes a view or a box touches: ranges for checks, exact addresses for strict mode."""

from collections.abc import Iterator
from dataclasses import replace
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

    Dimensions that share no window add up, so only those of one window are gone through together.
    """
    if 0 in region.extents:
        return 0, 0
    low = high = region.address
    for part in _coupled(region):
        touched = _offsets(part)
        if touched is None:
            return 0, 0
        low, high = low + touched[0], high + touched[1]
    return low, high + region.view.dtype.bytes


def coupled_points(region: Region) -> int:
    """The most points that ``touched_range`` goes through together."""
    return max(prod(part.extents) for part in _coupled(region) if part.view.windows)


def _coupled(region: Region) -> list[Region]:
    """Regions at address 0, each with the dimensions of windows that share some, or with one of
    those without a window; the others have extent 1.
    """
    dims = [{d for d, c in enumerate(w.coefficients) if c} for w in region.view.windows]
    groups = [(found, [number]) for number, found in enumerate(dims)]
    if len(groups) == 2 and dims[0] & dims[1]:  # there are at most two windows
        groups = [(dims[0] | dims[1], [0, 1])]
    free = set(range(len(region.extents))).difference(*dims)
    groups += [({dim}, []) for dim in sorted(free)]
    return [_of_dims(region, found, numbers) for found, numbers in groups]


def _of_dims(region: Region, dims: set[int], windows: list[int]) -> Region:
    extents = tuple(e if d in dims else 1 for d, e in enumerate(region.extents))
    view = replace(region.view, windows=tuple(region.view.windows[i] for i in windows))
    return Region(view, 0, extents, tuple(region.origins[i] for i in windows))


def _offsets(part: Region) -> tuple[int, int] | None:
    """Least and largest offset of an element; None where the windows let nothing through."""
    if not part.view.windows:
        spans = [(e - 1) * s for e, s in zip(part.extents, part.view.strides, strict=True)]
        return sum(s for s in spans if s < 0), sum(s for s in spans if s > 0)
    found = [element_addresses(piece)[inside_windows(piece)] for piece in pieces(part)]
    ends = [(int(touched.min()), int(touched.max())) for touched in found if touched.size]
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None


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


def without_repeats(region: Region) -> Region:
    """The region without dimensions along which nothing changes: neither address nor window."""
    steps = zip(region.view.strides, *(w.coefficients for w in region.view.windows), strict=True)
    extents = tuple(
        e if any(step) else min(e, 1) for e, step in zip(region.extents, steps, strict=True)
    )
    return region._replace(extents=extents)
