"""What the commands of ``tile`` compute: views and boxes over byte arrays, products, kernels.

Arithmetic is that of ``npuc.isa.numerics``; a command reads all its operands before it writes. Used
by ``tile_interpreter``, which knows the order of commands and what their operands refer to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from npuc.isa.descriptors import Kernel, TensorMap, View
from npuc.isa.descriptors.kernel import FIRST_PARAM, FIRST_RESULT
from npuc.isa.dtypes import DType
from npuc.isa.errors import ExecutionError
from npuc.isa.microops import BY_NAME
from npuc.isa.numerics.convert import load_convert, quiet_nan, store_convert
from npuc.isa.numerics.matrix import mma_float, mma_int

Bytes = npt.NDArray[np.uint8]
Int64s = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[Any]
PARALLEL = 4
WORD_MASK = 0xFFFFFFFF
_DOMAINS: Mapping[str, Literal["f32", "i32"]] = {"f": "f32", "i": "i32"}


@dataclass(frozen=True)
class Operand:
    """A view over ``memory`` (a slot's bytes) with its true base, extents and window origins."""

    view: View
    memory: Bytes
    base: int
    extents: tuple[int, ...]
    origins: tuple[int, ...] = ()

    def cut(self, extents: tuple[int, ...]) -> "Operand":
        """The same view over other extents."""
        return Operand(self.view, self.memory, self.base, extents, self.origins)

    def read(self) -> Values:
        """The elements in the shape of the extents; fill where a window shuts a point out."""
        dtype, inside = self.view.dtype, self._inside()
        if inside is None:
            return self._strided()
        addresses = self._addresses()
        safe = np.where(inside, addresses, 0)
        fill = _element(self.view.fill, dtype)
        return np.where(inside, _elements(self.memory, safe, dtype), fill).astype(dtype.numpy)

    def write(self, values: Values) -> None:
        """Store elements of the extents' shape; points that a window shuts out are dropped."""
        addresses, inside = self._addresses(), self._inside()
        if inside is not None:
            addresses, values = addresses[inside], values[inside]
        _put(self.memory, addresses.reshape(-1), values.reshape(-1))

    def _strided(self) -> Values:
        """A copy of the elements where no window shuts points out: no address is computed."""
        spans = [(e - 1) * s for e, s in zip(self.extents, self.view.strides, strict=True)]
        ends = [sum(s for s in spans if s < 0), sum(s for s in spans if s > 0)]
        dtype = self.view.dtype
        if 0 in self.extents:
            return np.zeros(self.extents, dtype.numpy)
        _check(self.memory, self.base + np.array(ends, np.int64), dtype.bytes)
        kind, strides = dtype.numpy, self.view.strides
        return np.ndarray(self.extents, kind, self.memory.data, self.base, strides).copy()

    def _addresses(self) -> Int64s:
        return _affine(self.base, self.view.strides, self.extents)

    def _inside(self) -> Mask | None:
        inside: Mask | None = None
        for window, origin in zip(self.view.windows, self.origins, strict=True):
            coordinate = _affine(origin, window.coefficients, self.extents)
            passed = (coordinate >= 0) & (coordinate < window.limit)
            inside = passed if inside is None else inside & passed
        return inside


@dataclass(frozen=True)
class Box:
    """A transfer: the box of ``map`` at element ``corner``, at byte ``offset`` of a slot."""

    map: TensorMap
    corner: tuple[int, ...]
    offset: int

    def load(self, slot: Bytes, tensor: Bytes) -> None:
        """From tensor to slot; outside the tensor it is the map's fill value."""
        inside = self._inside()
        moved = np.full(self.map.box, _element(self.map.fill, self.map.dtype))
        in_dram = self._in_dram()[inside]
        moved[inside] = _elements(tensor, in_dram, self.map.dtype)
        _put(slot, self._in_slot().reshape(-1), moved.reshape(-1))

    def store(self, slot: Bytes, tensor: Bytes) -> None:
        """From slot to tensor; outside the tensor nothing is written."""
        inside = self._inside()
        moved = _elements(slot, self._in_slot()[inside], self.map.dtype)
        _put(tensor, self._in_dram()[inside], moved)

    def _in_slot(self) -> Int64s:
        return _affine(self.offset, self.map.spm_strides, self.map.box)

    def _in_dram(self) -> Int64s:
        steps = zip(self.corner, self.map.dram_strides, strict=True)
        first = self.map.base + sum(c * s for c, s in steps)
        return _affine(first, self.map.dram_strides, self.map.box)

    def _inside(self) -> Mask:
        inside = np.ones(self.map.box, np.bool_)
        for axis, (start, extent) in enumerate(zip(self.corner, self.map.extents, strict=True)):
            element = _along(start + np.arange(self.map.box[axis]), axis, len(self.map.box))
            inside &= (element >= 0) & (element < extent)
        return inside


def multiply(acc: Operand, a: Operand, w: Operand, accumulate: bool) -> None:
    """ACC[m, n] (+)= sum over k of A[m, k] * W[k, n], k ascending over (k0, k1, k2)."""
    m, n, k = prod(acc.extents[:3]), acc.extents[3], prod(w.extents[:3])
    a_MK, w_KN = a.read().reshape(m, k), w.read().reshape(k, n)
    old = acc.read().reshape(m, n)
    if not accumulate:
        old = np.zeros((m, n), old.dtype)
    is_float = a.view.dtype.is_float
    result = mma_float(a_MK, w_KN, old) if is_float else mma_int(a_MK, w_KN, old)
    acc.write(result.reshape(acc.extents))


def run_kernel(
    kernel: Kernel, words: Sequence[int], ins: Sequence[Operand], outs: Sequence[Operand]
) -> None:
    """Run ``kernel`` over the space of its first operand; ``words`` are the raw parameters."""
    space = (*ins, *outs)[0].extents
    run = _KernelRun(kernel, words, ins, space)
    for position, op in enumerate(kernel.ops):
        run.step(position, op.name, op.operands)
    stored = []
    for output, operand in zip(kernel.outputs, outs, strict=True):
        dtype = operand.view.dtype
        value = run.value(output.value, "f" if dtype.is_float else "i", not output.epilogue)
        stored.append(store_convert(np.ascontiguousarray(value), dtype.numpy))
    for operand, values in zip(outs, stored, strict=True):
        operand.write(values.reshape(operand.extents))


class _KernelRun:
    """Values by number: those of the body are P x R, others P."""

    def __init__(
        self, kernel: Kernel, words: Sequence[int], ins: Sequence[Operand], space: tuple[int, ...]
    ) -> None:
        self.kernel, self.words, self.ins, self.space = kernel, words, ins, space
        self.points, self.per_point = prod(space[:PARALLEL]), prod(space[PARALLEL:])
        self.loaded: dict[tuple[int, bool], Values] = {}
        self.results: list[Values] = []

    def step(self, position: int, name: str, operands: tuple[int, ...]) -> None:
        """Append the result of one micro-op."""
        spec, in_body = BY_NAME[name], position < self.kernel.body_count
        pairs = zip(operands, spec.operands, strict=True)
        values = [self.value(number, domain, in_body) for number, domain in pairs]
        self.results.append(np.asarray(spec.meaning(*values)))

    def value(self, number: int, domain: str, in_body: bool) -> Values:
        """Value ``number`` for a use in ``domain``."""
        shape = (self.points, self.per_point) if in_body else (self.points,)
        if number >= FIRST_RESULT:
            return self.results[number - FIRST_RESULT]
        if number >= FIRST_PARAM:
            return np.broadcast_to(_scalar(self.words[number - FIRST_PARAM], domain), shape)
        key = (number, in_body)
        if key not in self.loaded:
            reduction = self.space[PARALLEL:] if in_body else (1,) * len(self.space[PARALLEL:])
            raw = self.ins[number].cut((*self.space[:PARALLEL], *reduction)).read()
            kind = _DOMAINS[self.kernel.inputs[number].domain]
            self.loaded[key] = load_convert(raw, kind).reshape(shape)
        return self.loaded[key]


def _scalar(word: int, domain: str) -> Values:
    raw = np.array([word & WORD_MASK], np.uint32)
    return quiet_nan(raw.view(np.float32)) if domain == "f" else raw.view(np.int32)


def _along(values: Int64s, axis: int, rank: int) -> Int64s:
    """``values`` (one axis) along ``axis`` of ``rank`` axes."""
    return values.reshape([-1 if d == axis else 1 for d in range(rank)])


def _affine(base: int, steps: Sequence[int], extents: Sequence[int]) -> Int64s:
    """base + sum(index[d] * steps[d]) for each point of ``extents``."""
    total = np.full((1,) * len(extents), base, np.int64)
    for axis, (step, extent) in enumerate(zip(steps, extents, strict=True)):
        total = total + _along(np.arange(extent) * step, axis, len(extents))
    return total


def _elements(memory: Bytes, addresses: Int64s, dtype: DType) -> Values:
    _check(memory, addresses, dtype.bytes)
    raw = memory[addresses[..., np.newaxis] + np.arange(dtype.bytes)]
    elements: Values = raw.view(dtype.numpy).reshape(addresses.shape)
    return elements


def _put(memory: Bytes, addresses: Int64s, values: Values) -> None:
    """Write ``values`` in order: where addresses repeat, the last one stays."""
    size = values.dtype.itemsize
    _check(memory, addresses, size)
    raw = np.ascontiguousarray(values).view(np.uint8).reshape(-1, size)
    for byte in range(size):
        memory[addresses + byte] = raw[:, byte]


def _check(memory: Bytes, addresses: Int64s, size: int) -> None:
    if addresses.size and not 0 <= addresses.min() <= addresses.max() <= len(memory) - size:
        raise ExecutionError(
            "a tile command leaves its slot or tensor",
            given=f"bytes {addresses.min()} to {addresses.max() + size}",
            allowed=f"0 to {len(memory)}",
        )


def _element(bits: int, dtype: DType) -> Values:
    raw = (bits & ((1 << 8 * dtype.bytes) - 1)).to_bytes(dtype.bytes, "little")
    return np.asarray(np.frombuffer(raw, dtype.numpy)[0])
