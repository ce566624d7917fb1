"""View: how an mxu or vpu operand lies in SPM or ACC.

The binary form is ``VIEW_ROWS``, 128 bytes; bytes of absent dimensions and windows are zero.
"""

import struct
from dataclasses import dataclass
from enum import Enum

from npuc.isa.descriptors.layout import Row, check_registers, packer
from npuc.isa.dtypes import DType
from npuc.isa.errors import EncodingError

MAX_RANK = 7
MAX_WINDOWS = 2
MAX_EXTENT_REGISTERS = 4
VIEW_ROWS = (
    Row("dtype", "B"),
    Row("space", "B"),
    Row("rank", "B"),
    Row("windows", "B"),
    Row("base", "I"),
    Row("base_reg", "B"),
    Row("zero", "x", 3),
    Row("extent, stride", "Ii", MAX_RANK),
    Row("extent_reg", "B", MAX_RANK),
    Row("zero", "x"),
    Row("window: origin, limit", "iI", MAX_WINDOWS),
    Row("window: origin_reg", "B", MAX_WINDOWS),
    Row("zero", "x", 2),
    Row("fill", "I"),
    Row("first window: coefficient", "h", MAX_RANK),
    Row("second window: coefficient", "h", MAX_RANK),
)
_LAYOUT = packer(VIEW_ROWS)
VIEW_BYTES = _LAYOUT.size


class Space(Enum):
    """The memory that a view lies in; the value is its code."""

    spm = 0
    acc = 1
    __hash__ = object.__hash__  # as DType


@dataclass(frozen=True)
class Window:
    """A coordinate with a valid range: points outside it read as the view's fill value.

    coordinate = origin + value of register ``origin_reg`` + sum(coefficients[d] * index[d]);
    valid while 0 <= coordinate < limit. Stores outside are dropped.
    """

    origin: int
    limit: int
    coefficients: tuple[int, ...]
    origin_reg: int = 0


@dataclass(frozen=True)
class View:
    """Byte address of point ``index`` = base + register base_reg + sum(index[d] * strides[d]).

    ``extents`` are upper bounds; where ``extent_regs[d]`` is not 0 the true extent is that
    register's value, from 0 to ``extents[d]``. A stride of 0 broadcasts. Register 0 reads as 0,
    so it stands for "none" everywhere. ``fill`` holds the raw bits of one element.
    """

    dtype: DType
    space: Space
    base: int
    extents: tuple[int, ...]
    strides: tuple[int, ...]
    base_reg: int = 0
    extent_regs: tuple[int, ...] = ()
    windows: tuple[Window, ...] = ()
    fill: int = 0

    def __post_init__(self) -> None:
        if not self.extent_regs:
            object.__setattr__(self, "extent_regs", (0,) * len(self.extents))
        rank = len(self.extents)
        if rank > MAX_RANK or len(self.strides) != rank or len(self.extent_regs) != rank:
            raise EncodingError(
                "a view's extents, strides and extent registers differ in number",
                given=str(self),
                allowed=f"equal, at most {MAX_RANK}",
            )
        if rank - self.extent_regs.count(0) > MAX_EXTENT_REGISTERS:
            raise EncodingError(
                "too many extents from registers",
                given=str(self.extent_regs),
                allowed=f"at most {MAX_EXTENT_REGISTERS}",
            )
        if len(self.windows) > MAX_WINDOWS:
            raise EncodingError(
                "too many windows", given=str(len(self.windows)), allowed=f"at most {MAX_WINDOWS}"
            )
        for window in self.windows:
            if len(window.coefficients) != rank:
                raise EncodingError(
                    "a window needs one coefficient per dimension",
                    given=str(window),
                    allowed=f"{rank} coefficients",
                )
        check_registers(self.registers, self)

    def moved(self, n_bytes: int) -> "View":
        """The view ``n_bytes`` further on: what was checked of it holds there, too.

        All that a view has are its fields; nothing computed from them may be kept beside them.
        """
        made = object.__new__(View)
        vars(made).update(vars(self), base=self.base + n_bytes)
        return made

    @property
    def registers(self) -> tuple[int, ...]:
        """Registers that the view reads, without register 0, ascending."""
        named = {self.base_reg, *self.extent_regs, *[w.origin_reg for w in self.windows]}
        named.discard(0)
        return tuple(sorted(named)) if named else ()

    def pack(self) -> bytes:
        """The 128 bytes of the view. Raises: EncodingError where a number does not fit."""
        dims = list(zip(self.extents, self.strides, strict=True))
        dims += [(0, 0)] * (MAX_RANK - len(dims))
        windows = list(self.windows)
        windows += [Window(0, 0, ())] * (MAX_WINDOWS - len(windows))
        origins = [v for w in windows for v in (w.origin, w.limit)]
        registers = [w.origin_reg for w in windows]
        coefficients = [c for w in windows for c in _padded(w.coefficients)]
        head = (self.dtype.value, self.space.value, len(self.extents), len(self.windows))
        try:
            return _LAYOUT.pack(
                *head, self.base, self.base_reg, *(v for dim in dims for v in dim),
                *_padded(self.extent_regs), *origins, *registers, self.fill, *coefficients,
            )  # fmt: skip
        except struct.error as error:
            raise EncodingError(
                "a view's number does not fit its field", given=str(self), allowed=str(error)
            ) from error

    @staticmethod
    def unpack(data: bytes) -> "View":
        """The view in 128 bytes. Raises: EncodingError for codes and ranks out of range."""
        values = _LAYOUT.unpack(data)
        dtype, space, rank, n_windows, base, base_reg = values[:6]
        if rank > MAX_RANK or n_windows > MAX_WINDOWS:
            raise EncodingError(
                "a view's rank or window count is out of range",
                given=f"{rank}, {n_windows}",
                allowed=f"at most {MAX_RANK}, {MAX_WINDOWS}",
            )
        try:
            kind, where = DType(dtype), Space(space)
        except ValueError as error:
            raise EncodingError("unknown code in a view", given=str(error)) from error
        windows = tuple(
            Window(
                values[27 + 2 * i],
                values[28 + 2 * i],
                values[34 + 7 * i : 34 + 7 * i + rank],
                values[31 + i],
            )
            for i in range(n_windows)
        )
        view = View(
            kind,
            where,
            base,
            values[6 : 6 + 2 * rank : 2],
            values[7 : 7 + 2 * rank : 2],
            base_reg,
            values[20 : 20 + rank],
            windows,
            values[33],
        )
        if view.pack() != data:
            raise EncodingError("reserved or unused bytes of a view are not zero", given=str(view))
        return view


def _padded(values: tuple[int, ...]) -> tuple[int, ...]:
    return values + (0,) * (MAX_RANK - len(values))
