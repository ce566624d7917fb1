"""The schedule as data: what was decided, as JSON that can be edited and replayed.

It holds how cores share the work, the tensors that stay in SPM whole, the runs of groups that are
computed in stripes, and a tiling for every group or stripe of one. Groups are keyed by their ONNX
node names and a hash of the problem's shapes. A file may lack any part (that is searched) and hold
stale ones (a remark each).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from math import prod

from npuc.compiler.schedule.legal import illegal
from npuc.compiler.schedule.problem import DIM_NAMES, K_DIMS, M_DIMS, N_DIM, PARALLEL, GroupProblem
from npuc.compiler.schedule.split.division import Division
from npuc.compiler.schedule.tiling import Tiling, single_step_dims
from npuc.isa.cost import Product
from npuc.isa.errors import CompileError

VERSION = 2
MAX_DEPTH = 3
_PARTS = ("version", "division", "resident", "stripes", "groups")
_DIVISION_FIELDS = ("cores", "parts", "multicasts")
_FIELDS = ("nodes", "shape", "tile", "order", "depth", "acc_depth")
_RUN_FIELDS = ("first", "last", "stripes")
_RUN_OPTIONS = ("turns", "core", "recomputes", "occurrence")
_Said = tuple[str, tuple[int, ...], tuple[tuple[int, ...], ...], str]  # of an operand
_NOTES = ("product",)  # written for readers; never read back
_MEND = "mend the entry; npuc compile --dump-schedule writes the form"


@dataclass(frozen=True)
class GroupSchedule:
    """The decision for one group. ``product``: its matrix product as a whole, for readers."""

    nodes: tuple[str, ...]
    shape: str
    tiling: Tiling
    product: Product | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Resident:
    """A tensor that is in SPM whole. ``core``: on which alone; None: on all that touch it."""

    tensor: str
    core: int | None = None


@dataclass(frozen=True)
class RunSchedule:
    """Groups in stripes of rows: the nodes of the first and of the last group, and how many.

    ``turns``: in which order the groups, counted from the first, have their turn in every round;
    None: not decided, to be searched. ``core``: whose groups they are, where several share the
    work; None: those of every core. ``recomputes``: groups, counted from the first, that compute
    the rows which windows need again; the others' are copied. ``occurrence``: where several groups
    have the nodes of ``first``, which of them is meant, from 0; one that suits, where it is 0.
    """

    first: tuple[str, ...]
    last: tuple[str, ...]
    stripes: int
    turns: tuple[int, ...] | None = None
    core: int | None = None
    recomputes: tuple[int, ...] = ()
    occurrence: int = 0

    def beginnings(self, groups: Sequence[tuple[str, ...]]) -> list[int]:
        """Numbers of the groups, of which these are the nodes, that may be the first."""
        return [n for n, nodes in enumerate(groups) if nodes == self.first][self.occurrence :]


@dataclass(frozen=True)
class Schedule:
    """Decisions for a model: tilings of some or all groups, what stays in SPM, what is striped.

    ``division``: how cores share the work, where the target has several. None: of this, of
    ``resident`` and of ``stripes``: not decided, to be searched.
    """

    groups: tuple[GroupSchedule, ...] = ()
    resident: tuple[Resident, ...] | None = None
    stripes: tuple[RunSchedule, ...] | None = None
    division: Division | None = None

    def find(self, nodes: tuple[str, ...], shape: str) -> GroupSchedule | None:
        """The decision for the group with these nodes and shapes, if the schedule has one."""
        return next((g for g in self.groups if g.nodes == nodes and g.shape == shape), None)

    def to_json(self) -> str:
        """The schedule as JSON text, one decision per line, that ``parse_schedule`` reads."""
        parts = [f'"version": {VERSION}']
        if self.division is not None:
            parts.append(f'"division": {json.dumps(asdict(self.division))}')
        if self.resident is not None:
            entries = [r.tensor if r.core is None else asdict(r) for r in self.resident]
            parts.append(f'"resident": {_lines([json.dumps(entry) for entry in entries])}')
        if self.stripes is not None:
            parts.append(
                f'"stripes": {_lines([json.dumps(_run_to_dict(r)) for r in self.stripes])}'
            )
        parts.append(f'"groups": {_lines([json.dumps(_group_to_dict(g)) for g in self.groups])}')
        return "{" + ",\n ".join(parts) + "}\n"


def _run_to_dict(run: RunSchedule) -> dict[str, object]:
    said = asdict(run)
    return said if run.occurrence else {n: v for n, v in said.items() if n != "occurrence"}


def _lines(entries: Sequence[str]) -> str:
    return "[\n  " + ",\n  ".join(entries) + "\n ]" if entries else "[]"


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
    """Twelve hex digits over everything of the problem that a tiling depends on.

    Stripes of one size have one hash: where they begin is not part of it, nor where tensors lie.
    """
    operands = [
        (o.dtype.name, o.shape, tuple([f.coefficients for f in o.forms]), o.queue)
        for o in problem.operands
    ]
    work = problem.vector
    return _hash_of(
        (problem.extents, problem.contraction, work.kernel, work.inputs, work.outputs),
        tuple(operands),
    )


@lru_cache(maxsize=4096)
def _hash_of(work: tuple[object, ...], operands: tuple[_Said, ...]) -> str:
    """``shape_hash`` of a problem of which this is known."""
    texts = [(name, shape, list(forms), queue) for name, shape, forms, queue in operands]
    return hashlib.sha256(repr([*work, *texts]).encode()).hexdigest()[:12]


def parse_schedule(text: str, origin: str) -> Schedule:
    """The schedule in JSON ``text``; ``origin`` names it in messages.

    Raises: CompileError naming entry and field.
    """
    try:
        data = json.loads(text, object_pairs_hook=partial(_fields, origin))
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
    unknown = sorted(set(data) - set(_PARTS))
    if unknown:
        given, allowed = ", ".join(unknown), ", ".join(_PARTS)
        raise CompileError("the schedule has other parts", origin, given, allowed, _MEND)
    groups = data.get("groups")
    if not isinstance(groups, list):
        what, allowed = "the schedule has no list of groups", '"groups": [...]'
        raise CompileError(what, origin, allowed=allowed, next_step=_MEND)
    return Schedule(
        _parse_groups(groups, origin),
        _parse_resident(data.get("resident"), origin),
        _parse_stripes(data.get("stripes"), origin),
        _parse_division(data.get("division"), f"{origin}, division"),
    )


def _parse_division(data: object, where: str) -> Division | None:
    if data is None:
        return None
    if not isinstance(data, dict) or set(data) != set(_DIVISION_FIELDS):
        given = sorted(data) if isinstance(data, dict) else type(data).__name__
        what, allowed = "the division of the schedule has other fields", ", ".join(_DIVISION_FIELDS)
        raise CompileError(what, where, str(given), allowed, _MEND)
    cores, parts = (_integer(data[name], where, name) for name in ("cores", "parts"))
    for name, value in (("cores", cores), ("parts", parts)):
        if value < 1:
            raise _illegal(where, name, value, "1 or more")
    if not isinstance(data["multicasts"], bool):
        raise _illegal(where, "multicasts", data["multicasts"], "true or false")
    return Division(cores, parts, data["multicasts"])


def _fields(origin: str, pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """A JSON object. Raises: CompileError where a field stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = ", ".join(name for name in found if names.count(name) > 1)
        what = "a field of the schedule stands twice in one place"
        raise CompileError(what, origin, twice, "each field once", "leave one of them out")
    return found


