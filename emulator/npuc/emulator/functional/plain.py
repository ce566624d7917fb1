"""The slow, plain twin: what each command does, with index arithmetic written out.

A command reads all its operands before it writes. Where an output touches an element twice, the
last point in row-major order stays. Arithmetic is that of ``npuc.isa.numerics``.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from npuc.emulator.footprint import along, element_addresses, inside_windows
from npuc.emulator.memory import Bytes, Memory
from npuc.emulator.region import (
    DmaWork,
    IndexedWork,
    MmaWork,
    MoveWork,
    NoWork,
    Part,
    Region,
    ScanWork,
    SelectWork,
    VexecWork,
    WordWork,
    Work,
)
from npuc.isa.descriptors.kernel import FIRST_PARAM, FIRST_RESULT, Op
from npuc.isa.dtypes import DType
from npuc.isa.microops import BY_NAME
from npuc.isa.numerics.arrays import U32
from npuc.isa.numerics.convert import load_convert, quiet_nan, store_convert
from npuc.isa.numerics.matrix import mma_float_plain, mma_int
from npuc.isa.numerics.ordering import SCANS, scan, sorted_order
from npuc.isa.numerics.partial import finish_part, fold_part

Int64s = npt.NDArray[np.int64]
Values = npt.NDArray[Any]
PARALLEL = 4
_DOMAINS: dict[str, Literal["f32", "i32"]] = {"f": "f32", "i": "i32"}


def execute(memory: Memory, core: int, work: Work) -> None:
    """Carry out one command of a core. Raises: NumericTrap where the machine traps."""
    if isinstance(work, MmaWork):
        execute_mma(memory, core, work)
    elif isinstance(work, VexecWork):
        execute_vexec(memory, core, work)
    elif isinstance(work, DmaWork):
        execute_transfer(memory, core, work)
    elif isinstance(work, ScanWork):
        execute_scan(memory, core, work)
    elif isinstance(work, SelectWork):
        execute_select(memory, core, work)
    elif isinstance(work, IndexedWork):
        for transfer in indexed_transfers(memory, core, work):
            execute_transfer(memory, core, transfer)
    elif isinstance(work, MoveWork):
        execute_move(memory, core, work)
    elif isinstance(work, WordWork):
        execute_word(memory, core, work)
    else:
        assert isinstance(work, NoWork)


def read_elements(memory: Bytes, addresses: Int64s, dtype: DType) -> Values:
    """The elements at byte ``addresses``, in their shape."""
    size = dtype.bytes
    raw = memory[addresses[..., np.newaxis] + np.arange(size)]
    return np.ascontiguousarray(raw).view(dtype.numpy).reshape(addresses.shape)


def write_elements(memory: Bytes, addresses: Int64s, values: Values) -> None:
    """Write ``values`` (one axis) at byte ``addresses``, in order."""
    size = values.dtype.itemsize
    raw = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), size)
    for byte in range(size):
        memory[addresses + byte] = raw[:, byte]


def fill_element(bits: int, dtype: DType) -> Values:
    """The element with these raw bits (zero-extended to 64), as an array of one."""
    raw = (bits & ((1 << 8 * dtype.bytes) - 1)).to_bytes(dtype.bytes, "little")
    return np.frombuffer(raw, dtype.numpy)


def read_region(memory: Bytes, region: Region) -> Values:
    """The elements of a region in its extents' shape; fill where a window shuts a point out."""
    addresses, valid = element_addresses(region), inside_windows(region)
    fill = fill_element(region.view.fill, region.view.dtype)
    elements = read_elements(memory, np.where(valid, addresses, 0), region.view.dtype)
    return np.where(valid, elements, fill).astype(region.view.dtype.numpy)


def write_region(memory: Bytes, region: Region, elements: Values) -> None:
    """Store elements of the region's shape; points that a window shuts out are dropped."""
    valid = inside_windows(region)
    write_elements(memory, element_addresses(region)[valid], elements[valid])


# -- matrix ---------------------------------------------------------------------------------------


def execute_mma(memory: Memory, core: int, work: MmaWork) -> None:
    """ACC[m, n] (+)= sum over k of A[m, k] * W[k, n], k ascending over (k0, k1, k2)."""
    spm, acc = memory.spm[core], memory.acc[core]
    m, n = int(np.prod(work.acc.extents[:3])), work.acc.extents[3]
    k = int(np.prod(work.w.extents[:3]))
    a_MK = read_region(spm, work.a).reshape(m, k)
    w_KN = read_region(spm, work.w).reshape(k, n)
    old = read_region(acc, work.acc).reshape(m, n)
    if not work.accumulate:
        old = np.zeros((m, n), old.dtype)
    multiply = mma_float_plain if work.a.view.dtype.is_float else mma_int
    result = multiply(a_MK, w_KN, old)
    write_region(acc, work.acc, result.reshape(work.acc.extents))


