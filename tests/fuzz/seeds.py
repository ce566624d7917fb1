"""The files that are mutated: small programs that between them use every instruction."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from npuc.isa import container
from tests.emulator.programs import tiled_product
from tests.emulator.test_machine import two_cores
from tests.fuzz.streams import built, machine, random_steps
from tests.isa.sample import sample_program

RANDOM_SEEDS = 40


@cache
def seeds() -> tuple[bytes, ...]:
    """The files, always the same: four made by hand, the others random programs."""
    target, text = machine(2)
    by_hand = (
        tiled_product()[0],
        replace(two_cores(), target=target, target_toml=text),
        replace(two_cores(deadlock=True), target=target, target_toml=text),
        sample_program(),
    )
    rng = np.random.default_rng(1)
    random = tuple(built(random_steps(rng)) for _ in range(RANDOM_SEEDS))
    return tuple(container.to_bytes(program) for program in by_hand + random)
