"""Tensor map: how a DMA command sees a tensor in DRAM and the box that it moves.

The binary form is ``MAP_ROWS``, 128 bytes; bytes of absent dimensions are zero.
"""

import struct
from dataclasses import dataclass
from enum import Enum

from npuc.isa.descriptors.layout import Row, packer
from npuc.isa.dtypes import DType
from npuc.isa.errors import EncodingError

MAX_RANK = 5
MAP_ROWS = (
    Row("segment", "B"),
    Row("dtype", "B"),
    Row("rank", "B"),
    Row("zero", "x"),
    Row("fill", "I"),
    Row("base", "Q"),
    Row("extent", "I", MAX_RANK),
    Row("zero", "x", 4),
    Row("DRAM stride", "q", MAX_RANK),
    Row("box extent", "I", MAX_RANK),
    Row("SPM stride", "i", MAX_RANK),
    Row("zero", "x", 8),
)
_LAYOUT = packer(MAP_ROWS)
MAP_BYTES = _LAYOUT.size


class Segment(Enum):
    """A region of DRAM that the loader places; the value is its code.

    ``arguments`` is the argument block: small inputs that only ctl reads, known before a run.
    """

    constant = 0
    input = 1
    output = 2
    scratch = 3
    state = 4
    arguments = 5


@dataclass(frozen=True)
class TensorMap:
    """A box of ``box`` elements at coordinates given by the command.

    DRAM address of element ``i`` = segment start + base + sum(i[d] * dram_strides[d]); SPM address
    of box point ``b`` = the command's SPM address + sum(b[d] * spm_strides[d]); all in bytes.
    Elements outside ``extents`` read as ``fill`` (raw bits) and are not written on store.
    """

    segment: Segment
    dtype: DType
    base: int
    extents: tuple[int, ...]
    dram_strides: tuple[int, ...]
    box: tuple[int, ...]
    spm_strides: tuple[int, ...]
    fill: int = 0

    def __post_init__(self) -> None:
        lengths = {len(t) for t in (self.extents, self.dram_strides, self.box, self.spm_strides)}
        if len(lengths) != 1 or not 1 <= len(self.extents) <= MAX_RANK:
            raise EncodingError(
                "a tensor map's lists differ in length",
                given=str(self),
                allowed=f"equal, 1 to {MAX_RANK}",
            )

    def pack(self) -> bytes:
        """The 128 bytes of the map. Raises: EncodingError where a number does not fit."""
        lists = (self.extents, self.dram_strides, self.box, self.spm_strides)
        padded = [v + (0,) * (MAX_RANK - len(v)) for v in lists]
        try:
            return _LAYOUT.pack(
                self.segment.value,
                self.dtype.value,
                len(self.extents),
                self.fill,
                self.base,
                *(v for values in padded for v in values),
            )
        except struct.error as error:
            raise EncodingError(
                "a tensor map's number does not fit its field", given=str(self), allowed=str(error)
            ) from error

    @staticmethod
    def unpack(data: bytes) -> "TensorMap":
        """The map in 128 bytes. Raises: EncodingError for codes and ranks out of range."""
        values = _LAYOUT.unpack(data)
        rank = values[2]
        if not 1 <= rank <= MAX_RANK:
            raise EncodingError(
                "a tensor map's rank is out of range", given=str(rank), allowed=f"1 to {MAX_RANK}"
            )
        try:
            segment, dtype = Segment(values[0]), DType(values[1])
        except ValueError as error:
            raise EncodingError("unknown code in a tensor map", given=str(error)) from error
        extents, dram, box, spm = (values[5 + 5 * i : 5 + 5 * i + rank] for i in range(4))
        tensor_map = TensorMap(segment, dtype, values[4], extents, dram, box, spm, values[3])
        if tensor_map.pack() != data:
            raise EncodingError(
                "reserved or unused bytes of a tensor map are not zero", given=str(tensor_map)
            )
        return tensor_map