def _illegal(where: str, name: str, value: object, allowed: str) -> CompileError:
    """``illegal`` with the value as the file has it."""
    return illegal(where, name, json.dumps(value, ensure_ascii=False), allowed)


def _parse_groups(data: Sequence[object], origin: str) -> tuple[GroupSchedule, ...]:
    groups = tuple(_parse_group(g, f"{origin}, group {i}") for i, g in enumerate(data))
    known: dict[tuple[tuple[str, ...], str], GroupSchedule] = {}
    for number, group in enumerate(groups):
        if known.setdefault((group.nodes, group.shape), group) != group:
            where, given = f"{origin}, group {number}", [list(group.nodes), group.shape]
            raise _illegal(where, "nodes and shape", given, "one tiling for each")
    return groups


def _parse_resident(data: object, origin: str) -> tuple[Resident, ...] | None:
    if data is None:
        return None
    allowed = 'a list of tensor names and of {"tensor": NAME, "core": N}'
    if not isinstance(data, list):
        raise _illegal(origin, "resident", data, allowed)
    found = []
    for number, entry in enumerate(data):
        where = f"{origin}, resident {number}"
        name = entry.get("tensor") if isinstance(entry, dict) else entry
        if not isinstance(name, str) or (name is not entry and set(entry) - {"core"} != {"tensor"}):
            raise _illegal(where, "tensor and core", entry, allowed)
        core = None if name is entry else entry.get("core")
        found.append(Resident(name, None if core is None else _core(core, where)))
    return tuple(found)


