"""Vector commands in compiled code: strips of points in the host's cache, micro-op by micro-op.

Three ways lead through the space. *Flat*: a strip is some points with their whole reduction, values
of a point side by side; a command without reductions has one value a point. *Across*: a strip is
many points, and the reduction goes on outside, one element of every point at a time; this suits
reductions whose points, not elements, lie side by side, as in pooling. *Taps*: strips as those of
across, but only of products of bytes, which are taken from where they lie.

A strip reads before it writes, and only it touches the points that it writes: so a command may
write over what it reads point for point, but not otherwise.
"""

from typing import NamedTuple

import numpy as np

from npuc.emulator.functional.compiled.geometry import (
    CODE,
    COEFFICIENTS,
    COUNT,
    EXTENT,
    FILL,
    GEOMETRY_ROWS,
    GEOMETRY_WORDS,
    OPERAND_WORDS,
    PLACE,
    PLACE_WORDS,
    SECOND,
    SIZE,
    SPACE,
    STRIDE,
    Int64s,
    fill,
    wrote,
)
from npuc.emulator.functional.compiled.leaves import Leaf
from npuc.emulator.functional.compiled.native import (
    as_words,
    carray,
    int32,
    int64,
    invoke,
)
from npuc.emulator.functional.compiled.reductions import LANES, SEQUENTIAL
from npuc.emulator.functional.compiled.taps import sum_taps
from npuc.isa.jit import njit

AXES, PARALLEL = 7, 4
STREAMS, OUTPUTS, PARAMETERS, MAX_OPS = 6, 2, 8, 32
OPERANDS = STREAMS + OUTPUTS
# Values of a strip: its rows fit the host's caches and do not all begin at one place modulo 4 KiB.
STRIP = 1984
# Ways; words of a record: static row, way, parameters, extents, a place per operand.
FLAT, ACROSS, TAPS = range(3)
STATIC, WAY, WORDS, EXTENTS, PLACES = 0, 1, 2, 10, 17
RECORD_WORDS = PLACES + OPERANDS * PLACE_WORDS
# Words of a static row: numbers of micro-ops, axes whose points a flat strip counts, number of
# loads, which parameters are used (as words 1, as float32 2, two bits each); a load each
# (stream, slot, whether in the epilogue), an output each (slot or -1, whether of the epilogue),
# micro-ops, operands.
OPS, BODY_OPS, FLAT_AXES, LOADS, USES = range(5)
LOAD, LOAD_WORDS = 5, 3
OUT = LOAD + 2 * STREAMS * LOAD_WORDS
OP = OUT + 2 * OUTPUTS
# Of a micro-op: its machine code; of a reduction also those that begin and take (else 0), and
# whether its order is written; operands and the result as slots; the extra number, for which the
# fourth operand stands where there is one (else -1), for mac8 the machine code of taps.
RUN, BEGIN, TAKE, IS_ORDERED, A, B, C, TO, EXTRA, D, OP_WORDS = range(11)
OPERAND = OP + MAX_OPS * OP_WORDS
STATIC_WORDS = OPERAND + OPERANDS * OPERAND_WORDS
# Slots of values: streams of the body, of the epilogue, parameters as float32 and as words,
# results; then partial results.
EPILOGUE_SLOT, FLOAT_SLOT = STREAMS, 2 * STREAMS
WORD_SLOT = FLOAT_SLOT + PARAMETERS
RESULT_SLOT = WORD_SLOT + PARAMETERS
LANE_SLOT = RESULT_SLOT + MAX_OPS
LANE_SETS = 2  # ordered reductions of many elements that one command may have going across
SLOTS = LANE_SLOT + LANE_SETS * LANES
# Words of a context: each an address and a number; then addresses of SPM, ACC and the walk.
STATICS, SLOTS_AT, PAGES, HOST, CONTEXT_WORDS = 0, 2, 4, 6, 9
_WORD, _LONG = 4, 8  # bytes of a value and of a word of records
GEOMETRIES, GEOMETRY_ALL = 2 * STREAMS + OUTPUTS, GEOMETRY_ROWS * GEOMETRY_WORDS
_INFINITY, _MAGNITUDE, _QUIET_NAN = 0x7F800000, 0x7FFFFFFF, 0x7FC00000


