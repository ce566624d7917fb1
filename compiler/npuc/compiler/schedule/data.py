"""The schedule as data: what was decided per group, as JSON that can be edited and replayed.

Groups are keyed by their ONNX node names and a hash of the problem's shapes. A file may hold
fewer groups than the model (the rest is searched) and stale ones (a remark each).
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from math import prod

from npuc.compiler.dialects.tile_structure import MAX_LOOP_NEST
from npuc.compiler.schedule.problem import DIM_NAMES, K_DIMS, M_DIMS, N_DIM, PARALLEL, GroupProblem
from npuc.compiler.schedule.tiling import (
    ACC_WORD_BYTES,
    Tiling,
    acc_bytes,
    single_step_dims,
    spm_bytes,
)
from npuc.isa.cost import Product
from npuc.isa.errors import CompileError
from npuc.isa.target import Target

VERSION = 1
MAX_DEPTH = 3
_FIELDS = ("nodes", "shape", "tile", "order", "depth", "acc_depth")
_NOTES = ("product",)  # written for readers; never read back


@dataclass(frozen=True)
class GroupSchedule:
    """The decision for one group. ``product``: its matrix product as a whole, for readers."""

    nodes: tuple[str, ...]
    shape: str
    tiling: Tiling
    product: Product | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Schedule:
    """Decisions for some or all groups of a model."""

    groups: tuple[GroupSchedule, ...] = ()

    def find(self, nodes: tuple[str, ...], shape: str) -> GroupSchedule | None:
        """The decision for the group with these nodes and shapes, if the schedule has one."""
        return next((g for g in self.groups if g.nodes == nodes and g.shape == shape), None)

    def to_json(self) -> str:
        """The schedule as JSON text, one group per line, that ``parse_schedule`` reads."""
        lines = [json.dumps(_group_to_dict(g)) for g in self.groups]
        body = ",\n  ".join(lines)
        return f'{{"version": {VERSION}, "groups": [\n  {body}\n]}}\n'


def product_of(problem: GroupProblem) -> Product | None:
    """The matrix product of a group; one for each W where W differs along a row dimension."""
    if problem.contraction is None:
        return None
    batched = single_step_dims(problem)
    rows = [problem.extents[d] for d in M_DIMS if d not in batched]
    return Product(
        prod(rows),
        prod(problem.extents[d] for d in K_DIMS),
        problem.extents[N_DIM],
        prod(problem.extents[d] for d in batched),
    )


def shape_hash(problem: GroupProblem) -> str:
    """Twelve hex digits over everything of the problem that a tiling depends on."""
    facts: list[object] = [problem.extents, problem.contraction, problem.vector.kernel]
    facts += [problem.vector.inputs, problem.vector.outputs]
    facts += [(o.dtype.name, o.shape, o.forms, o.queue) for o in problem.operands]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


def parse_schedule(text: str, origin: str) -> Schedule:
    """The schedule in JSON ``text``; ``origin`` names it in messages.

    Raises: CompileError naming entry and field.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:  # numbers too long, lists too deep
        raise CompileError(
            "the schedule is not JSON",
            origin,
            str(error),
            next_step="npuc compile --dump-schedule writes one to start from",
        ) from error
    if not isinstance(data, dict) or not _is_version(data.get("version")):
        given = data.get("version") if isinstance(data, dict) else type(data).__name__
        raise CompileError(
            "the schedule is of another version",
            origin,
            str(given),
            str(VERSION),
            "dump a new one with npuc compile --dump-schedule",
        )
    groups = data.get("groups")
    if not isinstance(groups, list):
        raise CompileError("the schedule has no list of groups", origin, allowed='"groups": [...]')
    return Schedule(tuple(_parse_group(g, f"{origin}, group {i}") for i, g in enumerate(groups)))


def _is_version(value: object) -> bool:
    return type(value) is int and value == VERSION


