"""Plug-ins change the pipeline of every command that compiles."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from npuc.compiler.pipeline import Pipeline
from npuc.compiler.plugins import load_plugin
from npuc.isa.errors import UsageError
from npuc.runtime.plugins import extended
from npuc.runtime.sample_data import QDQ_INT8, sample_model
from tests.command_line import npuc

PLUGIN = '''
from dataclasses import dataclass

from npuc.compiler.context import npu_context
from npuc.compiler.xdsl_api import ModulePass


@dataclass(frozen=True)
class Notice(ModulePass):
    """Say that it was here."""

    name = "{name}"
    text: str = "seen"

    def apply(self, ctx, op):
        npu_context(ctx).remarks.note(self.name, self.text)


def extend(pipeline):
    return pipeline.insert_after("{after}", Notice("{text}"))
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "notice.py"
    path.write_text(PLUGIN.format(name="notice", after="fuse", text="hello"))
    return path


def test_a_plug_in_extends_the_pipeline(plugin: Path) -> None:
    pipeline = extended(Pipeline(), [plugin])
    (fuse,) = (stage for stage in pipeline.stages if stage.name == "fuse")
    assert fuse.passes[-1].name == "notice"


def test_several_plug_ins_apply_in_order(plugin: Path) -> None:
    second = plugin.with_name("second.py")
    second.write_text(PLUGIN.format(name="second", after="notice", text="later"))
    pipeline = extended(Pipeline(), [plugin, second])
    (fuse,) = (stage for stage in pipeline.stages if stage.name == "fuse")
    assert [p.name for p in fuse.passes[-2:]] == ["notice", "second"]


def test_the_same_plug_in_twice_is_an_error(plugin: Path) -> None:
    with pytest.raises(UsageError, match="notice"):
        extended(Pipeline(), [plugin, plugin])


def test_nothing_is_left_beside_it(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where Python writes bytecode, which some environments switch off."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    before = sorted(plugin.parent.rglob("*"))
    load_plugin(plugin)
    assert sorted(plugin.parent.rglob("*")) == before


def test_passes_lists_it_where_it_runs(plugin: Path) -> None:
    rows = json.loads(npuc("passes", "--load", plugin, "--json").out)
    (row,) = (row for row in rows if row["pass"] == "notice")
    assert row["stage"] == "fuse"
    assert row["options"] == "text=hello"
    assert row["does"] == "Say that it was here"
    assert "notice" not in npuc("passes").out


def test_compile_runs_it(plugin: Path) -> None:
    command = ["compile", sample_model(QDQ_INT8), "--dim", "batch=1", "--stop-after", "fuse"]
    data = json.loads(npuc(*command, "--load", plugin, "--json").out)
    (remark,) = (remark for remark in data["remarks"] if remark["source"] == "notice")
    assert remark["message"] == "hello"


def test_opt_runs_it_with_options_by_name(plugin: Path, tmp_path: Path) -> None:
    ir = tmp_path / "graph.mlir"
    stop = ["--dim", "batch=1", "--stop-after", "quantize", "-o", ir]
    assert npuc("compile", sample_model(QDQ_INT8), *stop).code == 0
    outcome = npuc("opt", ir, "--load", plugin, "-p", 'notice{text="again"}', "--explain")
    assert outcome.code == 0, outcome.err
    assert "// notice: note: again" in outcome.out
