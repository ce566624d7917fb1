"""A folder that replays a failed verification with one command, wherever npuc is installed."""

import json
import shlex
import shutil
import tempfile
from pathlib import Path

from npuc.compiler.consts import ConstStore
from npuc.compiler.options import CompileOptions
from npuc.isa.errors import UsageError
from npuc.isa.target import builtin_target_names
from npuc.runtime.files import save_arrays
from npuc.runtime.verification.bisection import Culprit
from npuc.runtime.verification.case import Case

MODEL, INPUTS, COMMAND, FACTS = "model.onnx", "inputs.npz", "replay.sh", "failure.json"
TARGET, SCHEDULE = "target.toml", "schedule.json"


def check_folder(folder: Path) -> None:
    """Refuse, before the work, a folder that is in use. Raises: UsageError."""
    in_use = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if in_use or not folder.parent.is_dir():
        raise UsageError(
            "the reproducer needs a folder of its own",
            given=str(folder),
            allowed="an empty or new folder in one that exists",
            next_step="name another folder",
        )


def write_reproducer(
    folder: Path, case: Case, facts: dict[str, object], found: tuple[Culprit | None, ConstStore]
) -> str:
    """Write model, inputs, options, plug-ins and, with a culprit, the IR around its pass.

    ``facts`` is the report as plain data, ``found`` the culprit and the constants that the IR
    names. The folder appears whole or not at all. Returns the command that replays the failure
    from inside the folder. Raises: UsageError for a folder that is in use; OSError.
    """
    check_folder(folder)
    culprit, consts = found
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".npuc-") as name:
        place = Path(name) / "reproducer"
        place.mkdir()
        (place / MODEL).write_bytes(case.proto.SerializeToString())
        save_arrays(place / INPUTS, case.inputs)
        command = _command(place, case)
        (place / COMMAND).write_text(f'#!/bin/sh\ncd "$(dirname "$0")" || exit 2\nexec {command}\n')
        (place / COMMAND).chmod(0o755)
        (place / FACTS).write_text(json.dumps(facts, indent=2, default=str) + "\n")
        if culprit is not None:
            (place / "before.mlir").write_text(culprit.before)
            (place / "after.mlir").write_text(culprit.after)
            for stem in ("before", "after"):
                consts.save(place / f"{stem}.consts.npz")
        if folder.exists():
            folder.rmdir()
        place.rename(folder)
    return command


def _command(place: Path, case: Case) -> str:
    """The command line, and the files that it names put into ``place``."""
    options = case.options
    words = ["npuc", "verify", MODEL, "--input", INPUTS, "--target", _target(place, options)]
    words += [f"-O{options.level}", "--bisect"]
    if options.precision != CompileOptions().precision:
        words += ["--precision", options.precision]
    if options.cores is not None:
        words += ["--cores", f"{options.cores}"]
    for dimension, size in options.dims.items():
        words += ["--dim", f"{dimension}={size}"]
    for tensor, shape in options.shapes.items():
        words += ["--shape", f"{tensor}={'x'.join(map(str, shape))}"]
    if options.schedule is not None:
        shutil.copyfile(options.schedule, place / SCHEDULE)
        words += ["--schedule", SCHEDULE]
    for number, plugin in enumerate(case.plugins):
        copy = f"plugin_{number}_{plugin.name}"
        shutil.copyfile(plugin, place / copy)
        words += ["--load", copy]
    return shlex.join(words)


def _target(place: Path, options: CompileOptions) -> str:
    if options.target in builtin_target_names():
        return options.target
    shutil.copyfile(options.target, place / TARGET)
    return TARGET
