"""Commands as records of words that compiled kernels carry out.

What many commands share (views, kernels, maps) becomes a row of a table; the rest, a record. A
command that no kernel can do gets none, and the way of NumPy serves.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from math import prod
from typing import Any

import numpy as np

from npuc.emulator.functional.compiled import matrix, transfer, vector
from npuc.emulator.functional.compiled.geometry import Int64s
from npuc.emulator.functional.compiled.leaves import leaves
from npuc.emulator.functional.compiled.operands import operand_words, place_words
from npuc.emulator.functional.compiled.reductions import SEQUENTIAL
from npuc.emulator.functional.compiled.rows import LOADS
from npuc.emulator.functional.compiled.vector_plan import VectorPlan, plan_vector
from npuc.emulator.functional.gather import is_plain_store, steps_apart
from npuc.emulator.functional.overlap import reads_before_writes
from npuc.emulator.region import DmaWork, MmaWork, VexecWork, Work
from npuc.isa.descriptors import Segment, TensorMap
from npuc.isa.descriptors import Table as LookUp
from npuc.isa.dtypes import DType

MOST_VALUES = 1 << 25  # of 32 bits that a kernel may need aside: 128 MiB
MOST_PER_POINT = 1 << 16
_ACROSS_POINTS = 16  # below, elements side by side serve better
_LEAST_CHANNELS = 8  # below, a row of taps is not worth its call


class Kind(Enum):
    """Which kernel carries a record out."""

    load = 0
    store = 1
    matrix = 2
    vector = 3


@dataclass(frozen=True)
class Record:
    """One command. ``scratch`` and ``kept`` count the 32-bit values its kernel needs aside."""

    kind: Kind
    words: tuple[int, ...]
    segment: Segment | None = None
    scratch: int = 0
    kept: int = 0


@dataclass
class Rows:
    """Rows of words by the identity of what they stand for, which they keep alive."""

    width: int
    _numbers: dict[tuple[int, ...], int] = field(default_factory=dict)
    _alive: list[tuple[object, ...]] = field(default_factory=list)
    _rows: list[Int64s] = field(default_factory=list)
    _packed: Int64s | None = None

    def number(self, of: tuple[object, ...], make: Callable[[], Int64s]) -> int:
        """The row of some descriptors, made at its first use."""
        key = tuple(map(id, of))
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self._rows)
            self._alive.append(of)
            self._rows.append(make())
            self._packed = None
        return found

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self._rows)

    @property
    def array(self) -> Int64s:
        """All rows."""
        if self._packed is None:
            self._packed = np.array(self._rows, np.int64).reshape(-1, self.width)
        return self._packed


class Encoder:
    """Makes records; the tables to which they refer are the encoder's."""

    def __init__(self) -> None:
        self.maps = Rows(transfer.MAP_WORDS)
        self.matrices = Rows(matrix.STATIC_WORDS)
        self.vectors = Rows(vector.STATIC_WORDS)
        self._plans: dict[tuple[int, ...], tuple[VectorPlan | None, tuple[object, ...]]] = {}
        self._tables: dict[int, tuple[LookUp, Any]] = {}

    @property
    def size(self) -> int:
        """Rows of all tables: while it stays, records suit the tables as they are."""
        return self.maps.count + self.matrices.count + self.vectors.count

    def record(self, work: Work) -> Record | None:
        """The record of a command, or None."""
        if isinstance(work, VexecWork):
            return self._vector(work)
        if isinstance(work, MmaWork):
            return self._matrix(work)
        return self._transfer(work) if isinstance(work, DmaWork) else None

    def _transfer(self, work: DmaWork) -> Record | None:
        tensor = work.map
        strides = tensor.spm_strides if work.is_load else tensor.dram_strides
        is_simple = steps_apart(tensor.box, strides, tensor.dtype.bytes)
        if work.cores or not is_simple or 0 in tensor.box:
            return None
        number = self.maps.number((tensor,), lambda: _map_words(tensor))
        pad = (0,) * (transfer.AXES - len(work.corner))
        words = (number, work.address, *pad, *work.corner)
        return Record(Kind.load if work.is_load else Kind.store, words, tensor.segment)

    def _matrix(self, work: MmaWork) -> Record | None:
        a, w, acc = work.a.view, work.w.view, work.acc.view
        m, k, n = work.acc.extents[:3], work.w.extents[:3], work.acc.extents[3]
        rows, depth = prod(m), prod(k)
        if a.dtype is not DType.i8 or w.dtype is not DType.i8 or w.windows:
            return None
        if rows * depth * n == 0 or not is_plain_store(work.acc) or min(w.strides) < 0:
            return None
        chunk = max(matrix.BLOCK_ROWS, matrix.BLOCK_VALUES // max(depth, n))
        scratch, kept = min(rows, chunk) * (depth + n), depth * n
        if max(scratch, kept) > MOST_VALUES:
            return None
        number = self.matrices.number((a, w, acc), lambda: _matrix_words(work))
        places = (*place_words(work.a), *place_words(work.w), *place_words(work.acc))
        words = (number, int(work.accumulate), *m, *k, n, *places)
        return Record(Kind.matrix, words, scratch=scratch, kept=kept)

    def _vector(self, work: VexecWork) -> Record | None:
        if work.part or not all(is_plain_store(region) for region in work.outputs):
            return None
        views = [region.view for region in (*work.inputs, *work.outputs)]
        of = (work.kernel, *views, *work.tables)
        plan = self._plan(work, of)
        per_point = prod(work.space[vector.PARALLEL :])
        if plan is None or not 0 < per_point <= MOST_PER_POINT or not _is_aligned(work):
            return None
        if not reads_before_writes(work):
            return None
        number = self.vectors.number(of, lambda: plan.words)
        way = _way(work, plan, per_point)
        places = [(0, 0, 0)] * vector.OPERANDS
        for position, region in enumerate(work.inputs):
            places[position] = place_words(region)
        for position, region in enumerate(work.outputs):
            places[vector.STREAMS + position] = place_words(region)
        flat = tuple(word for place in places for word in place)
        words = (number, way, *work.words, *work.space, *flat)
        aside = per_point if way == vector.FLAT and not plan.is_elementwise else 1
        return Record(Kind.vector, words, scratch=aside)

    def _plan(self, work: VexecWork, of: tuple[object, ...]) -> VectorPlan | None:
        key = tuple(map(id, of))
        if key not in self._plans:
            tables = tuple(self._table(table) for table in work.tables)
            self._plans[key] = plan_vector(work, leaves().address, tables), of
        return self._plans[key][0]

    def _table(self, table: LookUp) -> int:
        if id(table) not in self._tables:
            self._tables[id(table)] = table, table.array
        return int(self._tables[id(table)][1].ctypes.data)


def _map_words(tensor: TensorMap) -> Int64s:
    pad = transfer.AXES - len(tensor.box)
    words = [tensor.dtype.bytes, tensor.base, tensor.fill]
    words += [1] * pad + list(tensor.box) + [1] * pad + list(tensor.extents)
    words += [0] * pad + list(tensor.spm_strides) + [0] * pad + list(tensor.dram_strides)
    return np.array(words, np.uint64).astype(np.int64) if min(words) >= 0 else np.array(words)


def _matrix_words(work: MmaWork) -> Int64s:
    load = leaves().address(LOADS[DType.i8, "f"])
    return np.concatenate([
        operand_words(work.a.view, range(6), load, "f"),
        operand_words(work.w.view, range(3, 7), load, "f"),
        operand_words(work.acc.view, (0, 1, 2, 6), 0, "i"),
    ])  # fmt: skip


def _is_aligned(work: VexecWork) -> bool:
    return all(r.address % r.view.dtype.bytes == 0 for r in (*work.inputs, *work.outputs))


def _way(work: VexecWork, plan: VectorPlan, per_point: int) -> int:
    """Which way leads soonest through the space; NOTE: a strip of taps holds a whole pixel."""
    channels = work.space[vector.PARALLEL - 1]
    if plan.takes_taps and _LEAST_CHANNELS <= channels <= vector.STRIP:
        return vector.TAPS
    is_across = not plan.is_elementwise and _goes_across(work, plan, per_point)
    return vector.ACROSS if is_across else vector.FLAT


def _goes_across(work: VexecWork, plan: VectorPlan, per_point: int) -> bool:
    """Whether points lie closer to one another than elements of a reduction do."""
    if not plan.goes_across or prod(work.space[: vector.PARALLEL]) < _ACROSS_POINTS:
        return False
    if per_point > SEQUENTIAL and plan.ordered > vector.LANE_SETS:
        return False
    return _last_stride(work, 0, vector.PARALLEL) <= _last_stride(work, vector.PARALLEL, 7)


def _last_stride(work: VexecWork, start: int, stop: int) -> int:
    """Bytes between neighbours along the innermost of some axes that has any, in any stream."""
    for axis in range(stop - 1, start - 1, -1):
        if work.space[axis] > 1:
            steps = [abs(r.view.strides[axis]) for r in work.inputs]
            return min((s for s in steps if s), default=0)
    return 1 << 62 if start else 0
