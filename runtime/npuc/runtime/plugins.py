"""Plug-ins change the pipeline: a file given with ``--load`` defines passes and puts them in.

A plug-in defines passes and ``extend(pipeline) -> Pipeline``. It runs as part of the compiler, with
its rights: load only what you trust.
"""

from collections.abc import Sequence
from pathlib import Path

from npuc.compiler.pipeline import Pipeline
from npuc.compiler.plugins import Plugin, load_plugin
from npuc.isa.errors import NpucError, UsageError

ENTRY = "extend"
_NEXT_STEP = "docs/guides/write-a-pass.md builds one; NPUC_DEBUG=1 shows the traceback"


def extended(pipeline: Pipeline, files: Sequence[Path]) -> Pipeline:
    """``pipeline`` as the plug-ins in ``files`` change it, one after the other.

    Raises: UsageError naming the file that cannot be loaded or has no working ``extend``.
    """
    for file in files:
        pipeline = _apply(load_plugin(file), file, pipeline)
    return pipeline


def _apply(plugin: Plugin, file: Path, pipeline: Pipeline) -> Pipeline:
    extend = getattr(plugin.module, ENTRY, None)
    if not callable(extend):
        raise UsageError(
            "the plug-in's passes are in no pipeline",
            str(file),
            f"{', '.join(plugin.passes)}, and no function {ENTRY}",
            f"def {ENTRY}(pipeline: Pipeline) -> Pipeline",
            _NEXT_STEP,
        )
    try:
        result = extend(pipeline)
    except NpucError:
        raise
    except Exception as error:
        raise UsageError(
            f"the plug-in's {ENTRY} failed",
            str(file),
            f"{type(error).__name__}: {error}",
            next_step=_NEXT_STEP,
        ) from error
    if not isinstance(result, Pipeline):
        raise UsageError(
            f"the plug-in's {ENTRY} returned something else than a pipeline",
            str(file),
            type(result).__name__,
            "the changed Pipeline",
            _NEXT_STEP,
        )
    return result
