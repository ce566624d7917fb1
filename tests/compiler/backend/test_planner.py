"""The interval planner: blocks that live together never overlap, and the bound is honest."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from npuc.compiler.backend.planner import Block, lower_bound, plan

SPANS = st.tuples(st.integers(1, 300), st.integers(0, 8), st.integers(0, 4))


def blocks_of(spans: list[tuple[int, int, int]]) -> list[Block]:
    return [
        Block(f"b{i}", size, first, first + more) for i, (size, first, more) in enumerate(spans)
    ]


@given(st.lists(SPANS, max_size=12), st.sampled_from([1, 16, 64]))
def test_live_blocks_never_overlap(spans: list[tuple[int, int, int]], alignment: int) -> None:
    blocks = blocks_of(spans)
    result = plan(blocks, alignment)
    for step in range(14):
        live = sorted(
            (result.offsets[b.name], b.n_bytes) for b in blocks if b.first <= step <= b.last
        )
        for (low, size), (following, _) in pairwise(live):
            assert low + size <= following
    assert all(offset % alignment == 0 for offset in result.offsets.values())
    ends = [result.offsets[b.name] + b.n_bytes for b in blocks]
    assert result.peak_bytes == max(ends, default=0)


@given(st.lists(SPANS, max_size=12))
def test_bound_is_the_fullest_step(spans: list[tuple[int, int, int]]) -> None:
    blocks = blocks_of(spans)
    fullest = max(
        (sum(b.n_bytes for b in blocks if b.first <= step <= b.last) for step in range(14)),
        default=0,
    )
    assert lower_bound(blocks) == fullest
    assert plan(blocks, 1).peak_bytes >= fullest


def test_blocks_apart_in_time_share_bytes() -> None:
    result = plan([Block("a", 100, 0, 0), Block("b", 100, 1, 1)], 64)
    assert result.offsets == {"a": 0, "b": 0}
    assert result.peak_bytes == result.bound_bytes == 100


def test_smaller_block_fills_a_gap() -> None:
    result = plan(
        [
            Block("low", 64, 0, 2),
            Block("mid", 128, 0, 0),
            Block("high", 100, 0, 2),
            Block("late", 60, 1, 2),
        ],
        4,
    )
    assert result.peak_bytes == 64 + 128 + 100
    assert result.offsets["late"] < 128
