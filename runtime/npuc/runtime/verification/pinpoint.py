"""Where a wrong value comes from: the first tensor of a level, the first instruction of a program.

Runs a program command by command beside what it should compute. Only asked for once a comparison
has failed, so it may take its time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from npuc.emulator.machine import LoadedProgram, RunOptions, executor, load
from npuc.emulator.memory import Memory, allocate, bind_inputs, bind_states
from npuc.emulator.region import DmaWork, NoWork, Work
from npuc.isa.descriptors import Segment
from npuc.isa.program import BufferRecord, Program
from npuc.runtime.arrays import AnyArray
from npuc.runtime.verification.comparison import same_bits

Bytes = npt.NDArray[np.uint8]
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Origin:
    """The first thing that differs at ``level``: a tensor, an instruction, or both."""

    level: str
    tensor: str = ""
    instruction: str = ""

    def __str__(self) -> str:
        """The origin in one line."""
        parts = [f"tensor {self.tensor}" if self.tensor else "", self.instruction]
        return f"{self.level}: " + "; ".join(part for part in parts if part)

    def to_json(self) -> dict[str, object]:
        """The origin as plain data."""
        return {"level": self.level, "tensor": self.tensor, "instruction": self.instruction}


def first_wrong_tensor(
    level: str, given: Mapping[str, AnyArray], expected: Mapping[str, AnyArray]
) -> Origin | None:
    """The first of ``expected``, in order, whose bytes are others in ``given``.

    Tensors that ``given`` does not have, or not whole, are passed over.
    """
    for name, value in expected.items():
        if name not in given or given[name].nbytes != value.nbytes:
            continue
        if _bytes(given[name]).tobytes() != _bytes(value).tobytes():
            return Origin(level, name)
    return None


def first_wrong_store(
    program: Program,
    inputs: Mapping[str, AnyArray],
    path: str,
    expected: Mapping[str, AnyArray],
) -> Origin | None:
    """The first store on ``path`` of the emulator that leaves other bytes than ``expected``.

    ``expected`` are DRAM tensors by name. Where tensors share bytes one after the other, a store
    is right if it suits any of them.
    """
    loaded = load(program, RunOptions(path=path))
    tensors = {name: _bytes(value) for name, value in expected.items()}
    memory, step = _memory(loaded, inputs), executor(path)
    for core, command, work in _works(loaded):
        step(memory, core, work)
        if not isinstance(work, DmaWork) or work.is_load:
            continue
        touched = _touched(work)
        records = _around(program, work.map.segment, touched, tensors)
        stored = memory.segments[work.map.segment][touched]
        if records and not any(_suits(r, touched, stored, tensors) for r in records):
            site = _site(loaded, core, command)
            return Origin(f"emulator, {path}", records[0].tensor, site)
    return None


def first_split(program: Program, inputs: Mapping[str, AnyArray]) -> Origin | None:
    """The first instruction after which the emulator's fast path and its plain twin differ."""
    paths = ("fast", "plain")
    loaded = load(program)
    memories = [_memory(loaded, inputs) for _ in paths]
    steps = [executor(path) for path in paths]
    for core, command, work in _works(loaded):
        for memory, step in zip(memories, steps, strict=True):
            step(memory, core, work)
        if not _alike(memories[0], memories[1], core, work):
            return Origin("emulator, fast and plain", "", _site(loaded, core, command))
    return None


def _works(loaded: LoadedProgram) -> Iterator[tuple[int, int, Work]]:
    for core, start, stop in loaded.runs:
        for command in range(start, stop):
            work = loaded.resolved[core].work(command)
            if not isinstance(work, NoWork):
                yield core, command, work


def _memory(loaded: LoadedProgram, inputs: Mapping[str, AnyArray]) -> Memory:
    program = loaded.decoded.program
    memory = allocate(program, loaded.decoded.target)
    bind_inputs(program, memory, inputs)
    bind_states(program, memory, None)
    return memory


def _site(loaded: LoadedProgram, core: int, command: int) -> str:
    return str(loaded.decoded.site(core, int(loaded.streams[core].instruction[command])))


def _touched(work: DmaWork) -> Int64s:
    """Addresses in the segment of the bytes that a store writes."""
    rank = len(work.map.box)
    element = np.indices(work.map.box).reshape(rank, -1) + np.array(work.corner)[:, np.newaxis]
    limits = np.array(work.map.extents)[:, np.newaxis]
    inside = ((element >= 0) & (element < limits)).all(axis=0)
    strides = np.array(work.map.dram_strides, np.int64)
    first: Int64s = work.map.base + strides @ element[:, inside]
    return (first[:, np.newaxis] + np.arange(work.map.dtype.bytes)).reshape(-1)


def _around(
    program: Program, segment: Segment, touched: Int64s, tensors: Mapping[str, Bytes]
) -> list[BufferRecord]:
    """The records of known tensors that hold all of these bytes."""
    if not touched.size:
        return []
    low, high, prefix = int(touched.min()), int(touched.max()), f"{segment.name}/"
    return [
        r
        for r in program.debug.buffers
        if r.space == "dram"
        and r.name.startswith(prefix)
        and r.offset <= low
        and high < r.offset + r.n_bytes
        and len(tensors.get(r.tensor, ())) == r.n_bytes
    ]


def _suits(
    record: BufferRecord, touched: Int64s, stored: Bytes, tensors: Mapping[str, Bytes]
) -> bool:
    return bool((tensors[record.tensor][touched - record.offset] == stored).all())


def _alike(left: Memory, right: Memory, core: int, work: Work) -> bool:
    if isinstance(work, DmaWork) and not work.is_load:
        touched, segment = _touched(work), work.map.segment
        return bool((left.segments[segment][touched] == right.segments[segment][touched]).all())
    same_spm = same_bits(left.spm[core], right.spm[core]).all()
    return bool(same_spm and same_bits(left.acc[core], right.acc[core]).all())


def _bytes(array: AnyArray) -> Bytes:
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
