"""The one place that knows whether numba is there.

``njit`` compiles a kernel and caches the machine code beside the source; without numba it gives
the Python function back, and callers that see ``HAS_NUMBA`` false take the plain NumPy way.
No fast-math and no contraction: a product and a sum are two rounded steps.
"""

import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

try:
    import numba
except ImportError:
    _IS_INSTALLED = False  # the plain way serves
else:
    _IS_INSTALLED = True

HAS_NUMBA = _IS_INSTALLED and os.environ.get("NUMBA_DISABLE_JIT", "0") != "1"


def njit(function: Callable[P, R]) -> Callable[P, R]:
    """``function`` compiled at its first call, or itself where numba is absent."""
    if not HAS_NUMBA:
        return function
    compiled: Callable[P, R] = numba.njit(cache=True, error_model="numpy")(function)
    return compiled
