"""int8 matrix commands in compiled code: float32 BLAS in chunks that are exact, dot for few rows.

Activations are gathered row by row into float32, weights once and kept: they are valid as long as
no page of SPM that they came from was written. BLAS takes both where they lie, with leading
dimensions, for each chunk of K.
"""

from typing import NamedTuple

import numpy as np

from npuc.emulator.functional.compiled.geometry import (
    CODE,
    GEOMETRY_ROWS,
    GEOMETRY_WORDS,
    OPERAND_WORDS,
    PAGE_BITS,
    PLACE,
    PLACE_WORDS,
    Int64s,
    fill,
)
from npuc.emulator.functional.compiled.leaves import Leaf
from npuc.emulator.functional.compiled.native import (
    as_words,
    carray,
    int32,
    int64,
    invoke,
)
from npuc.isa.jit import njit

AXES = 7
# Words of a record: which static row, whether to add, extents, places. Extents are m0 m1 m2 k0 k1
# k2 n; each operand has a stride in the axes that it has.
STATIC, ADDS, EXTENTS, A_PLACE, W_PLACE, ACC_PLACE, RECORD_WORDS = 0, 1, 2, 9, 12, 15, 18
A, W, ACC = (int64(n * OPERAND_WORDS) for n in range(3))
STATIC_WORDS = 3 * OPERAND_WORDS
N_AXIS = 6
# As a walk takes them: 8 * start + stop.
A_AXES, W_AXES, ACC_AXES = int64(6), int64(8 * 3 + 7), int64(7)
_OWN = int64(0)  # the operand's own conversion; also the first point
# Addresses in ``host``.
SPM, ACCUMULATORS, WALK, SGEMM, SET_SUMS, ADD_SUMS, SET_WORDS, ADD_WORDS, PRODUCTS = range(9)
HOST_WORDS = 9
# Words of a context: each an address and a number; then ``host``.
STATICS, SCRATCH, WEIGHTS, ENTRIES, PAGES, HOST = range(0, 12, 2)
CONTEXT_WORDS = HOST + HOST_WORDS
# 128 * 128 * 1024 = 2**24: every partial sum is an integer that float32 holds exactly.
EXACT_K = 1024
# Below this many rows converting the weights costs more than BLAS saves.
DOT_ROWS = 8
# Rows of A at a time: as many as fit the host's cache, but enough to amortise BLAS's own copies.
BLOCK_ROWS, BLOCK_VALUES = 128, 1 << 17
_WORD, _LONG = 4, 8  # bytes of a value and of a word of records
_LETTER_N, _ONE = 78, 0x3F800000  # BLAS: not transposed; the bits of 1.0
# Words of an entry of the weight cache: key, the time of conversion, where the values are. The last
# two rows are a key to look for, and the entry to replace next and where its values go.
KEY_WORDS, TIME, START, SIZE, ENTRY_WORDS = 9, 9, 10, 11, 12


class State(NamedTuple):
    """What the kernels of one call share: words, and addresses."""

    records: Int64s
    statics: Int64s
    host: Int64s
    geometry: Int64s
    scratch: int


def _matrix(records: Int64s, count: int, context: Int64s) -> None:
    """Carry out matrix commands, in order."""
    about = carray(context, CONTEXT_WORDS)
    words = carray(records, count * RECORD_WORDS)
    statics = carray(as_words(about[STATICS]), about[STATICS + 1] * STATIC_WORDS)
    geometry = np.zeros((GEOMETRY_ROWS, GEOMETRY_WORDS), np.int64)
    state = State(words, statics, about[HOST:], geometry, about[SCRATCH])
    entries = carray(as_words(about[ENTRIES]), about[ENTRIES + 1] * ENTRY_WORDS)
    pages = carray(as_words(about[PAGES]), about[PAGES + 1])
    for number in range(count):
        record = number * RECORD_WORDS
        at = record + EXTENTS
        rows, depth = words[at] * words[at + 1] * words[at + 2], int64(1)
        for axis in range(3, N_AXIS):
            depth *= words[at + axis]
        columns, static = words[at + N_AXIS], words[record + STATIC] * STATIC_WORDS
        sizes = (rows, depth, columns)
        if rows < DOT_ROWS and (columns == 1 or statics[static + W + N_AXIS] == 1):
            _few_rows(state, record, static, sizes)
        else:
            kept = (about[WEIGHTS], about[WEIGHTS + 1] * 2)
            w_KN = _weights(state, record, static, kept, entries, pages)
            _many_rows(state, record, static, sizes, w_KN)


