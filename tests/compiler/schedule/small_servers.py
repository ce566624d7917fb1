"""The target server with some figures changed, for small models on several cores."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import npuc.isa.target as target_module


def small_server(folder: Path, figures: Mapping[str, int]) -> Path:
    """A target file in ``folder``: that of the server with ``figures`` for its own, by key."""
    text = (Path(target_module.__file__).parent / "targets/server.toml").read_text("utf-8")
    for key, value in figures.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
    path = folder / "small.toml"
    path.write_text(text, encoding="utf-8")
    return path
