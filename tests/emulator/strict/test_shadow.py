"""The walk over bytes against dictionaries of single bytes, and boxes against all their points."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.emulator.footprint import element_addresses, inside_windows
from npuc.emulator.region import Region
from npuc.emulator.strict import pages
from npuc.emulator.strict.accesses import Access, MemoryKey
from npuc.emulator.strict.bytesets import MAX_PIECES, Box, region_bytes, touched_by
from npuc.emulator.strict.notes import Notes, may_share
from npuc.emulator.strict.shadow import Budget, Shadow
from npuc.isa.descriptors import Space, View, Window
from npuc.isa.dtypes import DType
from npuc.isa.errors import CapacityError

MEMORY = MemoryKey("spm", 0)
N_BYTES = 1000  # no whole number of pages
AGENTS = 3
dims = st.lists(st.tuples(st.integers(1, 5), st.integers(-70, 130)), max_size=3)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """A box inside the memory."""
    shape, size = draw(dims), draw(st.sampled_from([1, 2, 4, 64, 100]))
    spans = [(extent - 1) * stride for extent, stride in shape]
    low, high = sum(s for s in spans if s < 0), sum(s for s in spans if s > 0) + size
    if high - low > N_BYTES:
        shape, low, high = [], 0, size
    address = draw(st.integers(-low, N_BYTES - high))
    return Box(address, tuple(e for e, _ in shape), tuple(s for _, s in shape), size)


def points(box: Box) -> set[int]:
    ranges = (range(0, e * s, s) if s else [0] for e, s in zip(box.extents, box.strides))  # noqa: B905
    return {box.address + sum(at) + b for at in itertools.product(*ranges) for b in range(box.size)}


steps = st.lists(
    st.tuples(st.integers(0, AGENTS - 1), st.booleans(), st.booleans(), boxes()), max_size=25
)


@given(steps, st.booleans(), st.integers(1, 25))
def test_the_walk_finds_what_single_bytes_remember(
    made: list[tuple[int, bool, bool, Box]], is_written: bool, chunk: int
) -> None:
    shadow = Shadow(N_BYTES, Budget(1 << 30), is_written=is_written)
    numbers = np.arange(1, len(made) + 1)
    needed = np.zeros((len(made), AGENTS), np.int32)
    wrote: dict[int, dict[int, int]] = defaultdict(dict)  # byte to number by agent
    read: dict[int, dict[int, int]] = defaultdict(dict)
    expected, holes = np.zeros_like(needed), []
    found: list[tuple[int, list[int]]] = []
    for first in range(0, len(made), chunk):
        notes = Notes(shadow.slots)
        for row, (agent, is_write, is_exact, box) in list(enumerate(made))[first : first + chunk]:
            notes.add(row, agent, row, Access(MEMORY, box, is_write, "x", is_exact))
            for byte in points(box):
                clashes = [wrote[byte], read[byte]] if is_write else [wrote[byte]]
                for clash in clashes:
                    for other, number in clash.items():
                        if other != agent:
                            expected[row, other] = max(expected[row, other], number)
            missing = sorted(byte for byte in points(box) if not wrote[byte])
            if missing and not (is_write or is_written) and is_exact:
                holes.append((row, missing))
            for byte in points(box):
                (wrote if is_write else read)[byte][agent] = row + 1
        table = notes.table()
        for at in shadow.walk(table, notes, numbers, needed):
            row = int(table[at, pages.ROW])
            found.append((row, shadow.unwritten(notes.accesses[at].bytes).all.tolist()))
    np.testing.assert_array_equal(needed, expected)
    assert found == holes
    marks = [is_written or bool(wrote[byte]) for byte in range(N_BYTES)]
    assert shadow.written(0, N_BYTES).tolist() == marks
    assert shadow.written(70, 71).tolist() == marks[70:71]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-9, 9)), min_size=7, max_size=7),
    st.lists(st.tuples(st.integers(-4, 4), st.integers(1, 6)), max_size=2),
    st.lists(st.integers(-2, 3), min_size=14, max_size=14),
    st.booleans(),
)
@settings(max_examples=300)
def test_clipped_boxes_are_the_points_inside_the_windows(
    dims: list[tuple[int, int]],
    edges: list[tuple[int, int]],
    steps: list[int],
    is_padding: bool,
) -> None:
    """Windows with any steps, and those that pad: there strides are multiples of the steps."""
    windows = [
        Window(0, limit, tuple(steps[7 * i : 7 * i + 7])) for i, (_, limit) in enumerate(edges)
    ]
    strides = [stride for _, stride in dims]
    if is_padding:
        windows = [
            replace(
                w, coefficients=tuple(abs(c) * (d % 2 == i) for d, c in enumerate(w.coefficients))
            )
            for i, w in enumerate(windows)
        ]
        for i, window in enumerate(windows):
            strides = [c * (10, -3)[i] if c else s for c, s in zip(window.coefficients, strides)]  # noqa: B905
    extents = tuple(extent for extent, _ in dims)
    view = View(DType.i16, Space.spm, 0, extents, tuple(strides), windows=tuple(windows))
    region = Region(view, 500, extents, tuple(origin for origin, _ in edges))
    inside = element_addresses(region)[inside_windows(region)].ravel()
    expected = {int(address) + byte for address in inside for byte in range(2)}
    touched = touched_by(region)
    assert set(region_bytes(region).all.tolist()) == expected
    if isinstance(touched, Box):
        assert set(touched.bytes.all.tolist()) == expected


def test_a_padded_tensor_is_a_box() -> None:
    """A 3x3 kernel over 8x8 points of 4 channels, padded by one: the tensor, each byte once."""
    rows, columns = ((1, 0, 0, 1, 0, 0, 0), (0, 1, 0, 0, 1, 0, 0))
    windows = (Window(-1, 8, rows), Window(-1, 8, columns))
    extents, strides = (8, 8, 1, 3, 3, 4, 1), (32, 4, 0, 32, 4, 1, 0)
    view = View(DType.i8, Space.spm, 0, extents, strides, windows=windows)
    touched = touched_by(Region(view, 1000 - 36, extents, (-1, -1)))
    assert isinstance(touched, Box)
    assert sorted(e for e in touched.extents if e > 1) == [4, 8, 8]
    assert touched.bytes.runs.tolist() == [[0, 256]] and touched.bytes.low == 1000


@pytest.mark.parametrize(
    ("box", "shares"),
    [
        (Box(0, (4, 4), (16, 4), 4), False),
        (Box(0, (4, 4), (16, 0), 4), False),
        (Box(0, (4, 1), (16, 2), 4), False),
        (Box(0, (4, 4), (16, 2), 4), True),
    ],
)
def test_only_steps_within_an_element_can_share_bytes(box: Box, shares: bool) -> None:
    notes = Notes({})
    for is_write in (True, False):
        notes.add(0, 0, 0, Access(MEMORY, box, is_write, "x"))
    assert may_share(notes.table()).tolist() == [shares, False]


def test_too_many_pieces_and_too_much_memory_are_refused() -> None:
    scattered = Box(0, (MAX_PIECES + 1,), (2,), 1)
    for box, allowed, words in (
        (scattered, 1 << 40, "cannot note the bytes"),
        (scattered._replace(extents=(MAX_PIECES,)), 1 << 24, "needs more memory"),
    ):
        shadow = Shadow(MAX_PIECES * 2 + 2, Budget(allowed), is_written=True)
        notes = Notes(shadow.slots)
        notes.add(0, 0, 0, Access(MEMORY, box, False, "x"))
        with pytest.raises(CapacityError, match=words):
            list(
                shadow.walk(notes.table(), notes, np.ones(1, np.int64), np.zeros((1, 1), np.int32))
            )
