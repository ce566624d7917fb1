"""From an ONNX model, or IR text, and options to a compiled program, or to one clear error."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from npuc.compiler.backend.emit import emit_program
from npuc.compiler.context import NpuContext, make_context
from npuc.compiler.frontend import import_model
from npuc.compiler.ir_text import load_dialects, parse_module, print_module
from npuc.compiler.options import RERANKED_FROM_LEVEL, CompileOptions
from npuc.compiler.pipeline import Observers, Pipeline
from npuc.compiler.remarks import Remarks
from npuc.compiler.reranking.rerank import SCHEDULE, rerank
from npuc.compiler.schedule.data import parse_schedule
from npuc.compiler.xdsl_api import ModuleOp
from npuc.isa.errors import UsageError
from npuc.isa.program import Program

PRINT_ALL = "all"
EMIT = "emit"
PARTITION = "partition"  # what re-ranking begins with
COLLECT_AFTER_OBJECTS = 4_000_000


@dataclass
class CompileResult:
    """What a compilation gives.

    ``program`` is None when ``stop_after`` ended it earlier; ``snapshots`` has the IR text after
    each stage that ``print_after`` names.
    """

    module: ModuleOp
    ctx: NpuContext
    program: Program | None = None
    snapshots: dict[str, str] = field(default_factory=dict)

    @property
    def remarks(self) -> Remarks:
        """What the passes did and did not do."""
        return self.ctx.remarks


def compile_model(
    source: str | Path | bytes,
    options: CompileOptions = CompileOptions(),  # noqa: B008  # frozen
    pipeline: Pipeline = Pipeline(),  # noqa: B008  # frozen
    observers: Observers = Observers(),  # noqa: B008  # frozen
) -> CompileResult:
    """Compile an ONNX file, or its bytes.

    Raises: NpucError of the kind that fits: the model, the options, the target, the capacity.
    """
    _check_stages(options, pipeline)
    with _rare_collections():
        ctx = make_context(options)
        load_dialects(ctx)
        _load_schedule(ctx)
        return _run(import_model(source, ctx), ctx, pipeline, observers)


def compile_ir(
    text: str,
    ctx: NpuContext,
    pipeline: Pipeline = Pipeline(),  # noqa: B008  # frozen
    observers: Observers = Observers(),  # noqa: B008  # frozen
) -> CompileResult:
    """Resume from IR text: the options of ``ctx`` say where, its store has the constants.

    Raises: NpucError.
    """
    _check_stages(ctx.options, pipeline)
    with _rare_collections():
        _load_schedule(ctx)
        return _run(parse_module(text, ctx), ctx, pipeline, observers)


def _run(
    module: ModuleOp, ctx: NpuContext, pipeline: Pipeline, observers: Observers
) -> CompileResult:
    result = CompileResult(module, ctx)
    wanted = ctx.options.print_after

    def after_stage(name: str, current: ModuleOp) -> None:
        if name in wanted or PRINT_ALL in wanted:
            result.snapshots[name] = print_module(current)
        observers.after_stage(name, current)
        if name == PARTITION and is_reranked:
            rerank(current, ctx, pipeline)

    is_reranked = ctx.options.level >= RERANKED_FROM_LEVEL and ctx.options.stop_after != PARTITION
    if is_reranked and ctx.options.start_from == SCHEDULE:
        rerank(module, ctx, pipeline)
    pipeline.run(ctx, module, Observers(observers.after_pass, after_stage))
    if ctx.options.stop_after in (None, EMIT):
        result.program = emit_program(module, ctx)
    return result


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for garbage seldom: each look walks the IR, many small objects that stay."""
    before = gc.get_threshold()
    if before[0]:  # else the caller looks for none
        gc.set_threshold(max(before[0], COLLECT_AFTER_OBJECTS), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _load_schedule(ctx: NpuContext) -> None:
    """Read the schedule file of the options into ``ctx``. Raises: NpucError."""
    path = ctx.options.schedule
    if path is None:
        return
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "cannot read the schedule", str(path), str(error), next_step="check the path"
        ) from error
    ctx.schedule = parse_schedule(text, str(path))


def _check_stages(options: CompileOptions, pipeline: Pipeline) -> None:
    """Refuse names before any work is done."""
    pipeline.stages_between(options.start_from, options.stop_after)
    unknown = set(options.print_after) - {*pipeline.stage_names, PRINT_ALL}
    if unknown:
        raise UsageError(
            "--print-after names no stage",
            given=", ".join(sorted(unknown)),
            allowed=", ".join((*pipeline.stage_names, PRINT_ALL)),
        )
