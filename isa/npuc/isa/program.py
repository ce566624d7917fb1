"""Program: all that a binary holds, as immutable data between emitter, file and emulator."""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from npuc.isa.descriptors import Kernel, Params, Segment, Table, TensorMap, View
from npuc.isa.dtypes import DType
from npuc.isa.target import Target

Code = npt.NDArray[np.uint8]  # (n, 32): one row per instruction
NO_REMARKS = "[]"


@dataclass(frozen=True)
class Quantisation:
    """real = (q - zero_point) * scale, per tensor."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class Argument:
    """An input, output or state tensor: row-major in ``segment`` at byte ``offset``.

    Inputs lie in the segment ``input``, or in the argument block ``arguments``.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    segment: Segment
    offset: int
    quantisation: Quantisation | None = None

    @property
    def n_bytes(self) -> int:
        """Bytes of the tensor."""
        return math.prod(self.shape) * self.dtype.bytes


@dataclass(frozen=True)
class SourceRange:
    """Instructions [start, stop) of ``core`` come from these ONNX nodes, in group ``group``."""

    core: int
    start: int
    stop: int
    group: str
    nodes: tuple[str, ...]
    operation: str = ""


@dataclass(frozen=True)
class BufferRecord:
    """Where a tensor tile lies: for messages and memory pictures. ``space`` is spm, acc or dram."""

    name: str
    core: int
    space: str
    offset: int
    n_bytes: int
    tensor: str = ""


@dataclass(frozen=True)
class Debug:
    """What a reader needs to follow a program back to its source; execution never uses it."""

    sources: tuple[SourceRange, ...] = ()
    buffers: tuple[BufferRecord, ...] = ()
    schedule_json: str = "{}"
    model_name: str = ""
    remarks_json: str = NO_REMARKS


@dataclass(frozen=True)
class Program:
    """A compiled program. Tables are indexed by the numbers in the instructions.

    ``code`` has one instruction array per core; ``constants`` is the constant segment;
    ``scratch_bytes`` and ``state_bytes`` are the sizes of those segments. ``target_toml`` is the
    text of the target it was compiled for and ``extensions`` the letters that it needs.
    """

    target: Target
    target_toml: str
    code: tuple[Code, ...]
    views: tuple[View, ...] = ()
    maps: tuple[TensorMap, ...] = ()
    kernels: tuple[Kernel, ...] = ()
    params: tuple[Params, ...] = ()
    constants: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    inputs: tuple[Argument, ...] = ()
    outputs: tuple[Argument, ...] = ()
    states: tuple[Argument, ...] = ()
    scratch_bytes: int = 0
    extensions: tuple[str, ...] = ()
    debug: Debug = field(default_factory=Debug)
    tables: tuple[Table, ...] = ()

    def segment_bytes(self, segment: Segment) -> int:
        """Bytes of a DRAM segment."""
        if segment is Segment.constant:
            return int(self.constants.size)
        if segment is Segment.scratch:
            return self.scratch_bytes
        arguments = (*self.inputs, *self.outputs, *self.states)
        ends = (a.offset + a.n_bytes for a in arguments if a.segment is segment)
        return max(ends, default=0)
