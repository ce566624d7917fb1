"""Shared test set-up: hypothesis profiles, and the fixture for golden files."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "default", derandomize=True, deadline=None, max_examples=50, suppress_health_check=_QUIET
)
settings.register_profile(
    "thorough", derandomize=True, deadline=None, max_examples=1000, suppress_health_check=_QUIET
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what the code produces now into the golden files instead of comparing",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--update-golden``, run only the tests that have a golden file to write."""
    if not config.getoption("--update-golden"):
        return
    writers = [item for item in items if "golden" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=[item for item in items if item not in writers])
    items[:] = writers


@dataclass(frozen=True)
class Golden:
    """Compares text with a stored file, or stores it when ``--update-golden`` is given."""

    update: bool

    def check(self, path: Path, text: str) -> None:
        """Fail with a readable difference unless ``path`` holds exactly ``text``."""
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        if not path.exists():
            pytest.fail(
                f"{path} does not exist; `make golden` writes it, then read it", pytrace=False
            )
        expected = path.read_text(encoding="utf-8")
        if expected == text:
            return
        difference = difflib.unified_diff(
            expected.splitlines(), text.splitlines(), str(path), "produced now", lineterm=""
        )
        message = "\n".join(
            [*difference, "", "If this is meant: `make golden`, and read the change."]
        )
        pytest.fail(message, pytrace=False)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The golden-file comparison: ``golden.check(path, text)``."""
    return Golden(update=bool(request.config.getoption("--update-golden")))
