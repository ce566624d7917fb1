"""Whether a decision from a file is legal for a problem and fits the target."""

from npuc.compiler.dialects.tile_structure import MAX_LOOP_NEST
from npuc.compiler.schedule.problem import DIM_NAMES, K_DIMS, GroupProblem
from npuc.compiler.schedule.tiling import (
    ACC_WORD_BYTES,
    Tiling,
    acc_bytes,
    single_step_dims,
    spm_bytes,
)
from npuc.isa.errors import CompileError
from npuc.isa.target import Target

MISFIT = "the schedule does not fit the model or target"


def check_tiling(problem: GroupProblem, tiling: Tiling, target: Target, where: str) -> None:
    """Raise CompileError unless ``tiling`` is legal for ``problem`` and fits ``target``."""
    for dim, (tile, extent) in enumerate(zip(tiling.tile, problem.extents, strict=True)):
        if not 1 <= tile <= extent:
            raise illegal(where, f"tile.{DIM_NAMES[dim]}", tile, f"1 to {extent}")
        if tile > 1 and dim in single_step_dims(problem):
            allowed = "1, because W depends on this dimension"
            raise illegal(where, f"tile.{DIM_NAMES[dim]}", tile, allowed)
    if not _is_reduction_cut_legal(problem, tiling):
        raise illegal(
            where,
            "tile.k0, k1, k2",
            [tiling.tile[d] for d in K_DIMS],
            "a cut of k1 needs k0 = 1, a cut of k2 needs k0 = k1 = 1; "
            "vector reductions are not cut",
        )
    loops = sum(trips > 1 for trips in tiling.trips(problem))
    if loops > MAX_LOOP_NEST:
        raise illegal(where, "tile", f"{loops} dimensions cut", f"at most {MAX_LOOP_NEST}")
    check_capacity(problem, tiling, (target, target.spm.capacity_bytes), where)


def check_capacity(
    problem: GroupProblem, tiling: Tiling, memory: tuple[Target, int], where: str
) -> None:
    """Raise CompileError unless it fits ``memory``: the target and its free SPM bytes."""
    target, free = memory
    used = spm_bytes(problem, tiling, target)
    if used > free:
        stays = target.spm.capacity_bytes - free
        beside = f" beside the {stays} of tensors that stay" if stays else ""
        raise illegal(
            where,
            "tile and depth",
            f"{used} bytes of SPM",
            f"{free} bytes ({target.name}){beside}",
        )
    acc = acc_bytes(problem, tiling)
    if acc > target.acc.capacity_bytes:
        raise illegal(
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


def illegal(where: str, field: str, given: object, allowed: str) -> CompileError:
    """The error for ``field`` of the entry ``where``."""
    return CompileError(
        MISFIT,
        f"{where}, {field}",
        str(given),
        allowed,
        "mend the field or drop the group from the file",
    )
