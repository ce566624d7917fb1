"""How results are shown: tables on a terminal or in a pipe, or one JSON document."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

Cell: TypeAlias = str | int | float
JsonValue: TypeAlias = object


@dataclass(frozen=True)
class Table:
    """A table to show. Columns of numbers align right; ``total`` is a last row set apart."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    total: Sequence[Cell] = field(default=())


def show_json(value: Mapping[str, JsonValue] | Sequence[JsonValue]) -> None:
    """Print ``value`` as one JSON document."""
    print(json.dumps(value, indent=2, allow_nan=False, default=str))


def show_lines(lines: Sequence[str]) -> None:
    """Print plain lines."""
    for line in lines:
        print(line)


def show_table(table: Table) -> None:
    """Print ``table``, never cut or wrapped when it goes into a pipe."""
    show_lines(render(table))


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
    return bool(rows) and all(isinstance(row[column], int | float) for row in rows)


def _text(cell: Cell) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.1f}"
    return cell


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show ``what`` while the block runs, on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield
