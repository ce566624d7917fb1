"""Choice of a tiling: exhaustive evaluation of the cost formulas over a bounded candidate set.

Fewest overlapped cycles first; among those within 2 % of them, the least DRAM traffic, for the
final choice of equal traffic the fewest tiles, or what else is preferred; then the first in
enumeration order, so that the choice is deterministic. Problems are solved once per target. Where
it is known what else is in SPM, tilings whose queues get in each other's way at DRAM are left out
before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import isqrt
from typing import Literal

import numpy as np
import numpy.typing as npt

from npuc.compiler.dialects.tile_structure import MAX_LOOP_NEST
from npuc.compiler.schedule.estimate import Engines, Estimate, Estimates
from npuc.compiler.schedule.grid import Grid, without_homes
from npuc.compiler.schedule.problem import K_DIMS, N_DIM, PARALLEL, GroupProblem, Operand
from npuc.compiler.schedule.tiling import (
    OUTER_M,
    OUTER_N,
    Candidates,
    Ints,
    Tiling,
    single_step_dims,
    slot_bytes,
    spm_bytes,
    take_tiles,
    total_acc_bytes,
    total_spm_bytes,
)
from npuc.isa.errors import CompileError
from npuc.isa.target import Target

CYCLE_TOLERANCE = 0.02
CROWD_TOLERANCE = 0.06
ALL_CHOICES = 8  # sizes of a dimension: so many are all tried
SOME_CHOICES = 6  # of more than that
MAX_RAGGED_DIMS = 4
Preference = Literal[
    "little traffic", "few tiles", "many tiles", "fewest cycles", "fewest cycles alone"
]
Figure = Literal["overlapped_cycles", "crowded_cycles"]
_FIGURES: dict[bool, tuple[Figure, float]] = {  # what decides first, and its tolerance
    False: ("overlapped_cycles", CYCLE_TOLERANCE),
    True: ("crowded_cycles", CROWD_TOLERANCE),
}
PROBES = 16  # candidates whose true cost limits the bounds


@dataclass(frozen=True)
class SearchOptions:
    """What the search may use: buffers of two slots, and whether cost decides at all.

    Without ``by_cost`` the largest tile that fits is taken (optimisation level 0). ``spm_bytes``
    and ``acc_bytes`` limit the rings of the group, where other buffers take the rest.
    ``uncrowded``: only tilings whose crowded cycles are within 6 % of the fewest. Of tilings that
    cost about the same the one is taken that is at place ``rank`` by what it ``prefers``.
    ``three_slots``: rings of two slots get a third where it fits; the closed form knows no gain.
    """

    double_buffer: bool = True
    by_cost: bool = True
    spm_bytes: int | None = None
    acc_bytes: int | None = None
    uncrowded: bool = False
    prefers: Preference = "little traffic"
    rank: int = 0
    three_slots: bool = False

    def limits(self, target: Target) -> tuple[int, int]:
        """Bytes of SPM and ACC that the rings of one group may take."""
        spm = target.spm.capacity_bytes if self.spm_bytes is None else self.spm_bytes
        acc = target.acc.capacity_bytes if self.acc_bytes is None else self.acc_bytes
        return spm, acc


@dataclass(frozen=True)
class Choice:
    """The tiling chosen and what the closed form expects of it."""

    tiling: Tiling
    estimate: Estimate
    considered: int


class _Space:
    """All candidates of a problem that fit the target, numbered by loop order, depth and tile.

    ``bounds`` are figures that a candidate cannot be below, quick because they take one cycle for a
    row of A; ``spm`` and ``acc`` the bytes it takes. Most searches of one problem ask for the true
    costs of the same few.
    """

    def __init__(self, problem: GroupProblem, target: Target, double_buffer: bool) -> None:
        grid = _grid(without_homes(problem), target)
        orders = (OUTER_M, OUTER_N) if problem.contraction else (OUTER_M,)
        depths = _depths(problem, double_buffer)
        once, refilled = grid.rings(problem)
        self._rows = rows = np.flatnonzero(once + refilled <= target.spm.capacity_bytes)
        self.tiles, once, refilled = take_tiles(grid.tiles, rows), once[rows], refilled[rows]
        costs = grid.costs(problem).take(rows)
        moves = any(not operand.is_resident for operand in problem.operands)
        each = [Engines.of(problem, target, o, costs) for o in (orders if moves else orders[:1])]
        engines = each * (len(orders) // len(each))  # the order counts only where tiles move
        self.families = [Candidates(self.tiles, o, *d) for o, d in product(orders, depths)]
        self._engines, self._depths = Engines.joined(engines), np.array(depths)
        depth, acc_depth = self._depths.T[..., None]  # by order, depth and tile
        bounds = self._engines.shaped(len(orders), 1).estimates(costs.mma, depth, acc_depth)
        self.bounds: dict[Figure, Ints] = {
            "overlapped_cycles": bounds.overlapped_cycles.ravel(),
            "crowded_cycles": bounds.crowded_cycles.ravel(),
        }
        acc = {d: total_acc_bytes(problem, Candidates(self.tiles, OUTER_M, 1, d)) for d in (1, 2)}
        self.spm = np.tile((once + refilled * depth).ravel(), len(orders))
        self.acc = np.concatenate([acc[f.acc_depth] for f in self.families])
        self._products = grid.products(problem)

    def within(self, limits: tuple[int, int]) -> Ints:
        """The candidates that fit bytes of SPM and ACC."""
        return np.flatnonzero((self.spm <= limits[0]) & (self.acc <= limits[1]))

    def estimates(self, candidates: Ints) -> Estimates:
        """True costs of ``candidates``."""
        family, row = np.divmod(candidates, len(self.tiles))
        order, number = np.divmod(family, len(self._depths))
        engines = self._engines.take(order * len(self.tiles) + row)
        depth, acc_depth = self._depths[number].T
        return engines.estimates(self._products.true(self._rows[row]), depth, acc_depth)

    def tiling(self, candidate: int) -> Tiling:
        """The tiling that ``candidate`` numbers."""
        family, row = divmod(candidate, len(self.tiles))
        return self.families[family].tiling(row)


def _depths(problem: GroupProblem, double_buffer: bool) -> tuple[tuple[int, int], ...]:
    """Slots of buffers and of the accumulator that the search tries."""
    if not double_buffer:
        return ((1, 1),)
    return ((2, 2), (2, 1), (1, 1)) if problem.contraction is not None else ((2, 2), (1, 1))


def choose_tiling(problem: GroupProblem, target: Target, options: SearchOptions) -> Choice:
    """The best tiling of ``problem`` on ``target``.

    Raises: CompileError naming group, tensor and bytes when even the smallest tile does not fit.
    """
    return search_tilings(without_origin(problem), target, options)


def without_params(problem: GroupProblem) -> GroupProblem:
    """``problem`` without the values that its kernel takes: no cost depends on them."""
    return replace(problem, vector=problem.vector.without_params)


def without_origin(problem: GroupProblem) -> GroupProblem:
    """``problem`` without parameters and where its tiles and tensors begin."""
    problem = without_params(problem)
    return replace(problem, operands=tuple(map(_at_origin, problem.operands)))


def _at_origin(operand: Operand) -> Operand:
    forms = tuple(replace(f, constant=0) if f.constant else f for f in operand.forms)
    if operand.base or operand.fill or forms != operand.forms:
        return replace(operand, base=0, fill=0, forms=forms)
    return operand


@lru_cache(maxsize=4096)
def search_tilings(problem: GroupProblem, target: Target, options: SearchOptions) -> Choice:
    """``choose_tiling`` of a problem that begins at the origin of its tensors."""
    limits = options.limits(target)
    space = _space(problem, target, options.double_buffer)
    fitting = space.within(limits)
    if not len(fitting):
        raise _too_small(problem, target, _tiles(problem, target), limits)
    figure, tolerance = _FIGURES[options.uncrowded]
    if options.by_cost:
        finalists = _promising(space, fitting, figure, tolerance)
    else:
        finalists = _largest(space, fitting)
    costs = space.estimates(finalists)
    cycles = costs.overlapped_cycles
    near = np.arange(len(cycles))
    if options.by_cost and options.uncrowded:
        near = near[_near(costs.crowded_cycles, CROWD_TOLERANCE)]
    if options.by_cost:
        near = near[_near(cycles[near], CYCLE_TOLERANCE)]
    ranked = near[np.lexsort(tuple(key[near] for key in _keys(costs, options.prefers)))]
    best = int(ranked[min(options.rank, len(ranked) - 1)])
    tiling = space.tiling(int(finalists[best]))
    if options.three_slots and tiling.depth == 2:
        deeper = replace(tiling, depth=3)
        tiling = deeper if spm_bytes(problem, deeper, target) <= limits[0] else tiling
    return Choice(tiling, costs.row(best), len(fitting))


def _keys(costs: Estimates, prefers: Preference) -> tuple[Ints, ...]:
    """What orders tilings that cost about the same, the last key first."""
    cycles, dram_bytes, tiles = costs.overlapped_cycles, costs.dram_bytes, costs.n_tiles
    if prefers == "few tiles":
        return cycles, tiles, dram_bytes
    if prefers == "many tiles":
        return cycles, -tiles, dram_bytes
    if prefers == "fewest cycles":
        return dram_bytes, cycles
    if prefers == "fewest cycles alone":
        return dram_bytes, costs.cycles
    return cycles, dram_bytes


def narrowest(
    problem: GroupProblem, target: Target, choices: Sequence[SearchOptions], most_cycles: float
) -> SearchOptions | None:
    """The first of ``choices`` with which some tiling takes no more than ``most_cycles``, or None.

    Each of them must limit SPM less than the one before, and not differ otherwise.
    """
    space = _space(without_origin(problem), target, choices[0].double_buffer)
    seen = space.bounds["overlapped_cycles"] > most_cycles  # or too slow even by its bound
    for options in choices:
        fitting = space.within(options.limits(target))
        candidates = fitting[~seen[fitting]]
        if len(candidates) and space.estimates(candidates).overlapped_cycles.min() <= most_cycles:
            return options
        seen[candidates] = True
    return None


_space = lru_cache(maxsize=256)(_Space)


@lru_cache(maxsize=256)
def _grid(problem: GroupProblem, target: Target) -> Grid:
    """The tiles that suit machine and accumulator, whatever is in SPM."""
    tiles = _tiles(problem, target)
    tiles = take_tiles(tiles, _suits_machine(problem, tiles))
    acc_bytes = total_acc_bytes(problem, Candidates(tiles, OUTER_M, 1, 1))
    return Grid(target, take_tiles(tiles, acc_bytes <= target.acc.capacity_bytes))


def _near(cycles: Ints, tolerance: float) -> npt.NDArray[np.bool_]:
    """Which are within the tolerance of the fewest."""
    result: npt.NDArray[np.bool_] = cycles <= int(cycles.min()) * (1 + tolerance)
    return result


def _promising(space: _Space, fitting: Ints, figure: Figure, tolerance: float) -> Ints:
    """The candidates that may be within the tolerance: bounds are quick, true costs are slow.

    The true costs of a few candidates with the lowest bounds tell which bounds are too high, so
    that no candidate within the tolerance is lost.
    """
    bounds = space.bounds[figure][fitting]
    fewest = int(getattr(space.estimates(_lowest(bounds, fitting)), figure).min())
    return fitting[bounds <= fewest * (1 + tolerance)]


def _lowest(bounds: Ints, candidates: Ints) -> Ints:
    """A few of the ``candidates``: those with the lowest ``bounds``."""
    low = np.arange(len(bounds))
    if len(bounds) > PROBES:
        low = np.flatnonzero(bounds <= np.partition(bounds, PROBES)[PROBES])
    return candidates[low[np.argsort(bounds[low], kind="stable")[:PROBES]]]


def _largest(space: _Space, fitting: Ints) -> Ints:
    """The candidates with the most points per tile."""
    volumes = space.tiles.prod(axis=1)[fitting % len(space.tiles)]
    result: Ints = fitting[volumes == volumes.max()]
    return result


def _suits_machine(problem: GroupProblem, tiles: Ints) -> npt.NDArray[np.bool_]:
    """Which tiles a view can name the true extents of, and make no deeper nest than allowed."""
    ragged, loops = np.zeros((2, len(tiles)), np.int64)
    for dim, extent in enumerate(problem.extents):
        if extent > 1:
            ragged += extent % tiles[:, dim] != 0
            loops += tiles[:, dim] < extent
    result: npt.NDArray[np.bool_] = (ragged <= MAX_RAGGED_DIMS) & (loops <= MAX_LOOP_NEST)
    return result


def _tiles(problem: GroupProblem, target: Target) -> Ints:
    """Every tile of the search, (n, 7): sizes per dimension, largest first.

    All sizes of one dimension lie side by side: that is how costs are computed.
    """
    granules = [1] * len(problem.extents)
    if problem.contraction is not None:
        granules[N_DIM] = target.mxu.cols
        granules[K_DIMS[2]] = target.mxu.rows
    elif problem.extents[N_DIM] > 1:
        granules[N_DIM] = target.vpu.lanes
    single = single_step_dims(problem)
    sizes = [
        (1,) if d in single else _sizes(problem.extents[d], granules[d]) for d in range(PARALLEL)
    ]
    cuts = np.array(_reduction_tiles(problem, granules), np.int64)
    grid = np.meshgrid(*map(np.array, sizes), np.arange(len(cuts)), indexing="ij")
    flat = [axis.reshape(-1) for axis in grid]
    return np.stack([*flat[:PARALLEL], *cuts.T[:, flat[PARALLEL]]]).T


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


@lru_cache(maxsize=1024)
def _sizes(extent: int, granule: int) -> tuple[int, ...]:
    """Distinct ceil(extent / parts), rounded up to the granule, largest first.

    Of many, a few are taken that grow evenly; with them the granule times powers of two, because
    those fill whole bursts.
    """
    sizes = set()
    for size in _quotients(extent):
        whole = -(-size // granule) * granule
        sizes.add(min(extent, whole) if size > granule else size)
    ordered = sorted(sizes, reverse=True)
    if len(ordered) <= ALL_CHOICES:
        return tuple(ordered)
    picks = np.geomspace(1, len(ordered), SOME_CHOICES).round().astype(int) - 1
    chosen = {ordered[i] for i in picks.tolist()}
    if granule > 1:
        chosen |= {granule << shift for shift in range((extent // granule).bit_length())}
    return tuple(sorted(chosen, reverse=True))


def _quotients(extent: int) -> set[int]:
    """All values of ceil(extent / parts), from about 2 sqrt(extent) divisions."""
    few = range(1, isqrt(extent) + 2)
    quotients = {-(-extent // parts) for parts in few}
    return quotients | {-(-extent // -(-extent // size)) for size in few}


def _too_small(
    problem: GroupProblem, target: Target, tiles: Ints, limits: tuple[int, int]
) -> CompileError:
    needed = total_spm_bytes(problem, Candidates(tiles, OUTER_M, 1, 1), target)
    smallest = tuple(int(t) for t in tiles[int(needed.argmin())])
    n_bytes, name = max((slot_bytes(o, smallest, target), o.name) for o in problem.operands)
    return CompileError(
        "the target is too small for this group",
        problem.name,
        f"the smallest tile needs {needed.min()} bytes of SPM, {n_bytes} of them for tensor {name}",
        f"{limits[0]} bytes of SPM, {limits[1]} of ACC ({target.name})",
        "take a larger target (npuc targets) or a smaller layer",
    )
