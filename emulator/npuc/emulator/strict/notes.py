"""Accesses as rows of numbers, for compiled code to walk over."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

import npuc.emulator.strict.pages as pg
from npuc.emulator.strict.accesses import Access
from npuc.emulator.strict.bytesets import Box, region_bytes
from npuc.isa.cost import Int64s

_PADS = tuple((0,) * (pg.DIMS - rank) for rank in range(pg.DIMS + 1))


@dataclass
class Notes:
    """Accesses to one memory that nobody has walked over yet.

    ``slots``: of (agent, whether it writes), grown here. ``order``: which of all accesses each is;
    ``columns`` those of ``pages``, one after another; ``runs`` of what is no box.
    """

    slots: dict[tuple[int, bool], int]
    accesses: list[Access] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    runs: list[Int64s] = field(default_factory=list)
    n_runs: int = 0

    def add(self, row: int, agent: int, order: int, access: Access) -> None:
        """Note an access of a row. Raises: CapacityError where it has too many pieces."""
        touched = access.touched
        if isinstance(touched, Box):
            address, extents, strides, size = touched
            first = stop = 0
        else:
            made = region_bytes(touched)
            if not made:
                return
            address, extents, strides, size = made.offset, (), (), 0
            first, stop = self.n_runs, self.n_runs + len(made.runs)
            self.runs.append(made.runs)
            self.n_runs = stop
        pad = _PADS[len(extents)]
        slot = self.slots.setdefault((agent, access.is_write), len(self.slots) + 1)
        self.accesses.append(access)
        self.order.append(order)
        self.columns += (
            row, slot, access.is_write, access.is_exact, address, size, first, stop,
            *extents, *pad, *strides, *pad,
        )  # fmt: skip

    def table(self) -> Int64s:
        """n x COLUMNS."""
        return np.array(self.columns, np.int64).reshape(-1, pg.COLUMNS)

    def table_of_runs(self) -> Int64s:
        """The rows that RUNS and RUNS_STOP name."""
        return np.concatenate([np.zeros((0, 2), np.int64), *self.runs])


def may_share(table: Int64s) -> npt.NDArray[np.bool_]:
    """Whether an access writes elements that could share some of their bytes, but not all.

    They cannot where each step is a multiple of the element.
    """
    extents, strides = table[:, pg.EXTENTS : pg.STRIDES], table[:, pg.STRIDES :]
    size = np.maximum(table[:, pg.SIZE : pg.SIZE + 1], 1)
    uneven = ((extents > 1) & (strides % size != 0)).any(axis=1)
    is_clipped = table[:, pg.RUNS_STOP] > 0
    return np.asarray((table[:, pg.IS_WRITE] > 0) & (uneven | is_clipped))
