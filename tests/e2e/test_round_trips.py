"""Whole programs and the IR of every stage as text and bytes, and back."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npuc.compiler.context import make_context
from npuc.compiler.driver import CompileResult, compile_ir, compile_model
from npuc.compiler.ir_text import parse_module, print_module
from npuc.compiler.options import CompileOptions
from npuc.isa.assembler import assemble
from npuc.isa.container import from_bytes, load, save, to_bytes
from npuc.isa.disassembler import disassemble
from npuc.isa.encoding import decode, encode
from npuc.isa.program import Program
from tests.compiler.ops.cases import Case
from tests.e2e.random_graphs import graphs
from tests.e2e.whole_path import MNIST

TARGETS = ("edge", "tiny")
CLASSIFIERS = [
    ("mnist_cnn_fp32", "tiny"),
    ("mnist_cnn_qdq_int8", "edge"),
    pytest.param("mnist_cnn_fp32", "edge", marks=pytest.mark.slow),
    pytest.param("mnist_cnn_qdq_int8", "tiny", marks=pytest.mark.slow),
    pytest.param("mnist_cnn_qop_s8s8", "edge", marks=pytest.mark.slow),
    pytest.param("mnist_cnn_qop_s8s8", "tiny", marks=pytest.mark.slow),
]
STAGES = ("import", "normalise", "quantize", "fuse", "partition", "schedule", "lower", "place")


def snapshots(model: Path | bytes, target: str, level: int = 2) -> CompileResult:
    """A compilation that keeps the text after each stage."""
    dims = {"batch": 1} if isinstance(model, Path) else {}
    return compile_model(model, CompileOptions(target, level, dims, print_after=("all",)))


@cache
def of_digits(name: str, target: str) -> CompileResult:
    return snapshots(MNIST / f"{name}.onnx", target)


def program_of(result: CompileResult) -> Program:
    assert result.program is not None
    return result.program


def check_texts(result: CompileResult) -> None:
    """Each stage's text parses to a module that prints the same text, with and without places."""
    assert [*result.snapshots][: len(STAGES)] == list(STAGES)
    for stage, text in result.snapshots.items():
        module = parse_module(text, make_context(CompileOptions()), stage)
        assert print_module(module) == text, stage
        bare = print_module(module, with_locations=False)
        again = parse_module(bare, make_context(CompileOptions()), stage)
        assert print_module(again, with_locations=False) == bare, stage


def check_program(program: Program) -> None:
    """Instructions, container and assembly each give back what went in."""
    for code in program.code:
        instructions = decode(code)
        np.testing.assert_array_equal(encode(instructions), code)
        assert decode(encode(instructions)) == instructions
    data = to_bytes(program)
    assert to_bytes(from_bytes(data, "memory")) == data
    text = disassemble(program)
    assembled = assemble(text, "text")
    assert disassemble(assembled) == text
    assert to_bytes(assembled) == data


@pytest.mark.parametrize(("name", "target"), CLASSIFIERS)
def test_texts_of_every_stage_of_the_classifiers(name: str, target: str) -> None:
    check_texts(of_digits(name, target))


@pytest.mark.parametrize(("name", "target"), CLASSIFIERS)
def test_programs_of_the_classifiers(name: str, target: str, tmp_path: Path) -> None:
    program = program_of(of_digits(name, target))
    check_program(program)
    save(program, tmp_path / "p.npu")
    assert (tmp_path / "p.npu").read_bytes() == to_bytes(program)
    assert to_bytes(load(tmp_path / "p.npu")) == to_bytes(program)
    assert [path.name for path in tmp_path.iterdir()] == ["p.npu"], "nothing else is left behind"


@pytest.mark.parametrize("stage", ["fuse", "schedule", "place"])
def test_resuming_from_text_gives_the_same_bytes(stage: str) -> None:
    whole = of_digits("mnist_cnn_qdq_int8", "edge")
    before = STAGES[STAGES.index(stage) - 1]
    ctx = make_context(CompileOptions("edge", 2, start_from=stage))
    ctx.consts = whole.ctx.consts
    resumed = program_of(compile_ir(whole.snapshots[before], ctx))
    one, other = program_of(whole), resumed
    for code, again in zip(one.code, other.code, strict=True):
        np.testing.assert_array_equal(code, again)
    assert (one.views, one.maps, one.kernels, one.params) == (
        other.views,
        other.maps,
        other.kernels,
        other.params,
    )
    np.testing.assert_array_equal(one.constants, other.constants)


@settings(max_examples=6)
@given(
    case=st.sampled_from(["float", "qdq", "qop"]).flatmap(graphs),
    target=st.sampled_from(TARGETS),
    level=st.sampled_from([0, 1, 2, 3]),
)
def test_random_models(case: Case, target: str, level: int) -> None:
    result = snapshots(case.model.SerializeToString(), target, level)
    check_texts(result)
    check_program(program_of(result))
