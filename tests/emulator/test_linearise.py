"""An order of execution for several cores: engines behind held commands, queues, deadlock."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from npuc.emulator.control import control
from npuc.emulator.linearise import execution_order
from npuc.emulator.strict.clocks import build_graph, clocks
from npuc.emulator.validate import decode
from npuc.isa.errors import ExecutionError
from npuc.isa.instructions import Engine
from npuc.isa.instructions.flow import Halt
from npuc.isa.instructions.order import Fence, Nop
from tests.emulator.programs import TINY, build, wait

LD0, ST, CTL = Engine.ld0.value, Engine.st.value, Engine.ctl.value


def order(*cores: list) -> list[tuple[int, int]]:
    decoded = decode(build(*([*core, Halt()] for core in cores)))
    runs = execution_order(decoded, control(decoded))
    return [(core, command) for core, start, stop in runs for command in range(start, stop)]


def held(core: int, threshold: int = 1, queue: int = LD0) -> Nop:
    return Nop(queue=queue, waits=(wait(Engine.st, threshold, core=core),), increment=0)


MADE = Nop(queue=ST, increment=0)


def test_one_core_executes_in_program_order() -> None:
    assert order([MADE, Fence(), held(0)]) == [(0, 0), (0, 1), (0, 2)]


def test_an_engine_goes_on_behind_a_command_that_another_engine_holds() -> None:
    found = order([held(1), MADE], [held(0), MADE])
    assert sorted(found) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert found.index((0, 1)) < found.index((1, 0))


@pytest.mark.parametrize("barrier", [Fence(), held(1, queue=CTL)])
def test_nothing_passes_a_held_ctl(barrier: object) -> None:
    other = [held(0), Fence(), MADE]
    assert len(order([held(1), MADE], other)) == 5
    with pytest.raises(ExecutionError, match="deadlock"):
        order([held(1), barrier, MADE], other)


def test_engines_go_on_only_as_far_as_the_queues_reach() -> None:
    depth = TINY.ctl.queue_depth
    free = [held(1)] * depth
    assert len(order([*free, MADE], [held(0), MADE])) == depth + 3
    with pytest.raises(ExecutionError, match="deadlock"):
        order([*free, held(1), MADE], [held(0), Fence(), MADE])


def test_a_ctl_wait_orders_what_follows_it_but_not_what_is_queued_before() -> None:
    """Core 0: ld0 is held by core 1, meanwhile ctl waits for mxu, which core 1 needs."""
    mxu = Nop(queue=Engine.mxu.value, increment=0)
    ctl = Nop(queue=CTL, waits=(wait(Engine.mxu, 1),))
    decoded = decode(build([held(1), mxu, ctl, MADE, Halt()], [held(0), MADE, Fence(), Halt()]))
    graph = build_graph(decoded, control(decoded))
    complete = clocks(graph)

    def clock(command: int) -> np.ndarray:
        return complete[(graph.core == 0) & (graph.command == command)][0]

    assert clock(3)[Engine.mxu.value] == 1  # dispatched after ctl had seen mxu
    assert clock(1)[Engine.st.value] == 0


PARTS = st.lists(
    st.tuples(st.sampled_from([LD0, ST, Engine.vpu.value, CTL]), st.integers(0, 4)), max_size=5
)


@given(PARTS, PARTS)
def test_an_order_satisfies_every_wait_and_queue(first: list, second: list) -> None:
    streams = [
        [Nop(queue=q, waits=(wait(Engine.st, t, core=1 - core),), increment=0) for q, t in parts]
        for core, parts in enumerate((first, second))
    ]
    try:
        found = order(*streams)
    except ExecutionError:  # deadlock, which the cases above look at
        assume(False)
    assert sorted(found) == [(c, i) for c in (0, 1) for i in range(len(streams[c]))]
    stores = [0, 0]
    for core, command in found:
        nop = streams[core][command]
        assert stores[1 - core] >= nop.waits[0].imm
        stores[core] += nop.queue == ST
    for (i, a), (j, b) in itertools.combinations(enumerate(found), 2):
        if a[0] == b[0] and a[1] > b[1]:
            queues = [streams[core][command].queue for core, command in (a, b)]
            assert queues[0] != queues[1] and queues[1] != CTL, (i, j)
