"""Gather by indices that are inputs: rows of large tables, at every level, against ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.compiler.context import make_context
from npuc.compiler.driver import compile_ir, compile_model
from npuc.compiler.options import CompileOptions
from npuc.compiler.schedule.data import Resident, Schedule
from npuc.emulator.machine import run
from npuc.isa.encoding import decode
from npuc.isa.errors import CompileError
from npuc.isa.instructions.dma import Gather
from npuc.isa.program import Program
from npuc.runtime.profiling import profile_program
from npuc.runtime.verification import VerifyOptions, verify_model
from tests.compiler.ops.case import I32, I64, Builder
from tests.e2e.whole_path import (
    Tensor,
    assert_same_bits,
    check_levels,
    compile_watched,
    onnx_runtime,
)

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: extra 'verify'")

VOCABULARY, WIDTH, TOKENS = 30_522, 128, 16
TARGETS = ("edge", "ref-2048", "tiny", "server")


@dataclass(frozen=True)
class Selection:
    """A table of floats, or of int8 under one scale, and the shape of a list of indices."""

    shape: tuple[int, ...]
    axis: int
    picked: tuple[int, ...]
    kind: int = I64
    quantised: bool = False
    computed: bool = False

    def model(self) -> tuple[onnx.ModelProto, str]:
        """The network, and the name of its input of indices."""
        b = Builder(7)
        ids = b.input(self.picked, self.kind)
        table = _int8_table(b, self.shape) if self.quantised else b.weights(*self.shape)
        if self.computed:
            table = b.node("Mul", b.input(self.shape), table)
        return b.model(b.node("Gather", table, ids, axis=self.axis)), ids

    def inputs(self, ids: str, indices: Tensor) -> dict[str, Tensor]:
        """Of the network: its indices, and where it computes the table what it is made of."""
        given: dict[str, Tensor] = {ids: indices.astype(np.int32 if self.kind == I32 else np.int64)}
        if self.computed:
            rng = np.random.default_rng(3)
            given["in1"] = rng.standard_normal(self.shape).astype(np.float32)
        return given


def _int8_table(b: Builder, shape: tuple[int, ...]) -> str:
    scale, zero = b.const(np.float32(0.02)), b.const(np.int8(3))
    return b.node("DequantizeLinear", b.int8(*shape), scale, zero)


def embedding(quantised: bool) -> onnx.ModelProto:
    """Rows of a vocabulary, positions added, normalised, multiplied: how language models begin."""
    b = Builder(11, opset=17)
    ids = b.input((1, TOKENS), I64)
    table = _int8_table(b, (VOCABULARY, WIDTH)) if quantised else b.weights(VOCABULARY, WIDTH)
    x = b.node("Add", b.node("Gather", table, ids), b.weights(1, TOKENS, WIDTH))
    y = b.node("LayerNormalization", x, b.weights(WIDTH), b.weights(WIDTH), axis=-1)
    return b.model(b.node("MatMul", y, b.weights(WIDTH, 64, scale=0.1)))


def gathers(program: Program, core: int) -> list[Gather]:
    """Of one core, in order."""
    return [i for i in decode(program.code[core]) if isinstance(i, Gather)]


@st.composite
def selections(draw: st.DrawFn) -> Selection:
    rank = draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(1, 70 if axis else 400)) for axis in range(rank))
    picked = tuple(draw(st.lists(st.integers(1, 9), max_size=3)))
    return Selection(
        shape,
        draw(st.integers(-rank, rank - 1)),
        picked,
        draw(st.sampled_from([I32, I64])),
        quantised=draw(st.booleans()),
        computed=draw(st.booleans()),
    )


@settings(max_examples=15)
@given(selections(), st.sampled_from(["edge", "tiny"]), st.integers(0, 3), st.integers(0, 1 << 20))
def test_any_selection_is_that_of_onnx_runtime(
    selection: Selection, target: str, level: int, seed: int
) -> None:
    model, ids = selection.model()
    size = selection.shape[selection.axis]
    indices = np.random.default_rng(seed).integers(-size, size, selection.picked)
    inputs = selection.inputs(ids, indices)
    compiled = compile_watched(model.SerializeToString(), CompileOptions(target, level))
    (got,) = check_levels(compiled, inputs).values()
    (want,) = onnx_runtime(model, inputs).values()
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("level", [0, 2])
def test_long_lists_go_tile_by_tile(level: int) -> None:
    """More indices than rows, rows of more elements than SPM holds of all of them."""
    selection = Selection((20, 1500), 0, (3, 11))
    model, ids = selection.model()
    inputs = selection.inputs(ids, np.random.default_rng(5).integers(-20, 20, (3, 11)))
    options = CompileOptions("tiny", level)
    (got,) = check_levels(compile_watched(model.SerializeToString(), options), inputs).values()
    np.testing.assert_array_equal(got, onnx_runtime(model, inputs)[model.graph.output[0].name])


@pytest.mark.parametrize("quantised", [False, True])
def test_an_index_outside_takes_the_row_next_to_it(quantised: bool) -> None:
    model, ids = Selection((50, 6), 0, (6,), quantised=quantised).model()
    indices = np.array([-(1 << 31), -51, -50, 49, 50, (1 << 31) - 1])
    compiled = compile_watched(model.SerializeToString(), CompileOptions())
    (got,) = check_levels(compiled, {ids: indices}).values()
    inside = onnx_runtime(model, {ids: np.clip(indices, -50, 49)})
    np.testing.assert_array_equal(got, next(iter(inside.values())))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_an_embedding_is_verified(target: str, quantised: bool, precision: str) -> None:
    options = CompileOptions(target, precision=precision)
    data = embedding(quantised).SerializeToString()
    report = verify_model(data, options, VerifyOptions())
    assert report.passed, report.first_failure


@pytest.mark.parametrize(("quantised", "row_bytes"), [(False, 4 * WIDTH), (True, WIDTH)])
def test_only_the_rows_asked_for_are_read(quantised: bool, row_bytes: int) -> None:
    """In the element type of the table, each row from the burst that it begins in."""
    model = embedding(quantised)
    program = compile_watched(model.SerializeToString(), CompileOptions("edge")).program
    (gather,) = gathers(program, 0)
    box = program.maps[gather.map]
    assert prod(box.box) * box.dtype.bytes == row_bytes
    report = profile_program(program)
    assert report.timing.dram_read_bytes < TOKENS * row_bytes + 60_000


@pytest.mark.parametrize("stage", ["schedule", "lower", "place", "emit"])
def test_resuming_from_text_gives_the_same_bits(stage: str) -> None:
    model, ids = Selection((300, 40), 0, (50,)).model()
    options = CompileOptions("tiny", print_after=("all",))
    whole = compile_model(model.SerializeToString(), options)
    names = list(whole.snapshots)
    ctx = make_context(CompileOptions("tiny", start_from=stage))
    ctx.consts = whole.ctx.consts
    resumed = compile_ir(whole.snapshots[names[names.index(stage) - 1]], ctx).program
    assert resumed is not None
    assert whole.program is not None
    inputs = {ids: np.random.default_rng(4).integers(-300, 300, 50)}
    assert_same_bits(run(resumed, inputs).outputs, run(whole.program, inputs).outputs, stage)
    assert [len(code) for code in resumed.code] == [len(code) for code in whole.program.code]


def test_a_schedule_cannot_keep_a_table_on_chip(tmp_path: Path) -> None:
    model, _ = Selection((300, 40), 0, (50,), computed=True).model()
    schedule = compile_model(model.SerializeToString(), CompileOptions()).ctx.schedule
    assert isinstance(schedule, Schedule)
    (table,) = [n for n in model.graph.node if n.op_type == "Mul"]
    path = tmp_path / "s.json"
    path.write_text(replace(schedule, resident=(Resident(table.name),)).to_json(), encoding="utf-8")
    with pytest.raises(CompileError, match="does not fit the model") as caught:
        compile_model(model.SerializeToString(), CompileOptions(schedule=path))
    assert caught.value.given == table.name
    assert "not gathered from" in caught.value.allowed


@pytest.mark.parametrize("computed", [False, True])
def test_several_cores_gather_their_own_rows(computed: bool) -> None:
    """Of a constant table, or of one of which every core has made a part."""
    b = Builder(2)
    ids, table = b.input((512,), I64), b.weights(300, 512)
    if computed:
        table = b.node("MatMul", table, b.node("Relu", b.input((512, 512))))
    rows = b.node("Gather", table, ids)
    model = b.model(b.node("MatMul", rows, b.weights(512, 512, scale=0.05)))
    compiled = compile_watched(model.SerializeToString(), CompileOptions("server"))
    assert all(gathers(compiled.program, core) for core in range(4))
    rng = np.random.default_rng(1)
    inputs: dict[str, Tensor] = {ids: rng.integers(-300, 300, 512)}
    if computed:
        inputs["in1"] = rng.standard_normal((512, 512)).astype(np.float32)
    check_levels(compiled, inputs)
