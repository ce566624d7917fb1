"""Choice of a tiling: exhaustive evaluation of the cost formulas over a bounded candidate set.

Fewest cycles first; among the tilings within 2 % of those, the least DRAM traffic; then the first
in enumeration order, so that the choice is deterministic. Problems are solved once per target.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from npuc.compiler.schedule.estimate import Estimate, estimate
from npuc.compiler.schedule.problem import K_DIMS, N_DIM, PARALLEL, GroupProblem
from npuc.compiler.schedule.tiling import (
    ACC_WORD_BYTES,
    OUTER_M,
    OUTER_N,
    Candidates,
    Ints,
    Tiling,
    spm_bytes,
    total_spm_bytes,
)
from npuc.isa.errors import CompileError
from npuc.isa.target import Target

CYCLE_TOLERANCE = 0.02
CHOICES_PER_DIM = 12
MAX_RAGGED_DIMS = 4


@dataclass(frozen=True)
class SearchOptions:
    """What the search may use: buffers of two slots, and whether cost decides at all.

    Without ``by_cost`` the largest tile that fits is taken (optimisation level 0).
    """

    double_buffer: bool = True
    by_cost: bool = True


@dataclass(frozen=True)
class Choice:
    """The tiling chosen and what the closed form expects of it."""

    tiling: Tiling
    estimate: Estimate
    considered: int


@lru_cache(maxsize=4096)
def choose_tiling(problem: GroupProblem, target: Target, options: SearchOptions) -> Choice:
    """The best tiling of ``problem`` on ``target``.

    Raises: CompileError naming group, tensor and bytes when even the smallest tile does not fit.
    """
    best: list[tuple[float, float, int, Choice]] = []
    considered = 0
    for candidates in _families(problem, target, options):
        considered += len(candidates.tiles)
        best += _leaders(problem, target, candidates, options)
    if not best:
        raise _too_small(problem, target)
    fewest = min(entry[0] for entry in best)
    near = [e for e in best if e[0] <= _near(fewest, options)]
    choice = min(near, key=lambda e: (e[1], e[0], e[2]))[3]
    return Choice(choice.tiling, choice.estimate, considered)


def _leaders(
    problem: GroupProblem, target: Target, candidates: Candidates, options: SearchOptions
) -> list[tuple[float, float, int, Choice]]:
    """The best row of one family under the rule of this module, as a list of at most one."""
    if not len(candidates.tiles):
        return []
    costs = estimate(problem, target, candidates)
    cycles = costs.cycles if options.by_cost else -candidates.tiles.prod(axis=1).astype(float)
    near = np.flatnonzero(cycles <= _near(float(cycles.min()), options))
    row = int(near[np.lexsort((cycles[near], costs.dram_bytes[near]))[0]])
    choice = Choice(candidates.tiling(row), costs.row(row), len(candidates.tiles))
    return [(float(cycles[row]), float(costs.dram_bytes[row]), row, choice)]


def _near(fewest: float, options: SearchOptions) -> float:
    return fewest * (1 + CYCLE_TOLERANCE) if options.by_cost else fewest


def _families(problem: GroupProblem, target: Target, options: SearchOptions) -> list[Candidates]:
    tiles = _tiles(problem, target)
    orders = (OUTER_M, OUTER_N) if problem.contraction else (OUTER_M,)
    depths = (2, 1) if options.double_buffer else (1,)
    families = []
    for order, depth in product(orders, depths):
        family = Candidates(tiles, order, depth, depth)
        families.append(_feasible(problem, target, family))
    return families


def _feasible(problem: GroupProblem, target: Target, family: Candidates) -> Candidates:
    keep = total_spm_bytes(problem, family, target) <= target.spm.capacity_bytes
    if problem.contraction is not None:
        acc = family.tiles[:, :PARALLEL].prod(axis=1) * ACC_WORD_BYTES * family.acc_depth
        keep &= acc <= target.acc.capacity_bytes
    ragged = np.asarray(problem.extents) % family.tiles != 0
    keep &= ragged.sum(axis=1) <= MAX_RAGGED_DIMS
    return Candidates(family.tiles[keep], family.order, family.depth, family.acc_depth)


def _tiles(problem: GroupProblem, target: Target) -> Ints:
    granules = [1] * len(problem.extents)
    if problem.contraction is not None:
        granules[N_DIM] = target.mxu.cols
        granules[K_DIMS[2]] = target.mxu.rows
    elif problem.extents[N_DIM] > 1:
        granules[N_DIM] = target.vpu.lanes
    single = _single_step_dims(problem)
    parallel = [
        [1] if d in single else _sizes(problem.extents[d], granules[d]) for d in range(PARALLEL)
    ]
    reductions = _reduction_tiles(problem, granules)
    rows = [p + k for p in product(*parallel) for k in reductions]
    return np.array(rows, np.int64)


def _single_step_dims(problem: GroupProblem) -> frozenset[int]:
    """Row dimensions that W also depends on (batched products): one mma sees one W."""
    if problem.contraction is None:
        return frozenset()
    return problem.operands[problem.contraction.w].dims & {0, 1, 2}


def _reduction_tiles(problem: GroupProblem, granules: list[int]) -> list[tuple[int, ...]]:
    """Tiles of the reduction: contiguous ascending ranges only, so that no float bit changes.

    An inner dimension is cut only where every dimension outside it is cut to single steps.
    Vector reductions are never cut.
    """
    k0, k1, k2 = (problem.extents[d] for d in K_DIMS)
    if problem.contraction is None:
        return [(k0, k1, k2)]
    cuts = [(s, k1, k2) for s in _sizes(k0, 1)]
    cuts += [(1, s, k2) for s in _sizes(k1, 1)]
    cuts += [(1, 1, s) for s in _sizes(k2, granules[K_DIMS[2]])]
    return sorted(set(cuts), reverse=True)


def _sizes(extent: int, granule: int) -> list[int]:
    """Distinct ceil(extent / parts), rounded up to the granule, largest first."""
    sizes = set()
    for parts in range(1, extent + 1):
        size = -(-extent // parts)
        if size > granule:
            size = min(extent, -(-size // granule) * granule)
        sizes.add(size)
    ordered = sorted(sizes, reverse=True)
    if len(ordered) <= CHOICES_PER_DIM:
        return ordered
    picks = np.unique(np.geomspace(1, len(ordered), CHOICES_PER_DIM).round().astype(int)) - 1
    return [ordered[i] for i in picks]


def _too_small(problem: GroupProblem, target: Target) -> CompileError:
    smallest = min(
        (Tiling(tuple(int(v) for v in row), OUTER_M, 1, 1) for row in _tiles(problem, target)),
        key=lambda t: spm_bytes(problem, t, target),
    )
    sizes = [(int(np.prod(o.box(smallest.tile))) * o.dtype.bytes, o.name) for o in problem.operands]
    n_bytes, name = max(sizes)
    return CompileError(
        "the target is too small for this group",
        problem.name,
        f"the smallest tile needs {spm_bytes(problem, smallest, target)} bytes of SPM, "
        f"{n_bytes} of them for tensor {name}",
        f"{target.spm.capacity_bytes} bytes of SPM, {target.acc.capacity_bytes} of ACC "
        f"({target.name})",
        "take a larger target (npuc targets) or a smaller layer",
    )