# First value, values, element of the reduction, axes, whether of the epilogue, values of all strips
# but the last.
Strip = tuple[int, int, int, int, int, int]


class State(NamedTuple):
    """What the kernels of one call share: words, and where in them a command's parts begin."""

    records: Int64s
    statics: Int64s
    geometries: Int64s
    host: Int64s  # addresses of SPM, ACC and the walk
    slots: int  # the address of the first, and the bytes from one to the next
    slot_bytes: int


def _vector(records: Int64s, count: int, context: Int64s) -> None:
    """Carry out vector commands, in order. Slots are at least as wide as a flat reduction."""
    about = carray(context, CONTEXT_WORDS)
    statics = carray(as_words(about[STATICS]), about[STATICS + 1] * STATIC_WORDS)
    geometries = np.zeros(GEOMETRIES * GEOMETRY_ALL, np.int64)
    words = carray(records, count * RECORD_WORDS)
    bytes_each = about[SLOTS_AT + 1] * 2 * _WORD
    state = State(words, statics, geometries, about[HOST:], about[SLOTS_AT], bytes_each)
    pages = carray(as_words(about[PAGES]), about[PAGES + 1])
    for number in range(count):
        record = number * RECORD_WORDS
        static = words[record + STATIC] * STATIC_WORDS
        _run(state, record, static)
        for out in range(OUTPUTS):
            _note(state, record, static, (out, pages))


VECTOR = Leaf(_vector, "LnL")


@njit(inner=True)
def _note(state: State, record: int, static: int, what: tuple[int, Int64s]) -> None:
    """An output was written, perhaps to SPM."""
    out, pages = what
    words, statics = state.records, state.statics
    about, operand = static + OUT + 2 * out, static + OPERAND + (STREAMS + out) * OPERAND_WORDS
    if statics[about] < 0 or statics[operand + SPACE] != 0:
        return
    low = words[record + PLACES + (STREAMS + out) * PLACE_WORDS]
    high = low + statics[operand + SIZE]
    for axis in range(PARALLEL if statics[about + 1] != 0 else AXES):
        way = (words[record + EXTENTS + axis] - 1) * statics[operand + axis]
        low += min(way, 0)
        high += max(way, 0)
    wrote(low, high, pages)


