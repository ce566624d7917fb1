"""Buffers as the CSV text of MiniMalloc: one row each, columns by name.

``id``, ``lower``, ``upper`` and ``size`` are needed; ``alignment``, ``gaps`` ("3-5 8-9"; times are
half-open) and ``offset`` (fixed) may be there, and columns of our own: those of ``Buffer`` by their
names, lists as "1 4 9", ``group_offset`` in bytes; a ``bank``, as it is written, is the only one
that may hold the buffer. The older column ``end``, which counts otherwise, and gaps that free a
part of the bytes ("3-5@0:64") are refused. Conflicts have a file: columns ``a``, ``b``, ``cycles``.
Source: the columns of google/minimalloc.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from npuc.compiler.planning.buffers import Buffer, Window
from npuc.isa.errors import InputError

NEEDED = ("id", "lower", "upper", "size")
OPTIONAL = (
    "alignment", "gaps", "offset", "hint",
    "group", "group_offset", "in_place_of", "banks", "uses", "spill_cycles", "bank",
)  # fmt: skip
CONFLICT = ("a", "b", "cycles")
ALIASES = {"begin": "lower", "start": "lower", "buffer": "id", "buffer_id": "id"}
LARGEST = (1 << 62) - 1
MOST_DIGITS = len(str(LARGEST))
MOST_REPORTED = 20
MOST_SHOWN = 60  # characters of a cell


@dataclass(frozen=True)
class Fault:
    """A cell that cannot be used: its line from 1, its column, what it holds, what it may."""

    line: int
    column: str
    value: str
    allowed: str

    def __str__(self) -> str:
        value = self.value if len(self.value) <= MOST_SHOWN else f"{self.value[:MOST_SHOWN]}..."
        return f"line {self.line}, column {self.column}: {value!r}; allowed: {self.allowed}"


def parse_buffers(text: str, name: str) -> tuple[Buffer, ...]:
    """The buffers in ``text``, called ``name`` in messages.

    Raises: InputError that lists every malformed row, up to a limit.
    """
    lines = _rows(text, name)
    _, header = next(lines, (1, []))
    columns = [ALIASES.get(cell.lower(), cell.lower()) for cell in header]
    _check_header(columns, name, NEEDED, OPTIONAL)
    faults: list[Fault] = []
    buffers, seen = [], set()
    for line, cells in lines:
        if not any(cells):
            continue
        row = _Row(line, columns, cells, faults)
        buffer = row.buffer()
        if buffer is not None and buffer.id in seen:
            faults.append(Fault(row.line, "id", buffer.id, "each id once"))
        elif buffer is not None:
            buffers.append(buffer)
            seen.add(buffer.id)
    if faults:
        raise _refused(faults, name)
    return tuple(buffers)


def parse_conflicts(text: str, name: str) -> dict[tuple[str, str], int]:
    """Cycles that are lost where two buffers are in one bank, by their ids.

    Raises: InputError as ``parse_buffers`` does.
    """
    lines = _rows(text, name)
    _, header = next(lines, (1, []))
    columns = [cell.lower() for cell in header]
    _check_header(columns, name, CONFLICT, ())
    faults: list[Fault] = []
    found: dict[tuple[str, str], int] = {}
    for line, cells in lines:
        if any(cells):
            row = _Row(line, columns, cells, faults)
            if row.is_whole():
                pair = row.text("a"), row.text("b")
                found[pair] = found.get(pair, 0) + row.number("cycles", 0)
    if faults:
        raise _refused(faults, name)
    return found


def buffers_text(
    buffers: Sequence[Buffer],
    offsets: Mapping[str, int],
    bank: Mapping[str, int] | None = None,
) -> str:
    """The CSV text of ``buffers`` with the ``offsets`` of a plan; optional columns where used.

    ``bank``: that of each buffer which is in one bank; offsets count from its beginning.
    """
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
    if any(b.group is not None for b in buffers):
        cells["group"] = lambda b: b.group or ""
        cells["group_offset"] = lambda b: b.group_offset_bytes
    if any(b.in_place_of is not None for b in buffers):
        cells["in_place_of"] = lambda b: b.in_place_of or ""
    if any(b.banks for b in buffers):
        cells["banks"] = lambda b: " ".join(map(str, b.banks))
    if any(b.uses for b in buffers):
        cells["uses"] = lambda b: " ".join(map(str, b.uses))
    if any(b.spill_cycles is not None for b in buffers):
        cells["spill_cycles"] = lambda b: "" if b.spill_cycles is None else b.spill_cycles
    cells["offset"] = lambda b: offsets.get(b.id, "")
    if bank is not None:
        cells["bank"] = lambda b: bank.get(b.id, "")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(cells)
    writer.writerows([cell(b) for cell in cells.values()] for b in buffers)
    return out.getvalue()


def _check_header(
    columns: Sequence[str], name: str, needed: Sequence[str], optional: Sequence[str]
) -> None:
    missing = [column for column in needed if column not in columns]
    unknown = [column for column in columns if column not in (*needed, *optional)]
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    for what, wrong in (("lacks", missing), ("has unknown", unknown), ("repeats", repeated)):
        if wrong:
            raise InputError(
                f"the first line {what} columns: {', '.join(wrong)}",
                where=f"{name}, line 1",
                given=",".join(columns) or "nothing",
                allowed=",".join(needed)
                + (f" and, where wanted, {','.join(optional)}" if optional else ""),
                next_step="put the names of the columns into the first line",
            )


def _rows(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row, blank ones too. Raises: InputError for no CSV."""
    lines = csv.reader(io.StringIO(text))
    try:
        for cells in lines:
            yield lines.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise InputError(
            "the file is no CSV that can be read",
            where=f"{name}, line {lines.line_num}",
            given=str(error),
            next_step="mend this line",
        ) from error


