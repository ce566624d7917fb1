"""Buffers as the CSV text of MiniMalloc: one row each, columns by name.

``id``, ``lower``, ``upper`` and ``size`` are needed; ``alignment``, ``gaps`` ("3-5 8-9"; times are
half-open), ``offset`` (fixed) and ``hint`` (our own) may be there. Its older column ``end``, which
counts otherwise, and gaps that free a part of the bytes ("3-5@0:64") are refused.
Source: the columns of google/minimalloc.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from npuc.compiler.planning.buffers import Buffer, Window
from npuc.isa.errors import InputError

NEEDED = ("id", "lower", "upper", "size")
KNOWN = (*NEEDED, "alignment", "gaps", "offset", "hint")
ALIASES = {"begin": "lower", "start": "lower", "buffer": "id", "buffer_id": "id"}
LARGEST = (1 << 62) - 1
MOST_REPORTED = 20


@dataclass(frozen=True)
class Fault:
    """A cell that cannot be used: its line from 1, its column, what it holds, what it may."""

    line: int
    column: str
    value: str
    allowed: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.value!r}; allowed: {self.allowed}"


def parse_buffers(text: str, name: str) -> tuple[Buffer, ...]:
    """The buffers in ``text``, called ``name`` in messages.

    Raises: InputError that lists every malformed row, up to a limit.
    """
    lines = csv.reader(io.StringIO(text))
    header = [cell.strip().lower() for cell in next(lines, [])]
    columns = [ALIASES.get(cell, cell) for cell in header]
    _check_header(columns, name)
    faults: list[Fault] = []
    buffers, seen = [], set()
    for cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        row = _Row(lines.line_num, columns, [cell.strip() for cell in cells], faults)
        buffer = row.buffer()
        if buffer is not None and buffer.id in seen:
            faults.append(Fault(row.line, "id", buffer.id, "each id once"))
        elif buffer is not None:
            buffers.append(buffer)
            seen.add(buffer.id)
    if faults:
        raise _refused(faults, name)
    return tuple(buffers)


def buffers_text(buffers: Sequence[Buffer], offsets: Mapping[str, int]) -> str:
    """The CSV text of ``buffers`` with the ``offsets`` of a plan; optional columns where used."""
    cells: dict[str, Callable[[Buffer], object]] = {
        "id": lambda b: b.id,
        "lower": lambda b: b.lower,
        "upper": lambda b: b.upper,
        "size": lambda b: b.size_bytes,
    }
    if any(b.alignment != 1 for b in buffers):
        cells["alignment"] = lambda b: b.alignment
    if any(b.gaps for b in buffers):
        cells["gaps"] = lambda b: " ".join(f"{gap.lower}-{gap.upper}" for gap in b.gaps)
    if any(b.hint is not None for b in buffers):
        cells["hint"] = lambda b: "" if b.hint is None else b.hint
    cells["offset"] = lambda b: offsets[b.id]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(cells)
    writer.writerows([cell(b) for cell in cells.values()] for b in buffers)
    return out.getvalue()


def _check_header(columns: Sequence[str], name: str) -> None:
    missing = [column for column in NEEDED if column not in columns]
    unknown = [column for column in columns if column not in KNOWN]
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    for what, wrong in (("lacks", missing), ("has unknown", unknown), ("repeats", repeated)):
        if wrong:
            raise InputError(
                f"the first line {what} columns: {', '.join(wrong)}",
                where=f"{name}, line 1",
                given=",".join(columns) or "nothing",
                allowed=",".join(NEEDED) + " and, where wanted, alignment,gaps,offset,hint",
                next_step="put the names of the columns into the first line",
            )


def _refused(faults: Sequence[Fault], name: str) -> InputError:
    shown = [str(fault) for fault in faults[:MOST_REPORTED]]
    if len(faults) > len(shown):
        shown.append(f"and {len(faults) - len(shown)} more")
    return InputError(
        "the file holds rows that cannot be planned",
        where=name,
        given="\n           ".join(shown),
        allowed="what each line above says",
        next_step="mend these cells",
    )


@dataclass(frozen=True)
class _Row:
    """One line of the file; what is wrong with it goes to ``faults``."""

    line: int
    columns: Sequence[str]
    cells: Sequence[str]
    faults: list[Fault]

    def buffer(self) -> Buffer | None:
        """The buffer of this row; None where something is wrong with it."""
        before = len(self.faults)
        if len(self.cells) != len(self.columns):
            allowed = f"{len(self.columns)} cells, as in the first line"
            self.faults.append(Fault(self.line, "all", f"{len(self.cells)} cells", allowed))
            return None
        if not self.text("id"):
            self.fault("id", "a name")
        lower = self.number("lower", 0)
        upper = self.number("upper", lower + 1, f"a time above lower, which is {lower}")
        size, alignment = self.number("size", 1), self.number("alignment", 1, default=1)
        fixed, hint = self.number("offset", 0, default=-1), self.number("hint", 0, default=-1)
        if fixed > 0 and fixed % alignment:
            self.fault("offset", f"a multiple of the alignment {alignment}")
        gaps = self.gaps(Window(lower, upper))
        if len(self.faults) > before:
            return None
        return Buffer(
            self.text("id"),
            lower,
            upper,
            size,
            alignment,
            gaps,
            fixed_offset=None if fixed < 0 else fixed,
            hint=None if hint < 0 else hint,
        )

    def text(self, column: str) -> str:
        """The cell of ``column``; empty where there is no such column."""
        return self.cells[self.columns.index(column)] if column in self.columns else ""

    def fault(self, column: str, allowed: str) -> None:
        """Note that the cell of ``column`` is wrong."""
        self.faults.append(Fault(self.line, column, self.text(column), allowed))

    def number(self, column: str, least: int, allowed: str = "", default: int | None = None) -> int:
        """The number in ``column``, at least ``least``; a noted fault gives ``least``."""
        text = self.text(column)
        if not text and default is not None:
            return default
        if not (text.isascii() and text.isdigit()) or not least <= int(text) <= LARGEST:
            self.fault(column, allowed or f"a whole number from {least} to {LARGEST}")
            return least
        return int(text)

    def gaps(self, life: Window) -> tuple[Window, ...]:
        """The windows in the column ``gaps``, which leave some of ``life``."""
        found, last, covered = [], life.lower, 0
        for word in self.text("gaps").split():
            begin, _, end = word.partition("-")
            numbers = [int(n) if n.isascii() and n.isdigit() else -1 for n in (begin, end)]
            gap = Window(*numbers)
            if not last <= gap.lower < gap.upper <= life.upper:
                self.fault("gaps", f"BEGIN-END ascending within {life.lower}-{life.upper}")
                return ()
            found.append(gap)
            last, covered = gap.upper, covered + gap.upper - gap.lower
        if found and covered == life.upper - life.lower:
            self.fault("gaps", "gaps that leave some of the life")
        return tuple(found)
