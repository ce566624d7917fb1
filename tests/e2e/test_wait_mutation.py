"""Every single wait of the hand-written programs: taking it out is a race, or changes nothing."""

import numpy as np
import pytest

from npuc.emulator.machine import RunOptions, run
from npuc.emulator.strict import check, wait_fields, without_wait
from tests.e2e.tile_files import SHAPES, compile_wall, expected, random_case


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_each_wait_is_needed_or_shown_redundant(name: str) -> None:
    x, weights = random_case(name)
    program = compile_wall(name, weights)
    want = expected(name, x, weights)
    fields = list(wait_fields(program))
    assert fields
    redundant = []
    for field in fields:
        mutant = without_wait(program, field)
        findings = check(mutant)
        assert {f.kind for f in findings} <= {"race", "uninitialised"}, findings[0]
        if not findings:
            redundant.append(field)
            result = run(mutant, {"x": x}, RunOptions(strict=True))
            np.testing.assert_array_equal(result.outputs["y"], want)
    assert len(redundant) < len(fields) / 2, f"mostly needless waits: {redundant}"