@njit(inner=True)
def _run(state: State, record: int, static: int) -> None:
    """One command, strip by strip."""
    words, statics = state.records, state.statics
    way, points, per_point = words[record + WAY], int64(1), int64(1)
    for axis in range(AXES):
        extent = words[record + EXTENTS + axis]
        if axis < statics[static + FLAT_AXES]:
            points *= extent
        else:
            per_point *= extent
    width = state.slot_bytes // _WORD
    chunk, axes, turns, size = width, int64(PARALLEL), per_point, int64(1)
    if way == FLAT:
        chunk, axes, turns, size = max(int64(1), width // per_point), int64(AXES), size, turns
    none, one, row = int64(0), int64(1), words[record + EXTENTS + PARALLEL - 1]
    if row < chunk:
        chunk -= chunk % row  # strips of whole rows: what repeats in each is loaded once
    _spread_parameters(state, record, static, min(chunk, points) * size)
    for first in range(0, points, chunk):
        count = min(chunk, points - first)
        if way == TAPS:
            _take_taps(state, record, static, (first, count))
            turns = none
        for element in range(turns):
            body = (first * size, count * size, element, axes, none, chunk * size)
            _loads(state, record, static, body)
            _ops(state, static, none, statics[static + BODY_OPS], count * size)
            if way == ACROSS:
                _take(state, static, count, element, per_point)
            else:
                _reduce(state, static, count, per_point)
            _stores(state, record, static, body)
        if way == ACROSS and per_point > SEQUENTIAL:
            _join_lanes(state, static, count)
        whole = (first, count, none, int64(PARALLEL), one, chunk)
        _loads(state, record, static, whole)
        _ops(state, static, statics[static + BODY_OPS], statics[static + OPS], count)
        _stores(state, record, static, whole)


@njit(inner=True)
def _spread_parameters(state: State, record: int, static: int, width: int) -> None:
    """Each parameter in a row of its own, once as float32 and once as a word."""
    for number in range(PARAMETERS):
        uses = state.statics[static + USES] >> 2 * number & 3
        word = int32(state.records[record + WORDS + number])
        if uses & 1 != 0:
            fill(state.slots + (WORD_SLOT + number) * state.slot_bytes, width, word)
        if uses & 2 != 0:
            quiet = int32(_QUIET_NAN) if (word & _MAGNITUDE) > _INFINITY else word
            fill(state.slots + (FLOAT_SLOT + number) * state.slot_bytes, width, quiet)


@njit(inner=True)
def _loads(state: State, record: int, static: int, strip: Strip) -> None:
    """All loads of the body or the epilogue."""
    for number in range(state.statics[static + LOADS]):
        load = static + LOAD + number * LOAD_WORDS
        if state.statics[load + 2] == strip[4]:
            stream, slot = state.statics[load], state.statics[load + 1]
            _walk(state, record, static, strip, (stream, slot, number))


@njit(inner=True)
def _stores(state: State, record: int, static: int, strip: Strip) -> None:
    """All stores of the body or the epilogue."""
    for out in range(OUTPUTS):
        slot = state.statics[static + OUT + 2 * out]
        if slot >= 0 and state.statics[static + OUT + 2 * out + 1] == strip[4]:
            _walk(state, record, static, strip, (STREAMS + out, slot, 2 * STREAMS + out))


@njit(inner=True)
def _walk(
    state: State,
    record: int,
    static: int,
    strip: Strip,
    what: tuple[int, int, int],
) -> None:
    """Values from, or to, an operand: ``what`` is operand, slot and geometry.

    A geometry is made for the first strip and kept for the others.
    """
    words, statics, geometries = state.records, state.statics, state.geometries
    number, slot, which = what
    operand = static + OPERAND + number * OPERAND_WORDS
    if number < STREAMS and strip[0] > 0 and _repeats(geometries, which * GEOMETRY_ALL, strip):
        return
    place = which * GEOMETRY_ALL + PLACE * GEOMETRY_WORDS
    for word in range(PLACE_WORDS):
        geometries[place + word] = words[record + PLACES + number * PLACE_WORDS + word]
    geometries[place] += state.host[statics[operand + SPACE]]
    rest, axis = strip[2], AXES
    while rest != 0:
        axis -= 1
        index = rest % words[record + EXTENTS + axis]
        rest //= words[record + EXTENTS + axis]
        geometries[place] += index * statics[operand + axis]
        geometries[place + 1] += index * statics[operand + COEFFICIENTS + axis]
        geometries[place + 2] += index * statics[operand + COEFFICIENTS + AXES + axis]
    made = strip[3] if strip[0] == 0 and strip[2] == 0 else 0
    about = int64(statics.ctypes.data) + operand * _LONG
    extents = int64(words.ctypes.data) + (record + EXTENTS) * _LONG
    here = int64(geometries.ctypes.data) + which * GEOMETRY_ALL * _LONG
    row = statics[operand + CODE]
    invoke(
        state.host[2],
        (
            row,
            about,
            extents,
            made,
            here,
            strip[0],
            state.slots + slot * state.slot_bytes,
            strip[1],
        ),
    )


@njit(inner=True)
def _repeats(geometries: Int64s, at: int, strip: Strip) -> bool:
    """Whether a row holds, after an earlier strip, what this one would load again.

    It does where all rows of the stream are alike and strips begin with one, unless several
    elements of the reduction pass through the slot for each strip.
    """
    if strip[3] != AXES and strip[4] == 0:
        return False
    last, moves = geometries[at + EXTENT * GEOMETRY_WORDS + COUNT] - 1, int64(0)
    for axis in range(last):
        for way in range(STRIDE, SECOND + 1):
            moves |= geometries[at + way * GEOMETRY_WORDS + axis]
    size = geometries[at + EXTENT * GEOMETRY_WORDS + last]
    return bool(moves == 0 and strip[5] % size == 0)


@njit(inner=True)
def _ops(state: State, static: int, start: int, stop: int, count: int) -> None:
    """The elementwise micro-ops of a section over the first values of their slots."""
    statics = state.statics
    for number in range(start, stop):
        op = static + OP + number * OP_WORDS
        if statics[op + TAKE] == 0:
            a, b = (
                state.slots + (statics[op + A]) * state.slot_bytes,
                state.slots + (statics[op + B]) * state.slot_bytes,
            )
            c, out = (
                state.slots + (statics[op + C]) * state.slot_bytes,
                state.slots + statics[op + TO] * state.slot_bytes,
            )
            extra, fourth = statics[op + EXTRA], statics[op + D]
            if fourth >= 0:
                extra = state.slots + fourth * state.slot_bytes
            invoke(statics[op + RUN], (out, a, b, c, count, extra))


@njit(inner=True)
def _reduce(state: State, static: int, count: int, per_point: int) -> None:
    """All reductions, of values that lie side by side."""
    statics = state.statics
    for number in range(statics[static + BODY_OPS]):
        op = static + OP + number * OP_WORDS
        if statics[op + TAKE] != 0:
            a, b = (
                state.slots + (statics[op + A]) * state.slot_bytes,
                state.slots + (statics[op + B]) * state.slot_bytes,
            )
            invoke(
                statics[op + RUN],
                (
                    state.slots + statics[op + TO] * state.slot_bytes,
                    a,
                    b,
                    b,
                    count,
                    per_point,
                ),
            )


@njit(inner=True)
def _take(state: State, static: int, count: int, element: int, per_point: int) -> None:
    """Every reduction takes its next element."""
    lane_set, statics = 0, state.statics
    for number in range(statics[static + BODY_OPS]):
        op = static + OP + number * OP_WORDS
        if statics[op + TAKE] == 0:
            continue
        slot, is_first = statics[op + TO], element == 0
        if statics[op + IS_ORDERED] != 0 and per_point > SEQUENTIAL:
            slot = LANE_SLOT + lane_set * LANES + element % LANES
            is_first = element < LANES
            lane_set += 1
        out, a, b = (
            state.slots + slot * state.slot_bytes,
            state.slots + (statics[op + A]) * state.slot_bytes,
            state.slots + (statics[op + B]) * state.slot_bytes,
        )
        code = statics[op + BEGIN] if is_first else statics[op + TAKE]
        invoke(code, (out, a, b, out, count, int64(0)))


@njit(inner=True)
def _take_taps(state: State, record: int, static: int, run: tuple[int, int]) -> None:
    """The sums of products of the body's only micro-op, for points of whole pixels."""
    words, statics, op = state.records, state.statics, static + OP
    a, w = int64(statics[op + A]), int64(statics[op + B])
    at_a, at_w = static + OPERAND + a * OPERAND_WORDS, static + OPERAND + w * OPERAND_WORDS
    place, place_w = record + PLACES + a * PLACE_WORDS, record + PLACES + w * PLACE_WORDS
    fills = state.slots + a * state.slot_bytes
    if run[0] == 0:
        filled = (statics[at_a + FILL] & 0xFF) * 0x01010101
        fill(fills, words[record + EXTENTS + PARALLEL - 1] // _WORD + 1, int32(filled))
    starts = (
        words[place] + state.host[statics[at_a + SPACE]],
        words[place + 1],
        words[place + 2],
        words[place_w] + state.host[statics[at_w + SPACE]],
    )
    sums = state.slots + statics[op + TO] * state.slot_bytes
    operands = statics[at_a : at_a + OPERAND_WORDS], statics[at_w : at_w + OPERAND_WORDS]
    extents = words[record + EXTENTS : record + PLACES]
    sum_taps(extents, operands, starts, (statics[op + EXTRA], sums, fills), run)


@njit(inner=True)
def _join_lanes(state: State, static: int, count: int) -> None:
    """Partial results become one, by a tree of neighbours."""
    lane_set, statics = 0, state.statics
    for number in range(statics[static + BODY_OPS]):
        op = static + OP + number * OP_WORDS
        if statics[op + TAKE] == 0 or statics[op + IS_ORDERED] == 0:
            continue
        start, apart, none = LANE_SLOT + lane_set * LANES, 1, int64(0)
        while apart < LANES:
            for lane in range(0, LANES, 2 * apart):
                left = state.slots + (start + lane) * state.slot_bytes
                right = left + apart * state.slot_bytes
                invoke(statics[op + TAKE], (left, right, right, left, count, none))
            apart *= 2
        out, first = state.slots + statics[op + TO] * state.slot_bytes, state.slots
        first += start * state.slot_bytes
        invoke(statics[op + BEGIN], (out, first, first, out, count, none))
        lane_set += 1
