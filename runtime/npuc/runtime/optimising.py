"""Chosen passes over IR text: what ``npuc opt`` does."""

from collections.abc import Callable, Sequence
from pathlib import Path

from npuc.compiler.context import NpuContext, make_context
from npuc.compiler.ir_text import parse_module
from npuc.compiler.options import CompileOptions
from npuc.compiler.pipeline import STAGES, Pipeline, Stage
from npuc.compiler.plugins import load_plugin
from npuc.compiler.xdsl_api import ArgSpecParseError, ModuleOp, ModulePass, PassPipeline
from npuc.isa.errors import UsageError
from npuc.runtime.arrays import Arrays
from npuc.runtime.files import read_text

Passes = tuple[ModulePass, ...]


def parse_passes(text: str, plugins: Sequence[Path] = ()) -> Passes:
    """The passes that ``pass{option=value},pass`` names: npuc's own and those of ``plugins``.

    Raises: UsageError for a text of another form, an unknown pass or option.
    """
    known = _known_passes(plugins)
    try:
        return tuple(PassPipeline.parse_spec({n: _giver(p) for n, p in known.items()}, text).passes)
    except (ArgSpecParseError, ValueError) as error:
        raise UsageError(
            "the passes are not understood",
            given=f"{text!r}: {' '.join(str(error).split())}",
            allowed=f"pass{{option=value}},pass with {', '.join(sorted(known))}",
            next_step="npuc passes shows each with its options",
        ) from error


def run_passes(
    ir: Path, passes: Passes, options: CompileOptions, consts: Arrays
) -> tuple[ModuleOp, NpuContext]:
    """The module in the file ``ir`` after ``passes``, and the context with remarks and constants.

    Raises: UsageError where the text does not parse; whatever a pass raises.
    """
    ctx = make_context(options)
    ctx.consts.add_named(consts)
    module = parse_module(read_text(ir), ctx, str(ir))
    Pipeline((Stage("opt", "any", passes),)).run(ctx, module)
    return module, ctx


def _known_passes(plugins: Sequence[Path]) -> dict[str, type[ModulePass]]:
    known: dict[str, type[ModulePass]] = {}
    for stage in STAGES:
        known.update((p.name, type(p)) for p in stage.passes)
    for file in plugins:
        known.update(load_plugin(file).passes)
    return known


def _giver(pass_class: type[ModulePass]) -> Callable[[], type[ModulePass]]:
    return lambda: pass_class
