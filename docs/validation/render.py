"""The page ``docs/validation.md`` from the figures that the rungs left behind.

Loaded by ``docs/render.py``. ``README.md`` beside this file describes the forms.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
RTL = FOLDER.parents[1] / "tests" / "rtl" / "results.json"
LADDER = ("closed-forms", "scalesim", "onnxim", "oracle", "whole-bursts", "properties")
ERROR_COLUMNS = ("set", "n", "median", "p95", "max", "bias")
HEAD = """\
# What was checked against what

<!-- Rendered from the figures in `docs/validation` by `make docs`; do not edit. -->

The time of npuc is an event-level model of [written rules](isa/time.md). No silicon of this design
exists; nothing here is a claim about a chip. Each rung holds something of ours against something
made another way. Errors are ours to theirs in percent: of the magnitude the median, the 95th
percentile and the maximum, and the signed mean. `make validation` measures the rungs of time anew,
`make rtl` the Verilog, `make fuzz` and `tests/bench/strict_cost.py` the checks.
"""


def page(folder: Path = FOLDER, rtl: Path = RTL) -> str:
    """The text of the page; a rung without figures is named as missing."""
    parts = [HEAD]
    for name in LADDER:
        parts += _rung(name, _load(folder / f"{name}.json"))
    parts += _rtl(_load(rtl))
    parts += _strict(_load(folder / "strict.json"))
    parts += _fuzz(_load(folder / "fuzz.json"))
    return "\n".join(parts).rstrip() + "\n"


def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _rung(name: str, data: Any) -> Iterator[str]:
    if data is None:
        yield f"## {name}\n\nNo figures yet.\n"
        return
    ours = data["ours"][0].upper() + data["ours"][1:]
    yield f"## {data['title']}\n\n{ours}, against {data['against']}.\n"
    errors = [row for row in data["rows"] if "violations" not in row]
    laws = [row for row in data["rows"] if "violations" in row]
    if errors:
        cells = [[_text(row[c]) for c in ERROR_COLUMNS] for row in errors]
        yield _table(("set", "n", "median %", "95th %", "max %", "bias %"), cells)
    if laws:
        cells = [[_text(row[c]) for c in ("set", "n", "violations")] for row in laws]
        yield _table(("law", "n", "violations"), cells)
    if data["notes"]:
        yield "\n".join(f"- {note}" for note in data["notes"]) + "\n"


def _rtl(data: Any) -> Iterator[str]:
    yield "## Verilog\n"
    if data is None:
        yield "No figures yet.\n"
        return
    yield (
        "The matrix array with its weight loads and accumulator, the drain of the vector engine "
        "and the bank arbiter, simulated by Verilator, against the emulator: values of every "
        "element and cycles of every command. Written by the same hands from the same rules; it "
        "can share their blind spots.\n"
    )
    columns = (
        ("machine", "machine"), ("mma", "mma"), ("mma cycles", "mma_cycles"),
        ("elements", "elements_compared"), ("value mismatches", "value_mismatches"),
        ("cycle differences", "mma_cycle_differences"), ("even drains", "even_drains"),
        ("of them differ", "even_drain_cycle_differences"), ("uneven drains", "uneven_drains"),
        ("median %", "uneven_drain_median_percent"), ("max %", "uneven_drain_max_percent"),
    )  # fmt: skip
    cells = [[_text(machine[key]) for _, key in columns] for machine in data["machines"]]
    yield _table(tuple(title for title, _ in columns), cells)
    arbiter = data["arbiter"]
    yield (
        "Uneven drains crowd a bank within a group of lanes: rule *even groups* of the manual. "
        f"The arbiter against the stepped oracle: {arbiter['streams']} streams, "
        f"{arbiter['commands']:,} commands, {arbiter['cycles']:,} cycles, "
        f"{arbiter['stretched_commands']:,} commands stretched, "
        f"{arbiter['differing_engine_cycles']} engine-cycles differ.\n"
    )


def _strict(data: Any) -> Iterator[str]:
    yield "## Strict mode\n"
    if data is None:
        yield "No figures yet.\n"
        return
    yield (
        "CPU seconds of `npuc run` (decode, control, operands, values), of the values alone of a "
        "program that is loaded already, and of the checks; the cost is `npuc run --strict` "
        "over `npuc run`. Checks depend on no values: a program is checked once for all inputs.\n"
    )
    columns = list(next(iter(data.values())))
    cells = [[name, *(_text(row[c]) for c in columns)] for name, row in data.items()]
    titles = [column.replace("_cpu_seconds", ", s").replace("_", " ") for column in columns]
    yield _table(("program", *titles), cells)


def _fuzz(data: Any) -> Iterator[str]:
    yield "## Fuzzing\n"
    if data is None:
        yield "No figures yet: `make fuzz`.\n"
        return
    yield (
        "Each case is refused with a message or runs to a defined end, on the fast path and on its "
        "twin alike, within 20 CPU seconds and 1 GiB; all else is a failure. *Mended* cases failed "
        "once; they were judged anew. Memory is the most that the process had.\n"
    )
    cells = [
        [
            kind,
            _text(row["n"]),
            _text(sum(n for end, n in row["outcomes"].items() if end.startswith("ran"))),
            _text(sum(n for end, n in row["outcomes"].items() if end.startswith("refused"))),
            _text(len(row["failures"])),
            _text(len(row["mended"])),
            _text(row["peak_mib"]),
            _text(row["cpu_seconds"]),
        ]
        for kind, row in data.items()
    ]
    yield _table(
        ("kind", "cases", "ran", "refused", "failures", "mended", "memory, MiB", "CPU, s"), cells
    )


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(columns) - 1)
    lines = [columns, rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
