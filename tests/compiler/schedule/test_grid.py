"""Grids: what they keep is what is computed anew for each home of each operand."""

from __future__ import annotations

from dataclasses import astuple, replace
from itertools import product

import numpy as np
import pytest

from npuc.compiler.schedule.estimate import mma_per_tile, tile_costs
from npuc.compiler.schedule.grid import Grid, without_homes
from npuc.compiler.schedule.problem import GroupProblem, Home
from npuc.compiler.schedule.search import _tiles
from npuc.compiler.schedule.tiling import ring_bytes
from tests.compiler.schedule.problems import EDGE, conv, elementwise, matmul

PROBLEMS = [
    conv((1, 14, 14, 48), (3, 3, 40), (1, 1, 1)),
    matmul(3, (50, 64, 70), True),
    elementwise((4, 20, 30, 10), (True,) * 4),
]


def placed(problem: GroupProblem) -> list[GroupProblem]:
    """``problem`` with every operand at every home."""
    homes = product(Home, repeat=len(problem.operands))
    return [
        replace(
            problem,
            operands=tuple(
                replace(o, home=home) for o, home in zip(problem.operands, chosen, strict=True)
            ),
        )
        for chosen in homes
    ]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
def test_one_grid_serves_all_homes(problem: GroupProblem) -> None:
    tiles = _tiles(problem, EDGE)
    grid = Grid(EDGE, tiles)
    rows = np.arange(0, len(tiles), 7)
    for one in placed(problem):
        assert without_homes(one) == without_homes(problem)
        np.testing.assert_array_equal(grid.rings(one), ring_bytes(one, tiles, EDGE))
        found, wanted = grid.costs(one), tile_costs(one, EDGE, tiles, row_cycles=1)
        for kept, fresh in zip(astuple(found), astuple(wanted), strict=True):
            np.testing.assert_array_equal(kept, fresh)
        true = mma_per_tile(one, EDGE, tiles[rows])
        np.testing.assert_array_equal(grid.products(one).true(rows), true)
        some = tile_costs(one, EDGE, tiles[rows], row_cycles=1)
        for kept, fresh in zip(astuple(found.take(rows)), astuple(some), strict=True):
            np.testing.assert_array_equal(kept, fresh)
