"""Kept hashes: equal values have equal ones, and no other process gets them."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace

from npuc.isa.target import load_target

LOOK_UP = """
import pickle, sys
from npuc.isa.target import load_target
given = pickle.loads(sys.stdin.buffer.read())
sys.exit(0 if given in {load_target("edge")} else 1)
"""


def test_equal_targets_have_equal_hashes() -> None:
    target = load_target("edge")
    assert hash(target) == hash(replace(target)) == hash(target)
    assert replace(target, name="other") not in {target}


def test_a_pickled_target_has_the_hash_of_its_new_process() -> None:
    target = load_target("edge")
    hash(target)
    run = subprocess.run(
        [sys.executable, "-c", LOOK_UP],
        input=pickle.dumps(target),
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        check=False,
    )
    assert run.returncode == 0
