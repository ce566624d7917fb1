"""The float32 copies of int8 weight tiles, kept until someone writes their bytes."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from npuc.emulator.functional.gather import elements
from npuc.emulator.memory import Memory
from npuc.emulator.region import Region

F32 = npt.NDArray[np.float32]
_Key = tuple[int, int, int, tuple[int, ...], tuple[int, ...]]
_KEPT, _KEPT_BYTES = 32, 1 << 28


class _Entry(NamedTuple):
    region: Region  # also keeps the view alive, whose identity is part of the key
    low: int
    high: int
    values: F32


class WeightCache:
    """Weights as float32 by core, place and shape; ``wrote`` drops what a write touches."""

    def __init__(self) -> None:
        self._entries: dict[_Key, _Entry] = {}

    def as_f32(self, memory: Memory, core: int, region: Region) -> F32:
        """The weights of a region as K x N."""
        key = (core, id(region.view), region.address, region.extents, region.origins)
        entry = self._entries.get(key)
        if entry is None:
            k0, k1, k2, n = region.extents
            values = elements(memory.spm[core], region).astype(np.float32).reshape(k0 * k1 * k2, n)
            low, high = byte_range(region)
            entry = _Entry(region, low, high, values)
            kept = sum(other.values.nbytes for other in self._entries.values())
            while self._entries and (len(self._entries) >= _KEPT or kept > _KEPT_BYTES):
                kept -= self._entries.pop(next(iter(self._entries))).values.nbytes
            self._entries[key] = entry
        return entry.values

    def forget(self) -> None:
        """Any byte may have a new value."""
        self._entries.clear()

    def wrote(self, core: int, low: int, high: int) -> None:
        """Bytes [low, high) of a core's SPM have new values."""
        stale = [
            key
            for key, entry in self._entries.items()
            if key[0] == core and entry.low < high and low < entry.high
        ]
        for key in stale:
            del self._entries[key]


def byte_range(region: Region) -> tuple[int, int]:
    """First byte and byte after the last that a region may touch; equal when it is empty."""
    low = high = region.address
    for extent, stride in zip(region.extents, region.view.strides, strict=True):
        if extent == 0:
            return region.address, region.address
        if stride < 0:
            low += (extent - 1) * stride
        else:
            high += (extent - 1) * stride
    return low, high + region.view.dtype.bytes
