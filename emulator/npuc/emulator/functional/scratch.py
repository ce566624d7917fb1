"""How much memory the emulator takes for the intermediate values of one command.

Upper estimates, so that a hostile command is refused before anything is allocated: the twin keeps
addresses and values of every point; the fast path of vector commands works in blocks.
"""

from npuc.emulator.functional.dma import is_one_copy
from npuc.emulator.functional.vector import BLOCK_ELEMENTS, works_in_blocks
from npuc.emulator.limits import points_of
from npuc.emulator.region import (
    DmaWork,
    IndexedWork,
    MmaWork,
    MoveWork,
    ScanWork,
    SelectWork,
    VexecWork,
    Work,
)

TWIN_POINT_BYTES = 64  # addresses, masks, bytes and elements of one point of a region
TRANSFER_BYTES = 600  # of one transfer of a list
FAST_POINT_BYTES = 9  # elements, and a float32 copy of them
VALUE_BYTES = 12  # of a micro-op, with what its meaning computes on the way
PARALLEL = 4


def scratch_bytes(work: Work, path: str) -> int:
    """Bytes of intermediate values of one command on a path of execution, at most."""
    if isinstance(work, MmaWork):
        points = sum(points_of(region.extents) for region in (work.acc, work.a, work.w))
        return points * (FAST_POINT_BYTES if path == "fast" else TWIN_POINT_BYTES)
    if isinstance(work, VexecWork):
        return _vexec(work, path)
    if isinstance(work, DmaWork):
        return 0 if path == "fast" and is_one_copy(work) else _box(work)
    if isinstance(work, IndexedWork):
        return points_of(work.indices.extents) * TRANSFER_BYTES + _box(work.first)
    if isinstance(work, MoveWork):
        return points_of(work.target.extents) * TWIN_POINT_BYTES
    if isinstance(work, ScanWork | SelectWork):
        return points_of(work.source.extents) * TWIN_POINT_BYTES
    return 0


def _box(work: DmaWork) -> int:
    """The twin keeps the indices of each point on both sides, addresses and elements."""
    rank, size = len(work.map.box), work.map.dtype.bytes
    return points_of(work.map.box) * (18 * rank + 32 + 10 * size)


def _vexec(work: VexecWork, path: str) -> int:
    values = len(work.inputs) + len(work.kernel.ops) + len(work.outputs)
    points = max(points_of(work.space), points_of(work.space[:PARALLEL]))
    if path == "fast" and points <= BLOCK_ELEMENTS:
        return 0
    if path == "fast" and works_in_blocks(work):
        per_point = points_of(work.space[PARALLEL:])
        return max(per_point, BLOCK_ELEMENTS) * values * VALUE_BYTES
    return points * (len(work.inputs) * TWIN_POINT_BYTES + values * VALUE_BYTES)
