"""How exact the vector functions are: the stated bounds, and what was measured.

An error is in units in the last place of the exact result: |result - exact| / 2**(e - 23), where
2**e <= |exact| < 2**(e + 1), and e = -126 below that. ``accuracy.json`` holds the largest errors
over all 2**32 arguments; ``make bench-ulp`` measures them anew.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

FILE = "accuracy.json"
# Micro-op -> its stated bound. What is IEEE's own operation is rounded once, to the nearest.
BOUNDS_ULP: Mapping[str, float] = {
    "exp2": 1.0,
    "log2": 2.0,
    "recip": 0.5,
    "sqrt": 0.5,
    "rsqrt": 1.5,
    "sin": 2.0,
    "cos": 2.0,
    "tanh": 2.0,
    "erf": 2.0,
}


@dataclass(frozen=True)
class Accuracy:
    """One function against float64, over ``arguments`` float32 bit patterns.

    ``worst_ulp`` at argument ``worst_bits`` is for normal results, the other pair for subnormal
    ones (0 where there is none). ``not_nearest`` counts results that are not the nearest float32;
    ``wrong_special`` those that are not the exact infinity, NaN or finite number in kind;
    ``order_breaks`` neighbouring arguments whose results stand the wrong way round, None where the
    function is not monotone.
    """

    arguments: int
    worst_ulp: float
    worst_bits: int
    worst_subnormal_ulp: float
    worst_subnormal_bits: int
    not_nearest: int
    wrong_special: int
    order_breaks: int | None


def measured() -> dict[str, Accuracy]:
    """What was measured, by micro-op."""
    text = resources.files("npuc.isa.numerics").joinpath(FILE).read_text(encoding="utf-8")
    return {name: Accuracy(**facts) for name, facts in json.loads(text).items()}
