"""Run the ladder and write its figures: ``make validation`` (about half an hour of CPU).

python -m tests.validation [RUNG ...]
    closed-forms, scalesim, onnxim, properties, oracle, whole-bursts
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from tests.validation import closed_forms, onnxim, oracle, properties, scalesim
from tests.validation.form import Rung

RUNGS: dict[str, Callable[[], Rung]] = {
    "closed-forms": closed_forms.rung,
    "scalesim": scalesim.rung,
    "onnxim": onnxim.rung,
    "properties": properties.rung,
    "oracle": oracle.rung,
    "whole-bursts": oracle.whole_bursts_rung,
}


def main(names: Sequence[str]) -> int:
    """Run the named rungs, or all; 2 for a name that is none."""
    unknown = [name for name in names if name not in RUNGS]
    if unknown:
        print(f"no such rung: {', '.join(unknown)}; there are {', '.join(RUNGS)}", file=sys.stderr)
        return 2
    for name in names or RUNGS:
        print(RUNGS[name]().save())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