def check_tiling(problem: GroupProblem, tiling: Tiling, target: Target, where: str) -> None:
    """Raise CompileError unless ``tiling`` is legal for ``problem`` and fits ``target``."""
    for dim, (tile, extent) in enumerate(zip(tiling.tile, problem.extents, strict=True)):
        if not 1 <= tile <= extent:
            raise _illegal(where, f"tile.{DIM_NAMES[dim]}", tile, f"1 to {extent}")
        if tile > 1 and dim in single_step_dims(problem):
            allowed = "1, because W depends on this dimension"
            raise _illegal(where, f"tile.{DIM_NAMES[dim]}", tile, allowed)
    if not _is_reduction_cut_legal(problem, tiling):
        raise _illegal(
            where,
            "tile.k0, k1, k2",
            [tiling.tile[d] for d in K_DIMS],
            "a cut of k1 needs k0 = 1, a cut of k2 needs k0 = k1 = 1; "
            "vector reductions are not cut",
        )
    loops = sum(trips > 1 for trips in tiling.trips(problem))
    if loops > MAX_LOOP_NEST:
        raise _illegal(where, "tile", f"{loops} dimensions cut", f"at most {MAX_LOOP_NEST}")
    _check_capacity(problem, tiling, target, where)


def _check_capacity(problem: GroupProblem, tiling: Tiling, target: Target, where: str) -> None:
    used = spm_bytes(problem, tiling, target)
    if used > target.spm.capacity_bytes:
        raise _illegal(
            where,
            "tile and depth",
            f"{used} bytes of SPM",
            f"{target.spm.capacity_bytes} bytes ({target.name})",
        )
    acc = acc_bytes(problem, tiling)
    if acc > target.acc.capacity_bytes:
        raise _illegal(
            where,
            "tile and acc_depth",
            f"{acc} bytes of ACC",
            f"{target.acc.capacity_bytes} bytes, {ACC_WORD_BYTES} per output",
        )


def _is_reduction_cut_legal(problem: GroupProblem, tiling: Tiling) -> bool:
    full = [problem.extents[d] for d in K_DIMS]
    cut = [tiling.tile[d] for d in K_DIMS]
    if problem.contraction is None:
        return cut == full
    if cut[1] < full[1] and cut[0] != 1:
        return False
    return not (cut[2] < full[2] and cut[:2] != [1, 1])


def _illegal(where: str, field: str, given: object, allowed: str) -> CompileError:
    return CompileError(
        "the schedule does not fit the model or target",
        f"{where}, {field}",
        str(given),
        allowed,
        "mend the field or drop the group from the file",
    )


def _group_to_dict(group: GroupSchedule) -> dict[str, object]:
    tiling, product = group.tiling, group.product
    return {
        "nodes": list(group.nodes),
        "shape": group.shape,
        **({} if product is None else {"product": asdict(product)}),
        "tile": dict(zip(DIM_NAMES, tiling.tile, strict=True)),
        "order": [DIM_NAMES[d] for d in tiling.order],
        "depth": tiling.depth,
        "acc_depth": tiling.acc_depth,
    }


def _parse_group(data: object, where: str) -> GroupSchedule:
    if not isinstance(data, dict) or set(data) - set(_NOTES) != set(_FIELDS):
        given = sorted(data) if isinstance(data, dict) else type(data).__name__
        raise CompileError(
            "a group of the schedule has other fields", where, str(given), ", ".join(_FIELDS)
        )
    nodes, tile, order = data["nodes"], data["tile"], data["order"]
    if not isinstance(nodes, list) or not all(isinstance(n, str) for n in nodes):
        raise _illegal(where, "nodes", nodes, "a list of node names")
    if not isinstance(data["shape"], str):
        raise _illegal(where, "shape", data["shape"], "the hash of the group's shapes, as text")
    if not isinstance(tile, dict) or set(tile) != set(DIM_NAMES):
        raise _illegal(where, "tile", tile, "one number for each of " + ", ".join(DIM_NAMES))
    names = list(DIM_NAMES[:PARALLEL])
    if not isinstance(order, list) or sorted(map(str, order)) != sorted(names):
        raise _illegal(where, "order", order, "a permutation of " + ", ".join(names))
    tiling = Tiling(
        tuple(_integer(tile[n], where, f"tile.{n}") for n in DIM_NAMES),
        tuple(DIM_NAMES.index(n) for n in order),
        _depth(data["depth"], where, "depth"),
        _depth(data["acc_depth"], where, "acc_depth"),
    )
    return GroupSchedule(tuple(nodes), data["shape"], tiling)


def _integer(value: object, where: str, field: str) -> int:
    if type(value) is not int:
        raise _illegal(where, field, value, "a whole number")
    return value


def _depth(value: object, where: str, field: str) -> int:
    depth = _integer(value, where, field)
    if not 1 <= depth <= MAX_DEPTH:
        raise _illegal(where, field, depth, f"1 to {MAX_DEPTH}")
    return depth