# -- vector ---------------------------------------------------------------------------------------


def execute_vexec(memory: Memory, core: int, work: VexecWork) -> None:
    """Run the body over the whole space, the reductions, then the epilogue once per output."""
    kernel = work.kernel
    parallel, reduction = work.space[:PARALLEL], work.space[PARALLEL:]
    points, per_point = int(np.prod(parallel)), int(np.prod(reduction))
    values = Interpretation(memory, core, work, (points, per_point))
    at_end = work.part is None or work.part.is_last
    for position, op in enumerate(kernel.ops if at_end else kernel.ops[: kernel.body_count]):
        values.run(position, op)
    results = [(region, values.output(i)) for i, region in work.written]
    if work.part and not work.part.is_last:
        write_state(memory, core, work.part.state, values.states)
    for region, result in results:
        target = memory.space(core, region.view.space)
        write_region(target, region, result.reshape(region.extents))


def read_state(memory: Memory, core: int, part: Part) -> U32 | None:
    """The words (P, reductions, 16) that the part before left; None for the first part."""
    if part.is_first:
        return None
    raw = read_region(memory.space(core, part.state.view.space), part.state)
    return np.ascontiguousarray(raw).view(np.uint32).reshape(-1, *part.state.extents[PARALLEL:])


def write_state(memory: Memory, core: int, state: Region, words_PS: Sequence[U32]) -> None:
    """Keep the words of each reduction, (P, 16), for the part that follows."""
    words = np.stack(words_PS, axis=1).reshape(state.extents)
    write_region(memory.space(core, state.view.space), state, words.view(state.view.dtype.numpy))


class Interpretation:
    """The values of one vexec: body values are P x R, reduced and epilogue values are P."""

    def __init__(self, memory: Memory, core: int, work: VexecWork, shape: tuple[int, int]) -> None:
        self.work, self.shape = work, shape
        self.results: list[Values] = []
        self.states: list[U32] = []
        self.before = read_state(memory, core, work.part) if work.part else None
        first = (*work.space[:PARALLEL], 1, 1, 1)
        self.body = {
            i: self._load(memory, core, i, work.space).reshape(shape)
            for i in work.kernel.body_streams
        }
        self.once = {
            i: self._load(memory, core, i, first).reshape(shape[0])
            for i in work.kernel.epilogue_streams
            if work.part is None or work.part.is_last
        }

    def _load(self, memory: Memory, core: int, stream: int, extents: tuple[int, ...]) -> Values:
        region = self.work.inputs[stream]._replace(extents=extents)
        raw = read_region(memory.space(core, region.view.space), region)
        domain = _DOMAINS[self.work.kernel.inputs[stream].domain]
        return load_convert(raw, domain)

    def value(self, number: int, domain: str, in_body: bool) -> Values:
        """Value ``number`` for a use in ``domain``, in the body's or the epilogue's shape."""
        if number >= FIRST_RESULT:
            return self.results[number - FIRST_RESULT]
        if number >= FIRST_PARAM:
            word = param_value(self.work.words[number - FIRST_PARAM], domain)
            return np.broadcast_to(word, self.shape if in_body else self.shape[:1])
        return self.body[number] if in_body else self.once[number]

    def run(self, position: int, op: Op) -> None:
        """Append the result of one micro-op."""
        spec = BY_NAME[op.name]
        in_body = position < self.work.kernel.body_count
        values = [
            self.value(number, domain, in_body)
            for number, domain in zip(op.operands, spec.operands, strict=True)
        ]
        if spec.is_reduction and self.work.part:
            self.results.append(self._fold(op.name, values, self.work.part))
            return
        if spec.extra == "coordinate":
            values.append(self._coordinate(op.immediate, in_body))
        elif spec.extra == "table":
            values.append(self.work.tables[op.immediate].array)
        elif spec.extra:
            self.results.append(np.asarray(spec.meaning(*values, op.immediate)))
            return
        self.results.append(np.asarray(spec.meaning(*values)))

    def _fold(self, name: str, values: list[Values], part: Part) -> Values:
        """Take this part into the state; the value of the reduction where it is the last."""
        number = len(self.states)
        before = None if self.before is None else self.before[:, number]
        state = fold_part(name, before, tuple(values), (part.start, part.total))
        self.states.append(state)
        return finish_part(name, state, part.total) if part.is_last else state

    def _coordinate(self, dimension: int, in_body: bool) -> Values:
        reduction = self.work.space[PARALLEL:] if in_body else (1, 1, 1)
        space = (*self.work.space[:PARALLEL], *reduction)
        line = along(np.arange(space[dimension]), dimension, len(space)).astype(np.int32)
        return np.broadcast_to(line, space).reshape(self.shape if in_body else self.shape[:1])

    def output(self, position: int) -> Values:
        """The elements that output ``position`` stores, in row-major order."""
        output = self.work.kernel.outputs[position]
        dtype = self.work.outputs[position].view.dtype
        domain = "f" if dtype.is_float else "i"
        value = self.value(output.value, domain, not output.epilogue)
        return store_convert(value, dtype.numpy)


