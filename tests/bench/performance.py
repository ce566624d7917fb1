"""Speed of compiler and emulator as the page ``docs/performance.md``: one table a module.

``make bench`` runs this on one thread. Ratios compare times of the same run, for they alone carry
over to other computers.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from ctypes import CDLL, c_char_p
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tests.bench.tables import growth, networks
from tests.bench.tables.table import Table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
HEAD = """\
# Performance

<!-- Rendered by `make bench`; measured, so it differs from computer to computer. -->

`make bench ARGS="--zoo NAME"` measures that network of `models/zoo` only; the networks are made
once and kept in the user's cache folder, or in `$NPUC_BENCH_CACHE`.

The emulator multiplies with NumPy's OpenBLAS. The last line says for which processor its kernels
are, and whether `OPENBLAS_CORETYPE` chose them: those without AVX-512 (`Haswell`) have half the
speed on a processor with it, where ONNX Runtime uses it.
"""
PACKAGES = {"NumPy": "numpy", "ONNX Runtime": "onnxruntime", "numba": "numba"}


def page(tables: Sequence[Table]) -> str:
    """The text of ``docs/performance.md``."""
    versions = ", ".join(f"{title} {version(name)}" for title, name in PACKAGES.items())
    measured = f"Measured with Python {platform.python_version()}, {versions} on "
    sections = [table.markdown() for table in tables]
    return "\n".join([HEAD, *sections, f"{measured}{platform.machine()}{_kernels()}.", ""])


def _kernels() -> str:
    """Whose kernels OpenBLAS has taken, where it can be asked."""
    for library in (Path(np.__file__).parents[1] / "numpy.libs").glob("*openblas*"):
        asked = getattr(CDLL(str(library)), "scipy_openblas_get_corename64_", None)
        if asked is not None:
            asked.restype = c_char_p
            chosen = " (OPENBLAS_CORETYPE)" if "OPENBLAS_CORETYPE" in os.environ else ""
            return f", OpenBLAS with kernels for {asked().decode()}{chosen}"
    return ""


def main(arguments: Sequence[str]) -> int:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.performance")
    parser.add_argument("--zoo", action="append", metavar="NAME", help="these networks, not all")
    parser.add_argument("--digits", action="store_true", help="only the digit classifier")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write")
    given = parser.parse_args(arguments)
    names = () if given.digits else given.zoo or networks.ZOO
    grown = growth.table(layers=2, deep=None) if given.digits else growth.table()
    given.out.write_text(page([networks.table(names), grown]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
