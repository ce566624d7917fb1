"""Choice of a tiling: exhaustive evaluation of the cost formulas over a bounded candidate set.

Fewest overlapped cycles first; among those within 2 % of them, the least DRAM traffic; then
the first in enumeration order, so that the choice is deterministic. Problems are solved once per
target.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import isqrt

import numpy as np
import numpy.typing as npt

from npuc.compiler.dialects.tile_structure import MAX_LOOP_NEST
from npuc.compiler.schedule.estimate import (
    Estimate,
    Estimates,
    TileCosts,
    estimate_from,
    tile_costs,
)
from npuc.compiler.schedule.problem import K_DIMS, N_DIM, PARALLEL, GroupProblem
from npuc.compiler.schedule.tiling import (
    OUTER_M,
    OUTER_N,
    Candidates,
    Ints,
    Tiling,
    single_step_dims,
    slot_bytes,
    total_acc_bytes,
    total_spm_bytes,
)
from npuc.isa.errors import CompileError
from npuc.isa.target import Target

CYCLE_TOLERANCE = 0.02
CHOICES_PER_DIM = 8
MAX_RAGGED_DIMS = 4
PROBES = 8  # candidates per family whose true cost limits the bounds
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class SearchOptions:
    """What the search may use: buffers of two slots, and whether cost decides at all.

    Without ``by_cost`` the largest tile that fits is taken (optimisation level 0). ``spm_bytes``
    and ``acc_bytes`` limit the rings of the group, where other buffers take the rest.
    """

    double_buffer: bool = True
    by_cost: bool = True
    spm_bytes: int | None = None
    acc_bytes: int | None = None

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


@dataclass(frozen=True)
class _Family:
    """Candidates of one loop order and depth; ``rows`` number their tiles in the shared list.

    ``bounds`` are cycles that none of them can be below, ``spm`` and ``acc`` the bytes they take.
    """

    candidates: Candidates
    rows: Ints
    bounds: Ints
    spm: Ints
    acc: Ints

    def take(self, chosen: Ints | npt.NDArray[np.bool_]) -> "_Family":
        return _Family(
            self.candidates.take(chosen),
            self.rows[chosen],
            self.bounds[chosen],
            self.spm[chosen],
            self.acc[chosen],
        )

    def within(self, limits: tuple[int, int]) -> "_Family":
        """Those that fit bytes of SPM and ACC."""
        return self.take((self.spm <= limits[0]) & (self.acc <= limits[1]))


class _Space:
    """All candidates of a problem that fit the target, by loop order and depth.

    Bounds are quick and take one cycle for a row of A; true costs of tiles are slow, so that they
    are kept once computed: most searches of one problem ask for the same few.
    """

    def __init__(self, problem: GroupProblem, target: Target, double_buffer: bool) -> None:
        self.problem, self.target = problem, target
        self.tiles = self._fitting()
        shared = tile_costs(problem, target, self.tiles, row_cycles=1)
        orders = (OUTER_M, OUTER_N) if problem.contraction else (OUTER_M,)
        depths = (2, 1) if double_buffer else (1,)
        self.families = [self._family(o, d, shared) for o, d in product(orders, depths)]
        self._place = np.full(len(self.tiles), -1, np.int64)
        self._costs: TileCosts | None = None

    def estimates(self, families: list[_Family]) -> list[Estimates]:
        """True costs of the candidates of each family."""
        asked = np.unique(np.concatenate([f.rows for f in families]))
        new = asked[self._place[asked] < 0]
        if len(new):
            costs = tile_costs(self.problem, self.target, self.tiles[new])
            known = 0 if self._costs is None else len(self._costs.mma)
            self._place[new] = known + np.arange(len(new))
            self._costs = costs if self._costs is None else self._costs.joined(costs)
        assert self._costs is not None, "no search without candidates"
        return [
            estimate_from(
                self.problem, self.target, f.candidates, self._costs.take(self._place[f.rows])
            )
            for f in families
        ]

    def _fitting(self) -> Ints:
        problem, target = self.problem, self.target
        tiles = _tiles(problem, target)
        tiles = tiles[_suits_machine(problem, tiles)]
        one_slot = Candidates(tiles, OUTER_M, 1, 1)
        tiles = tiles[total_acc_bytes(problem, one_slot) <= target.acc.capacity_bytes]
        one_slot = Candidates(tiles, OUTER_M, 1, 1)
        return tiles[total_spm_bytes(problem, one_slot, target) <= target.spm.capacity_bytes]

    def _family(self, order: tuple[int, ...], depth: int, shared: TileCosts) -> _Family:
        candidates = Candidates(self.tiles, order, depth, depth)
        return _Family(
            candidates,
            np.arange(len(self.tiles)),
            estimate_from(self.problem, self.target, candidates, shared).overlapped_cycles,
            total_spm_bytes(self.problem, candidates, self.target),
            total_acc_bytes(self.problem, candidates),
        )


def choose_tiling(problem: GroupProblem, target: Target, options: SearchOptions) -> Choice:
    """The best tiling of ``problem`` on ``target``.

    Raises: CompileError naming group, tensor and bytes when even the smallest tile does not fit.
    """
    return search_tilings(without_origin(problem), target, options)


def without_origin(problem: GroupProblem) -> GroupProblem:
    """``problem`` without what costs do not depend on: where its tiles and tensors begin."""
    operands = tuple(
        replace(o, base=0, fill=0, forms=tuple(replace(f, constant=0) for f in o.forms))
        for o in problem.operands
    )
    return replace(problem, operands=operands)


@lru_cache(maxsize=4096)
def search_tilings(problem: GroupProblem, target: Target, options: SearchOptions) -> Choice:
    """``choose_tiling`` of a problem that begins at the origin of its tensors."""
    limits = options.limits(target)
    space = _space(problem, target, options.double_buffer)
    families = [family.within(limits) for family in space.families]
    considered = sum(len(f.rows) for f in families)
    if not considered:
        raise _too_small(problem, target, _tiles(problem, target), limits)
    narrow = _promising(space, families) if options.by_cost else _largest(families)
    finalists = [f for f in narrow if len(f.rows)]
    costs = space.estimates(finalists)
    cycles = np.concatenate([c.overlapped_cycles for c in costs])
    dram_bytes = np.concatenate([c.dram_bytes for c in costs])
    near = np.arange(len(cycles))
    if options.by_cost:
        near = np.flatnonzero(cycles <= _near(int(cycles.min())))
    best = int(near[np.lexsort((cycles[near], dram_bytes[near]))[0]])
    places = [(f, row) for f in range(len(finalists)) for row in range(len(finalists[f].rows))]
    family, row = places[best]
    return Choice(finalists[family].candidates.tiling(row), costs[family].row(row), considered)


_space = lru_cache(maxsize=256)(_Space)


def _near(fewest: int) -> float:
    return fewest * (1 + CYCLE_TOLERANCE)


def _promising(space: _Space, families: list[_Family]) -> list[_Family]:
    """The candidates that may be within the tolerance: bounds are quick, true costs are slow.

    The true costs of a few candidates with the lowest bounds tell which bounds are too high, so
    that no candidate within the tolerance is lost.
    """
    probes = [f.take(np.argsort(f.bounds, kind="stable")[:PROBES]) for f in families]
    fewest = min(int(e.overlapped_cycles.min(initial=_NEVER)) for e in space.estimates(probes))
    limit = _near(fewest)
    return [f.take(f.bounds <= limit) for f in families]


def _largest(families: list[_Family]) -> list[_Family]:
    """The candidates with the most points per tile."""
    volumes = [f.candidates.tiles.prod(axis=1) for f in families]
    largest = max(int(v.max(initial=0)) for v in volumes)
    return [f.take(v == largest) for f, v in zip(families, volumes, strict=True)]


def _suits_machine(problem: GroupProblem, tiles: Ints) -> npt.NDArray[np.bool_]:
    """Which tiles a view can name the true extents of, and make no deeper nest than allowed."""
    ragged = np.asarray(problem.extents) % tiles != 0
    loops = tiles < np.asarray(problem.extents)
    result: npt.NDArray[np.bool_] = ragged.sum(axis=1) <= MAX_RAGGED_DIMS
    result &= loops.sum(axis=1) <= MAX_LOOP_NEST
    return result


def _tiles(problem: GroupProblem, target: Target) -> Ints:
    """Every tile of the search, (n, 7): sizes per dimension, largest first."""
    granules = [1] * len(problem.extents)
    if problem.contraction is not None:
        granules[N_DIM] = target.mxu.cols
        granules[K_DIMS[2]] = target.mxu.rows
    elif problem.extents[N_DIM] > 1:
        granules[N_DIM] = target.vpu.lanes
    single = single_step_dims(problem)
    sizes = [
        [1] if d in single else _sizes(problem.extents[d], granules[d]) for d in range(PARALLEL)
    ]
    cuts = np.array(_reduction_tiles(problem, granules), np.int64)
    grid = np.meshgrid(*map(np.array, sizes), np.arange(len(cuts)), indexing="ij")
    flat = np.stack([axis.reshape(-1) for axis in grid], axis=1)
    return np.concatenate([flat[:, :PARALLEL], cuts[flat[:, PARALLEL]]], axis=1)


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
    """Distinct ceil(extent / parts), rounded up to the granule, largest first.

    Of many, a few are taken that grow evenly; with them the granule times powers of two, because
    those fill whole bursts.
    """
    sizes = set()
    for size in _quotients(extent):
        whole = -(-size // granule) * granule
        sizes.add(min(extent, whole) if size > granule else size)
    ordered = sorted(sizes, reverse=True)
    if len(ordered) <= CHOICES_PER_DIM:
        return ordered
    picks = np.geomspace(1, len(ordered), CHOICES_PER_DIM).round().astype(int) - 1
    chosen = {ordered[i] for i in picks.tolist()}
    if granule > 1:
        chosen |= {granule << shift for shift in range((extent // granule).bit_length())}
    return sorted(chosen, reverse=True)


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
