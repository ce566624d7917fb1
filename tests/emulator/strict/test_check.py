"""Strict mode: what it finds, with which witness, and that it finds nothing else."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npuc.emulator.machine import load
from npuc.emulator.region import Region
from npuc.emulator.strict import check, redundant_waits, wait_fields, without_wait
from npuc.emulator.strict.bytesets import region_bytes, strided_bytes
from npuc.isa.descriptors import Kernel, Output, Segment, Space, Stream, TensorMap, View, Window
from npuc.isa.dtypes import DType
from npuc.isa.encoding import decode, encode
from npuc.isa.errors import UsageError
from npuc.isa.instructions import Engine
from npuc.isa.instructions.dma import Load, Store
from npuc.isa.instructions.flow import Halt
from npuc.isa.instructions.order import Fence, Nop
from npuc.isa.instructions.vector import Vexec
from npuc.isa.program import Argument
from tests.emulator.programs import build, tiled_product, wait
from tests.emulator.test_machine import two_cores

N = 8
MAPS = tuple(
    TensorMap(s, DType.i8, 0, (N,), (1,), (N,), (1,)) for s in (Segment.input, Segment.output)
)
ARGUMENTS = {
    "inputs": (Argument("x", DType.i8, (N,), Segment.input, 0),),
    "outputs": (Argument("y", DType.i8, (N,), Segment.output, 0),),
}
COPY = Kernel((Stream("i"),), (), 0, (Output(0),))


def row(base: int, count: int = N, step: int = 1) -> View:
    return View(DType.i8, Space.spm, base, (1, 1, 1, count, 1, 1, 1), (0, 0, 0, step, 0, 0, 0))


def program(*code, views: tuple[View, ...] = ()) -> object:
    return build([*code, Halt()], maps=MAPS, views=views, kernels=(COPY,), **ARGUMENTS)


def kinds(made: object) -> list[str]:
    return [finding.kind for finding in check(made)]


IN = Load(map=0, increment=0)


def test_a_well_synchronised_program_has_no_findings() -> None:
    assert check(tiled_product()[0]) == ()


def test_a_missing_wait_is_a_race_with_both_instructions_nodes_bytes_and_edge() -> None:
    assert kinds(program(IN, Store(map=1, waits=(wait(Engine.ld0, 1),)))) == []
    (finding,) = check(program(IN, Store(map=1)))
    assert finding.kind == "race"
    assert finding.site.startswith("core 0, instruction 1: st m1")
    assert finding.other.startswith("core 0, instruction 0: ld m0")
    assert (finding.memory, finding.first_byte, finding.n_bytes) == ("spm of core 0", 0, N)
    assert "until ld0 of core 0 has completed its 1. command" in finding.missing
    assert "race" in str(finding) and "bytes: 8 of spm of core 0, first 0" in str(finding)


def test_buffers_that_are_refilled_early_are_races_with_the_nodes_named() -> None:
    findings = check(tiled_product(synchronised=False)[0])
    assert [f.kind for f in findings] == ["race"] * 3
    assert all("Gemm_0" in f.site and "Gemm_0" in f.other for f in findings)
    assert {f.first_byte for f in findings} == {0, 4096}


def test_order_is_transitive_through_a_third_engine() -> None:
    relay = Nop(queue=Engine.mxu.value, waits=(wait(Engine.ld0, 1),), increment=3)
    out = Store(map=1, waits=(wait(Engine.mxu, 1, index=3),))
    assert kinds(program(IN, relay, out)) == []
    assert kinds(program(IN, replace(relay, waits=()), out)) == ["race"]


@pytest.mark.parametrize("barrier", [Fence(), Nop(queue=0, waits=(wait(Engine.ld0, 1),))])
def test_a_fence_and_a_nop_of_ctl_order_all_that_follows(barrier: object) -> None:
    assert kinds(program(IN, barrier, Store(map=1))) == []


def test_one_engine_is_in_order_by_itself_and_reads_do_not_conflict() -> None:
    both = program(
        IN,
        Load(map=0, increment=0),
        Store(map=1, waits=(wait(Engine.ld0, 2),)),
        Vexec(kernel=0, in0=0, out0=1, waits=(wait(Engine.ld0, 2),)),
        views=(row(0), row(100)),
    )
    assert kinds(both) == []


def test_bytes_between_strided_elements_do_not_conflict() -> None:
    apart = (row(64, 8, 2), row(65, 8, 2))

    def made(first: int, second: int) -> object:
        return program(
            IN,
            Store(map=1, waits=(wait(Engine.ld0, 1),)),
            Nop(queue=Engine.vpu.value, waits=(wait(Engine.ld0, 1),)),
            Vexec(kernel=0, in0=2, out0=first),
            Load(map=2, spm=64 + second, queue=1),
            views=(*apart, row(0)),
        )

    odd = replace(made(0, 1), maps=(*MAPS, replace(MAPS[0], spm_strides=(2,))))
    even = replace(odd, code=replace(made(0, 0), maps=odd.maps).code)
    assert kinds(odd) == []
    assert kinds(even) == ["race"]


def test_a_window_touches_only_the_bytes_it_lets_through() -> None:
    window = Window(-2, 3, (0, 0, 0, 1, 0, 0, 0))
    clipped = replace(row(100), windows=(window,))
    made = region_bytes(Region(clipped, 100, clipped.extents, (-2,)))
    assert made.all.tolist() == [102, 103, 104]
    (finding,) = check(
        program(
            IN,
            Store(map=1, waits=(wait(Engine.ld0, 1),)),
            Vexec(kernel=0, in0=0, out0=1),
            views=(clipped, row(200)),
        )
    )
    assert (finding.kind, finding.first_byte, finding.n_bytes) == ("uninitialised", 102, 3)


def test_an_uninitialised_read_names_the_exact_bytes() -> None:
    out = Store(map=1, spm=5, waits=(wait(Engine.ld0, 1),))
    (finding,) = check(program(IN, out))
    assert (finding.kind, finding.first_byte, finding.n_bytes) == ("uninitialised", 8, 5)
    assert "box" in finding.what and finding.instruction == 1


def test_an_output_that_is_not_written_is_found() -> None:
    (finding,) = check(program(IN))
    assert finding.kind == "uninitialised" and "output y" in finding.what
    partly = Store(map=1, i0=3, waits=(wait(Engine.ld0, 1),))
    (finding,) = check(program(IN, partly))
    assert (finding.kind, finding.first_byte, finding.n_bytes) == ("uninitialised", 0, 3)


def test_out_of_bounds_is_a_finding_with_the_true_extents() -> None:
    made = program(Load(map=0, spm=65536 - 4), Store(map=1))
    found = {f.kind: f for f in check(made)}
    assert "leaves SPM" in found["out of bounds"].what
    assert found["out of bounds"].instruction == 0
    assert found["uninitialised"].instruction == 1


def test_deadlock_is_a_finding() -> None:
    (finding,) = check(two_cores(deadlock=True))
    assert finding.kind == "deadlock" and "core0.st[0] >= 1" in finding.site


# -- mutations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [tiled_product()[0], two_cores()], ids=["tiled", "two cores"])
def test_without_any_single_wait_a_program_races_or_the_wait_is_redundant(made: object) -> None:
    fields = list(wait_fields(made))
    redundant = redundant_waits(made)
    assert len(fields) > len(redundant)
    for field in fields:
        races = [f.kind for f in check(without_wait(made, field))]
        assert (races == []) == (field in redundant), (field, races)


def test_a_doubled_wait_is_redundant_and_a_needed_one_is_not() -> None:
    twice = program(IN, Store(map=1, waits=(wait(Engine.ld0, 1), wait(Engine.ld0, 1))))
    assert [f.which for f in redundant_waits(twice)] == [0, 1]
    assert redundant_waits(program(IN, Store(map=1, waits=(wait(Engine.ld0, 1),)))) == ()


def test_questions_about_waits_are_refused_where_they_make_no_sense() -> None:
    with pytest.raises(UsageError, match="races as it is"):
        redundant_waits(tiled_product(synchronised=False)[0])
    field = next(wait_fields(tiled_product()[0]))
    with pytest.raises(UsageError, match="no such wait"):
        without_wait(tiled_product()[0], replace(field, which=1))


# -- the referee: byte sets and happens-before by brute force --------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-9, 9)), min_size=1, max_size=4),
    st.sampled_from([1, 2, 4]),
)
def test_strided_bytes_are_those_of_all_points(dims: list, size: int) -> None:
    extents, strides = tuple(e for e, _ in dims), tuple(s for _, s in dims)
    expected = {
        sum(i * s for i, s in zip(point, strides, strict=True)) + byte
        for point in itertools.product(*(range(e) for e in extents))
        for byte in range(size)
    }
    assert set(strided_bytes(extents, strides, size).all.tolist()) == expected


@given(st.integers(0, 2**32))
def test_races_are_exactly_the_conflicts_that_no_path_orders(seed: int) -> None:
    """Random copies on three engines with random waits, against the definition."""
    rng = np.random.default_rng(seed)
    code, views = [], []
    for number in range(8):
        order = []
        if number and rng.integers(2):
            engine = (Engine.ld0, Engine.ld1, Engine.vpu)[rng.integers(3)]
            made = sum(c.engine is engine for c in code)
            order = [wait(engine, int(rng.integers(1, made + 1)))] if made else []
        at = int(rng.integers(0, 4)) * 4
        if rng.integers(3) == 0:
            views += [row(int(rng.integers(0, 4)) * 4), row(at)]
            code.append(
                Vexec(
                    kernel=0,
                    in0=len(views) - 2,
                    out0=len(views) - 1,
                    waits=tuple(order),
                    increment=0,
                )
            )
        else:
            code.append(
                Load(map=0, spm=at, queue=int(rng.integers(2)), waits=tuple(order), increment=0)
            )
    made = program(*code, views=tuple(views))
    found = {f.instruction for f in check(made) if f.kind == "race"}
    assert found == {later for later, _ in _races_by_definition(made, code)}


def _races_by_definition(made, code) -> set[tuple[int, int]]:
    n = len(code)
    before = np.zeros((n, n), bool)
    for i in range(n):
        mine = [j for j in range(i) if code[j].engine is code[i].engine]
        before[mine, i] = True
        for held in code[i].waits:
            makers = [j for j in range(n) if code[j].engine is held.counter.engine]
            before[makers[held.imm - 1], i] = True
    for k in range(n):
        before |= before[:, k : k + 1] & before[k : k + 1, :]
    races = set()
    for j, i in itertools.combinations(range(n), 2):
        (reads_i, writes_i), (reads_j, writes_j) = _bytes(made, code[i]), _bytes(made, code[j])
        clash = writes_i & (reads_j | writes_j) | reads_i & writes_j
        if clash and code[i].engine is not code[j].engine and not before[j, i]:
            races.add((i, j))
    return races


def _bytes(made, command) -> tuple[set[int], set[int]]:
    if isinstance(command, Load):
        return set(), set(range(command.spm, command.spm + N))
    first, second = made.views[command.in0].base, made.views[command.out0].base
    return set(range(first, first + N)), set(range(second, second + N))


def test_a_clean_program_runs() -> None:
    assert load(program(IN, Store(map=1, waits=(wait(Engine.ld0, 1),)))).streams


def test_accumulating_onto_words_that_nobody_wrote_is_uninitialised() -> None:
    made, _, _ = tiled_product()
    code = decode(made.code[0])
    code[5] = replace(code[5], accumulate=1)
    (finding,) = check(replace(made, code=(encode(code),)))
    assert (finding.kind, finding.memory, finding.n_bytes) == (
        "uninitialised",
        "acc of core 0",
        256,
    )
