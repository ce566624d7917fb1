"""Tables as lines of text: for the command line and the demo, on a terminal or in a pipe."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Cell: TypeAlias = str | int | float
_NUMBER = re.compile(r"-?[0-9,]+(\.[0-9]+)?( \+ \?|%)?|inf|nan")


@dataclass(frozen=True)
class Table:
    """A table to show. Columns of numbers align right; ``total`` is a last row set apart."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    total: Sequence[Cell] = field(default=())


def render(table: Table) -> list[str]:
    """The lines of ``table``: title, header, rule, rows, perhaps a total."""
    rows = [[_text(cell) for cell in row] for row in table.rows]
    total = [[_text(cell) for cell in table.total]] if table.total else []
    header = [list(table.columns)]
    widths = [max(len(row[i]) for row in header + rows + total) for i in range(len(table.columns))]
    numeric = [_is_numeric(table.rows, i) for i in range(len(table.columns))]
    rule = "  ".join("-" * width for width in widths)
    lines = [table.title] if table.title else []
    lines += [_line(header[0], widths, numeric), rule]
    lines += [_line(row, widths, numeric) for row in rows]
    if total:
        lines += [rule, _line(total[0], widths, numeric)]
    return lines


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    parts = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ]
    return "  ".join(parts).rstrip()


def _is_numeric(rows: Sequence[Sequence[Cell]], column: int) -> bool:
    return bool(rows) and all(_NUMBER.fullmatch(_text(row[column])) for row in rows)


def _text(cell: Cell) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.1f}"
    return cell
