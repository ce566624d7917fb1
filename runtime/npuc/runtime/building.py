"""Building: from a model to a program, with plug-ins applied to the pipeline first."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from npuc.compiler.driver import CompileResult, compile_model
from npuc.compiler.pipeline import Pipeline

from npuc.compiler.options import CompileOptions
from npuc.runtime.plugins import extended

Model: TypeAlias = str | Path | bytes


def build(
    model: Model,
    options: CompileOptions,
    plugins: Sequence[Path] = (),
    pipeline: Pipeline | None = None,
) -> CompileResult:
    """Compile ``model`` (a path, or the bytes of an ONNX file) as ``options`` ask.

    ``plugins`` change ``pipeline`` (default: npuc's own) before it runs.
    Raises: ModelError, CompileError, TargetError, UsageError; OSError for an unreadable file.
    """
    chosen = extended(pipeline or Pipeline(), plugins)
    source = Path(model) if isinstance(model, str) else model
    return compile_model(source, options, chosen)
