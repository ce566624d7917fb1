"""The target server with some figures changed, for small models on several cores."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

import npuc.isa.target as target_module
from npuc.compiler.context import NpuContext
from npuc.compiler.passes import schedule_groups
from npuc.compiler.schedule.program import Work
from npuc.compiler.schedule.sharing import Sharing, share_by
from npuc.compiler.schedule.split import cores as splitting
from npuc.compiler.schedule.split.division import Division


def small_server(folder: Path, figures: Mapping[str, int]) -> Path:
    """A target file in ``folder``: that of the server with ``figures`` for its own, by key."""
    text = (Path(target_module.__file__).parent / "targets/server.toml").read_text("utf-8")
    for key, value in figures.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
    path = folder / "small.toml"
    path.write_text(text, encoding="utf-8")
    return path


def share_always(patch: pytest.MonkeyPatch) -> None:
    """From now on all cores that are asked for share the work, whether that gains or not."""

    def share_work(work: Work, alone: Work, cores: int, ctx: NpuContext) -> Sharing:
        return share_by(work, alone, Division(cores), ctx)

    patch.setattr(schedule_groups, "share_work", share_work)
    patch.setattr(splitting, "EXCHANGE_CYCLES", 0)
