"""Other simulators' cycles for the matrix products of a profiled program, layer by layer.

A layer counts as one product, as those simulators see it, where the schedule in the binary says
which; else each command is a product of its own.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from npuc.emulator.timing import group_products
from npuc.emulator.timing.groups import group_sum, groups_of
from npuc.isa.cost import CONVENTIONS, Product
from npuc.isa.errors import UsageError
from npuc.isa.instructions import Engine
from npuc.runtime.profiling import ProfileReport
from npuc.runtime.tables import Cell, Table


@dataclass(frozen=True)
class LayerConventions:
    """One layer with matrix products.

    ``cycles``: its wall cycles in our model; ``mxu_cycles``: those of its matrix commands alone.
    ``theirs``: cycles by convention.
    """

    group: str
    products: tuple[Product, ...]
    commands: int
    cycles: int
    mxu_cycles: int
    theirs: Mapping[str, int]

    def to_json(self) -> dict[str, object]:
        """The row as plain data."""
        return {
            "group": self.group,
            "products": [str(product) for product in self.products],
            "commands": self.commands,
            "cycles": self.cycles,
            "mxu_cycles": self.mxu_cycles,
            "theirs": dict(self.theirs),
        }


def check_conventions(names: Iterable[str]) -> None:
    """Raises: UsageError for a name that no convention has."""
    for name in names:
        if name not in CONVENTIONS:
            raise UsageError(
                "unknown timing convention",
                given=name,
                allowed=", ".join(CONVENTIONS),
                next_step="choose one of them",
            )


def layer_conventions(report: ProfileReport, names: Sequence[str]) -> tuple[LayerConventions, ...]:
    """The layers of ``report`` that multiply on the array. Raises: UsageError for unknown names."""
    check_conventions(names)
    mxu, timing = report.timing.target.mxu, report.timing
    groups = groups_of(report.program, timing.streams)
    on_mxu = [
        np.where(stream.engine == Engine.mxu.value, work.isolated, 0)
        for stream, work in zip(timing.streams, timing.works, strict=True)
    ]
    busy = group_sum(groups, on_mxu)
    whole = _whole_products(report)
    rows = []
    for i, found in enumerate(group_products(report.program, timing.streams)):
        if not found:
            continue
        product = whole.get(groups.nodes[i])
        is_known = product is not None and product.macs == sum(p.macs for p in found)
        products = (product,) if product is not None and is_known else found
        theirs = {name: sum(CONVENTIONS[name](mxu, p) for p in products) for name in names}
        row = LayerConventions(
            groups.names[i], products, len(found), report.layers[i].cycles, int(busy[i]), theirs
        )
        rows.append(row)
    return tuple(rows)


def convention_rows(layers: Sequence[LayerConventions], names: Sequence[str]) -> Table:
    """Our cycles beside theirs; each ratio is theirs to our matrix cycles."""
    rows: list[tuple[Cell, ...]] = [
        (
            layer.group,
            _products_text(layer.products),
            layer.commands,
            layer.cycles,
            layer.mxu_cycles,
            *_beside(layer.theirs, layer.mxu_cycles),
        )
        for layer in layers
    ]
    ours = sum(layer.mxu_cycles for layer in layers)
    sums = {name: sum(layer.theirs[name] for layer in layers) for name in names}
    total = (
        "all",
        "",
        sum(layer.commands for layer in layers),
        sum(layer.cycles for layer in layers),
        ours,
        *_beside(sums, ours),
    )
    titles = [title for name in names for title in (name, "ratio")]
    columns = ("layer", "product MxKxN", "commands", "cycles", "mxu cycles", *titles)
    return Table("matrix cycles under other conventions, memories free", columns, rows, total)


def _beside(theirs: Mapping[str, int], ours: int) -> list[Cell]:
    cells: list[Cell] = []
    for cycles in theirs.values():
        cells += [cycles, f"{cycles / max(ours, 1):.2f}"]
    return cells


def _products_text(products: Sequence[Product]) -> str:
    counts = Counter(products)
    shown = next(iter(counts))
    if len(counts) > 1:
        return f"{len(products)} commands, {shown} first"
    return str(shown) if len(products) == 1 else f"{len(products)} commands of {shown}"


def _whole_products(report: ProfileReport) -> dict[tuple[str, ...], Product]:
    """Nodes of a group to its product, as the schedule in the debug section notes it."""
    try:
        groups = json.loads(report.program.debug.schedule_json)["groups"]
        return {
            tuple(group["nodes"]): Product(**{k: int(v) for k, v in group["product"].items()})
            for group in groups
            if "product" in group
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}  # a note for readers, perhaps by hand: without it commands count singly
