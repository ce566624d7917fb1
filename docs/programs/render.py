"""The page ``docs/programs.md`` from the figures that ``make bench-programs`` left behind.

Loaded by ``docs/render.py``. ``README.md`` beside this file describes the forms.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil, exp, log
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent
LEVELS = (0, 1, 2, 3)
CHOSEN_LEVEL = 2
HIGH_SHARE = 0.95
SHOWN_LAYERS = 12
HEAD = """\
# Compiled programs

<!-- Rendered from the figures in `docs/programs` by `make docs`; do not edit. -->

Int8 networks of `models/zoo` (seeded weights, one image of 3x224x224 unless said otherwise), made
and timed on the emulator by `make bench-programs`. Cycles, bytes and counts are the same on every
computer; what is *measured* is not. No silicon of these machines exists: cycles are those of
[written rules](isa/time.md), [checked](validation.md) as far as they could be.
"""
ROOF = """\
The *roof* is the sum over the groups that multiply of the cycles of each one's busiest resource:
MACs at the array's peak, its own weights at the DRAM's bandwidth, its vector work at the lanes.
*Whole* is max(all MACs / peak, compulsory bytes / bandwidth). Both come from the partitioned graph
at -O2, never from a schedule. Compulsory bytes are weights once, inputs and outputs.
Aims: roof / cycles 0.80 in the geometric mean and none below 0.60; traffic 1.35 x compulsory.
"""
COMPILATION = """\
Of the -O2 programs for `edge`: CPU time of the first compilation of a process on one thread,
searches cold, and the largest memory of that process. They differ by computer and by its load.
-O3 compiles and times some ten programs and keeps the fastest.
"""
VELA = """\
Vela's own estimates for such networks on machines of the same MACs, SRAM bytes and DRAM bandwidth
(ResNet-50 v1 of 3.86 GMAC, MobileNetV2 1.0, int8), as they were given with the aims.
*Aim* is the part of Vela's cycles not to be exceeded; of its traffic it is {traffic} everywhere.
"""
VELA_HERE = """\
`make bench-vela` runs Vela 5.2 itself on our networks, converted to TFLite with the same integers,
scales and zero points, and in turns with it `npuc compile` at -O2, on one computer. Inputs and
outputs are int8 there; a sum that our network leaves float (the last one of ResNet-50) is int8 over
the range that it can have. `Arm/vela.ini`, 384 KiB of SRAM (`Dedicated_Sram_384KB`), 12 GB/s of
DRAM: `Ethos_U85_SYS_DRAM_Mid`, for the Ethos-U65 `Ethos_U65_Client_Server`; default options.
*Given* is by how much Vela's figures here differ from those above. *Random*: what Vela says of the
same network with uniform random weights, which do not compress.
"""
VELA_WHY = """\
With what the given figures were made is not known; this is what fits. For 512 MACs the Ethos-U65
does, and no setting of the Ethos-U85 that was tried, mostly with MobileNetV2 (SRAM of 128 to 512
KiB, each U85 system with DRAM, single optimisations off), fits both cycles and bytes. Random
weights bring both within 1 % of the given ones, except for ResNet-50 on 512 MACs: that is
unexplained.
"""
VELA_SECONDS = """\
CPU time (user and system) of whole processes, each pinned to one processor: the least of {repeats},
start and imports with it; these alone: npuc {npuc_start_s:.2f} s, Vela {vela_start_s:.2f} s.
*First* is a run of npuc that finds no compiled code of numba, which is kept between processes: only
the search of the memory planner needs it, and that is asked for `ref-2048` alone here. Seconds of
the table of compilation above are of another time, and not to be compared with these.
"""
DIFFERENCES = """\
What the two count differently, so that ratios hold for the models, not for chips:

- Vela adds up, pass by pass, the largest of array, output and memory time, each by a closed form.
  Here every command is simulated: queues, waits, banks, set-up and latency of each transfer,
  bandwidth shared between transfers; and passes overlap.
- Vela charges a DRAM read 500 and a write 250 cycles of latency; here both have 500. Here 4.5 % of
  the bandwidth is lost to refresh. Both charge whole bursts of 128 bytes.
- Vela's weights move compressed without loss, by little where they are not sparse (one small
  network: 117.4 KiB to 116.1); ours move as they are.
- Requantisation there has a port of its own (an eighth to one cycle an element); here it is the
  vector engine's work, as pooling and depthwise convolution are.
