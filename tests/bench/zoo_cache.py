"""Networks of ``models.zoo`` on disk, in float32 and int8: made once for each set of versions.

They lie in ``$NPUC_BENCH_CACHE``, else in the user's cache folder; deleting it costs minutes only.
"""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import onnx

import models.zoo
from models.zoo import build, quantised

SEED = 0
_DEPENDS_ON = ("numpy", "onnx", "onnxruntime")


class Pair(NamedTuple):
    """The same network in both precisions."""

    fp32: Path
    int8: Path


def cache_folder() -> Path:
    """Where the networks are kept."""
    given = os.environ.get("NPUC_BENCH_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(given) if given else Path(home) / "npuc" / "zoo"


def network(name: str, folder: Path | None = None) -> Pair:
    """The files of a network, made if they are not there."""
    place = (folder or cache_folder()) / _key()
    pair = Pair(place / f"{name}_fp32.onnx", place / f"{name}_int8.onnx")
    if not all(path.exists() for path in pair):
        place.mkdir(parents=True, exist_ok=True)
        model = build(name, seed=SEED)
        _save(model, pair.fp32)
        _save(quantised(model), pair.int8)
    return pair


def _save(model: onnx.ModelProto, path: Path) -> None:
    """Whole or not at all."""
    part = path.with_suffix(f".{os.getpid()}")
    onnx.save_model(model, part)
    part.replace(path)


def _key() -> str:
    """Versions, seed and the sources of the zoo: what the bytes depend on."""
    parts = [f"{name} {version(name)}" for name in _DEPENDS_ON] + [str(SEED)]
    sources = sorted(Path(str(models.zoo.__file__)).parent.glob("*.py"))
    parts += [source.read_text(encoding="utf-8") for source in sources]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
