"""Rounds of stripes against schedules worked out by hand, and orders against all permutations."""

from dataclasses import replace
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from npuc.compiler.schedule.striping.interleave import (
    NEVER,
    STEP_CYCLES,
    Accumulator,
    Piece,
    Rounds,
)


def piece(job: int, mxu: int = 0, vpu: int = 0, tiles: int = 1, loads: int = 0) -> Piece:
    return Piece(job, mxu, vpu, tiles, loads, 0)


def rounds(*pieces: tuple[Piece, ...], reads: dict[int, tuple[int, ...]] | None = None) -> Rounds:
    jobs = 1 + max(p.job for some in pieces for p in some)
    return Rounds(pieces, tuple((reads or {}).get(job, ()) for job in range(jobs)))


def test_independent_vector_work_hides_behind_a_product_that_follows() -> None:
    both = rounds((piece(0, vpu=1000), piece(1, mxu=900, vpu=100)))
    # product from 40 to 940; its tile is drained when the vector unit is free, at 1040
    assert both.cycles((0, 1)) == 1000 + STEP_CYCLES + 100
    # the vector work waits for the drain: 40 + 900 + 100, then 1000 and one step
    assert both.cycles((1, 0)) == 2 * STEP_CYCLES + 900 + 100 + 1000


def test_each_piece_costs_as_many_cycles_as_is_said() -> None:
    free = replace(rounds((piece(0, vpu=1000), piece(1, mxu=900, vpu=100))), step_cycles=0)
    assert free.cycles((0, 1)) == 1000 + 100
    assert replace(free, step_cycles=600).cycles((1, 0)) == 2 * 600 + 900 + 100 + 1000


def test_the_accumulator_holds_two_tiles() -> None:
    both = rounds((piece(0, vpu=1000), piece(1, mxu=400, vpu=40, tiles=4)))
    # tiles 0 and 1 are done at 240; the others wait for the drains at 1050 and 1060
    vector = 1000 + STEP_CYCLES
    assert both.cycles((0, 1)) == vector + 10 + 100 + 100 + 10


def test_the_accumulator_holds_what_fits_of_all_jobs() -> None:
    jobs = tuple(replace(piece(n, mxu=100, vpu=10), tile_bytes=40) for n in range(1, 4))
    together = replace(rounds((piece(0, vpu=1000), *jobs)), acc_bytes=80)
    # two products are done at 280, both drained at 1060; the third waits for the first drain
    assert together.cycles((0, 1, 2, 3)) == 1000 + STEP_CYCLES + 10 + 100 + 10
    roomy = replace(together, acc_bytes=120)
    assert roomy.cycles((0, 1, 2, 3)) == 1000 + STEP_CYCLES + 3 * 10


def test_a_round_waits_for_results_of_the_round_before() -> None:
    chain = rounds((piece(0, mxu=500, vpu=50),), (piece(1, vpu=70),), reads={1: (0,)})
    assert chain.cycles((0, 1)) == STEP_CYCLES + 550 + 70 + STEP_CYCLES


def test_loads_are_issued_one_round_ahead() -> None:
    first, second = piece(0, vpu=1000), piece(1, vpu=10, loads=600)
    assert rounds((first,), (second,)).cycles((0, 1)) == 1010 + 2 * STEP_CYCLES
    assert rounds((second,), (first,)).cycles((0, 1)) == 600 + 1010 + 2 * STEP_CYCLES
    crowded = replace(rounds((first,), (second,)), is_ahead=False)
    assert crowded.cycles((0, 1)) == 1000 + 600 + 10 + 2 * STEP_CYCLES


PIECES = st.builds(
    Piece,
    st.just(0),
    st.sampled_from([0, 0, 300, 900]),
    st.sampled_from([100, 400, 1000]),
    st.integers(1, 4),
    st.just(0),
    st.just(0),
)


@given(st.lists(PIECES, min_size=1, max_size=5), st.integers(1, 4))
def test_better_turns_get_better_and_never_beat_the_best(pieces: list[Piece], count: int) -> None:
    numbered = tuple(
        Piece(n, p.mxu, p.vpu, p.tiles, p.loads, p.stores) for n, p in enumerate(pieces)
    )
    reads = {n: (n - 1,) for n in range(1, len(pieces))}
    played = rounds(*[numbered] * count, reads=reads)
    found = played.better_turns(tuple(range(len(pieces))))
    cycles = [played.cycles(turns) for turns in found]
    assert all(sorted(turns) == list(range(len(pieces))) for turns in found)
    assert cycles == sorted(set(cycles), reverse=True)
    every = [played.cycles(turns) for turns in permutations(range(len(pieces)))]
    assert cycles[-1] >= min(every) >= max(sum(p.mxu for p in pieces), sum(p.vpu for p in pieces))


@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(1, 500), st.integers(0, 500))
def test_many_tiles_are_played_as_if_one_by_one(
    mxu: int, vpu: int, multiply: int, drain: int
) -> None:
    tiles = 40
    whole = piece(0, multiply * tiles, drain * tiles, tiles)
    played = Accumulator(NEVER).drained(whole, mxu, vpu)
    slots = [0, 0]
    for tile in range(tiles):
        mxu = max(mxu, slots[tile % 2]) + multiply
        vpu = max(mxu, vpu) + drain
        slots[tile % 2] = vpu
    assert played == (mxu, vpu)