MATRIX = Leaf(_matrix, "LnL")


@njit(inner=True)
def _move(
    state: State, record: int, static: int, what: tuple[int, int, int], run: tuple[int, int, int]
) -> None:
    """Walk an operand: ``what`` is operand, axes, code; ``run`` first point, values, count."""
    operand, axes, code = what
    statics, geometry = state.statics, state.geometry
    place = record + A_PLACE + operand // OPERAND_WORDS * PLACE_WORDS
    for word in range(PLACE_WORDS):
        geometry[PLACE, word] = state.records[place + word]
    geometry[PLACE, 0] += state.host[ACCUMULATORS if operand == ACC else SPM]
    about = int64(statics.ctypes.data) + (static + operand) * _LONG
    extents = int64(state.records.ctypes.data) + (record + EXTENTS) * _LONG
    row = statics[static + operand + CODE] if code == 0 else code
    here = int64(geometry.ctypes.data)
    invoke(state.host[WALK], (row, about, extents, axes, here, run[0], run[1], run[2]))


@njit(inner=True)
def _many_rows(
    state: State, record: int, static: int, sizes: tuple[int, int, int], w_KN: int
) -> None:
    rows, depth, columns = sizes
    chunk = max(BLOCK_ROWS, BLOCK_VALUES // max(depth, columns))
    a_MK, adds = state.scratch, state.records[record + ADDS] != 0
    for first in range(0, rows, chunk):
        count = min(chunk, rows - first)
        part = (first * depth, a_MK, count * depth)
        _move(state, record, static, (A, A_AXES, _OWN), part)
        sums_MN = a_MK + count * depth * _WORD
        for k in range(0, depth, EXACT_K):
            part = (count, columns, min(EXACT_K, depth - k))
            _product(state, (a_MK + k * _WORD, w_KN + k * columns * _WORD, sums_MN), part, depth)
            store = state.host[ADD_SUMS] if k > 0 or adds else state.host[SET_SUMS]
            _into(state, record, static, store, (first * columns, sums_MN, count * columns))


@njit(inner=True)
def _into(state: State, record: int, static: int, store: int, part: tuple[int, int, int]) -> None:
    """Sums into accumulators, whose axes are m0 m1 m2 n: the three of K have one element."""
    words, at = state.records, record + EXTENTS + 3
    held = (words[at], words[at + 1], words[at + 2])
    words[at] = words[at + 1] = words[at + 2] = 1
    _move(state, record, static, (ACC, ACC_AXES, store), part)
    words[at], words[at + 1], words[at + 2] = held


@njit(inner=True)
def _product(
    state: State, places: tuple[int, int, int], sizes: tuple[int, int, int], lead: int
) -> None:
    """sums = a @ w, row-major; ``lead`` are the values from one row of a to the next.

    BLAS counts columns first: it computes the transpose, w' @ a'.
    """
    a_MK, w_KN, sums_MN = places
    call = np.empty(7, np.int32)
    call[0], call[1], call[2], call[3] = sizes[1], sizes[0], sizes[2], lead
    call[4], call[5], call[6] = _LETTER_N, _ONE, 0
    at = int64(call.ctypes.data)
    letter, one, zero = at + 4 * _WORD, at + 5 * _WORD, at + 6 * _WORD
    invoke(state.host[SGEMM], (letter, letter, at, at + 4, at + 8, one, w_KN, at, a_MK, at + 12,
                               zero, sums_MN, at))  # fmt: skip


@njit(inner=True)
def _weights(
    state: State, record: int, static: int, kept: tuple[int, int], entries: Int64s, pages: Int64s
) -> int:
    """The address of the weights as float32, K x N, after they were converted if need be.

    ``kept`` is where weights are kept and how many.
    """
    words, statics = state.records, state.statics
    count = len(entries) // ENTRY_WORDS - 2
    key = count * ENTRY_WORDS
    low, size = words[record + W_PLACE], int64(1)
    entries[key], high = low, low + 1
    for axis in range(3, AXES):
        extent, stride = words[record + EXTENTS + axis], statics[static + W + axis]
        entries[key + axis - 2], entries[key + axis + 2] = extent, stride
        high += (extent - 1) * stride
        size *= extent
    newest = int64(0)
    for page in range(low >> PAGE_BITS, ((high - 1) >> PAGE_BITS) + 1):
        newest = max(newest, pages[page])
    for number in range(count):
        entry = number * ENTRY_WORDS
        if entries[entry + SIZE] > 0 and entries[entry + TIME] >= newest:
            is_equal = True
            for word in range(KEY_WORDS):
                is_equal &= entries[entry + word] == entries[key + word]
            if is_equal:
                return int64(kept[0] + entries[entry + START] * _WORD)
    entry = _room(size, entries, kept[1])
    for word in range(KEY_WORDS):
        entries[entry + word] = entries[key + word]
    entries[entry + TIME] = pages[-1]
    at = int64(kept[0] + entries[entry + START] * _WORD)
    _move(state, record, static, (W, W_AXES, _OWN), (_OWN, at, size))
    return at


@njit(inner=True)
def _room(size: int, entries: Int64s, capacity: int) -> int:
    """The entry to use, with a place for ``size`` values; those that were there are forgotten."""
    count = len(entries) // ENTRY_WORDS - 2
    state = (count + 1) * ENTRY_WORDS
    at = entries[state + 1]
    if at + size > capacity:
        at = int64(0)
    for number in range(count):
        entry = number * ENTRY_WORDS
        stop = entries[entry + START] + entries[entry + SIZE]
        if entries[entry + START] < at + size and at < stop:
            entries[entry + SIZE] = 0
    entries[state] = (entries[state] + 1) % count
    entries[state + 1] = at + size
    entry = int64(entries[state] * ENTRY_WORDS)
    entries[entry + START], entries[entry + SIZE] = at, size
    return entry


@njit(inner=True)
def _few_rows(state: State, record: int, static: int, sizes: tuple[int, int, int]) -> None:
    """Rows of int8 weights, as they lie, times one element of A each."""
    rows, depth, columns = sizes
    words, statics, a_MK = state.records, state.statics, state.scratch
    sums_MN = a_MK + rows * depth * _WORD
    _move(state, record, static, (A, A_AXES, _OWN), (_OWN, a_MK, rows * depth))
    fill(sums_MN, rows * columns, int32(0))
    at = record + EXTENTS + 3
    for first in range(words[at]):
        for second in range(words[at + 1]):
            place = state.host[SPM] + words[record + W_PLACE]
            place += first * statics[static + W + 3] + second * statics[static + W + 4]
            k = (first * words[at + 1] + second) * words[at + 2]
            for m in range(rows):
                out, a = sums_MN + m * columns * _WORD, a_MK + (m * depth + k) * _WORD
                step = statics[static + W + 5]
                invoke(state.host[PRODUCTS], (out, a, place, step, words[at + 2], columns))
    store = state.host[ADD_WORDS] if words[record + ADDS] != 0 else state.host[SET_WORDS]
    _into(state, record, static, store, (_OWN, sums_MN, rows * columns))
