"""Compiled walk over the bytes of accesses: who wrote and read each last, was it ever written.

A memory is cut into pages of ``PAGE`` bytes. Each page has a cell for each *slot*: slot 0 says
whether a byte was written (1) or not, the others hold the number of an agent's last command that
wrote, or that read, the byte. A cell is (largest number, detail): as long as all bytes of the page
have one number, ``detail`` is not positive; else it is the row of a table with a number for each.
A cell keeps its row: -row where the page is even again.
"""

# ruff: noqa: PLR0913, PLR0917 - compiled kernels take plain arrays, one parameter each

import numpy as np
import numpy.typing as npt

from npuc.isa.cost import Int64s
from npuc.isa.jit import njit

Int32s = npt.NDArray[np.int32]
PAGE = 128
DIMS = 7
# Columns of an access. RUNS, RUNS_STOP: rows of the table of runs where it is no box, else 0, 0.
ROW, SLOT, IS_WRITE, IS_EXACT, ADDRESS, SIZE, RUNS, RUNS_STOP, EXTENTS = range(9)
STRIDES = EXTENTS + DIMS
COLUMNS = STRIDES + DIMS
# Rows of the scratch, DIMS wide: a box in fewest dimensions, where a walk over it stands, and
# (least offset, length of a run).
STEPS, COUNTS, INDEX, PLACE = range(4)
# What the walk leaves in ``state``: rows of details in use, and why it stopped.
USED, WHY = range(2)
DONE, HOLE, FULL, PIECES = range(4)


@njit(borrows=True)
def walk(
    table: Int64s,
    runs: Int64s,
    numbers: Int64s,
    slots: Int64s,
    cells: Int32s,
    details: Int32s,
    needed: Int32s,
    state: Int64s,
    box: Int64s,
    relevant: Int64s,
    start: int,
    most_pieces: int,
) -> int:
    """Go through accesses from ``start``; the number of the first that is not done.

    ``numbers``: the number of each row's command; ``slots`` (slots, 2): agent, and whether it
    holds writes; ``needed`` (rows, agents) takes the last conflicting commands. ``box`` (4, DIMS)
    and ``relevant`` (slots) are scratch. WHY: DONE; HOLE, the access before read what nobody
    wrote; FULL, ``details`` are too few for the next one; PIECES, it has too many pieces.
    """
    for access in range(start, len(table)):
        is_box, count = table[access, RUNS_STOP] == 0, 0
        if is_box:
            count = _normalise(table, access, box)
        why = _fits(table, access, runs, box, count, len(details) - state[USED], most_pieces)
        if why != DONE:
            state[WHY] = why
            return access
        others = _relevant(table, access, slots, relevant)
        at, run, stop = table[access, ADDRESS], table[access, RUNS], table[access, RUNS_STOP]
        state[WHY], more = DONE, True
        at += box[PLACE, 0] if is_box else 0
        while more:
            low, high = (0, box[PLACE, 1]) if is_box else (runs[run, 0], runs[run, 1])
            _run(table, access, numbers, slots, cells, details, needed, state, relevant, others,
                 at + low, at + high)  # fmt: skip
            step = _step(box, count) if is_box else 0
            at, run = at + step, run + 1
            more = step != 0 or run < stop
        if state[WHY] == HOLE:
            return access + 1
    state[WHY] = DONE
    return len(table)


