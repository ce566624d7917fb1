"""The work of commands against the manual's twin, and the event engine against the oracle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.emulator.timing import time_streams
from npuc.emulator.timing.stepped import SteppedMachine, stepped_cycles
from npuc.emulator.timing.work import command_work
from npuc.isa import cost
from npuc.isa.descriptors import Segment, TensorMap
from npuc.isa.dtypes import DType
from npuc.isa.instructions.dma import Load, Store
from npuc.isa.target import load_target
from npuc.runtime.sample_data import FP32, QDQ_INT8
from tests.emulator.timing_streams import program_of, stream_of
from tests.validation import closed_forms
from tests.validation.manual_work import works_by_the_manual
from tests.validation.oracle import COMMANDS, cycles
from tests.validation.programs import KINDS, compiled, machines, random_case

EDGE = load_target("edge")


@pytest.mark.parametrize("target", ["tiny", "edge", "server"])
@pytest.mark.parametrize("model", [QDQ_INT8, FP32])
def test_work_of_compiled_commands_is_the_manuals(model: str, target: str) -> None:
    case = compiled(model, target)
    twin = works_by_the_manual(case.program, case.streams, case.target)
    for core, stream in enumerate(case.streams):
        work = command_work(case.program, core, stream, case.target)
        for fact in closed_forms.FACTS:
            np.testing.assert_array_equal(getattr(work, fact), getattr(twin[core], fact), fact)


@given(
    st.tuples(st.integers(-6, 12), st.integers(-6, 12), st.integers(-6, 80)),
    st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 80)),
    st.sampled_from([(630, 70, 1), (960, 96, 1), (1, 8, 72), (0, 70, 1)]),
    st.booleans(),
)
def test_boxes_over_every_edge_are_the_manuals(
    start: tuple[int, int, int],
    box: tuple[int, int, int],
    strides: tuple[int, int, int],
    is_store: bool,
) -> None:
    spm = (box[1] * box[2], box[2], 1)
    tensor_map = TensorMap(Segment.scratch, DType.i8, 0, (8, 9, 70), strides, box, spm)
    kind = Store if is_store else Load
    code = [kind(map=0, i0=start[0], i1=start[1], i2=start[2])]
    program = replace(program_of(EDGE, code), maps=(tensor_map,))
    streams = [stream_of(code)]
    (twin,) = works_by_the_manual(program, streams, EDGE)
    work = command_work(program, 0, streams[0], EDGE)
    for fact in closed_forms.FACTS:
        assert getattr(work, fact)[0] == getattr(twin, fact)[0], fact


def test_closed_forms_are_folds_on_a_clock() -> None:
    for ours, theirs in (closed_forms.walked_products(shapes=6), closed_forms.single_folds()):
        assert ours == theirs
    assert int(cost.mma_cycles(EDGE, 512, 512, 512)) > 512**3 // 1024


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("target", machines(), ids=lambda t: t.name)
def test_short_streams(target: str, cores: int) -> None:
    """Whole ladder: docs/validation.md. Short streams err more, for ends weigh more."""
    errors = []
    for kind in KINDS:
        ours, theirs = cycles(random_case(target, kind, 60 * cores, cores))
        errors.append(abs(ours / theirs - 1))
    assert max(errors) <= 0.08


def test_compiled_digits() -> None:
    ours, theirs = cycles(compiled(QDQ_INT8, "edge"))
    assert abs(ours / theirs - 1) <= 0.02


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*KINDS, "periodic"])
@pytest.mark.parametrize("cores", [1, 2, 4])
def test_long_streams(kind: str, cores: int) -> None:
    found = [cycles(random_case(t, kind, COMMANDS, cores, seed=7)) for t in machines()]
    errors = np.abs([ours / theirs - 1 for ours, theirs in found])
    assert np.median(errors) <= 0.02 and errors.max() <= 0.08


def test_the_comparison_can_fail() -> None:
    """An engine that gave every transfer all of DRAM would be found at once."""
    case = random_case(EDGE, "unordered", 60)
    works = works_by_the_manual(case.program, case.streams, EDGE)
    oracle = stepped_cycles(case.program, case.streams, works, SteppedMachine(EDGE))
    free = replace(EDGE, dram=replace(EDGE.dram, bytes_per_cycle=3 * EDGE.dram.bytes_per_cycle))
    assert time_streams(case.program, case.streams, free).wall_cycles < 0.92 * oracle
