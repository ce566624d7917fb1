"""Resolved operands: what a command works on once its registers are known."""

from typing import NamedTuple

from npuc.isa.descriptors import Kernel, Segment, Space, Table, TensorMap, View
from npuc.isa.dtypes import DType


class Region(NamedTuple):
    """A view with its address, true extents and window origins."""

    view: View
    address: int
    extents: tuple[int, ...]
    origins: tuple[int, ...]


class MmaWork(NamedTuple):
    """One resolved ``mma``. ``accumulate`` says whether ACC is added to."""

    acc: Region
    a: Region
    w: Region
    accumulate: bool


class VexecWork(NamedTuple):
    """One resolved ``vexec``. ``words`` are the raw 32-bit parameters, always eight.

    ``space`` is the iteration space: four parallel extents, then three of the reduction.
    """

    kernel: Kernel
    words: tuple[int, ...]
    inputs: tuple[Region, ...]
    outputs: tuple[Region, ...]
    space: tuple[int, ...]
    tables: tuple[Table, ...] = ()


class DmaWork(NamedTuple):
    """One resolved transfer: the box at ``corner`` of the map, at ``address`` in SPM.

    A load goes to the SPM of ``cores``, or of the command's own core where that is empty.
    """

    map: TensorMap
    corner: tuple[int, ...]
    address: int
    is_load: bool
    cores: tuple[int, ...] = ()


class IndexedWork(NamedTuple):
    """One resolved gather or scatter: ``first`` is the transfer of index 0 at position 0."""

    first: DmaWork
    indices: Region
    step: int


class MoveWork(NamedTuple):
    """One resolved copy or, without a source, fill with the raw ``bits``."""

    target: Region
    source: Region | None
    bits: int


class ScanWork(NamedTuple):
    """One resolved scan; ``first`` is None where the command has none."""

    source: Region
    out: Region
    first: Region | None
    operation: str
    exclusive: bool

    @property
    def reads(self) -> dict[str, Region]:
        """The operands that exist and are read, by name."""
        return {"source": self.source} | ({"first": self.first} if self.first else {})

    @property
    def writes(self) -> dict[str, Region]:
        """The operands that are written, by name."""
        return {"out": self.out}


class SelectWork(NamedTuple):
    """One resolved top k or sort: the first elements in sorted order, as many as outputs hold."""

    source: Region
    values: Region | None
    indices: Region | None
    domain: str
    descending: bool

    @property
    def reads(self) -> dict[str, Region]:
        """The operands that are read, by name."""
        return {"source": self.source}

    @property
    def writes(self) -> dict[str, Region]:
        """The operands that exist and are written, by name."""
        outputs = {"values": self.values, "indices": self.indices}
        return {name: region for name, region in outputs.items() if region is not None}


class WordWork(NamedTuple):
    """One resolved word load or store of ctl: ``value`` goes to ``address`` when ``is_store``."""

    memory: Space | Segment
    address: int
    dtype: DType
    is_store: bool
    value: int


class NoWork(NamedTuple):
    """A command that only waits and increments, or a fence."""


Work = (
    MmaWork
    | VexecWork
    | ScanWork
    | SelectWork
    | DmaWork
    | IndexedWork
    | MoveWork
    | WordWork
    | NoWork
)
