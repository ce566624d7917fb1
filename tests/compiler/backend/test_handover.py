"""Order between groups: waits for conflicts, none for what is known already."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from npuc.compiler.backend.handover import Extent, Handover, PlacedTouch
from npuc.compiler.dialects.npu import Known, NopOp, Usage
from npuc.isa.instructions import Engine
from npuc.isa.instructions.base import WAIT_IMM_MIN

LD0, ST, VPU = Engine.ld0, Engine.st, Engine.vpu
A, B = Extent("spm", 0, 64), Extent("spm", 64, 128)


def issued(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(engine.name, 0) for engine in Engine)


def waits(nops: list[NopOp]) -> list[tuple[str, str, int]]:
    """(waiting engine, engine waited for, distance)."""
    return [
        (nop.queue.data.value, wait.counter.engine.name, -wait.imm)
        for nop in nops
        for wait in nop.order.data.waits
    ]


def test_conflict_waits_for_the_last_access() -> None:
    handover = Handover(0)
    reads = [PlacedTouch(A, VPU, False, 3)]
    assert handover.enter(reads) == []
    handover.leave(reads, Usage(issued(vpu=5), ()))
    assert waits(handover.enter([PlacedTouch(A, LD0, True, 1)])) == [("ld0", "vpu", 2)]


def test_no_wait_without_conflict() -> None:
    handover = Handover(0)
    first = [PlacedTouch(A, VPU, False, 1), PlacedTouch(B, VPU, True, 1)]
    handover.leave(first, Usage(issued(vpu=1), ()))
    second = [
        PlacedTouch(A, LD0, False, 1),
        PlacedTouch(B, VPU, False, 1),
        PlacedTouch(Extent("acc", 64, 128), ST, True, 1),
        PlacedTouch(Extent("spm", 128, 256), ST, True, 1),
    ]
    assert handover.enter(second) == []  # two reads, one engine, another memory, bytes apart


def test_known_order_is_not_waited_for_again() -> None:
    handover = Handover(0)
    handover.leave([PlacedTouch(A, VPU, False, 1)], Usage(issued(vpu=1), ()))
    refill = [PlacedTouch(A, LD0, True, 1)]
    assert waits(handover.enter(refill)) == [("ld0", "vpu", 0)]
    handover.leave(refill, Usage(issued(ld0=1), ()))
    assert handover.enter([PlacedTouch(A, LD0, True, 1)]) == []


def test_order_through_a_third_engine_is_known() -> None:
    """st waited inside the group for vpu, which waited for ld0: one wait for st tells all."""
    handover = Handover(0)
    touches = [
        PlacedTouch(A, LD0, True, 1),
        PlacedTouch(A, VPU, False, 1),
        PlacedTouch(B, VPU, True, 1),
        PlacedTouch(B, ST, False, 1),
    ]
    known = (Known(VPU, LD0, 1), Known(ST, VPU, 1), Known(ST, LD0, 1))
    handover.leave(touches, Usage(issued(ld0=1, vpu=1, st=1), (), known))
    whole = Extent("spm", 0, 128)
    assert waits(handover.enter([PlacedTouch(whole, Engine.ld1, True, 1)])) == [("ld1", "st", 0)]


def test_distance_beyond_the_immediate_becomes_a_stronger_wait() -> None:
    handover = Handover(0)
    handover.leave([PlacedTouch(A, VPU, False, 1)], Usage(issued(vpu=100_000), ()))
    assert waits(handover.enter([PlacedTouch(A, LD0, True, 1)])) == [("ld0", "vpu", -WAIT_IMM_MIN)]


def test_more_than_two_sources_need_more_nops() -> None:
    handover = Handover(0)
    engines = [Engine.ld0, Engine.ld1, Engine.mxu]
    touches = [
        PlacedTouch(Extent("spm", 64 * i, 64 * i + 64), engine, False, 1)
        for i, engine in enumerate(engines)
    ]
    handover.leave(touches, Usage(issued(ld0=1, ld1=1, mxu=1), ()))
    nops = handover.enter([PlacedTouch(Extent("spm", 0, 512), VPU, True, 1)])
    assert [len(nop.order.data.waits) for nop in nops] == [2, 1]


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(("spm", "constant")),
                st.integers(0, 3),
                st.integers(1, 3),
                st.sampled_from((LD0, Engine.ld1, ST, VPU)),
                st.booleans(),
            ),
            max_size=4,
        ),
        max_size=12,
    )
)
def test_accesses_that_later_ones_stand_for_are_forgotten_without_a_trace(
    groups: list[list[tuple[str, int, int, Engine, bool]]],
) -> None:
    """Against a handover that forgets nothing: the same waits, group by group."""
    handover, all_kept = Handover(0), Handover(0)
    for group in groups:
        touches = [
            PlacedTouch(Extent(memory, low, low + size), engine, writes and memory == "spm", 1)
            for memory, low, size, engine, writes in group
        ]
        assert waits(handover.enter(touches)) == waits(all_kept.enter(touches))
        usage = Usage(issued(ld0=1, ld1=1, st=1, vpu=1), ())
        before = all_kept._past
        for one in (handover, all_kept):
            one.leave(touches, usage)
        numbered = [
            replace(t, count=all_kept.issued[t.engine.value] - 1 + t.count) for t in touches
        ]
        all_kept._past = np.concatenate([before, all_kept._table(numbered)])


def test_what_no_engine_waits_for_is_not_kept_layer_by_layer() -> None:
    """An engine that has nothing to do learns nothing; its ignorance must not cost memory."""
    handover = Handover(0)
    for layer in range(50):
        touches = [
            PlacedTouch(Extent("constant", 64 * layer, 64 * layer + 64), Engine.ld1, False, 1),
            PlacedTouch(A, Engine.ld1, True, 1),
            PlacedTouch(A, VPU, False, 1),
            PlacedTouch(B, VPU, True, 1),
        ]
        handover.enter(touches)
        handover.leave(touches, Usage(issued(ld1=1, vpu=1), ()))
    assert len(handover._past) <= 3
