"""Reductions in parts: any cut of a reduction gives the bits of the whole, on both paths."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.emulator.control import control
from npuc.emulator.machine import RunOptions, load, run
from npuc.emulator.strict import check
from npuc.emulator.timing.work import command_work
from npuc.isa.assembler import assemble
from npuc.isa.descriptors import Kernel, Op, Output, Segment, Space, Stream, TensorMap, View
from npuc.isa.dtypes import DType
from npuc.isa.errors import BinaryError, ExecutionError
from npuc.isa.instructions import Engine
from npuc.isa.instructions.dma import Load, Store
from npuc.isa.instructions.flow import Halt
from npuc.isa.instructions.vector import Vexec, VexecPart
from npuc.isa.microops import BY_NAME
from npuc.isa.numerics import partial, reduction
from npuc.isa.program import Argument, Program
from tests.emulator.programs import TINY, build, wait

POINTS = 3
STATE_AT, OUT_AT = 0x4000, 0x8000
SPECIAL = np.array([np.nan, np.inf, -np.inf, -0.0, 3e38, 1e-45], np.float32)


def kernel_of(names: tuple[str, ...]) -> Kernel:
    """Each reduction over the one stream (mac8 over its square), joined by the epilogue."""
    domain = BY_NAME[names[0]].operands[0]
    ops = [Op(name, (0,) * len(BY_NAME[name].operands)) for name in names]
    value = 16
    for other in range(1, len(names)):
        ops.append(Op(f"sub{domain}", (value, 16 + other)))
        value = 16 + len(ops) - 1
    return Kernel((Stream(domain),), tuple(ops), len(names), (Output(value, epilogue=True),))


def part_views(cuts: list[int], dtype: DType, reductions: int) -> list[View]:
    """The output, the state, then the rows' pieces between the cuts."""
    total, size = cuts[-1], dtype.bytes
    out = View(dtype, Space.spm, OUT_AT, (1, 1, 1, POINTS, 1, 1, 1), (0, 0, 0, 4, 0, 0, 0))
    words = (1, 1, 1, POINTS, reductions, 16)
    state = View(DType.i32, Space.spm, STATE_AT, words, (0, 0, 0, 64 * reductions, 64, 4))
    pieces = [
        View(dtype, Space.spm, start * size, (1, 1, 1, POINTS, 1, 1, stop - start),
             (0, 0, 0, max(total, 1) * size, 0, 0, size))
        for start, stop in pairwise(cuts)
    ]  # fmt: skip
    return [out, state, *pieces]


def program(cuts: list[int], names: tuple[str, ...], whole: bool = False) -> Program:
    """The reduction over rows of ``cuts[-1]`` elements, in one piece or cut."""
    kernel = kernel_of(names)
    dtype = DType.f32 if kernel.inputs[0].domain == "f" else DType.i32
    total = cuts[-1]
    bounds = [0, total] if whole else cuts
    loaded = {"waits": (wait(Engine.ld0, 1),)}
    commands = [
        VexecPart(0, in0=2 + i, out0=0, state=1, start=start, total=total,
                  increment=0, **(loaded if i == 0 else {}))
        for i, start in enumerate(bounds[:-1])
    ]  # fmt: skip
    if whole:
        commands = [Vexec(0, in0=2, out0=0, increment=0, **loaded)]
    count = POINTS * total
    return build(
        [Load(map=0, increment=0), *commands,
         Store(map=1, spm=OUT_AT, waits=(wait(Engine.vpu, len(bounds) - 1),)), Halt()],
        views=tuple(part_views(bounds, dtype, len(names))),
        kernels=(kernel,),
        maps=(
            TensorMap(Segment.input, dtype, 0, (count,), (4,), (count,), (4,)),
            TensorMap(Segment.output, dtype, 0, (POINTS,), (4,), (POINTS,), (4,)),
        ),
        inputs=(Argument("x", dtype, (count,), Segment.input, 0),),
        outputs=(Argument("y", dtype, (POINTS,), Segment.output, 0),),
    )  # fmt: skip


def data(total: int, dtype: np.dtype, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == np.int32:
        return rng.integers(-(2**31), 2**31, POINTS * total).astype(np.int32)
    x = (rng.standard_normal(POINTS * total) * 10.0 ** rng.integers(-3, 4)).astype(np.float32)
    if seed % 3 == 0 and x.size:
        x[rng.integers(0, x.size, 3)] = rng.choice(SPECIAL, 3)
    return x


@st.composite
def cut_reductions(draw: st.DrawFn) -> tuple[list[int], tuple[str, ...], int]:
    total = draw(st.integers(1, 150))
    inside = draw(st.lists(st.integers(0, total - 1), max_size=6))
    domain = draw(st.sampled_from("fi"))
    fitting = [n for n in partial.RESUMABLE if BY_NAME[n].operands[0] == domain]
    names = tuple(draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=3)))
    return [0, *sorted(inside), total], names, draw(st.integers(0, 2**16))


def results(made: Program, x: np.ndarray, path: str) -> np.ndarray:
    return run(made, {"x": x}, RunOptions(path=path)).outputs["y"].view(np.uint32)


@given(cut_reductions())
@settings(max_examples=60, deadline=None)
def test_any_cut_gives_the_bits_of_the_whole(case: tuple) -> None:
    cuts, names, seed = case
    cut = program(cuts, names)
    x = data(cuts[-1], cut.views[0].dtype.numpy, seed)
    expected = results(program(cuts, names, whole=True), x, "plain")
    for path in ("plain", "fast"):
        assert np.array_equal(results(cut, x, path), expected), (path, cuts, names)


