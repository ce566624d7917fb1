"""Panels: a constant matrix stored as its tiles want it, columns of one tile side by side.

A tile of fewer columns than W has takes a piece of each of its rows; where a piece is no whole
number of bursts, the rest of each burst is fetched in vain. In panels the rows of a tile follow one
another. The last panel is as wide as the others, with zeros.

In a map the panels are an axis that counts columns: with P columns a panel has P x K elements, so
that column n0, the first of a tile, is at n0 x K.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np
import numpy.typing as npt

from npuc.compiler.analysis.layouts import packed
from npuc.compiler.schedule.problem import N_DIM, GroupProblem, Home, Operand
from npuc.compiler.schedule.program import Job, TensorFacts, tensor_bytes
from npuc.compiler.schedule.tiling import Tiling
from npuc.isa.descriptors import Segment, TensorMap
from npuc.isa.descriptors.tensor_map import MAX_RANK
from npuc.isa.target import Target

Array = npt.NDArray[np.generic]


def can_be_paneled(operand: Operand) -> bool:
    """Whether an operand is a row-major tensor from its first byte, its last axis alone being n."""
    *rows, last = operand.forms
    return (
        len(operand.shape) < MAX_RANK
        and operand.base == 0
        and operand.strides == packed(operand.shape, operand.dtype.bytes)
        and last.dims == {N_DIM}
        and (last.coefficients[N_DIM], last.constant) == (1, 0)
        and not any(N_DIM in form.dims for form in rows)
    )


def with_panels(jobs: Sequence[Job], tensors: Sequence[TensorFacts]) -> list[Job]:
    """The jobs; weights may be stored in panels that are a whole constant and read by no other."""
    readers = Counter(t for job in jobs for t in set(job.tensors))
    return [_with_panels(job, tensors, readers) for job in jobs]


def _with_panels(job: Job, tensors: Sequence[TensorFacts], readers: Mapping[int, int]) -> Job:
    parts = job.problem.contraction
    if parts is None:
        return job
    operands = list(job.problem.operands)
    w = operands[parts.w]
    number = job.tensor(w)
    is_own = readers[number] == job.inputs.count(number) == 1
    is_whole = tensors[number].n_bytes == tensor_bytes(w)
    if tensors[number].segment != "constant" or not (is_own and is_whole and can_be_paneled(w)):
        return job
    operands[parts.w] = replace(w, is_paneled=True)
    return replace(job, problem=replace(job.problem, operands=tuple(operands)))


def panel_columns(
    problem: GroupProblem, tiling: Tiling, operand: Operand, target: Target
) -> int | None:
    """Columns of a panel of ``operand``; None where it is stored row by row: nothing is gained."""
    columns = tiling.tile[N_DIM]
    if not operand.is_paneled or operand.home is not Home.dram:
        return None
    if (
        columns >= problem.extents[N_DIM]
        or columns * operand.dtype.bytes % target.dram.burst_bytes == 0
    ):
        return None
    return columns


def panel_map(operand: Operand, tile: tuple[int, ...], columns: int) -> TensorMap:
    """The map of a transfer of one tile: an axis of columns, then those of the operand."""
    rows, box = prod(operand.shape[:-1]), (*operand.box(tile)[:-1], columns)
    width = operand.dtype.bytes
    first_columns = _padded(operand.shape[-1], columns) - columns + 1
    return TensorMap(
        Segment.scratch,
        operand.dtype,
        0,
        (first_columns, *operand.shape[:-1], columns),
        (rows * width, *packed((*operand.shape[:-1], columns), width)),
        (1, *box),
        packed((1, *box), width),
    )


def in_panels(array: Array, columns: int) -> Array:
    """``array`` in panels of so many columns."""
    missing = _padded(array.shape[-1], columns) - array.shape[-1]
    padded = np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)])
    parts = padded.reshape(*array.shape[:-1], -1, columns)
    return np.ascontiguousarray(np.moveaxis(parts, -2, 0))


def _padded(n: int, columns: int) -> int:
    return -(-n // columns) * columns