def _core(data: object, where: str) -> int:
    core = _integer(data, where, "core")
    if core < 0:
        raise _illegal(where, "core", core, "0 or more")
    return core


def _parse_stripes(data: object, origin: str) -> tuple[RunSchedule, ...] | None:
    if data is None:
        return None
    if not isinstance(data, list):
        raise _illegal(origin, "stripes", data, "a list of runs of groups")
    return tuple(_parse_run(run, f"{origin}, stripes {i}") for i, run in enumerate(data))


def _parse_run(data: object, where: str) -> RunSchedule:
    if not isinstance(data, dict) or set(data) - set(_RUN_OPTIONS) != set(_RUN_FIELDS):
        given = sorted(data) if isinstance(data, dict) else type(data).__name__
        allowed = f"{', '.join(_RUN_FIELDS)}, and perhaps {', '.join(_RUN_OPTIONS)}"
        what = "a run of the schedule has other fields"
        raise CompileError(what, where, str(given), allowed, _MEND)
    count = _integer(data["stripes"], where, "stripes")
    first, last = (_names(data[end], where, end) for end in ("first", "last"))
    if count < 2:
        raise _illegal(where, "stripes", count, "2 or more")
    core = None if data.get("core") is None else _core(data["core"], where)
    turns = _parse_turns(data.get("turns"), where)
    recomputes = _parse_numbers(data.get("recomputes", []), where)
    occurrence = _integer(data.get("occurrence", 0), where, "occurrence")
    if occurrence < 0:
        raise _illegal(where, "occurrence", occurrence, "0 or more")
    return RunSchedule(first, last, count, turns, core, recomputes, occurrence)


def _parse_numbers(data: object, where: str) -> tuple[int, ...]:
    if not isinstance(data, list):
        raise _illegal(where, "recomputes", data, "a list of numbers of groups")
    found = tuple(_integer(number, where, "recomputes") for number in data)
    if min(found, default=0) < 0 or len(set(found)) < len(found):
        raise _illegal(where, "recomputes", data, "different numbers of groups, from 0")
    return found


def _parse_turns(data: object, where: str) -> tuple[int, ...] | None:
    if data is None:
        return None
    if not isinstance(data, list) or sorted(map(str, data)) != sorted(map(str, range(len(data)))):
        raise _illegal(where, "turns", data, "a permutation of 0 to the number of groups less one")
    return tuple(_integer(turn, where, "turns") for turn in data)


def _names(value: object, where: str, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(n, str) for n in value):
        raise _illegal(where, name, value, "a list of node names")
    return tuple(value)


def _is_version(value: object) -> bool:
    return type(value) is int and value == VERSION


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
        allowed = f"{', '.join(_FIELDS)}, and perhaps {', '.join(_NOTES)}"
        what = "a group of the schedule has other fields"
        raise CompileError(what, where, str(given), allowed, _MEND)
    nodes, tile, order = data["nodes"], data["tile"], data["order"]
    names = _names(nodes, where, "nodes")
    if not isinstance(data["shape"], str):
        raise _illegal(where, "shape", data["shape"], "the hash of the group's shapes, as text")
    if not isinstance(tile, dict) or set(tile) != set(DIM_NAMES):
        raise _illegal(where, "tile", tile, "one number for each of " + ", ".join(DIM_NAMES))
    loops = list(DIM_NAMES[:PARALLEL])
    if not isinstance(order, list) or sorted(map(str, order)) != sorted(loops):
        raise _illegal(where, "order", order, "a permutation of " + ", ".join(loops))
    tiling = Tiling(
        tuple(_integer(tile[n], where, f"tile.{n}") for n in DIM_NAMES),
        tuple(DIM_NAMES.index(n) for n in order),
        _depth(data["depth"], where, "depth"),
        _depth(data["acc_depth"], where, "acc_depth"),
    )
    return GroupSchedule(names, data["shape"], tiling)


def _integer(value: object, where: str, field: str) -> int:
    if type(value) is not int:
        raise _illegal(where, field, value, "a whole number")
    return value


def _depth(value: object, where: str, field: str) -> int:
    depth = _integer(value, where, field)
    if not 1 <= depth <= MAX_DEPTH:
        raise _illegal(where, field, depth, f"1 to {MAX_DEPTH}")
    return depth
