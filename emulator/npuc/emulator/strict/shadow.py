"""Shadow memories: for each byte who wrote and read it last, and whether anyone ever wrote it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import npuc.emulator.strict.pages as pg
from npuc.emulator.strict.bytesets import MAX_PIECES, ByteSet, too_many_pieces
from npuc.emulator.strict.clocks import Clocks
from npuc.emulator.strict.notes import Notes
from npuc.isa.cost import Int64s
from npuc.isa.errors import CapacityError

FIRST_DETAILS = 256  # rows


@dataclass
class Budget:
    """Host memory that shadows may take together, and what they have."""

    allowed_bytes: int
    used_bytes: int = 0

    def take(self, n_bytes: int) -> None:
        """Raises: CapacityError where that is more than is allowed."""
        self.used_bytes += n_bytes
        if self.used_bytes > self.allowed_bytes:
            raise CapacityError(
                "strict mode needs more memory than a run may use",
                given=f"{self.used_bytes:,} bytes to note who touched which byte",
                allowed=f"{self.allowed_bytes:,} bytes",
                next_step="raise the limit: npuc run --memory-mib, Limits.memory_bytes",
            )


class Shadow:
    """One memory: what each agent did to each byte, and whether anyone ever wrote it."""

    def __init__(self, n_bytes: int, budget: Budget, *, is_written: bool) -> None:
        self.slots: dict[tuple[int, bool], int] = {}  # (agent, whether it writes) to slot
        self._budget = budget
        self._details = np.zeros((0, pg.PAGE), np.int32)
        self._cells = np.zeros((-(-n_bytes // pg.PAGE), 0, 2), np.int32)
        self._state = np.zeros(2, np.int64)
        self._widen()
        self._grow(FIRST_DETAILS)
        if is_written:
            self._cells[:, 0, 0] = 1

    def walk(self, table: Int64s, notes: Notes, numbers: Int64s, needed: Clocks) -> Iterator[int]:
        """Go over the bytes of accesses; yields each that read what nobody wrote, just after it.

        ``table`` is that of ``notes``; ``numbers`` n and ``needed`` n x agents those of all rows.
        Raises: CapacityError where an access has too many pieces, or too much memory is needed.
        """
        self._widen()
        slots = np.array([(-1, False), *self.slots], np.int64)
        runs, at = notes.table_of_runs(), 0
        box, relevant = np.zeros((4, pg.DIMS), np.int64), np.zeros(len(slots), np.int64)
        while at < len(table):
            at = pg.walk(
                table, runs, numbers, slots, self._cells, self._details, needed, self._state, box,
                relevant, at, MAX_PIECES,
            )  # fmt: skip
            why = self._state[pg.WHY]
            if why == pg.HOLE:
                yield at - 1
            elif why == pg.FULL:
                self._grow(2 * len(self._details))
            elif why == pg.PIECES:
                raise too_many_pieces("more")

    def written(self, first: int, stop: int) -> npt.NDArray[np.bool_]:
        """Whether each byte from ``first`` to ``stop`` was written."""
        low, high = first // pg.PAGE, -(-stop // pg.PAGE)
        cells = self._cells[low:high, 0]
        marks = np.repeat(cells[:, :1] > 0, pg.PAGE, axis=1)
        uneven = cells[:, 1] > 0
        marks[uneven] = self._details[cells[uneven, 1]] > 0
        return marks.reshape(-1)[first - low * pg.PAGE : stop - low * pg.PAGE]

    def unwritten(self, touched: ByteSet) -> ByteSet:
        """Those of some bytes that nobody wrote."""
        every = touched.all
        missing = every[~self.written(touched.low, touched.high)[every - touched.low]]
        return ByteSet(np.stack([missing, missing + 1], axis=1))

    def _widen(self) -> None:
        """Make room for all slots."""
        n_pages, had, _ = self._cells.shape
        wanted = len(self.slots) + 1
        if wanted > had:
            wider = np.zeros((n_pages, wanted, 2), np.int32)
            self._budget.take(wider.nbytes - self._cells.nbytes)
            wider[:, :had] = self._cells
            self._cells = wider

    def _grow(self, rows: int) -> None:
        """Make room for so many details."""
        larger = np.zeros((rows, pg.PAGE), np.int32)
        self._budget.take(larger.nbytes - self._details.nbytes)
        larger[: len(self._details)] = self._details
        self._details = larger
