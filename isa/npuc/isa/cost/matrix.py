"""Cycles of ``mma``: folds over the array, weight loads, streaming rows, fill and drain.

Names: R x C array; a *fold* is what the array holds at once. The stationary side of a fold has up
to R x C elements; T vectors stream through it, one per *interval*.

Rules that hardware could also have otherwise; the Verilog of tests/rtl has them for ``ws`` and int8
and agrees in every cycle:

- *swap wave*: with a weight double buffer the order to change weights enters the array when a fold
  starts to stream, before its first row; the next fold's weights follow right behind it.
- *single buffer*: without one, weights change only while no row is inside the array.
- *one interval*: a command has one interval, that of its worst fold, for rows of A that start
  word-aligned (dense rows of fewer words than banks may start anywhere). A row is fetched during
  its interval and enters in the last cycle of it.
- *last addition*: the old sum is read a cycle ahead and added in the cycle of the row's last
  product; a row written in that cycle is forwarded. Folds of one row may follow one another.
- *ports of ACC*: ``acc.banks`` is how many rows ACC reads or writes in a cycle at any addresses. If
  banks were single-ported and chosen by address, a row stride of a whole number of banks would
  double the interval of accumulating folds; that is not modelled, nor is a row of W that meets a
  row of A in an SPM bank.
"""

from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from npuc.isa.cost.rounding import Int64s, Ints, ceil_div, int64s
from npuc.isa.dtypes import DType
from npuc.isa.target import Target

Float64s = npt.NDArray[np.float64]
ACC_ACCESSES_PER_ROW = 2  # read the old sums, write the new ones


class MmaOptions(TypedDict, total=False):
    """What else decides the cycles of an mma.

    ``dtype``: element type of A and W (default i8). ``row_cycles``: cycles to fetch one row of A
    for one fold, ``mma_row_access(...).cycles`` (default 1). ``transposed``: W's n dimension is
    not contiguous (default False).
    """

    dtype: DType
    row_cycles: Ints
    transposed: bool | npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RowAccess:
    """Fetching one row of A: the worst fold's ``cycles`` and the ``words`` of all k folds."""

    cycles: int
    words: int


def mma_cycles(target: Target, m: Ints, k: Ints, n: Ints, **options: Unpack[MmaOptions]) -> Int64s:
    """Cycles of one mma alone, at least 1; 1 where an extent is 0.

    ws: ceil(K/R) x ceil(N/C) folds, n outer, k inner, T = M. is: the same with M and N exchanged.
    Single fold: load + T x interval + R + C - 2. With a weight double buffer the next fold's
    load hides behind the current stream; with fold overlap the next stream follows at once,
    without it after the drain; without a double buffer the load starts after the drain.
    os: ceil(M/R) x ceil(N/C) folds, T = K, and the sums leave through the mesh, one row a cycle.
    interval = max(1 / MAC rate, row cycles, 2 / ACC banks), for os also the weight row's time.
    Only the rows that a fold uses are loaded; elements of b bytes load b times as long.
    Source: timing-and-energy.md, section 2 (SCALE-Sim v3 and the overlapped rule of ONNXim).
    """
    dtype = options.get("dtype", DType.i8)
    mxu = target.mxu
    plain, turned = (
        dtype.bytes / rate for rate in (mxu.weight_rows_per_cycle, mxu.transposed_rows_per_cycle)
    )
    row_time = np.where(options.get("transposed", False), turned, plain)
    interval = np.maximum(
        int64s(options.get("row_cycles", 1)),
        max(ceil(1 / mac_rate(target, dtype)), ceil(ACC_ACCESSES_PER_ROW / target.acc.banks)),
    )
    empty = (int64s(m) <= 0) | (int64s(k) <= 0) | (int64s(n) <= 0)
    m, k, n = (np.maximum(int64s(v), 1) for v in (m, k, n))
    if mxu.dataflow == "os":
        interval = np.maximum(interval, np.ceil(row_time).astype(np.int64))
        cycles = output_stationary(target, m, n, k * interval)
    elif mxu.dataflow == "is":
        interval = np.maximum(interval, np.ceil(row_time).astype(np.int64))
        loads = Loads.of(target, k, np.float64(plain))
        cycles = stationary(target, loads, ceil_div(m, mxu.cols), n * interval)
    else:
        loads = Loads.of(target, k, row_time)
        cycles = stationary(target, loads, ceil_div(n, mxu.cols), m * interval)
    return np.where(empty, 1, cycles)


def mac_rate(target: Target, dtype: DType) -> float:
    """MACs per cycle of one cell for operands of ``dtype``, relative to int8."""
    if dtype is DType.f32:
        return target.mxu.mac_rate_fp32
    return target.mxu.mac_rate_bf16 if dtype.is_float else 1.0