- Our networks take and give float32: quantising the image (602,112 bytes of input, a quarter of
  that as int8) is part of our cycles and traffic, not of Vela's.
- Vela states no error of its estimates and says not to compare them across configurations.
"""
ERRORS = """\
The closed form expects a group alone: from an idle machine through loads, array, vector work and
stores to the last byte. So it is held against the emulated cycles of exactly that: the commands of
each step by themselves, all that they wait for outside of it being there. A layer in stripes is the
sum of its steps, on both sides. Signed errors are estimate to emulated. `npuc profile` shows both
as `alone` and `estimate`. In the run neighbouring layers overlap, so that a layer's own share of
the wall time (`cycles` in the profile) is smaller; the last column is the error against that share:
it tells of overlap, not of the closed form. The search ranks thousands of tilings by a coarser sum
of the same costs of tiles. Aims: median 5 %, 95th percentile 15 %.
"""
SERVER = """\
{batch} images at once, target `server`, -O2: all work on one core, and shared by four. Aim: 3.2 x.
Weights that all cores need are multicast: each loads a part of them and sends it to all.
"""


class Aim(NamedTuple):
    """Another compiler's cycles and bytes, and the part of its cycles not to be exceeded."""

    cycles: int
    dram_bytes: int
    part: float


VELA_TRAFFIC_AIM = 0.6
# Given with the aims; conditions: see VELA.
VELA_SAYS = {
    ("resnet50_v1", "ref-2048"): Aim(6_520_000, 64_400_000, 0.65),
    ("resnet50_v1", "ref-512"): Aim(12_800_000, 108_700_000, 0.70),
    ("mobilenet_v2", "ref-2048"): Aim(1_800_000, 7_200_000, 0.80),
    ("mobilenet_v2", "ref-512"): Aim(2_310_000, 11_100_000, 0.80),
}
Row = dict[str, Any]


def page(folder: Path = FOLDER) -> str:
    """The text of the page; sections without figures are left out."""
    figures, layers, measured = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("figures", "layers", "measured")
    )
    edge = {
        row["network"]: key
        for key, row in figures.items()
        if row["target"] == "edge" and row["level"] == CHOSEN_LEVEL
    }
    parts = [HEAD, *_roofs({name: figures[key] for name, key in edge.items()})]
    parts += _levels(figures, edge)
    parts += _compilation({n: figures[key] | measured[key] for n, key in edge.items()}, measured)
    parts += _beside_vela(figures)
    parts += _vela_here(_held(folder / "vela.json"))
    parts += _errors({name: layers[name] for name in edge})
    parts += _server(figures)
    return "\n".join(parts).rstrip() + "\n"


def _roofs(rows: Row) -> Iterator[str]:
    yield f"## `edge`: roof and traffic\n\n{ROOF}"
    cells = [
        (
            name,
            _int(row["cycles"]),
            _int(row["roof_cycles"]),
            _ratio(row["roof_cycles"], row["cycles"]),
            _int(row["whole_model_cycles"]),
            _mb(row["dram_bytes"]),
            _mb(row["compulsory_bytes"]),
            _ratio(row["dram_bytes"], row["compulsory_bytes"]),
        )
        for name, row in rows.items()
    ]
    reached = _geomean([row["roof_cycles"] / row["cycles"] for row in rows.values()])
    moved = _geomean([row["dram_bytes"] / row["compulsory_bytes"] for row in rows.values()])
    cells.append(("geometric mean", "", "", f"{reached:.2f}", "", "", "", f"{moved:.2f}"))
    columns = ("network", "cycles", "roof", "roof / cycles", "whole")
    yield _table((*columns, "DRAM MB", "compulsory MB", "ratio"), cells)


def _levels(figures: Row, edge: dict[str, str]) -> Iterator[str]:
    yield "## `edge`: cycles by optimisation level\n"
    keys = {
        name: [key.replace(f"-O{CHOSEN_LEVEL}", f"-O{level}") for level in LEVELS]
        for name, key in edge.items()
    }
    cells, rises = [], []
    for name, of_levels in keys.items():
        cycles = [figures[key]["cycles"] if key in figures else None for key in of_levels]
        unoptimised = _ratio(cycles[0], cycles[CHOSEN_LEVEL]) if cycles[0] else ""
        cells.append((name, *("" if c is None else _int(c) for c in cycles), unoptimised))
        for level, (before, after) in enumerate(pairwise(cycles)):
            if before is not None and after is not None and after > before:
                rises.append(f"{name} from -O{level} to -O{level + 1}")
    titles = (f"-O{level}" for level in LEVELS)
    yield _table(("network", *titles, f"-O0 / -O{CHOSEN_LEVEL}"), cells)
    if rises:
        yield f"Cycles rise with the level: {'; '.join(rises)}.\n"
    else:
        yield "Cycles never rise with the level, as far as measured.\n"


