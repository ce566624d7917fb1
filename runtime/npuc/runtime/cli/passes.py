"""``npuc passes``: the stages and their passes, in the order in which they run."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from npuc.compiler.pipeline import Pipeline
from npuc.compiler.xdsl_api import ModulePass
from npuc.runtime.cli.console import show_json, show_table
from npuc.runtime.cli.options import JsonOption, LoadOption
from npuc.runtime.plugins import extended
from npuc.runtime.tables import Table

COLUMNS = ("stage", "ends in", "pass", "options", "does")


def command(*, load: LoadOption, as_json: JsonOption = False) -> None:
    """List the passes of the pipeline, with those that plug-ins add."""
    rows = list(_rows(extended(Pipeline(), load)))
    if as_json:
        show_json([dict(zip(("stage", "dialect", "pass", "options", "does"), row, strict=True))
                   for row in rows])  # fmt: skip
    else:
        show_table(Table("", COLUMNS, rows))


def _rows(pipeline: Pipeline) -> Iterator[tuple[str, str, str, str, str]]:
    for stage in pipeline.stages:
        if not stage.passes:
            yield stage.name, stage.dialect, "", "", ""
        for compiler_pass in stage.passes:
            options = _options(compiler_pass)
            yield stage.name, stage.dialect, compiler_pass.name, options, _summary(compiler_pass)


def _options(compiler_pass: ModulePass) -> str:
    assert is_dataclass(compiler_pass)
    return " ".join(f"{f.name}={getattr(compiler_pass, f.name)}" for f in fields(compiler_pass))


def _summary(compiler_pass: ModulePass) -> str:
    return (type(compiler_pass).__doc__ or "").strip().split("\n")[0].rstrip(".")
