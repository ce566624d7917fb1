"""Operands of what moves data: transfers, gather and scatter, copy and fill, words of ctl."""

from math import prod

import numpy as np

from npuc.emulator.region import (
    DmaWork,
    IndexedWork,
    MoveWork,
    WordWork,
    Work,
)
from npuc.emulator.resolve.operands import Group, Operand, bounds, undefined
from npuc.emulator.stream import Int64s
from npuc.emulator.validate import (
    map_range,
    space_bytes,
)
from npuc.isa.descriptors import Segment, Space, TensorMap
from npuc.isa.descriptors.tensor_map import MAX_RANK
from npuc.isa.dtypes import DType
from npuc.isa.instructions.dma import Fill, Gather, Load
from npuc.isa.instructions.maps import LoadMapped, StoreMapped
from npuc.isa.instructions.word import MEMORIES, SPM, WORD_TYPES, StoreWord

LOADS = (Load.opcode, LoadMapped.opcode)


class TransferGroup(Group):
    """Dispatches of one ``ld``, ``st``, ``ldm`` or ``stm``."""

    def build(self) -> None:
        self.map = self.captured or self.decoded.program.maps[self.column("map")]
        if self.captured is not None:
            self._check_captured(self.captured)
        rank = len(self.map.extents)
        corner = np.stack([self._coordinate(d) for d in range(MAX_RANK)], axis=1)
        self.fault(
            (corner[:, rank:] != 0).any(axis=1),
            undefined("coordinates beyond the map's rank are not 0"),
            corner,
            f"rank {rank}",
        )
        self.corner = corner[:, :rank]
        self.address = self.registers[:, self.column("rs")] + self.column("spm")
        self.is_load = self.code.opcode[self.at] in (*LOADS, Gather.opcode)
        self.points[:] = prod(self.map.box)
        low, high = self._range()
        size = space_bytes(self.decoded.target, Space.spm)
        self.fault(
            (low < 0) | (high > size),
            bounds("a transfer leaves SPM"),
            np.stack([low, high], axis=1),
            f"bytes 0 to {size}",
        )

    def _check_captured(self, captured: TensorMap) -> None:
        low, high = map_range(captured)
        size = self.decoded.program.segment_bytes(captured.segment)
        every = np.ones(len(self.registers), bool)
        self.fault(
            every & (low < 0 or high > size),
            bounds("a tensor map leaves its segment"),
            np.tile([low, high], (len(every), 1)),
            f"bytes 0 to {size} of {captured.segment.name}",
        )
        is_store = self.code.opcode[self.at] == StoreMapped.opcode
        if is_store and captured.segment is Segment.constant:
            rule = undefined("a store writes to the constants")
            self.fault(every, rule, self.registers[:, 0], "others")

    def _coordinate(self, dimension: int) -> Int64s:
        return self.registers[:, self.column(f"rc{dimension}")] + self.column(f"i{dimension}")

    def _range(self) -> tuple[Int64s, Int64s]:
        """SPM bytes that the box touches; a load touches all of it, a store the inside."""
        box = np.array(self.map.box, np.int64)
        first = np.zeros_like(self.corner)
        last = first + box - 1
        if not self.is_load:
            first = np.maximum(first, -self.corner)
            last = np.minimum(last, np.array(self.map.extents) - 1 - self.corner)
        ends = np.stack([first, last]) * np.array(self.map.spm_strides, np.int64)
        low = self.address + ends.min(axis=0).sum(axis=1)
        high = self.address + ends.max(axis=0).sum(axis=1) + self.map.dtype.bytes
        empty = (last < first).any(axis=1)
        return np.where(empty, 0, low), np.where(empty, 0, high)

    def work(self, row: int) -> Work:
        return self.transfer(row)

    def transfer(self, row: int) -> DmaWork:
        """The transfer of one dispatch."""
        mask = self.column("cores") if self.code.opcode[self.at] in LOADS else 0
        return DmaWork(
            self.map,
            tuple(self.corner[row].tolist()),
            int(self.address[row]),
            bool(self.is_load),
            tuple(core for core in range(len(self.decoded.cores)) if mask >> core & 1),
        )


class IndexedGroup(TransferGroup):
    """Dispatches of one ``gather`` or ``scatter``."""

    def build(self) -> None:
        self.index = self.operand("index")
        super().build()
        self.points *= self.index.extents[:, 0]

    def _coordinate(self, dimension: int) -> Int64s:
        return self.registers[:, self.column(f"rc{dimension}")] + (
            self.column("i0") if dimension == 0 else 0
        )

    def _range(self) -> tuple[Int64s, Int64s]:
        """SPM bytes of all boxes, each taken whole: only their indices say what is inside."""
        spans = [(b - 1) * s for b, s in zip(self.map.box, self.map.spm_strides, strict=True)]
        count = self.index.extents[:, 0]
        way = (count - 1) * self.column("step")
        low = self.address + sum(s for s in spans if s < 0) + np.minimum(way, 0)
        high = self.address + sum(s for s in spans if s > 0) + np.maximum(way, 0)
        empty = (count == 0) | (0 in self.map.box)
        return np.where(empty, 0, low), np.where(empty, 0, high + self.map.dtype.bytes)

    def work(self, row: int) -> Work:
        return IndexedWork(self.transfer(row), self.index.region(row), self.column("step"))


class MoveGroup(Group):
    """Dispatches of one ``copy`` or ``fill``."""

    def build(self) -> None:
        self.target = self.operand("to")
        self.source: Operand | None = None
        self.bits = np.zeros(len(self.registers), np.int64)
        if self.code.opcode[self.at] == Fill.opcode:
            self.bits = self.registers[:, self.column("rv")] + self.column("value")
            return
        self.source = self.operand("source")
        self.fault(
            (self.target.extents != self.source.extents).any(axis=1),
            undefined("extents of the two views differ"),
            np.concatenate([self.target.extents, self.source.extents], axis=1),
            "equal",
        )

    def work(self, row: int) -> Work:
        source = None if self.source is None else self.source.region(row)
        return MoveWork(self.target.region(row), source, int(self.bits[row]))


class WordGroup(Group):
    """Dispatches of one ``ldw`` or ``stw``."""

    def build(self) -> None:
        name = MEMORIES[self.column("memory")]
        self.memory: Space | Segment = Space.spm if name == SPM else Segment[name]
        self.dtype = DType[WORD_TYPES[self.column("dtype")]]
        self.is_store = self.code.opcode[self.at] == StoreWord.opcode
        self.address = self.registers[:, self.column("ra")] + self.column("address")
        self.value = self.registers[:, self.column("rt")]
        size = (
            space_bytes(self.decoded.target, self.memory)
            if isinstance(self.memory, Space)
            else self.decoded.program.segment_bytes(self.memory)
        )
        self.fault(
            (self.address < 0) | (self.address > size - self.dtype.bytes),
            bounds(f"a word leaves {name}"),
            self.address,
            f"{self.dtype.bytes} bytes within 0 to {size}",
        )

    def work(self, row: int) -> Work:
        return WordWork(
            self.memory,
            int(self.address[row]),
            self.dtype,
            bool(self.is_store),
            int(self.value[row]),
        )
