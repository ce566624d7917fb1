"""Baselines: measurements by name in a JSON file that lies beside tests or models."""

import json
from collections.abc import Mapping
from pathlib import Path

from npuc.isa.errors import UsageError
from npuc.runtime.files import read_text, write_text
from npuc.runtime.measuring import Measurement

VERSION = 1


def load_baseline(path: Path) -> dict[str, Measurement]:
    """The measurements in ``path`` by name.

    Raises: UsageError when the file is missing or not a baseline.
    """
    if not path.is_file():
        raise UsageError(
            "there is no baseline", given=str(path), next_step="write one first, with --update"
        )
    try:
        data = json.loads(read_text(path))
        if data["version"] != VERSION:
            raise ValueError(f"version {data['version']}")
        return {name: Measurement.from_json(m) for name, m in data["measurements"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            "the file is not a baseline of this npuc",
            where=str(path),
            given=f"{type(error).__name__}: {error}",
            allowed=f"version {VERSION}, as --update writes it",
            next_step="name another file, or remove this one and write it anew with --update",
        ) from error


def save_baseline(path: Path, measurements: Mapping[str, Measurement]) -> None:
    """Write ``measurements`` to ``path``, complete or not at all; sorted, so that diffs are small.

    Raises: OSError where the file cannot be written.
    """
    named = {name: measurements[name].to_json() for name in sorted(measurements)}
    write_text(path, json.dumps({"version": VERSION, "measurements": named}, indent=1) + "\n")
