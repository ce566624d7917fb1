"""npuc and Arm Vela on the same networks, in turns on this computer: ``docs/programs/vela.json``.

``make bench-vela`` runs this; ``docs/programs/render.py`` makes the tables of the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import onnx

from npuc.isa.errors import NpucError
from tests.bench.vela import estimate
from tests.bench.vela.estimate import CONFIGURATIONS, Configuration, Estimate
from tests.bench.vela.processes import cpu_seconds

if TYPE_CHECKING:
    from tests.bench.vela.network import Network

FILE = Path(__file__).resolve().parents[3] / "docs" / "programs" / "vela.json"
NETWORKS = ("resnet50_v1", "mobilenet_v2")
NPUC = [sys.executable, "-c", "from npuc.runtime.cli import main; main()"]
START = {
    "npuc_start_s": [sys.executable, "-c", "import npuc.runtime.building"],
    "vela_start_s": [*estimate.executable(), "--version"],
}
REPEATS = 3


@dataclass(frozen=True)
class Row:
    """One network on one pair of machines; seconds are CPU time, the best of the repeats.

    ``npuc_first_s`` is one run that finds no compiled code of numba, as the very first does.
    """

    network: str
    configuration: Configuration
    npuc: Estimate
    vela: Estimate
    incompressible: Estimate
    npuc_s: float
    vela_s: float
    npuc_first_s: float

    def text(self) -> str:
        """A line for the reader who waits."""
        cycles, s = self.npuc.cycles / self.vela.cycles, self.npuc_s / self.vela_s
        return (
            f"{name_of(self)}: {self.npuc.cycles:,} / {self.vela.cycles:,} cycles = {cycles:.2f}; "
            f"{self.npuc.dram_bytes / 1e6:.2f} / {self.vela.dram_bytes / 1e6:.2f} MB; "
            f"{self.npuc_s:.2f} / {self.vela_s:.2f} CPU s = {s:.1f}"
        )


def compare(model: Path, configuration: Configuration, repeats: int) -> Row:
    """Convert, then compile with both in turns, each a process that starts cold."""
    from tests.bench.vela.convert import convert
    from tests.bench.vela.flatbuffer import emit

    network = convert(onnx.load(model))
    with TemporaryDirectory() as name:
        folder = Path(name)
        file, program = folder / "network.tflite", folder / "network.npu"
        ours = [*NPUC, "compile", str(model), "--target", configuration.target, "-o", str(program)]
        file.write_bytes(emit(network))
        theirs = estimate.command(configuration, file, folder)
        first_s = cpu_seconds(ours, folder, {"NUMBA_CACHE_DIR": str(folder / "numba")})
        seconds = [(cpu_seconds(ours, folder), cpu_seconds(theirs, folder)) for _ in range(repeats)]
        npuc_s, vela_s = map(min, zip(*seconds, strict=True))
        return Row(
            model.stem.removesuffix("_int8"),
            configuration,
            _profiled(program),
            estimate.summary(folder),
            _incompressible(network, configuration, folder),
            *(round(s, 2) for s in (npuc_s, vela_s, first_s)),
        )


def _incompressible(network: Network, configuration: Configuration, folder: Path) -> Estimate:
    from tests.bench.vela.flatbuffer import emit

    inner = folder / "incompressible"
    inner.mkdir()
    file = inner / "network.tflite"
    file.write_bytes(emit(estimate.with_incompressible_weights(network)))
    cpu_seconds(estimate.command(configuration, file, inner), inner)
    return estimate.summary(inner)


def _profiled(program: Path) -> Estimate:
    from npuc.isa.container import load as load_program
    from npuc.runtime.profiling import profile_program

    timing = profile_program(load_program(program)).timing
    return Estimate(timing.wall_cycles, timing.dram_read_bytes + timing.dram_written_bytes)


def name_of(row: Row) -> str:
    """``network target accelerator``: the key in the file."""
    return f"{row.network} {row.configuration.target} {row.configuration.accelerator}"


def write(path: Path, rows: Sequence[Row], run: dict[str, float]) -> None:
    """Put rows, and figures of the run, into the file; what it holds of others stays."""
    held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    held |= {name_of(row): asdict(row) for row in rows} | {"run": run}
    lines = [f"{json.dumps(key)}: {json.dumps(held[key])}" for key in sorted(held)]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 fine, 2 a network that cannot be converted, or no Vela."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.vela")
    parser.add_argument("--zoo", action="append", metavar="NAME", help="these networks")
    parser.add_argument("--model", action="append", type=Path, help="these int8 ONNX files")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--out", type=Path, default=FILE, help="the file to write into")
    given = parser.parse_args(arguments)
    try:
        return _run(given)
    except NpucError as error:
        print(error, file=sys.stderr)
        return 2


def _run(given: argparse.Namespace) -> int:
    missing = [name for name in ("ethosu", "tflite") if find_spec(name) is None]
    if missing:
        what = f"the packages of the extra vela are not installed: {', '.join(missing)}"
        raise NpucError(what, next_step="make bench-vela")
    with TemporaryDirectory() as name:
        run: dict[str, float] = {
            who: round(min(cpu_seconds(command, Path(name)) for _ in range(given.repeats)), 2)
            for who, command in START.items()
        }
    run["repeats"] = given.repeats
    for model in given.model or _of_zoo(given.zoo or ([] if given.model else NETWORKS)):
        for configuration in CONFIGURATIONS:
            row = compare(model, configuration, given.repeats)
            write(given.out, [row], run)
            print(row.text(), flush=True)
    return 0


def _of_zoo(names: Sequence[str]) -> list[Path]:
    from tests.bench.zoo_cache import network

    return [network(name).int8 for name in names]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
