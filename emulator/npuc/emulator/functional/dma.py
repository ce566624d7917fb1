"""Fast transfers: the inside of a box as one strided copy, the rest as fill."""

import numpy as np

from npuc.emulator.functional import plain
from npuc.emulator.functional.gather import elements, is_plain_store, steps_apart, strided
from npuc.emulator.memory import Memory
from npuc.emulator.region import DmaWork, MoveWork

# Elements are moved as unsigned integers of their size: no bit of a NaN can change.
_RAW = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


def execute_transfer(memory: Memory, core: int, work: DmaWork) -> None:
    """Move one box; outside the tensor a load gives fill and a store writes nothing."""
    tensor_map = work.map
    first = tuple(max(0, -c) for c in work.corner)
    stop = tuple(
        min(b, e - c)
        for b, e, c in zip(tensor_map.box, tensor_map.extents, work.corner, strict=True)
    )
    counts = tuple(max(0, s - f) for f, s in zip(first, stop, strict=True))
    written = tensor_map.spm_strides if work.is_load else tensor_map.dram_strides
    if work.cores or not steps_apart(tensor_map.box, written, tensor_map.dtype.bytes):
        plain.execute_transfer(memory, core, work)
        return
    raw = _RAW[tensor_map.dtype.bytes]
    spm, segment = memory.spm[core], memory.segments[tensor_map.segment]
    if work.is_load and counts != tensor_map.box and 0 not in tensor_map.box:
        whole = np.ndarray(tensor_map.box, raw, spm, work.address, tensor_map.spm_strides)
        whole[...] = plain.fill_element(tensor_map.fill, tensor_map.dtype).view(raw)
    if 0 in counts:
        return
    spm_start = work.address + sum(
        f * s for f, s in zip(first, tensor_map.spm_strides, strict=True)
    )
    dram_start = tensor_map.base + sum(
        (c + f) * s for c, f, s in zip(work.corner, first, tensor_map.dram_strides, strict=True)
    )
    inside = np.ndarray(counts, raw, spm, spm_start, tensor_map.spm_strides)
    tensor = np.ndarray(counts, raw, segment, dram_start, tensor_map.dram_strides)
    if work.is_load:
        inside[...] = tensor
    else:
        tensor[...] = inside


def execute_move(memory: Memory, core: int, work: MoveWork) -> None:
    """Copy or fill inside SPM, bit for bit as the twin."""
    if not is_plain_store(work.target) or 0 in work.target.extents:
        plain.execute_move(memory, core, work)
        return
    spm, raw = memory.spm[core], _RAW[work.target.view.dtype.bytes]
    target = strided(spm, work.target).view(raw)
    if work.source is None:
        bits = work.bits & ((1 << 64) - 1)
        target[...] = plain.fill_element(bits, work.target.view.dtype).view(raw)
    else:
        target[...] = elements(spm, work.source).view(raw)
