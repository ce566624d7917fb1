"""Without numba everything works, with equal values."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
if {absent}:
    sys.modules["numba"] = None
import numpy as np
from npuc.isa.jit import HAS_NUMBA
from npuc.emulator.functional import plain
from npuc.emulator.functional.fast import FastExecutor
from npuc.emulator.machine import RunOptions, run
from tests.emulator.programs import tiled_product
from tests.emulator.random_work import *
assert not HAS_NUMBA
program, inputs, expected = tiled_product()
result = run(program, inputs, RunOptions(path="fast", strict=True))
assert np.array_equal(result.outputs["y"], expected)
rng = np.random.default_rng(1)
slow = random_memory(rng)
quick, execute = copied(slow), FastExecutor(worth=0)
for make in (random_mma, random_vexec, random_transfer) * 5:
    work = make(rng)
    plain.execute(slow, 0, work)
    execute(quick, 0, work)
    assert same_bytes(slow, quick)
print("equal")
"""


@pytest.mark.parametrize("absent", [True, False])
def test_the_emulator_runs_without_compiled_code(absent: bool) -> None:
    folders = [ROOT, *(ROOT / name for name in ("isa", "compiler", "emulator", "runtime"))]
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(absent=absent)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={
            "PYTHONPATH": ":".join(map(str, folders)),
            "NUMBA_DISABLE_JIT": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
    )
    assert found.stdout.strip() == "equal", found.stderr
