"""The one place that knows whether numba is there.

``njit`` compiles a kernel and caches the machine code beside the source; without numba it gives
the Python function back, and callers that see ``HAS_NUMBA`` false take the plain NumPy way.
No fast-math and no contraction: a product and a sum are two rounded steps.
"""

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import ParamSpec, TypeVar, overload

P = ParamSpec("P")
R = TypeVar("R")

# Looked for, not imported: that takes as long as a small compilation.
HAS_NUMBA = find_spec("numba") is not None and os.environ.get("NUMBA_DISABLE_JIT", "0") != "1"


@overload
def njit(function: Callable[P, R]) -> Callable[P, R]: ...


@overload
def njit(
    *, inner: bool = False, borrows: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def njit(
    function: Callable[P, R] | None = None, *, inner: bool = False, borrows: bool = False
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """``function`` compiled at its first call, or itself where numba is absent.

    ``@njit(inner=True)`` is for kernels that only kernels of the same file call: without an entry
    from Python they compile in about half the time, and the caller's cache holds their code.
    ``borrows=True`` is for kernels that neither make arrays nor views of them: their arrays are not
    counted at every call, and inner ones become part of their caller. Where millions of small calls
    pass many arrays, counting them costs more than the work.
    """

    def compiled(kernel: Callable[P, R]) -> Callable[P, R]:
        if not HAS_NUMBA:
            return kernel
        import numba  # noqa: PLC0415

        # type: these options exist but stand in no overload
        borrowing = {"_nrt": False, "inline": "always" if inner else "never"} if borrows else {}
        decorate = numba.njit(  # type: ignore
            cache=not inner,
            error_model="numpy",
            no_cpython_wrapper=inner,
            no_cfunc_wrapper=inner,
            **borrowing,
        )
        result: Callable[P, R] = decorate(kernel)
        return result

    return compiled if function is None else compiled(function)
