"""Every guide is executed: files it shows are written, code runs, commands print what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Golden
from tests.transcripts import REPOSITORY, execute, use_folder

GUIDES = sorted((REPOSITORY / "docs" / "guides").glob("*.md"))


def test_there_are_guides() -> None:
    assert {"first-steps.md", "write-a-pass.md"} <= {path.name for path in GUIDES}


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_the_guide_does_what_it_says(
    guide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Golden
) -> None:
    use_folder(tmp_path, monkeypatch)
    assert execute(guide, update=golden.update) > 0
