"""Building: from a model, or IR text, to a program."""

from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import onnx

from npuc.compiler.context import make_context
from npuc.compiler.driver import CompileResult, compile_ir, compile_model
from npuc.compiler.options import RERANKED_FROM_LEVEL, CompileOptions
from npuc.compiler.pipeline import Observers, Pipeline
from npuc.isa.errors import ModelError, NpucError, UsageError
from npuc.isa.program import Program
from npuc.runtime.arrays import Arrays
from npuc.runtime.files import read_text

Model: TypeAlias = str | Path | bytes


def build(
    model: Model,
    options: CompileOptions,
    pipeline: Pipeline | None = None,
    observers: Observers | None = None,
) -> CompileResult:
    """Compile ``model`` (a path, or the bytes of an ONNX file) as ``options`` ask.

    Raises: ModelError, CompileError, TargetError, UsageError, each naming what it is about.
    """
    try:
        return compile_model(
            model, options, _with_oracle(pipeline, options), observers or Observers()
        )
    except NpucError:
        raise
    except Exception as error:
        complaint = _checker_complaint(model)
        if complaint is None:
            raise
        raise ModelError(
            "the model is not valid ONNX",
            where="the given bytes" if isinstance(model, bytes) else str(model),
            given=complaint,
            next_step="export the model again",
        ) from error


def _with_oracle(pipeline: Pipeline | None, options: CompileOptions) -> Pipeline:
    """``pipeline``, or npuc's own, with the emulator's timing engine where it will be asked."""
    chosen = pipeline or Pipeline()
    if options.level < RERANKED_FROM_LEVEL or chosen.oracle is not None:
        return chosen
    # Here, for other levels need no emulator and start at once.
    from npuc.runtime.timing.oracle import TimingEngine  # noqa: PLC0415

    return replace(chosen, oracle=TimingEngine())


def _checker_complaint(model: Model) -> str | None:
    """What onnx's checker says against ``model`` in one line; None where it finds it valid."""
    try:
        onnx.checker.check_model(model if isinstance(model, bytes) else str(model))
    except Exception as error:  # noqa: BLE001  # whatever it dislikes
        return " ".join(str(error).split())
    return None


def program_of(result: CompileResult) -> Program:
    """The program of a compilation that no ``stop_after`` ended early. Raises: UsageError."""
    if result.program is None:
        raise UsageError(
            "the compilation stopped before it made a program",
            given=f"stop_after {result.ctx.options.stop_after}",
            next_step="leave stop_after out",
        )
    return result.program


def resume(
    ir: Path,
    options: CompileOptions,
    pipeline: Pipeline | None = None,
    consts: Arrays | None = None,
) -> CompileResult:
    """Compile from IR text of a stage; ``options.start_from`` names the stage to begin with.

    ``consts`` are the constants that the text names by key.
    Raises: as ``build``; InputError where the file is no text.
    """
    chosen = _with_oracle(pipeline, options)
    chosen.stages_between(options.start_from, options.stop_after)
    ctx = make_context(options)
    ctx.consts.add_named(consts or {})
    return compile_ir(read_text(ir), ctx, chosen)
