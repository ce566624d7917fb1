"""Fast transfers: the inside of a box as one strided copy, the rest as fill."""

from typing import NamedTuple

import numpy as np

from npuc.emulator.functional import plain
from npuc.emulator.functional.gather import elements, is_plain_store, steps_apart, strided
from npuc.emulator.memory import Memory
from npuc.emulator.region import DmaWork, MoveWork
from npuc.isa.descriptors import TensorMap

# Elements are moved as unsigned integers of their size: no bit of a NaN can change.
_RAW = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}
_KEPT = 4096


class _Steps(NamedTuple):
    """Elements along each axis, and the bytes from one to the next on both sides."""

    counts: tuple[int, ...]
    spm: tuple[int, ...]
    dram: tuple[int, ...]


class Box(NamedTuple):
    """A map prepared for transfers of its whole box: ``steps`` join axes that lie as one.

    ``limits`` are the largest corners with the whole box inside the tensor; ``low`` and ``high``
    the first SPM byte and the byte after the last, from the address of a transfer.
    """

    map: TensorMap
    limits: tuple[int, ...]
    steps: _Steps
    may_load: bool
    may_store: bool
    low: int
    high: int


class BoxCache:
    """Boxes by the identity of their map, which the box keeps alive."""

    def __init__(self) -> None:
        self._boxes: dict[int, Box] = {}

    def box(self, tensor_map: TensorMap) -> Box:
        """The prepared map."""
        found = self._boxes.get(id(tensor_map))
        if found is None:
            if len(self._boxes) >= _KEPT:  # maps that a program changes are new ones every time
                self._boxes.clear()
            found = self._boxes[id(tensor_map)] = _box(tensor_map)
        return found


def _box(tensor_map: TensorMap) -> Box:
    size, box = tensor_map.dtype.bytes, tensor_map.box
    spans = [(b - 1) * s for b, s in zip(box, tensor_map.spm_strides, strict=True)]
    limits = tuple(e - b if b else -1 for e, b in zip(tensor_map.extents, box, strict=True))
    return Box(
        tensor_map,
        limits,
        _joined(tensor_map),
        steps_apart(box, tensor_map.spm_strides, size),
        steps_apart(box, tensor_map.dram_strides, size),
        sum(span for span in spans if span < 0),
        sum(span for span in spans if span > 0) + size,
    )


def _joined(tensor_map: TensorMap) -> _Steps:
    """The box with axes of one element dropped and axes joined where both sides allow it."""
    axes: list[tuple[int, int, int]] = []
    given = zip(tensor_map.box, tensor_map.spm_strides, tensor_map.dram_strides, strict=True)
    for count, spm, dram in given:
        if count == 1:
            continue
        if axes and axes[-1][1:] == (count * spm, count * dram):
            axes[-1] = (axes[-1][0] * count, spm, dram)
        else:
            axes.append((count, spm, dram))
    counts, spms, drams = zip(*axes, strict=True) if axes else ((), (), ())
    return _Steps(counts, spms, drams)


def execute_transfer(memory: Memory, core: int, work: DmaWork, box: Box) -> None:
    """Move one box; outside the tensor a load gives fill and a store writes nothing."""
    tensor_map = work.map
    if work.cores or not (box.may_load if work.is_load else box.may_store):
        plain.execute_transfer(memory, core, work)
        return
    start = tensor_map.base
    for at, limit, stride in zip(work.corner, box.limits, tensor_map.dram_strides, strict=True):
        if not 0 <= at <= limit:
            _clipped(memory, core, work)
            return
        start += at * stride
    _move(memory, core, work, (work.address, start, box.steps))


def is_one_copy(work: DmaWork) -> bool:
    """Whether ``execute_transfer`` copies between the memories, without values in between."""
    size, strides = work.map.dtype.bytes, work.map.spm_strides
    if not work.is_load:
        strides = work.map.dram_strides
    return not work.cores and steps_apart(work.map.box, strides, size)


def _move(memory: Memory, core: int, work: DmaWork, place: tuple[int, int, _Steps]) -> None:
    """Copy between SPM and DRAM: their first bytes, and the steps."""
    address, start, steps = place
    raw, segment = _RAW[work.map.dtype.bytes], memory.segments[work.map.segment]
    spm = np.ndarray(steps.counts, raw, memory.spm[core], address, steps.spm)
    dram = np.ndarray(steps.counts, raw, segment, start, steps.dram)
    if work.is_load:
        spm[...] = dram
    else:
        dram[...] = spm


def _clipped(memory: Memory, core: int, work: DmaWork) -> None:
    """A box that lies partly, or wholly, outside the tensor."""
    tensor_map = work.map
    first = tuple(max(0, -c) for c in work.corner)
    stop = tuple(
        min(b, e - c)
        for b, e, c in zip(tensor_map.box, tensor_map.extents, work.corner, strict=True)
    )
    counts = tuple(max(0, s - f) for f, s in zip(first, stop, strict=True))
    if work.is_load and counts != tensor_map.box and 0 not in tensor_map.box:
        raw, spm = _RAW[tensor_map.dtype.bytes], memory.spm[core]
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
    steps = _Steps(counts, tensor_map.spm_strides, tensor_map.dram_strides)
    _move(memory, core, work, (spm_start, dram_start, steps))


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
