"""How results are shown: tables, plain lines, or one JSON document; progress on a terminal."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from npuc.runtime.tables import Table, render


def show_json(value: Mapping[str, object] | Sequence[object]) -> None:
    """Print ``value`` as one JSON document."""
    print(json.dumps(value, indent=2, allow_nan=False, default=str))


def show_lines(lines: Sequence[str]) -> None:
    """Print plain lines."""
    for line in lines:
        print(line)


def show_written(*paths: Path | None) -> None:
    """Say which files were written; None is a file that nobody asked for."""
    show_lines([f"written: {path}" for path in paths if path is not None])


def show_table(table: Table) -> None:
    """Print ``table``, never cut or wrapped when it goes into a pipe."""
    show_lines(render(table))


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Show ``what`` while the block runs, on a terminal only; the block may add how far it is."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415  # only a terminal pays for it

    with Console(stderr=True).status(what) as status:
        yield lambda detail: status.update(f"{what}: {detail}")
