"""The pipeline: editing by name, partial runs, verification and legality, plug-ins, resuming."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from npuc.compiler.context import make_context
from npuc.compiler.dialects.nn import GraphOp, TransposeOp
from npuc.compiler.driver import compile_ir, compile_model
from npuc.compiler.interpreter import evaluate, graph_of
from npuc.compiler.legality import check_legality
from npuc.compiler.ops.movement import make_transpose
from npuc.compiler.options import CompileOptions, parse_dim, parse_shape
from npuc.compiler.pipeline import Observers, Pipeline
from npuc.compiler.plugins import load_plugin
from npuc.compiler.remarks import RemarkKind, counts_by_kind
from npuc.compiler.xdsl_api import Context, ModuleOp, ModulePass
from npuc.isa.errors import CompileError, UsageError
from tests.compiler.ops.cases import Builder, qlinear_conv

NN = CompileOptions(stop_after="partition")


@dataclass(frozen=True)
class Mark(ModulePass):
    """Does nothing."""

    name = "test-mark"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Leave the module as it is."""


def names(pipeline: Pipeline, stage: str) -> list[str]:
    (found,) = [s for s in pipeline.stages if s.name == stage]
    return [p.name for p in found.passes]


def relu_model() -> bytes:
    b = Builder()
    return b.model(b.node("Relu", b.input((2, 3)))).SerializeToString()


def test_insertion_by_pass_and_by_stage() -> None:
    base = names(Pipeline(), "fuse")
    assert names(Pipeline().insert_before("fuse", Mark()), "fuse") == ["test-mark", *base]
    assert names(Pipeline().insert_after("fuse", Mark()), "fuse") == [*base, "test-mark"]
    after = names(Pipeline().insert_after("compose-generics", Mark()), "fuse")
    assert after.index("test-mark") == after.index("compose-generics") + 1
    qualified = names(Pipeline().insert_before("quantize/fold-constants", Mark()), "quantize")
    assert qualified[-3:-1] == ["test-mark", "fold-constants"]
    assert names(Pipeline(), "fuse") == base, "an edit gives a new pipeline"


def test_replace_and_remove() -> None:
    replaced = Pipeline().replace("compose-generics", Mark())
    assert "test-mark" in names(replaced, "fuse")
    assert "compose-generics" not in names(replaced, "fuse")
    assert "compose-generics" not in names(Pipeline().remove("compose-generics"), "fuse")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda p: p.insert_after("no-such", Mark()), "unknown stage or pass"),
        (lambda p: p.insert_after("fold-constants", Mark()), "several passes"),
        (lambda p: p.insert_after("fuse", Mark()).insert_after("fuse", Mark()), "already"),
        (lambda p: p.remove("fuse"), "cannot be replaced or removed"),
        (lambda p: p.replace("quantize", Mark()), "cannot be replaced or removed"),
        (lambda p: p.stages_between("nowhere", None), "unknown stage"),
        (lambda p: p.stages_between("fuse", "import"), "comes after"),
    ],
)
def test_wrong_names_are_errors(edit: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        edit(Pipeline())


def test_stop_after_and_print_after() -> None:
    options = CompileOptions(stop_after="normalise", print_after=("import",))
    result = compile_model(relu_model(), options)
    assert list(result.snapshots) == ["import"]
    assert 'nn.elementwise "relu"' in result.snapshots["import"]
    assert 'loc("relu0")' in result.snapshots["import"]
    assert result.program is None
    with pytest.raises(UsageError, match="--print-after names no stage"):
        compile_model(relu_model(), CompileOptions(print_after=("nothing",)))


def test_resuming_from_text_gives_the_same_result() -> None:
    case = qlinear_conv("qlinear_conv", pads=[1, 1, 1, 1])
    model = case.model.SerializeToString()
    whole = compile_model(model, NN)
    half = compile_model(model, CompileOptions(stop_after="quantize", print_after=("quantize",)))
    ctx = make_context(CompileOptions(start_from="fuse", stop_after="partition"))
    ctx.consts = half.ctx.consts
    resumed = compile_ir(half.snapshots["quantize"], ctx)
    a, b = (evaluate(r.module, case.inputs, r.ctx.consts) for r in (whole, resumed))
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name])


