"""Machine code by address: what numba offers beyond ``npuc.isa.jit``, in one place.

Kernels call one another in two ways. By name: the caller swallows the code and optimises it once
more. By address (``machine_code``, ``invoke``): code that is compiled alone, when it is needed, and
shared by all; so a table of a hundred small kernels costs only what a program uses.

Type checkers see plain Python: in compiled code all numbers are int64 or float32 words.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from npuc.isa.jit import HAS_NUMBA

P = ParamSpec("P")
R = TypeVar("R")
Number = Any  # a value in a scalar function: int32 or float32

POINTERS = {
    "b": "int8",
    "B": "uint8",
    "h": "int16",
    "H": "uint16",
    "I": "int32",
    "L": "int64",
    "F": "float32",
}

if TYPE_CHECKING:

    def invoke(address: int, arguments: tuple[int, ...]) -> None:
        """Call machine code with integers."""

    def carray(address: Any, shape: int | tuple[int, int]) -> Any:
        """The array at an address; ``as_words`` and its like say of what."""

    def as_words(address: int) -> Any:
        """The address of int64 words."""

    def as_bytes(address: int) -> Any:
        """The address of bytes."""

    def as_signed(address: int) -> Any:
        """The address of signed bytes."""

    def as_values(address: int) -> Any:
        """The address of int32 words."""

    def int64(x: int) -> int:
        """The number as int64: a variable that starts as a literal keeps one type."""
        return x

    def int32(x: int) -> int:
        """The low 32 bits as int32."""
        return x

elif HAS_NUMBA:
    import numba.extending
    from llvmlite import ir

    carray, int64, int32 = numba.carray, np.int64, np.int32

    def _pointer(element):
        @numba.extending.intrinsic
        def as_pointer(_context, _address):
            def generate(context, builder, signature, values):
                return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

            return numba.types.CPointer(element)(numba.types.int64), generate

        return as_pointer

    as_words, as_bytes = _pointer(numba.types.int64), _pointer(numba.types.uint8)
    as_values, as_signed = _pointer(numba.types.int32), _pointer(numba.types.int8)

    @numba.extending.intrinsic
    def invoke(_context, _address, arguments):  # noqa: D103  # as declared above
        def generate(context, builder, _signature, values):
            words = [builder.extract_value(values[1], i) for i in range(len(arguments))]
            form = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * len(words))
            builder.call(builder.inttoptr(values[0], form.as_pointer()), words)
            return context.get_dummy_value()

        return numba.types.void(numba.types.int64, arguments), generate

else:  # nobody calls these
    invoke = carray = as_words = as_bytes = as_signed = as_values = None
    int64, int32 = np.int64, np.int32


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """``function`` for use in compiled code; from Python it stays itself."""
    if not HAS_NUMBA:
        return function
    from numba.extending import register_jitable  # noqa: PLC0415

    result: Callable[P, R] = register_jitable(function)
    return result


def machine_code(kernel: Callable[..., None], parameters: str) -> Any:
    """``kernel`` compiled, or loaded from the cache; its ``address`` lives as long as it does.

    ``parameters``, a letter each: n a number, the others of ``POINTERS`` an address.
    """
    made = _cached(kernel, parameters)
    made.compile()
    return made


def is_in_cache(kernel: Callable[..., None], parameters: str) -> bool:
    """Whether ``machine_code`` need not compile, told without loading anything."""
    return bool(_cached(kernel, parameters)._cache._cache_file._load_index())


def _cached(kernel: Callable[..., None], parameters: str) -> Any:
    """A kernel to compile or to look up."""
    import numba  # noqa: PLC0415
    from numba.core.ccallback import CFunc  # noqa: PLC0415

    known: Any = numba.types
    pointers = {letter: known.CPointer(getattr(known, of)) for letter, of in POINTERS.items()}
    signature = known.void(*(pointers.get(letter, known.int64) for letter in parameters))
    made: Any = CFunc(kernel, (signature.args, signature.return_type), {}, {"error_model": "numpy"})
    made.enable_caching()
    made._cache._cache_file._source_stamp = _stamp()  # the reason is there
    return made


@cache
def _stamp() -> tuple[tuple[str, int, int], ...]:
    """The state of all sources that machine code of this folder may hold: also those above it.

    NOTE: numba throws cached code away when the file of the kernel changes, but not when that of a
    function which the kernel swallowed does; so the stamp that it compares becomes this one.
    """
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    found = [(file.name, file.stat()) for file in files]
    return tuple((name, status.st_mtime_ns, status.st_size) for name, status in found)


def blas_address() -> int:
    """Where Fortran's float32 matrix product is."""
    from numba.extending import get_cython_function_address  # noqa: PLC0415

    return int(get_cython_function_address("scipy.linalg.cython_blas", "sgemm"))