def test_the_state_is_the_sixteen_partials() -> None:
    x = np.arange(1, 41, dtype=np.float32)
    state = partial.fold_part("sumf", None, (x[:20],), (0, 40)).view(np.float32)
    expected = np.arange(1, 17, dtype=np.float32)
    expected[:4] += np.arange(17, 21)
    assert np.array_equal(state, expected)
    short = partial.fold_part("sumf", None, (x[:20],), (0, 32)).view(np.float32)
    assert short[0] == 210 and not short[1:].any()


def test_a_stored_nan_is_the_quiet_one_and_counts_as_nan() -> None:
    x = np.array([np.inf, -np.inf] * 20, np.float32)
    odd = np.concatenate([x[:16], -x[:16], x[:8]])
    state = partial.fold_part("sumf", None, (odd[:32],), (0, 40))
    assert set(state.tolist()) == {0x7FC00000}
    last = partial.fold_part("sumf", state, (odd[32:],), (32, 40))
    whole = reduction.reduce_sum(odd)
    assert np.asarray(partial.finish_part("sumf", last, 40)).tobytes() == whole.tobytes()


@pytest.mark.parametrize("total", [0, 1, 16, 17, 32, 33, 64])
def test_empty_parts_change_nothing(total: int) -> None:
    cuts = [0, 0, total // 2, total // 2, total]
    x = data(total, np.dtype(np.float32), 5)
    expected = results(program(cuts, ("sumf",), whole=True), x, "plain")
    for path in ("plain", "fast"):
        assert np.array_equal(results(program(cuts, ("sumf",)), x, path), expected)


def changed(**fields: int) -> Program:
    made = program([0, 20, 40], ("sumf",))
    first = VexecPart(0, in0=2, out0=0, state=1, start=0, total=40, waits=(wait(Engine.ld0, 1),))
    values = {n: getattr(first, n) for n in ("kernel", "in0", "out0", "state", "start", "total")}
    part = VexecPart(**{**values, **fields}, waits=first.waits)
    return build([Load(map=0, increment=0), part, Halt()], views=made.views,
                  kernels=(*made.kernels, ARGMAX, WIDE), maps=made.maps,
                  inputs=made.inputs, outputs=made.outputs)  # fmt: skip


ARGMAX = Kernel((Stream("f"),), (Op("argmaxf", (0,)),), 1, (Output(16, epilogue=True),))
WIDE = Kernel((Stream("f"),) * 5, (Op("sumf", (4,)),), 1, (Output(16, epilogue=True),))


@pytest.mark.parametrize(
    ("fields", "kind", "what"),
    [
        ({"start": -1}, ExecutionError, "a part lies outside its reduction"),
        ({"start": 21}, ExecutionError, "a part lies outside its reduction"),
        ({"total": 19}, ExecutionError, "a part lies outside its reduction"),
        ({"state": 2}, BinaryError, "operand state is no view of words"),
        ({"state": 65535}, BinaryError, "operand state is no view of words"),
        ({"kernel": 1}, BinaryError, "a reduction cannot be cut"),
        ({"kernel": 2}, BinaryError, "a kernel has more streams than vpart"),
        ({"kernel": 3}, BinaryError, "names no kernel"),
        ({"in0": 65535}, BinaryError, "streams and kernel differ"),
    ],
)
def test_what_is_refused(fields: dict[str, int], kind: type[Exception], what: str) -> None:
    with pytest.raises(kind, match=what.replace("(", r"\(")):
        load(changed(**fields))


def test_the_state_fits_the_kernel() -> None:
    made = program([0, 20, 40], ("sumf", "rmaxf"))
    narrow = program([0, 20, 40], ("sumf",)).views[1]
    views = (made.views[0], narrow, *made.views[2:])
    wrong = build([VexecPart(0, in0=2, out0=0, state=1, total=40), Halt()],
                  views=views, kernels=made.kernels)  # fmt: skip
    with pytest.raises(ExecutionError, match="extents of state do not suit the kernel"):
        load(wrong)


def test_strict_mode_sees_the_state() -> None:
    made = program([0, 20, 40], ("sumf",))
    assert check(made, control(load(made).decoded), TINY) == ()
    alone = build(
        [Load(map=0, increment=0),
         VexecPart(0, in0=3, out0=0, state=1, start=20, total=40, increment=0,
                   waits=(wait(Engine.ld0, 1),)),
         Store(map=1, spm=OUT_AT, waits=(wait(Engine.vpu, 1),)), Halt()],
        views=made.views, kernels=made.kernels, maps=made.maps,
        inputs=made.inputs, outputs=made.outputs,
    )  # fmt: skip
    findings = check(alone, load(alone).streams, TINY)
    assert [f.kind for f in findings] == ["uninitialised"] and "state" in findings[0].what


def test_work_counts_the_state_and_the_epilogue_once() -> None:
    made = program([0, 20, 30, 40], ("sumf",))
    (stream,) = load(made).streams
    work = command_work(made, 0, stream, TINY)
    first, middle, last = np.flatnonzero(stream.engine == Engine.vpu.value)
    state_bytes, row = POINTS * 64, POINTS * 4
    assert work.spm_bytes[[first, middle, last]].tolist() == [
        20 * row + state_bytes, 10 * row + 2 * state_bytes, 10 * row + state_bytes + row,
    ]  # fmt: skip
    assert work.lane_ops[[first, middle, last]].tolist() == [60, 30, 30]
    assert (work.fixed[[first, middle, last]] == TINY.vpu.startup_cycles).all()


def test_text_and_bits() -> None:
    made = program([0, 20, 40], ("sumf",))
    text = "vpart 0, in0=2, out0=0, state=1, start=r3 + 5, total=r4"
    code = assemble(f'.target "tiny"\n.core 0 {{\n{text}\nhalt\n}}\n', "part").code[0]
    assert code[0, 0] == VexecPart.opcode and made.code[0][1, 0] == VexecPart.opcode
