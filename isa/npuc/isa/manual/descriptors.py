"""The page of descriptors: meaning and bytes."""

import inspect
from collections.abc import Iterable

from npuc.isa.descriptors import (
    Kernel,
    Params,
    Segment,
    Space,
    Table,
    TensorMap,
    View,
    Window,
    kernel,
)
from npuc.isa.descriptors.kernel import KERNEL_ROWS, PARAMS_ROWS
from npuc.isa.descriptors.layout import Row
from npuc.isa.descriptors.table import TABLE_ROWS
from npuc.isa.descriptors.tensor_map import MAP_ROWS
from npuc.isa.descriptors.view import VIEW_ROWS
from npuc.isa.dtypes import DType
from npuc.isa.manual.definition import layout
from npuc.isa.manual.markdown import markdown, page, prose, table

_DESCRIPTORS = """
Descriptors are immutable rows of tables that commands name by index. Numbers are little-endian;
parts of absent dimensions, windows, streams and micro-ops are zero, and a reader refuses others.
"""


def descriptors_page() -> str:
    """The page."""
    tables: list[tuple[str, tuple[type, ...], tuple[Row, ...]]] = [
        ("View", (View, Window), VIEW_ROWS),
        ("Tensor map", (TensorMap,), MAP_ROWS),
        ("Kernel", (Kernel,), KERNEL_ROWS),
        ("Parameters", (Params,), PARAMS_ROWS),
        ("Table", (Table,), TABLE_ROWS),
    ]
    codes = [
        (kind, ", ".join(f"{member.value} `{member.name}`" for member in members))
        for kind, members in (("dtype", DType), ("space", Space), ("segment", Segment))
    ]
    parts = [_DESCRIPTORS, table(("code of", "values"), codes)]
    for title, classes, rows in tables:
        parts += [f"## {title}", *map(prose, classes), _layout(rows)]
        if classes == (Kernel,):
            parts.append(markdown(inspect.cleandoc(kernel.__doc__ or "").split("\n\n")[1]))
    return page("Descriptors", parts)


def _layout(rows: Iterable[Row]) -> str:
    shown, end = [], 0
    for row in layout(tuple(rows)):
        types = ", ".join("u8" if kind == "zero" else kind for kind in row["types"])
        many = f"{row['count']} x ({types})" if row["count"] > 1 else types
        shown.append((str(row["offset"]), row["name"], many))
        end = row["offset"] + row["bytes"] * row["count"]
    return table(("byte", "field", "type"), [*shown, (str(end), "", "end")])
