"""What one schedule decides otherwise than another, in words, by ONNX nodes."""

from collections.abc import Iterator

from npuc.compiler.schedule.data import Resident, RunSchedule, Schedule
from npuc.compiler.schedule.tiling import Tiling

Change = tuple[tuple[str, ...], str]


def changes(before: Schedule, after: Schedule) -> Iterator[Change]:
    """The nodes of each change and what it is: runs, tensors that stay, tilings of equal shapes."""
    yield from _runs(before.stripes or (), after.stripes or ())
    stayed, stay = set(before.resident or ()), set(after.resident or ())
    for entry in sorted(stay - stayed, key=str):
        yield (entry.tensor,), f"stays in SPM{_of_core(entry)}"
    for entry in sorted(stayed - stay, key=str):
        yield (entry.tensor,), f"stays in SPM{_of_core(entry)} no more"
    for group in after.groups:
        known = before.find(group.nodes, group.shape)
        if known is not None and known.tiling != group.tiling:
            yield group.nodes, f"{_tile(group.tiling)} instead of {_tile(known.tiling)}"


def _runs(before: tuple[RunSchedule, ...], after: tuple[RunSchedule, ...]) -> Iterator[Change]:
    counts = {(r.first, r.last, r.core): r.stripes for r in before}
    for run in after:
        if run in before:
            continue
        old = counts.get((run.first, run.last, run.core))
        text = f"{run.stripes} stripes from {_name(run.first)} to {_name(run.last)}"
        if old == run.stripes:
            text += " in other turns, or with other rows computed again"
        elif old is not None:
            text += f" instead of {old}"
        yield run.first, text
    kept = {(r.first, r.last, r.core) for r in after}
    for run in before:
        if (run.first, run.last, run.core) not in kept:
            ends = f"from {_name(run.first)} to {_name(run.last)}"
            yield run.first, f"no {run.stripes} stripes {ends}"


def _of_core(entry: Resident) -> str:
    return "" if entry.core is None else f" of core {entry.core}"


def _name(nodes: tuple[str, ...]) -> str:
    return nodes[0] if nodes else "?"


def _tile(tiling: Tiling) -> str:
    loops = "".join(map(str, tiling.order))
    depths = f"{tiling.depth} and {tiling.acc_depth}"
    return f"tile {'x'.join(map(str, tiling.tile))} in order {loops} with {depths} slots"
