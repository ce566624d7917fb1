"""Errors of the vector functions over all float32 arguments: ``make bench-ulp``.

The emulator's compiled functions run (their bits are those of ``npuc.isa.numerics``, which other
tests hold), block after block, against float64. After each function ``accuracy.json`` is written:
a run that was stopped goes on with ``--missing``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import special

import npuc.isa.numerics
from npuc.emulator.functional.vector_kernels import ELEMENTWISE
from npuc.isa.jit import njit
from npuc.isa.microops import BY_NAME
from npuc.isa.numerics.accuracy import BOUNDS_ULP, FILE, Accuracy, measured

PAGE = Path(npuc.isa.numerics.__file__).parent / FILE
BLOCK = 1 << 16
ALL = 1 << 32
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

REFEREES: dict[str, Callable[[Doubles], Doubles]] = {
    "exp2": np.exp2,
    "log2": np.log2,
    "recip": np.reciprocal,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "erf": special.erf,
}
# Which way results go as positive, and as negative, arguments grow in magnitude; 0: no order.
ORDER = {
    "exp2": (1, -1), "log2": (1, 0), "recip": (-1, 1), "sqrt": (1, 0), "rsqrt": (-1, 0),
    "sin": (0, 0), "cos": (0, 0), "tanh": (1, -1), "erf": (1, -1),
}  # fmt: skip
WORST, SUBNORMAL = 0, 1
NOT_NEAREST, WRONG, BREAKS = range(3)
LOWEST = -126  # exponent of the smallest normal number
_PER_ULP = 2.0 ** (23.0 - np.arange(LOWEST, 128))  # by exponent: 1 / ulp


@njit
def measure(  # noqa: PLR0917  # compiled code takes arrays, not records
    result: Floats, exact: Doubles, order: Doubles, worst: Doubles, at: Doubles, counts: Doubles
) -> None:
    """Fold one block of results into ``worst`` (by kind of result), its place, and ``counts``.

    ``order`` is which way results go, and the result before the block (NaN for none).
    """
    bits, direction, last = exact.view(np.int64), order[0], order[1]
    for i in range(len(result)):
        r, e = result[i], exact[i]
        nearest = np.float32(e)
        if not (np.isfinite(nearest) and np.isfinite(r)):
            counts[WRONG] += 0 if r == nearest or (np.isnan(r) and np.isnan(e)) else 1
            continue
        exponent = max(((bits[i] >> 52) & 0x7FF) - 1023, LOWEST)
        error = abs(np.float64(r) - e) * _PER_ULP[exponent - LOWEST]
        kind = SUBNORMAL if abs(e) < 2.0**LOWEST else WORST
        counts[NOT_NEAREST] += 1 if r != nearest else 0
        if error > worst[kind]:
            worst[kind], at[kind] = error, i
        counts[BREAKS] += 1 if (r - last) * direction < 0 else 0
        last = np.float64(r)
    order[1] = last


def machine_function(name: str) -> Callable[[Floats], Floats]:
    """The micro-op as an array function: compiled where there is a kernel."""
    compiled = ELEMENTWISE.get(name)
    if compiled is None:
        return BY_NAME[name].meaning

    def run(x: Floats) -> Floats:
        out = np.empty_like(x)
        compiled(out, x)
        return out

    return run


def accuracy(name: str, blocks: Iterator[Floats]) -> Accuracy:
    """The errors of micro-op ``name`` over ``blocks`` of arguments, one sign in each block."""
    function, referee = machine_function(name), REFEREES[name]
    worst, places, counts = np.zeros(2), [0, 0], np.zeros(3)
    arguments, order = 0, np.zeros(2)
    for x in blocks:
        arguments += len(x)
        direction = ORDER[name][int(np.signbit(x[0]))]
        order[:] = direction, order[1] if direction == order[0] else np.nan
        at = np.full(2, -1.0)
        with np.errstate(all="ignore"):
            exact = referee(x.astype(np.float64))
        measure(function(x), exact, order, worst, at, counts)
        for kind in (WORST, SUBNORMAL):
            if at[kind] >= 0:
                places[kind] = int(x.view(np.uint32)[int(at[kind])])
    return Accuracy(
        arguments, float(worst[WORST]), places[WORST], float(worst[SUBNORMAL]), places[SUBNORMAL],
        int(counts[NOT_NEAREST]), int(counts[WRONG]),
        int(counts[BREAKS]) if any(ORDER[name]) else None,
    )  # fmt: skip


def every_float() -> Iterator[Floats]:
    """All bit patterns in blocks, ascending."""
    for start in range(0, ALL, BLOCK):
        yield np.arange(start, start + BLOCK, dtype=np.uint64).astype(np.uint32).view(np.float32)


def write(name: str, found: Accuracy) -> None:
    """Put one function into the file that the manual is rendered from."""
    results = measured() | {name: found}
    facts = {name: dataclasses.asdict(results[name]) for name in BOUNDS_ULP if name in results}
    PAGE.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Measure the functions that are asked for; exit code 1 where a bound does not hold."""
    parser = argparse.ArgumentParser(description="errors of the vector functions in ulp")
    parser.add_argument("names", nargs="*", help="micro-ops; all where none is named")
    parser.add_argument("--missing", action="store_true", help="only those without a result")
    arguments = parser.parse_args()
    names = arguments.names or list(BOUNDS_ULP)
    code = 0
    for name in names:
        if arguments.missing and name in measured():
            continue
        begun = time.process_time()
        found = accuracy(name, every_float())
        write(name, found)
        worst = max(found.worst_ulp, found.worst_subnormal_ulp)
        code |= worst > BOUNDS_ULP[name] + 1e-6 or found.wrong_special > 0
        print(f"{name}: {worst:.4f} ulp, {time.process_time() - begun:.0f} CPU s", flush=True)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
