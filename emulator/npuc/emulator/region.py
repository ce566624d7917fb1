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


class Part(NamedTuple):
    """Where a command stands in a reduction of ``total`` elements that it shares with others.

    It takes elements [start, stop); ``state`` is where the words of its reductions lie.
    """

    state: Region
    start: int
    stop: int
    total: int

    @property
    def is_first(self) -> bool:
        """Whether nothing came before: the state is not read."""
        return self.start == 0

    @property
    def is_last(self) -> bool:
        """Whether nothing follows: the epilogue runs and the state is not written."""
        return self.stop == self.total


class VexecWork(NamedTuple):
    """One resolved ``vexec`` or ``vpart``. ``words`` are the raw parameters, always eight.

    ``space`` is the iteration space: four parallel extents, then three of the reduction.
    ``outputs`` of the epilogue are written unless ``part`` says that more parts follow.
    """

    kernel: Kernel
    words: tuple[int, ...]
    inputs: tuple[Region, ...]
    outputs: tuple[Region, ...]
    space: tuple[int, ...]
    tables: tuple[Table, ...] = ()
    part: Part | None = None

    @property
    def written(self) -> tuple[tuple[int, Region], ...]:
        """The outputs that the command writes, with their positions."""
        ends = self.part is None or self.part.is_last
        tagged = zip(self.kernel.outputs, self.outputs, strict=True)
        return tuple(
            (i, region) for i, (out, region) in enumerate(tagged) if ends or not out.epilogue
        )


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
