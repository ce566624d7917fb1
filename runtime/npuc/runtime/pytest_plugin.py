"""The pytest plug-in: tests verify models and hold their figures against golden files.

Installed with npuc (entry point ``pytest11``); the fixture is ``npu``::

    def test_digits(npu):
        npu.verify("digits.onnx", target="edge", dims={"batch": 1})
        npu.golden("cycles", "bytes", "bits")

``pytest --npu-update`` writes the golden files, which lie beside the tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import pytest

if TYPE_CHECKING:  # the compiler is imported by tests that use it, not by every run of pytest
    from npuc.api import VerifyKeywords, VerifyReport
    from npuc.runtime.building import Model
    from npuc.runtime.measuring import Measurement

UPDATE = "--npu-update"
QUANTITIES = ("cycles", "bytes", "bits")
SHOWN_LAYERS = 8


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--npu-update``."""
    group = parser.getgroup("npuc")
    group.addoption(UPDATE, action="store_true", help="write the golden figures of NPU models anew")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to update from several processes: they would overwrite each other's figures."""
    if config.getoption(UPDATE) and getattr(config.option, "numprocesses", None):
        raise pytest.UsageError(f"{UPDATE} writes files that tests share: run it with -n 0")


class Npu:
    """Verifies and measures models for one test; made by the fixture ``npu``."""

    def __init__(self, path: Path, test: str, *, update: bool) -> None:
        self.path = path.with_name(f"{path.stem}.npu.json")
        self.update = update
        self._test, self._number = test, 0
        self._chosen: tuple[Model, str | Path, VerifyKeywords] | None = None

    def use(
        self, model: Model, target: str | Path = "edge", **options: Unpack[VerifyKeywords]
    ) -> None:
        """Choose the model and options that ``golden`` measures; ``verify`` does it too."""
        self._chosen = (model, target, options)

    def verify(
        self, model: Model, target: str | Path = "edge", **options: Unpack[VerifyKeywords]
    ) -> VerifyReport:
        """Fail the test unless every level of the compilation, emulator and ONNX agree.

        Takes what ``npuc.api.verify`` takes. Raises: NpucError for a model or option that is wrong.
        """
        from npuc import api  # noqa: PLC0415  # see above
        from npuc.runtime.verification.report import verdict_lines  # noqa: PLC0415

        self.use(model, target, **options)
        report = api.verify(model, target, **options)
        if not report.passed:
            pytest.fail("\n".join(verdict_lines(report)), pytrace=False)
        return report

    def golden(self, *quantities: str) -> Measurement:
        """Fail the test unless the chosen model's figures are those of the golden file.

        ``quantities`` are cycles, bytes (of DRAM traffic) and bits (of every layer's values for
        seeded inputs); all of them when none is named. Raises: UsageError for any other.
        """
        from npuc.runtime.baseline import load_baseline, save_baseline  # noqa: PLC0415

        asked = _checked(quantities)
        now, key = self._measured("bits" in asked), self._key()
        stored = load_baseline(self.path) if self.path.exists() else {}
        if self.update:
            save_baseline(self.path, {**stored, key: now})
            return now
        if key not in stored:
            pytest.fail(
                f"{self.path.name} has no figures of {key}: pytest {UPDATE} writes them",
                pytrace=False,
            )
        lines = list(_drift_lines(stored[key], now, asked))
        if lines:
            head = f"{key} is not as {self.path.name} says:"
            hint = f"If this is meant: pytest {UPDATE}, and read the change of the file."
            pytest.fail("\n".join([head, *lines, hint]), pytrace=False)
        return now

    def _measured(self, with_bits: bool) -> Measurement:
        from npuc import api  # noqa: PLC0415
        from npuc.isa.errors import UsageError  # noqa: PLC0415
        from npuc.runtime.measuring import measure  # noqa: PLC0415

        if self._chosen is None:
            raise UsageError(
                "no model was chosen",
                given="npu.golden()",
                next_step="call npu.verify(MODEL) or npu.use(MODEL) first",
            )
        model, target, options = self._chosen
        chosen = api.compile_options(target, options)
        return measure(model, chosen, api.chosen_pipeline(options), with_bits=with_bits)

    def _key(self) -> str:
        self._number += 1
        return self._test if self._number == 1 else f"{self._test}/{self._number}"


@pytest.fixture
def npu(request: pytest.FixtureRequest) -> Npu:
    """Verify models and hold their cycles, bytes and bits against golden figures."""
    update = bool(request.config.getoption(UPDATE))
    return Npu(request.path, request.node.name, update=update)


def _checked(quantities: Sequence[str]) -> tuple[str, ...]:
    from npuc.isa.errors import UsageError  # noqa: PLC0415

    unknown = [quantity for quantity in quantities if quantity not in QUANTITIES]
    if unknown:
        raise UsageError(
            "unknown golden figures", given=", ".join(unknown), allowed=", ".join(QUANTITIES)
        )
    return tuple(quantities) or QUANTITIES


def _drift_lines(before: Measurement, now: Measurement, asked: Sequence[str]) -> Iterator[str]:
    """What changed, the layers that work differently first; layers that merely shifted last."""
    from npuc.runtime.drift import drifts, worst_first  # noqa: PLC0415

    for quantity in asked:
        found = worst_first(drifts(before, now, quantity))
        ordered = sorted(found, key=lambda drift: not drift.is_own)
        yield from (f"  {drift}" for drift in ordered[:SHOWN_LAYERS])
        if len(ordered) > SHOWN_LAYERS:
            yield f"  and {len(ordered) - SHOWN_LAYERS} more layers with other {quantity}"