def _whole(text: str) -> int:
    """The whole number in ``text``; -1 for anything else, and for more than ``LARGEST``."""
    is_number = text.isascii() and text.isdigit() and len(text.lstrip("0")) <= MOST_DIGITS
    return int(text) if is_number else -1


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

    def is_whole(self) -> bool:
        """Whether it has a cell for each column; else a fault is noted."""
        if len(self.cells) == len(self.columns):
            return True
        allowed = f"{len(self.columns)} cells, as in the first line"
        self.faults.append(Fault(self.line, "all", f"{len(self.cells)} cells", allowed))
        return False

    def buffer(self) -> Buffer | None:
        """The buffer of this row; None where something is wrong with it."""
        before = len(self.faults)
        if not self.is_whole():
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
        group_offset = self.number("group_offset", 0, default=0)
        if group_offset and not self.text("group"):
            self.fault("group_offset", "an offset where the column group has a name")
        column = "bank" if self.text("bank") else "banks"
        banks = self.numbers(column, Window(0, LARGEST))
        uses = self.numbers("uses", Window(lower, upper))
        spill_cycles = self.number("spill_cycles", 1, default=-1)
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
            group=self.text("group") or None,
            group_offset_bytes=group_offset,
            in_place_of=self.text("in_place_of") or None,
            banks=banks,
            uses=uses,
            spill_cycles=None if spill_cycles < 0 else spill_cycles,
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
        number = _whole(text)
        if not least <= number <= LARGEST:
            self.fault(column, allowed or f"a whole number from {least} to {LARGEST}")
            return least
        return number

    def numbers(self, column: str, allowed: Window) -> tuple[int, ...]:
        """The numbers in ``column``, apart by blanks, each within ``allowed``, half-open."""
        words = self.text(column).split()
        found = list(map(_whole, words))
        if all(allowed.lower <= number < allowed.upper for number in found):
            return tuple(found)
        text = f"whole numbers from {allowed.lower} to {allowed.upper - 1}, apart by blanks"
        self.fault(column, text)
        return ()

    def gaps(self, life: Window) -> tuple[Window, ...]:
        """The windows in the column ``gaps``, which leave some of ``life``."""
        found, last, covered = [], life.lower, 0
        for word in self.text("gaps").split():
            begin, _, end = word.partition("-")
            gap = Window(_whole(begin), _whole(end))
            if not last <= gap.lower < gap.upper <= life.upper:
                self.fault("gaps", f"BEGIN-END ascending within {life.lower}-{life.upper}")
                return ()
            found.append(gap)
            last, covered = gap.upper, covered + gap.upper - gap.lower
        if found and covered == life.upper - life.lower:
            self.fault("gaps", "gaps that leave some of the life")
        return tuple(found)
