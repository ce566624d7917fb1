"""How fast the compiled programs are: the figures in ``docs/programs`` and their page.

``make bench-programs`` runs this: every case in a process of its own, one after another. Cycles and
bytes are the same on every computer; CPU time and memory of the compilations are as measured.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench.program_case import DIGITS, Case, Measured, in_fresh_process

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "programs"
NETWORKS = (
    "resnet50_v1",
    "light_squeezenet",
    "light_densenet121",
    "light_inception_v1",
    "light_vgg19",
    "light_shufflenet",
    "mobilenet_v2",
)
LEVELS = (2, 3, 1, 0)  # the quickest to compile first
COMPARED = ("resnet50_v1", "mobilenet_v2")  # with another compiler's estimates
MACHINES = ("ref-2048", "ref-512")
BATCHED = ("light_vgg19", "resnet50_v1")
BATCH = 4
CORES = (1, 4)


def cases(networks: Sequence[str] = NETWORKS) -> list[Case]:
    """Everything that the page shows of ``networks``."""
    found = [Case(network, "edge", level) for level in LEVELS for network in networks]
    compared = [n for n in networks if n in COMPARED]
    found += [Case(n, machine, level) for level in (2, 3) for n in compared for machine in MACHINES]
    batched = [n for n in networks if n in BATCHED]
    return found + [Case(n, "server", batch=BATCH, cores=c) for n in batched for c in CORES]


def write(folder: Path, found: Iterable[tuple[Case, Measured]]) -> None:
    """Put cases into the files of ``folder``; what they hold of others stays."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.json" for name in ("figures", "layers", "measured")]
    figures, layers, measured = map(_load, files)
    for case, result in found:
        name = name_of(case)
        figures[name] = result.figures.to_json()
        measured[name] = {"compile_s": round(result.compile_s, 1), "peak_mb": round(result.peak_mb)}
        if case.target == "edge" and case.level == 2:
            layers[case.network] = {n: list(asdict(v).values()) for n, v in result.layers.items()}
    for path, rows in zip(files, (figures, layers, measured), strict=True):
        lines = [f"{json.dumps(key)}: {json.dumps(rows[key])}" for key in sorted(rows)]
        text = "{\n" + ",\n".join(lines) + "\n}\n"
        path.write_text(text, encoding="utf-8")


def name_of(case: Case) -> str:
    """``network target -O2``, and batch and cores where they are given: the key in the files."""
    several = f" batch {case.batch}" if case.batch > 1 else ""
    cores = f" cores {case.cores}" if case.cores else ""
    return f"{case.network} {case.target} -O{case.level}{several}{cores}"


def _load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def main(arguments: Sequence[str]) -> int:
    """Measure and write the files."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.programs")
    parser.add_argument("--zoo", action="append", metavar="NAME", help="these networks, not all")
    parser.add_argument("--target", action="append", metavar="NAME", help="these machines, not all")
    parser.add_argument("--digits", action="store_true", help="only the digit classifier")
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder to write into")
    given = parser.parse_args(arguments)
    chosen = cases([DIGITS] if given.digits else given.zoo or NETWORKS)
    for case in chosen:
        if given.target and case.target not in given.target:
            continue
        found = in_fresh_process(case)
        write(given.out, [(case, found)])
        print(f"{name_of(case)}: {found.figures.cycles:,} cycles", flush=True)
    print(f"Python {platform.python_version()} on {platform.machine()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
