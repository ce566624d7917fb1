"""What a rung of the ladder leaves behind: figures as JSON in ``docs/validation``.

``docs/validation/README.md`` describes the form; ``docs/render.py`` makes the page of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "validation"


@dataclass(frozen=True)
class Rung:
    """One comparison: what of ours was held against what, its rows of figures, and remarks."""

    name: str
    title: str
    ours: str
    against: str
    rows: Sequence[dict[str, object]]
    notes: Sequence[str] = ()

    def save(self, folder: Path = FOLDER) -> Path:
        """Write ``NAME.json``."""
        data = {
            "title": self.title,
            "ours": self.ours,
            "against": self.against,
            "command": "make validation",
            "rows": list(self.rows),
            "notes": list(self.notes),
        }
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        return path


def errors(name: str, ours: Sequence[float], theirs: Sequence[float]) -> dict[str, object]:
    """A row of relative errors in percent: of magnitude median, 95th and maximum; signed mean."""
    signed = 100 * (np.asarray(ours, np.float64) / np.asarray(theirs, np.float64) - 1)
    size = np.abs(signed)
    return {
        "set": name,
        "n": len(signed),
        "median": round(float(np.median(size)), 3),
        "p95": round(float(np.percentile(size, 95)), 3),
        "max": round(float(size.max()), 3),
        "bias": round(float(signed.mean()), 3),
    }


def violations(name: str, checked: int, broken: int) -> dict[str, object]:
    """A row of a law: how often it was checked, how often it did not hold."""
    return {"set": name, "n": checked, "violations": broken}
