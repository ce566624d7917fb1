"""Whether a vector command may read and write strip by strip."""

from functools import lru_cache

import numpy as np

from npuc.emulator.footprint import Int64s, touched_range
from npuc.emulator.functional.weights import byte_range
from npuc.emulator.region import Region, VexecWork


def reads_before_writes(work: VexecWork) -> bool:
    """True where no point reads what an earlier point of the command wrote.

    An output may lie point for point on what the same points read, or touch no byte of a stream.
    """
    for out in work.outputs:
        for stream in work.inputs:
            is_apart = stream.view.space is not out.view.space or same_points(stream, out)
            if not is_apart and _may_meet(stream, out):
                return False
    if len(work.outputs) < 2 or work.outputs[0].view.space is not work.outputs[1].view.space:
        return True
    return not _may_meet(work.outputs[0], work.outputs[1])


def same_points(stream: Region, out: Region) -> bool:
    """Whether each point writes exactly the bytes that it alone reads."""
    return (
        stream.address == out.address
        and stream.extents == out.extents
        and stream.view.strides == out.view.strides
        and not stream.view.windows
        and stream.view.dtype.bytes == out.view.dtype.bytes
    )


def _may_meet(a: Region, b: Region) -> bool:
    # Padding that windows hold back often lies in what another tensor has; it costs more to leave.
    for ends in (byte_range, touched_range):
        (low, high), (first, stop) = ends(a), ends(b)
        if low >= stop or first >= high:
            return False
    return _touch(_shape(a), _shape(b), a.address - b.address)


def _bytes(shape: tuple[tuple[int, ...], tuple[int, ...], int]) -> Int64s:
    extents, strides, size = shape
    at = np.arange(size)
    for extent, stride in zip(extents, strides, strict=True):
        if stride != 0:
            at = (at[:, np.newaxis] + stride * np.arange(extent)).reshape(-1)
    return at


def _shape(region: Region) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """A region without its place, and without windows: what it touches at most."""
    return region.extents, region.view.strides, region.view.dtype.bytes


@lru_cache(maxsize=4096)
def _touch(
    a: tuple[tuple[int, ...], tuple[int, ...], int],
    b: tuple[tuple[int, ...], tuple[int, ...], int],
    distance: int,
) -> bool:
    """Whether two shapes, the first ``distance`` bytes behind the second, have a byte in common."""
    return bool(np.intersect1d(_bytes(a) + distance, _bytes(b)).size)