@njit(inner=True, borrows=True)
def _run(
    table: Int64s,
    access: int,
    numbers: Int64s,
    slots: Int64s,
    cells: Int32s,
    details: Int32s,
    needed: Int32s,
    state: Int64s,
    relevant: Int64s,
    others: int,
    low: int,
    high: int,
) -> None:
    """Note an access to bytes from ``low`` to ``high``; HOLE where nobody wrote one it reads."""
    row = table[access, ROW]
    for page in range(low // PAGE, (high + PAGE - 1) // PAGE):
        begin, stop = max(low - page * PAGE, 0), min(high - page * PAGE, PAGE)
        for other in range(others):
            slot = relevant[other]
            agent = slots[slot, 0]
            _note_conflict(cells, details, needed, row, agent, page, slot, begin, stop)
        if table[access, IS_WRITE] != 0:
            _mark(cells, details, state, page, 0, begin, stop, 1)
        elif table[access, IS_EXACT] != 0 and not _is_written(cells, details, page, begin, stop):
            state[WHY] = HOLE
        _mark(cells, details, state, page, table[access, SLOT], begin, stop, int(numbers[row]))


@njit(inner=True, borrows=True)
def _normalise(table: Int64s, access: int, box: Int64s) -> int:
    """Write a box as runs of some length at sums of few ascending steps; how many of these."""
    low, kept = 0, 0
    for dim in range(DIMS):
        extent, stride = table[access, EXTENTS + dim], table[access, STRIDES + dim]
        if extent <= 1 or stride == 0:
            continue
        low += (extent - 1) * stride if stride < 0 else 0
        step, at = abs(stride), kept
        while at > 0 and box[STEPS, at - 1] > step:
            box[STEPS, at], box[COUNTS, at] = box[STEPS, at - 1], box[COUNTS, at - 1]
            at -= 1
        box[STEPS, at], box[COUNTS, at] = step, extent
        kept += 1
    run, count = table[access, SIZE], 0
    for dim in range(kept):
        step, extent = box[STEPS, dim], box[COUNTS, dim]
        inner, steps = box[STEPS, max(count - 1, 0)], box[COUNTS, max(count - 1, 0)]
        if count == 0 and step <= run:  # a step inside the run only lengthens it
            run += step * (extent - 1)
        elif count > 0 and step % inner == 0 and step // inner <= steps:
            box[COUNTS, count - 1] += step // inner * (extent - 1)
        else:
            box[STEPS, count], box[COUNTS, count] = step, extent
            count += 1
    for dim in range(count):
        box[INDEX, dim] = 0
    box[PLACE, 0], box[PLACE, 1] = low, run
    return count


@njit(inner=True, borrows=True)
def _step(box: Int64s, count: int) -> int:
    """From one run of a box to the next, the smallest step first: bytes; 0 after the last."""
    moved = 0
    for dim in range(count):
        box[INDEX, dim] += 1
        moved += box[STEPS, dim]
        if box[INDEX, dim] < box[COUNTS, dim]:
            return int(moved)
        moved -= box[STEPS, dim] * box[COUNTS, dim]
        box[INDEX, dim] = 0
    return 0


@njit(inner=True, borrows=True)
def _fits(
    table: Int64s,
    access: int,
    runs: Int64s,
    box: Int64s,
    count: int,
    free: int,
    most_pieces: int,
) -> int:
    """Whether an access has few enough pieces, and as many details as it may need are free."""
    first, last = table[access, RUNS], table[access, RUNS_STOP]
    pieces, span = last - first, 0
    if pieces > 0:
        span = runs[last - 1, 1] - runs[first, 0]
    if last == 0:
        pieces, span = 1, box[PLACE, 1]
        for dim in range(count):
            pieces = min(pieces * box[COUNTS, dim], 1 << 31)
            span += box[STEPS, dim] * (box[COUNTS, dim] - 1)
        if min(pieces, span) > most_pieces:
            return PIECES
    # A run covers two pages in part, in two slots; row 0 of the details is none.
    most = min(4 * pieces, 2 * (span // PAGE + 2))
    return DONE if most < free else FULL


@njit(inner=True, borrows=True)
def _relevant(table: Int64s, access: int, slots: Int64s, relevant: Int64s) -> int:
    """Write down the slots whose commands conflict with an access; how many."""
    count = 0
    for slot in range(1, len(slots)):
        conflicts = table[access, IS_WRITE] != 0 or slots[slot, 1] != 0
        if conflicts and slots[slot, 0] != slots[table[access, SLOT], 0]:
            relevant[count] = slot
            count += 1
    return count


@njit(inner=True, borrows=True)
def _note_conflict(
    cells: Int32s,
    details: Int32s,
    needed: Int32s,
    row: int,
    agent: int,
    page: int,
    slot: int,
    begin: int,
    stop: int,
) -> None:
    """Raise what a command needs of another agent to its last conflicting one on some bytes."""
    latest, detail = cells[page, slot, 0], cells[page, slot, 1]
    if latest <= needed[row, agent]:
        return
    if detail > 0 and stop - begin < PAGE:
        latest = needed[row, agent]
        for byte in range(begin, stop):
            latest = max(latest, details[detail, byte])
    needed[row, agent] = latest


@njit(inner=True, borrows=True)
def _is_written(cells: Int32s, details: Int32s, page: int, begin: int, stop: int) -> bool:
    """Whether some bytes of a page all were written."""
    detail = cells[page, 0, 1]
    if detail <= 0:
        return bool(cells[page, 0, 0] == 1)
    for byte in range(begin, stop):
        if details[detail, byte] == 0:
            return False
    if stop - begin == PAGE:
        cells[page, 0, 1] = -detail
    return True


@njit(inner=True, borrows=True)
def _mark(
    cells: Int32s,
    details: Int32s,
    state: Int64s,
    page: int,
    slot: int,
    begin: int,
    stop: int,
    number: int,
) -> None:
    """Put a number, no less than those before, on some bytes of a page."""
    before, detail = cells[page, slot, 0], cells[page, slot, 1]
    cells[page, slot, 0] = number
    if stop - begin == PAGE:
        cells[page, slot, 1] = -abs(detail)
        return
    if detail <= 0:
        if before == number:
            return
        if detail == 0:
            state[USED] += 1
            detail = -state[USED]
        detail = -detail
        cells[page, slot, 1] = detail
        for byte in range(PAGE):
            details[detail, byte] = before
    for byte in range(begin, stop):
        details[detail, byte] = number