def _compilation(rows: Row, measured: Row) -> Iterator[str]:
    yield f"## Compilation (measured)\n\n{COMPILATION}"
    cells = []
    for name, row in rows.items():
        slow = measured.get(f"{name} edge -O{LEVELS[-1]}")
        cells.append(
            (
                name,
                f"{row['compile_s']:.1f}",
                _int(row["peak_mb"]),
                _int(row["instructions"]),
                _int(row["commands"]),
                *((f"{slow['compile_s']:.0f}", _int(slow["peak_mb"])) if slow else ("", "")),
            )
        )
    columns = ("network", "CPU s", "memory MB", "instructions", "commands")
    yield _table((*columns, "-O3: CPU s", "-O3: MB"), cells)


def _beside_vela(figures: Row) -> Iterator[str]:
    cells = []
    for (network, target), vela in VELA_SAYS.items():
        ours, best = (
            figures.get(f"{network} {target} -O{level}") for level in (CHOSEN_LEVEL, LEVELS[-1])
        )
        if ours is not None:
            slow = "" if best is None else _ratio(best["cycles"], vela.cycles)
            cells.append((network, target, *_beside(ours, vela), slow))
    if not cells:
        return
    yield f"## Beside Arm Vela 5.2\n\n{VELA.format(traffic=VELA_TRAFFIC_AIM)}"
    columns = ("network", "machine", "cycles", "Vela's", "ratio", "aim", "roof / cycles")
    yield _table((*columns, "DRAM MB", "Vela's MB", "ratio of MB", "ratio at -O3"), cells)
    yield DIFFERENCES


def _held(path: Path) -> Row:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _vela_here(held: Row) -> Iterator[str]:
    if not held:
        return
    run = held.pop("run")
    # The networks and machines in the order of the figures given.
    order = list(VELA_SAYS)
    rows = sorted(
        held.values(), key=lambda row: (_place(order, row), row["configuration"]["accelerator"])
    )
    yield f"### Measured here\n\n{VELA_HERE}"
    columns = ("network", "machine", "Vela's machine", "cycles", "Vela's", "ratio", "given")
    columns += ("DRAM MB", "Vela's MB", "ratio of MB", "given MB", "random", "random MB")
    yield _table(columns, [_vela_cells(row) for row in rows])
    yield VELA_WHY
    yield _missed(rows)
    yield VELA_SECONDS.format(**run)
    cells = [
        (
            *_machines(row),
            *(f"{row[key]:.2f}" for key in ("npuc_s", "vela_s")),
            _ratio(row["npuc_s"], row["vela_s"]),
            f"{row['npuc_first_s']:.2f}",
        )
        for row in rows
    ]
    yield _table((*columns[:3], "CPU s", "Vela's", "ratio", "first"), cells)


def _missed(rows: Sequence[Row]) -> str:
    """Which aims would not be reached, if they were parts of what Vela says here."""
    found = []
    for row in rows:
        network, target, accelerator = _machines(row)
        aim = VELA_SAYS.get((network, target))
        parts = {"cycles": aim.part, "dram_bytes": VELA_TRAFFIC_AIM} if aim else {}
        for key, part in parts.items():
            ratio = row["npuc"][key] / row["vela"][key]
            if ratio > part:
                what = key.replace("dram_bytes", "DRAM bytes")
                found.append(
                    f"- {network}, {target} beside {accelerator}: {what} {ratio:.3f} of {part:.2f}"
                )
    if not found:
        return "Of these figures, too, every aim is reached.\n"
    return "\n".join(["As parts of these figures, the aims are missed here:\n", *found, ""])


def _place(order: list[tuple[str, str]], row: Row) -> int:
    key = (row["network"], row["configuration"]["target"])
    return order.index(key) if key in order else len(order)


def _machines(row: Row) -> tuple[str, ...]:
    return row["network"], row["configuration"]["target"], row["configuration"]["accelerator"]


