"""Unpredictable writes: one command that puts two different elements onto one byte.

Where two points of a view write the very same element, the last in row-major order stays; that is
defined. Elements that share only some of their bytes, and two outputs that share any, are not.
"""

from functools import lru_cache
from itertools import combinations

from npuc.emulator.region import (
    DmaWork,
    IndexedWork,
    MmaWork,
    MoveWork,
    Region,
    ScanWork,
    SelectWork,
    VexecWork,
    Work,
)
from npuc.emulator.strict.accesses import clipped_box
from npuc.emulator.strict.bytesets import ByteSet, region_bytes, strided_bytes


def overlapping_write(work: Work) -> tuple[str, ByteSet] | None:
    """Which operands of a command write a byte twice, and such bytes; None where none do."""
    if isinstance(work, DmaWork | IndexedWork):
        return _of_transfer(work.first if isinstance(work, IndexedWork) else work)
    written = _written(work)
    for name, region in written.items():
        if _shares_bytes(region.extents, region.view.strides, region.view.dtype.bytes):
            return f"elements of {name}", region_bytes(region)
    for (first, one), (second, other) in combinations(written.items(), 2):
        if one.view.space is other.view.space:
            shared = region_bytes(one).common(region_bytes(other))
            if shared:
                return f"{first} and {second}", shared
    return None


def _of_transfer(work: DmaWork) -> tuple[str, ByteSet] | None:
    made, size = work.map, work.map.dtype.bytes
    counts = made.box if work.is_load else clipped_box(work)[1]
    strides = made.spm_strides if work.is_load else made.dram_strides
    if not _shares_bytes(counts, strides, size):
        return None
    first = () if work.is_load else (max(0, c) for c in work.corner)
    start = work.address if work.is_load else made.base
    start += sum(c * s for c, s in zip(first, strides, strict=False))
    return "elements of the box", strided_bytes(counts, strides, size).shifted(start)


def _written(work: Work) -> dict[str, Region]:
    if isinstance(work, MmaWork):
        return {"acc": work.acc}
    if isinstance(work, VexecWork):
        state = {"state": work.part.state} if work.part and not work.part.is_last else {}
        return state | {f"out{number}": region for number, region in work.written}
    if isinstance(work, ScanWork | SelectWork):
        return work.writes
    return {"to": work.target} if isinstance(work, MoveWork) else {}


@lru_cache(maxsize=1024)
def _shares_bytes(extents: tuple[int, ...], strides: tuple[int, ...], size: int) -> bool:
    """Whether two elements share some of their bytes, but not all.

    The elements' first bytes are then less than ``size`` apart. They are at least ``size`` apart
    exactly where elements of one byte leave gaps of size - 1 around each.
    """
    if size == 1 or 0 in extents:
        return False
    if all(stride % size == 0 for stride, extent in zip(strides, extents, strict=True)
           if extent > 1):  # fmt: skip
        return False
    starts = strided_bytes(extents, strides, 1).runs
    if ((starts[:, 1] - starts[:, 0]) > 1).any():
        return True
    return bool((starts[1:, 0] - starts[:-1, 0] < size).any())