def mma_acc_rows(target: Target, m: Ints, k: Ints, n: Ints) -> Int64s:
    """Rows of ACC (of ``mxu.cols`` words) that an mma writes: once per row and fold along K.

    With ``os`` the sums stay in the array and each row is written once.
    """
    rows = int64s(m) * ceil_div(n, target.mxu.cols)
    if target.mxu.dataflow == "os":
        return np.asarray(rows, np.int64)
    return np.asarray(rows * ceil_div(k, target.mxu.rows), np.int64)


def mma_fetches(target: Target, m: Ints, n: Ints) -> tuple[Int64s, Int64s]:
    """How often an mma fetches (all of A, all of W): the stationary side once.

    The other side passes once per fold of the array's outer dimension; with os both do.
    """
    across_n = ceil_div(n, target.mxu.cols)
    once = np.ones_like(across_n)
    if target.mxu.dataflow == "ws":
        return across_n, once
    if target.mxu.dataflow == "is":
        return once, ceil_div(m, target.mxu.cols)
    return across_n, ceil_div(m, target.mxu.rows)


@cache
def mma_row_access(
    target: Target, k_extents: tuple[int, ...], k_strides: tuple[int, ...], element_bytes: int
) -> RowAccess:
    """SPM accesses for one row of A with reduction dimensions ``k_extents`` (strides in bytes).

    Each fold fetches up to R elements at once: cycles = the most words that fall into one bank,
    at least 1, for the worst fold of a row that starts word-aligned.
    Source: machine.md, section 5.
    """
    offsets = np.zeros(1, np.int64)
    for extent, stride in zip(k_extents, k_strides, strict=True):
        offsets = (offsets[:, None] + np.arange(extent) * stride).reshape(-1)
    if not offsets.size:
        return RowAccess(1, 0)
    first = offsets - offsets.min()
    last = first + element_bytes - 1
    width, banks = target.spm.bank_width_bytes, target.spm.banks
    fold = np.arange(offsets.size) // target.mxu.rows
    folds = np.concatenate([fold, fold])
    words = np.concatenate([first // width, last // width])
    pairs = np.sort(folds * (int(words.max()) + 1) + words)
    pairs = pairs[np.append(True, np.diff(pairs) > 0)]
    fold, word = np.divmod(pairs, int(words.max()) + 1)
    per_bank = np.bincount(fold * banks + word % banks)
    return RowAccess(int(per_bank.max()), int(pairs.size))


@dataclass(frozen=True)
class Loads:
    """Loads of the folds along K: ``folds`` of them, ``full`` cycles each but the ``last``."""

    folds: Int64s
    full: Int64s
    last: Int64s

    @staticmethod
    def of(target: Target, k: Int64s, row_time: Float64s | np.float64) -> "Loads":
        rows = target.mxu.rows
        folds = ceil_div(k, rows)
        rest = k - (folds - 1) * rows
        full = np.ceil(rows * row_time).astype(np.int64)
        return Loads(folds, full, np.ceil(rest * row_time).astype(np.int64))


def stationary(target: Target, loads: Loads, outer: Int64s, stream: Int64s) -> Int64s:
    """First load, then the spacing of every further fold, then the last stream and its drain."""
    drain = target.mxu.rows + target.mxu.cols - 2
    single = loads.folds == 1
    n_full = np.where(single, 0, outer * (loads.folds - 1) - 1)
    n_last = np.where(single, outer - 1, outer)
    first = np.where(single, loads.last, loads.full)
    spacings = n_full * spacing(target, stream, loads.full)
    spacings += n_last * spacing(target, stream, loads.last)
    return np.asarray(first + spacings + stream + drain, np.int64)


def spacing(target: Target, stream: Int64s, load: Int64s) -> Int64s:
    """Cycles from the first row of a fold to the first row of the next."""
    drained = stream + target.mxu.rows + target.mxu.cols - 2
    if not target.mxu.weight_double_buffer:
        return np.asarray(drained + load, np.int64)
    return np.maximum(stream if target.mxu.fold_overlap else drained, load)


def output_stationary(target: Target, m: Int64s, n: Int64s, stream: Int64s) -> Int64s:
    """Folds of up to R x C sums, each of ``stream`` cycles, that leave row by row."""
    mxu = target.mxu
    outer, inner = ceil_div(n, mxu.cols), ceil_div(m, mxu.rows)
    fill = mxu.rows + mxu.cols - 2
    rest = m - (inner - 1) * mxu.rows
    overlaps = mxu.fold_overlap and mxu.weight_double_buffer  # the sums have a shadow copy
    full, last = (
        np.maximum(stream, leaving) if overlaps else stream + fill + leaving
        for leaving in (np.int64(mxu.rows), rest)
    )
    n_full, n_last = outer * (inner - 1), outer
    if overlaps:  # the last fold of all drains in the open, the others behind the next stream
        return np.asarray(n_full * full + (n_last - 1) * last + stream + fill + rest, np.int64)
    return np.asarray(n_full * full + n_last * last, np.int64)