def _vela_cells(row: Row) -> tuple[str, ...]:
    ours, vela, random = row["npuc"], row["vela"], row["incompressible"]
    given = VELA_SAYS.get((row["network"], row["configuration"]["target"]))
    apart = [_change(vela[key], getattr(given, key, None)) for key in ("cycles", "dram_bytes")]
    return (
        *_machines(row),
        *(_int(ours["cycles"]), _int(vela["cycles"]), _ratio(ours["cycles"], vela["cycles"])),
        *(apart[0], _mb(ours["dram_bytes"]), _mb(vela["dram_bytes"])),
        *(_ratio(ours["dram_bytes"], vela["dram_bytes"]), apart[1]),
        *(_int(random["cycles"]), _mb(random["dram_bytes"])),
    )


def _change(value: int, of: int | None) -> str:
    return f"{100 * (value / of - 1):+.1f} %" if of else ""


def _beside(ours: Row, vela: Aim) -> tuple[str, ...]:
    return (
        _int(ours["cycles"]),
        _int(vela.cycles),
        _ratio(ours["cycles"], vela.cycles),
        f"{vela.part:.2f}",
        _ratio(ours["roof_cycles"], ours["cycles"]),
        _mb(ours["dram_bytes"]),
        _mb(vela.dram_bytes),
        _ratio(ours["dram_bytes"], vela.dram_bytes),
    )


def _errors(networks: dict[str, dict[str, list[int]]]) -> Iterator[str]:
    yield f"## Closed form against emulated cycles, by layer\n\n{ERRORS}"
    sets = [(name, list(layers.values())) for name, layers in networks.items()]
    sets.append(("all", [layer for _, layers in sets for layer in layers]))
    cells = []
    for name, layers in sets:
        alone = _spread([estimate / cycles - 1 for estimate, cycles, _ in layers])
        of_share = _spread([e / cycles - 1 for e, _, cycles in layers if cycles])
        cells.append((name, *alone, of_share[1]))
    columns = ("network", "n", "median %", "95th %", "max %", "bias %")
    yield _table((*columns, "to share: median %"), cells)
    rows = [
        (estimate / alone - 1, f"{name}: {layer}", estimate, alone)
        for name, layers in networks.items()
        for layer, (estimate, alone, _) in layers.items()
    ]
    worst = sorted(rows, key=lambda row: (-abs(row[0]), row[1]))[:SHOWN_LAYERS]
    yield "The worst:\n"
    cells = [(layer, _int(e), _int(a), f"{100 * error:+.0f}") for error, layer, e, a in worst]
    yield _table(("layer", "estimate", "alone", "error %"), cells)


def _server(figures: Row) -> Iterator[str]:
    rows = [row for row in figures.values() if row["target"] == "server"]
    by_cores = {(row["network"], row["cores"]): row for row in rows}
    both = [(one, by_cores.get((name, 4))) for (name, n), one in by_cores.items() if n == 1]
    cells = [
        (
            one["network"],
            _int(one["cycles"]),
            _int(four["cycles"]),
            _ratio(one["cycles"], four["cycles"]),
            _mb(one["dram_bytes"]),
            _mb(four["dram_bytes"]),
        )
        for one, four in both
        if four is not None
    ]
    if cells:
        yield f"## `server`: four cores\n\n{SERVER.format(batch=rows[0]['batch'])}"
        columns = ("network", "one core", "four cores", "ratio", "DRAM MB: one core", "four")
        yield _table(columns, cells)


def _spread(errors: Sequence[float]) -> tuple[str, ...]:
    """n; median, 95th percentile and maximum of the magnitudes, and the signed mean, in percent."""
    sizes = sorted(map(abs, errors))
    high = sizes[ceil(HIGH_SHARE * len(sizes)) - 1]
    percent = (median(sizes), high, sizes[-1], mean(errors))
    return (_int(len(sizes)), *(f"{100 * p:.1f}" for p in percent))


def _geomean(values: Sequence[float]) -> float:
    return exp(mean(map(log, values)))


def _int(value: int) -> str:
    return f"{value:,}"


def _ratio(part: float, whole: float) -> str:
    return f"{part / whole:.2f}"


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.2f}"


def _table(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> str:
    rule = ["---"] + ["---:"] * (len(columns) - 1)
    return "\n".join(f"| {' | '.join(line)} |" for line in [columns, rule, *rows]) + "\n"
