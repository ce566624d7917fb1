"""Plug-ins: Python files outside the package that change the pipeline.

A plug-in defines ``extend(pipeline) -> Pipeline``; the command line takes it with ``--load``.
A plug-in runs as part of the compiler, with its rights: load only what you trust.
"""

import hashlib
import sys
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from npuc.compiler.pipeline import Pipeline

from npuc.isa.errors import NpucError, UsageError

ENTRY = "extend"
_NEXT_STEP = "docs/guides/write-a-pass.md builds one; NPUC_DEBUG=1 shows the traceback"


def extended(pipeline: Pipeline, files: Sequence[Path]) -> Pipeline:
    """``pipeline`` as the plug-ins in ``files`` change it, one after the other.

    Raises: UsageError naming the file that cannot be loaded or has no ``extend``.
    """
    for file in files:
        pipeline = _apply(load_plugin(file), file, pipeline)
    return pipeline


def load_plugin(file: Path) -> ModuleType:
    """The module in ``file``, executed. Raises: UsageError telling line and reason; OSError."""
    source = file.read_bytes()
    name = f"npuc_plugin_{file.stem}_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]}"
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError("a plug-in is a Python file", given=str(file), allowed="FILE.py")
    module = module_from_spec(spec)
    # Dataclasses and pickling look a class's module up by name.
    sys.modules[name] = module
    try:
        exec(compile(source, file, "exec"), module.__dict__)  # that is loading
    except SyntaxError as error:
        raise UsageError(
            "the plug-in is not Python",
            f"{file}, line {error.lineno}, column {error.offset}",
            error.msg,
            next_step="mend the file",
        ) from error
    except NpucError:
        raise
    except Exception as error:
        raise _failed("the plug-in failed while it was loaded", file, error) from error
    return module


def _apply(module: ModuleType, file: Path, pipeline: Pipeline) -> Pipeline:
    extend = getattr(module, ENTRY, None)
    if not callable(extend):
        raise UsageError(
            "the plug-in defines nothing to call",
            str(file),
            "no function " + ENTRY,
            f"def {ENTRY}(pipeline: Pipeline) -> Pipeline",
            _NEXT_STEP,
        )
    try:
        result = extend(pipeline)
    except NpucError:
        raise
    except Exception as error:
        raise _failed(f"the plug-in's {ENTRY} failed", file, error) from error
    if not isinstance(result, Pipeline):
        raise UsageError(
            f"the plug-in's {ENTRY} returned something else than a pipeline",
            str(file),
            type(result).__name__,
            "the changed Pipeline",
            _NEXT_STEP,
        )
    return result


def _failed(what: str, file: Path, error: Exception) -> UsageError:
    return UsageError(what, str(file), f"{type(error).__name__}: {error}", next_step=_NEXT_STEP)
