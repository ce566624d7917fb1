"""The README's first minute is what happens, line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Golden
from tests.transcripts import REPOSITORY, blocks_of, execute, matches, merged, use_folder

README = REPOSITORY / "README.md"
TWO_SCREENS = 120


def test_the_first_minute_is_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Golden
) -> None:
    use_folder(tmp_path, monkeypatch)
    assert execute(README, update=golden.update) > 0


def test_the_first_commands_are_jobs_of_the_makefile() -> None:
    shown = next(block for block in blocks_of(README) if block.language == "sh").lines
    jobs = [line.split("#")[0].split()[1] for line in shown]
    assert jobs == ["demo", "test"]
    makefile = (REPOSITORY / "Makefile").read_text()
    assert all(f"\n{job}:" in makefile for job in jobs)


def test_the_readme_is_two_screens() -> None:
    assert len(README.read_text().splitlines()) <= TWO_SCREENS


def test_the_matching_of_transcripts_can_fail() -> None:
    assert matches(["a ... c", "...", "z"], ["a b c", "1", "2", "z"])
    assert matches(["a", "..."], ["a"])
    assert not matches(["a"], ["a", "b"])
    assert not matches(["a ... c"], ["a b d"])
    assert not matches(["9,120 cycles"], ["9,121 cycles"])


def test_an_updated_transcript_keeps_its_cuts() -> None:
    printed = ["head  1", "12 cycles", "rest", "----", "tail"]
    assert merged(["head  22", "9 cycles", "..."], printed) == ["head  1", "12 cycles", "..."]
    assert merged(["...", "--", "tail"], printed) == ["...", "----", "tail"]
    assert merged(["9 cycles"], printed) == printed
    assert merged(["head  of old", "..."], printed) == ["head  1", "..."]
    assert merged(["...", "gone"], printed) == printed
