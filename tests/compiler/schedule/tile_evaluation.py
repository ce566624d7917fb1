"""A plain evaluator of one tile group, byte by byte: the sequential meaning of the dialect.

It shares no code with the compiler beyond the operations' classes. Fresh slots and outputs hold
garbage, so that a byte that nothing wrote shows in the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
import numpy.typing as npt

from npuc.compiler.dialects import tile
from npuc.compiler.xdsl_api import Block, Operation, SSAValue
from npuc.isa.descriptors import Kernel, TensorMap, View

Bytes = npt.NDArray[np.uint8]
Int64s = npt.NDArray[np.int64]
GARBAGE = 0x5B


@dataclass
class Ring:
    slots: list[Bytes]
    acquired: int = 0
    released: int = 0


@dataclass
class Evaluation:
    """State of one run: values of indices and slots, DRAM bytes, and how often things moved."""

    tensors: dict[SSAValue, Bytes]
    rings: dict[SSAValue, Ring] = field(default_factory=dict)
    indices: dict[SSAValue, int] = field(default_factory=dict)
    slots: dict[SSAValue, Bytes] = field(default_factory=dict)
    moves: dict[SSAValue, int] = field(default_factory=dict)
    stores: dict[SSAValue, Int64s] = field(default_factory=dict)
    macs: int = 0
    points: int = 0

    def run(self, block: Block) -> None:
        for op in block.ops:
            self.step(op)

    def step(self, op: Operation) -> None:
        match op:
            case tile.BufferOp():
                spec = op.buffer.type.data
                slots = [np.full(spec.slot_bytes, GARBAGE, np.uint8) for _ in range(spec.depth)]
                self.rings[op.buffer] = Ring(slots)
            case tile.ForOp():
                for i in range(op.lower.data, op.upper.data, op.step.data):
                    self.indices[op.induction] = i
                    self.run(op.body.block)
            case tile.AffineOp():
                terms = zip(op.coefficients.data, op.terms, strict=True)
                total = sum(c.data * self.indices[v] for c, v in terms)
                self.indices[op.result] = total + op.constant.data
            case tile.MinOp():
                self.indices[op.result] = min(self.indices[op.value], op.limit.data)
            case tile.AcquireOp():
                self.slots[op.slot] = self.acquire(self.rings[op.buffer])
            case tile.ReleaseOp():
                ring = self.rings[op.buffer]
                assert ring.released < ring.acquired
                ring.released += 1
            case tile.LoadOp() | tile.StoreOp():
                self.transfer(op)
            case tile.MmaOp():
                self.multiply(op)
            case tile.VexecOp():
                self.stream(op)
            case _:
                raise AssertionError(op)

    def acquire(self, ring: Ring) -> Bytes:
        assert ring.acquired - ring.released < len(ring.slots)
        slot = ring.slots[ring.acquired % len(ring.slots)]
        slot[:] = GARBAGE
        ring.acquired += 1
        return slot

    def transfer(self, op: tile.LoadOp | tile.StoreOp) -> None:
        box: TensorMap = op.map.data
        where = [self.referred(op.dynamics, *c) for c in op.place.data.coordinates]
        start = self.referred(op.dynamics, *op.place.data.offset)
        points = np.indices(box.box).reshape(len(box.box), -1)
        index = points + np.array(where)[:, None]
        inside = ((index >= 0) & (index < np.array(box.extents)[:, None])).all(axis=0)
        in_slot = spread(start + np.array(box.spm_strides) @ points, box.dtype.bytes)
        in_dram = spread(np.array(box.dram_strides) @ index, box.dtype.bytes)[inside]
        slot, tensor = self.slots[op.slot], self.tensors[op.tensor]
        self.moves[op.tensor] = self.moves.get(op.tensor, 0) + 1
        if isinstance(op, tile.StoreOp):
            tensor[in_dram] = slot[in_slot[inside]]
            self.stores.setdefault(op.tensor, np.zeros(len(tensor), np.int64))
            self.stores[op.tensor][in_dram] += 1
            return
        fill = np.frombuffer(box.fill.to_bytes(box.dtype.bytes, "little"), np.uint8)
        slot[in_slot] = fill
        slot[in_slot[inside]] = tensor[in_dram]

    def multiply(self, op: tile.MmaOp) -> None:
        acc, a, w = (v.data for v in op.views.data)
        keeps = op.condition is not None and self.indices[op.condition] != 0
        extents = [self.extents(op.dynamics, v) for v in (acc, a, w)]
        assert extents[0][:3] == extents[1][:3] and extents[0][3] == extents[2][3]
        assert extents[1][3:] == extents[2][:3]
        self.macs += prod(extents[1]) * extents[2][3]
        a_values = read(self.slots[op.a], a, extents[1])
        w_values = read(self.slots[op.w], w, extents[2])
        products = np.einsum("abcijk,ijkn->abcn", a_values, w_values)
        old = read(self.slots[op.acc], acc, extents[0]) if keeps else 0
        write(self.slots[op.acc], acc, extents[0], products + old)

    def stream(self, op: tile.VexecOp) -> None:
        views = [v.data for v in op.views.data]
        extents = [self.extents(op.dynamics, v) for v in views]
        space = tuple(max(e) for e in zip(*extents, strict=True))
        self.points += prod(space)
        n_in = len(op.ins)
        for e in extents[:n_in]:
            assert e == space, "an input covers the whole space"
        assert all(e[:4] == space[:4] for e in extents[n_in:])
        pairs = zip(op.ins, views[:n_in], strict=True)
        streams = [read(self.slots[slot], view, space) for slot, view in pairs]
        result = apply(op.kernel.data, streams)
        write(self.slots[op.outs[0]], views[n_in], extents[n_in], result)

    def extents(self, dynamics: Sequence[SSAValue], view: View) -> tuple[int, ...]:
        assert view.base_reg == 0 and not view.windows
        true = [
            self.indices[dynamics[r - 1]] if r else e
            for e, r in zip(view.extents, view.extent_regs, strict=True)
        ]
        assert all(1 <= t <= e for t, e in zip(true, view.extents, strict=True))
        return tuple(true)

    def referred(self, dynamics: Sequence[SSAValue], number: int, constant: int) -> int:
        return constant + (self.indices[dynamics[number - 1]] if number else 0)


def evaluate(group: tile.GroupOp, arrays: Sequence[npt.NDArray[np.generic]]) -> Evaluation:
    """Run ``group`` on copies of ``arrays``, one for each of its arguments."""
    inner = group.body.block.args
    tensors: dict[SSAValue, Bytes] = {
        arg: np.frombuffer(array.tobytes(), np.uint8).copy()
        for arg, array in zip(inner, arrays, strict=True)
    }
    run = Evaluation(tensors)
    run.run(group.body.block)
    return run


def spread(starts: Int64s, n_bytes: int) -> Int64s:
    """Addresses (n, bytes) of elements that begin at ``starts``."""
    assert starts.ndim == 1
    result: Int64s = starts[:, None] + np.arange(n_bytes)
    return result


def addresses(view: View, extents: Sequence[int]) -> Int64s:
    points = np.indices(extents).reshape(len(extents), -1)
    return spread(view.base + np.array(view.strides) @ points, view.dtype.bytes)


def read(slot: Bytes, view: View, extents: Sequence[int]) -> Int64s:
    raw = slot[addresses(view, extents)]
    values = raw.view(view.dtype.numpy).reshape(tuple(extents))
    return values.astype(np.int64)


def write(slot: Bytes, view: View, extents: Sequence[int], values: Int64s) -> None:
    elements = np.ascontiguousarray(values.astype(view.dtype.numpy)).reshape(-1, 1)
    slot[addresses(view, extents)] = elements.view(np.uint8)


def apply(kernel: Kernel, streams: Sequence[Int64s]) -> Int64s:
    """The kernels of these tests: a copy, a sum of two, a maximum, a sum of products."""
    names = [op.name for op in kernel.ops]
    if names == ["addi"]:
        return streams[0] + streams[1]
    if names == ["rmaxi"]:
        return np.asarray(streams[0].max(axis=(4, 5, 6), keepdims=True))
    if names == ["mac8"]:
        return np.asarray((streams[0] * streams[1]).sum(axis=(4, 5, 6), keepdims=True))
    assert not names
    return streams[0]