@dataclass(frozen=True)
class LeaveTranspose(ModulePass):
    """Puts a transpose outside any group."""

    name = "test-leave-transpose"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Insert it before the return."""
        block = graph_of(op).block
        assert block.last_op is not None
        block.insert_op_before(make_transpose(block.args[0], (1, 0)), block.last_op)


@dataclass(frozen=True)
class BreakTypes(ModulePass):
    """Makes the IR invalid."""

    name = "test-break"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Drop the graph's terminator."""
        last = graph_of(op).block.last_op
        assert last is not None
        last.detach()


def test_illegal_leftovers_are_named() -> None:
    pipeline = Pipeline().insert_after("form-groups", LeaveTranspose())
    with pytest.raises(CompileError, match=r"after stage fuse .* outside a group"):
        compile_model(relu_model(), NN, pipeline)


@pytest.mark.parametrize("each", [True, False])
def test_invalid_ir_names_the_pass_or_the_stage(each: bool) -> None:
    options, pipeline = replace(NN, verify_each_pass=each), Pipeline()
    with pytest.raises(CompileError, match="IR is invalid") as caught:
        compile_model(relu_model(), options, pipeline.insert_before("fold-scales", BreakTypes()))
    assert caught.value.where == f"after {'pass test-break' if each else 'stage normalise'}"


def test_legality_of_import_refuses_groups() -> None:
    result = compile_model(relu_model(), NN)
    with pytest.raises(CompileError, match=r"nn\.group must be gone"):
        check_legality("import", result.module)
    assert any(isinstance(op, GraphOp) for op in result.module.walk())
    assert not any(isinstance(op, TransposeOp) for op in result.module.walk())


def test_observers_see_every_pass() -> None:
    seen: list[str] = []
    compile_model(relu_model(), NN, observers=Observers(lambda n, m: seen.append(n)))
    assert seen == [p.name for s in Pipeline().stages_between(None, "partition") for p in s.passes]


def test_remarks_say_what_happened() -> None:
    result = compile_model(qlinear_conv("qlinear_conv").model.SerializeToString(), NN)
    folded = result.remarks.of("fold-zero-points", RemarkKind.applied)
    assert folded and folded[0].nodes == ("qlinearconv0",)
    assert counts_by_kind(result.remarks)["applied"] > 0
    assert "applied: qlinearconv0:" in str(folded[0])
    assert folded[0].to_json()["nodes"] == ["qlinearconv0"]


PLUGIN = """
from dataclasses import dataclass, replace
from npuc.compiler.xdsl_api import ModulePass

@dataclass(frozen=True)
class Outside(ModulePass):
    name = "outside"
    factor: int = 2

    def apply(self, ctx, op):
        pass
"""


def test_a_pass_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    plugin = load_plugin(file)
    outside = plugin.passes["outside"]()
    result = compile_model(relu_model(), NN, Pipeline().insert_after("fuse", outside))
    assert result.module is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "does not exist"), ("1 / 0", "ZeroDivisionError"), ("x = 1", "defines no pass")],
)
def test_broken_plugins(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "broken.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_plugin(file)


def test_options_are_parsed_and_refused() -> None:
    assert parse_dim("batch=4") == ("batch", 4)
    assert parse_shape("x=1x3x8x8") == ("x", (1, 3, 8, 8))
    for text in ("batch", "batch=", "batch=0", "=3", "b=x"):
        with pytest.raises(UsageError, match="--dim"):
            parse_dim(text)
    for text in ("x", "x=", "x=1xa", "=1x2", "x=0"):
        with pytest.raises(UsageError, match="--shape"):
            parse_shape(text)
    with pytest.raises(UsageError, match="optimisation level"):
        CompileOptions(level=7)
