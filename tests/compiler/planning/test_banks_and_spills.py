"""Banks keep apart what collides; spills bring the bound below the capacity, or say they cannot."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.compiler.planning.banks import BankPlan, Banks, assign_banks
from npuc.compiler.planning.buffers import Buffer, Window
from npuc.compiler.planning.spill import suggest_spills
from npuc.isa.errors import InputError
from tests.compiler.planning.checking import faults, fullest

FOUR = [Buffer(name, 0, 4, 10) for name in "abcd"]


def lost(found: BankPlan, conflicts: dict[tuple[str, str], int]) -> int:
    return sum(c for (a, b), c in conflicts.items() if found.bank.get(a, a) == found.bank.get(b, b))


def test_what_collides_most_is_apart() -> None:
    conflicts = {("a", "b"): 100, ("c", "d"): 90, ("a", "c"): 1, ("b", "d"): 1}
    found = assign_banks(FOUR, conflicts, Banks(2, 20))
    assert found.bank["a"] != found.bank["b"] and found.bank["c"] != found.bank["d"]
    assert found.conflict_cycles == lost(found, conflicts) <= 2


def test_allowed_banks_are_kept_and_what_has_no_room_is_striped() -> None:
    buffers = [Buffer("a", 0, 1, 10, banks=(1,)), Buffer("b", 0, 1, 10, banks=(1,))]
    found = assign_banks([*buffers, Buffer("wide", 0, 1, 30)], {}, Banks(2, 15))
    assert found.bank == {"a": 1}
    assert found.striped == ("b", "wide")


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3), st.integers(1, 9)), max_size=6),
    st.dictionaries(st.tuples(st.integers(0, 5), st.integers(0, 5)), st.integers(0, 9), max_size=8),
)
def test_banks_are_legal_and_cost_what_they_say(
    lives: list[tuple[int, int, int]], pairs: dict[tuple[int, int], int]
) -> None:
    buffers = [Buffer(f"b{i}", t, t + n, size) for i, (t, n, size) in enumerate(lives)]
    conflicts = {(f"b{i}", f"b{j}"): c for (i, j), c in pairs.items() if i < j < len(buffers)}
    found = assign_banks(buffers, conflicts, Banks(2, 40))
    assert set(found.bank) | set(found.striped) == {b.id for b in buffers}
    for number in range(2):
        inside = [b for b in buffers if found.bank.get(b.id) == number]
        assert faults(inside, found.plans[number].offsets, 40) == []
    assert found.conflict_cycles == lost(found, conflicts)
    if not found.striped:
        ids = [b.id for b in buffers]
        least = min(
            sum(c for (a, b), c in conflicts.items() if bank[ids.index(a)] == bank[ids.index(b)])
            for bank in product(range(2), repeat=len(ids))
        )
        assert least <= found.conflict_cycles <= sum(conflicts.values())


@pytest.mark.parametrize(
    "conflicts", [{("a", "nobody"): 1}, {("a", "a"): 1}, {("a", "b"): -1}], ids=str
)
def test_bad_conflicts_are_refused(conflicts: dict[tuple[str, str], int]) -> None:
    with pytest.raises(InputError, match="banks cannot be assigned"):
        assign_banks(FOUR, conflicts, Banks(2, 100))


def test_unknown_banks_are_refused() -> None:
    with pytest.raises(InputError, match="banks cannot be assigned") as error:
        assign_banks([Buffer("a", 0, 1, 1, banks=(2,))], {}, Banks(2, 100))
    assert error.value.allowed == "banks below 2"


def test_a_group_is_in_one_bank_that_all_of_it_may_use() -> None:
    group = [Buffer("a", 0, 9, 32, group="g"), Buffer("b", 0, 9, 32, group="g", banks=(1,))]
    found = assign_banks(
        [*group, Buffer("c", 0, 9, 64)], {("a", "b"): 5, ("a", "c"): 1}, Banks(2, 64)
    )
    assert found.bank == {"a": 1, "b": 1, "c": 0} and not found.striped
    apart = [replace(group[0], banks=(0,)), group[1]]
    with pytest.raises(InputError, match="banks cannot be assigned") as error:
        assign_banks(apart, {}, Banks(2, 64))
    assert "group g" in str(error.value)


def test_the_longest_idle_is_spilled_first() -> None:
    buffers = [
        Buffer("busy", 0, 20, 50, uses=tuple(range(20))),
        Buffer("long", 0, 20, 40, spill_cycles=10),
        Buffer("short", 8, 13, 40, spill_cycles=10),
        Buffer("peak", 10, 11, 50),
    ]
    advice = suggest_spills(buffers, 140)
    assert [(s.buffer, s.idle) for s in advice.spills] == [("long", Window(1, 19))]
    assert advice.lower_bound_bytes == fullest(advice.buffers) == 140


def test_where_nothing_is_idle_nothing_is_spilled() -> None:
    advice = suggest_spills([Buffer("a", 0, 1, 60), Buffer("b", 0, 2, 60)], 100)
    assert advice.spills == () and advice.lower_bound_bytes == 120


@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.integers(1, 9), st.integers(1, 30)), min_size=1, max_size=8
    ),
    st.integers(1, 120),
)
def test_spills_lie_between_uses_and_never_raise_the_bound(
    lives: list[tuple[int, int, int]], capacity: int
) -> None:
    buffers = [
        Buffer(f"b{i}", t, t + n, size, uses=(t + n // 2,)) for i, (t, n, size) in enumerate(lives)
    ]
    advice = suggest_spills(buffers, capacity)
    assert fullest(advice.buffers) == advice.lower_bound_bytes <= fullest(buffers)
    uses = {b.id: {b.lower, b.upper - 1, *b.uses} for b in buffers}
    for spill in advice.spills:
        assert not uses[spill.buffer] & set(range(spill.idle.lower, spill.idle.upper))
