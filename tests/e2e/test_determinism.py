"""Same input and options, same bytes: in processes that hash strings differently."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.whole_path import MNIST

ROOT = Path(__file__).parents[2]
COMPILE = """
import hashlib, sys
from npuc.compiler.driver import compile_model
from npuc.compiler.options import CompileOptions
from npuc.isa.container import to_bytes
from npuc.runtime.building import build
from tests.compiler.ops.cases import qdq_chain

for path in sys.argv[1:]:
    for target, level in (("edge", 2), ("tiny", 3)):
        result = compile_model(path, CompileOptions(target, level, {"batch": 1}))
        print(hashlib.sha256(to_bytes(result.program)).hexdigest())
        print(*result.remarks, sep="\\n")
chain = qdq_chain().model.SerializeToString()
for level in (0, 1, 2, 3):
    result = build(chain, CompileOptions("tiny", level))
    print(hashlib.sha256(to_bytes(result.program)).hexdigest())
"""


def compile_in_process(hash_seed: str) -> str:
    """What the script prints under that seed."""
    roots = [ROOT / "isa", ROOT / "compiler", ROOT / "emulator", ROOT / "runtime", ROOT]
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "PYTHONPATH": os.pathsep.join(map(str, roots)),
    }
    models = [str(MNIST / f"mnist_cnn_{kind}.onnx") for kind in ("qdq_int8", "fp32")]
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, *models],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(done.stderr)
    return done.stdout


def test_binaries_and_remarks_do_not_depend_on_the_process() -> None:
    first = compile_in_process("0")
    assert first.count("\n") > 20
    assert compile_in_process("12345") == first