def param_value(word: int, domain: str) -> Values:
    """A raw parameter word as a scalar of its domain; a NaN is quieted."""
    raw = np.array([word & 0xFFFFFFFF], np.uint32)
    return quiet_nan(raw.view(np.float32)) if domain == "f" else raw.view(np.int32)


# -- scan, top k, sort ----------------------------------------------------------------------------


def execute_scan(memory: Memory, core: int, work: ScanWork) -> None:
    """Each prefix of every row, in ascending order."""
    domain = SCANS[work.operation][0]
    first = None if work.first is None else _stream(memory, core, work.first, domain)[..., 0]
    source = _stream(memory, core, work.source, domain)
    _store(memory, core, work.out, scan(source, work.operation, first, work.exclusive))


def execute_select(memory: Memory, core: int, work: SelectWork) -> None:
    """The first elements of each row in sorted order, and where they stood."""
    source = _stream(memory, core, work.source, work.domain)
    order = sorted_order(source, work.descending)
    for region, taken in (
        (work.values, np.take_along_axis(source, order, axis=-1)),
        (work.indices, order),
    ):
        if region is not None:
            _store(memory, core, region, taken[..., : region.extents[-1]])


def _stream(memory: Memory, core: int, region: Region, domain: str) -> Values:
    raw = read_region(memory.space(core, region.view.space), region)
    return load_convert(raw, _DOMAINS[domain])


def _store(memory: Memory, core: int, region: Region, values: Values) -> None:
    stored = store_convert(values, region.view.dtype.numpy)
    write_region(memory.space(core, region.view.space), region, stored)


# -- transfers ------------------------------------------------------------------------------------


def execute_transfer(memory: Memory, core: int, work: DmaWork) -> None:
    """Move one box; outside the tensor a load gives fill and a store writes nothing."""
    segment = memory.segments[work.map.segment]
    box = np.indices(work.map.box).reshape(len(work.map.box), -1)  # rank x points
    element = box + np.array(work.corner)[:, np.newaxis]
    limits = np.array(work.map.extents)[:, np.newaxis]
    inside = np.asarray(((element >= 0) & (element < limits)).all(axis=0))
    in_spm = work.address + np.array(work.map.spm_strides, np.int64) @ box
    in_dram = work.map.base + np.array(work.map.dram_strides, np.int64) @ element
    if work.is_load:
        fill = fill_element(work.map.fill, work.map.dtype)
        moved = np.full(len(inside), fill[0], work.map.dtype.numpy)
        moved[inside] = read_elements(segment, in_dram[inside], work.map.dtype)
        for receiver in work.cores or (core,):
            write_elements(memory.spm[receiver], in_spm, moved)
    else:
        moved = read_elements(memory.spm[core], in_spm[inside], work.map.dtype)
        write_elements(segment, in_dram[inside], moved)


def indexed_transfers(memory: Memory, core: int, work: IndexedWork) -> list[DmaWork]:
    """The transfers of a gather or scatter, in order; the list of indices is read once."""
    start = work.first.corner[0]
    return [
        work.first._replace(
            corner=(start + index, *work.first.corner[1:]),
            address=work.first.address + position * work.step,
        )
        for position, index in enumerate(read_region(memory.spm[core], work.indices).tolist())
    ]


def execute_move(memory: Memory, core: int, work: MoveWork) -> None:
    """Copy a region's elements to another, or fill it; raw bits throughout."""
    spm, dtype = memory.spm[core], work.target.view.dtype
    if work.source is None:
        element = fill_element(work.bits & ((1 << 64) - 1), dtype)
        moved = np.broadcast_to(element, work.target.extents)
    else:
        moved = read_region(spm, work.source)
    write_region(spm, work.target, moved)


# -- words of ctl ---------------------------------------------------------------------------------


def execute_word(memory: Memory, core: int, work: WordWork) -> None:
    """A store writes the low bytes of its value; a load's value is the business of control."""
    if work.is_store:
        raw = (work.value & ((1 << 64) - 1)).to_bytes(8, "little")[: work.dtype.bytes]
        target = memory.bytes_of(core, work.memory)
        target[work.address : work.address + work.dtype.bytes] = np.frombuffer(raw, np.uint8)


def loaded_word(memory: Memory, core: int, work: WordWork) -> int:
    """The number that a word load finds."""
    source = memory.bytes_of(core, work.memory)
    raw = source[work.address : work.address + work.dtype.bytes].tobytes()
    return int.from_bytes(raw, "little", signed=work.dtype.name.startswith("i"))
