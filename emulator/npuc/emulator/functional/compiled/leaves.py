"""Machine code by name: small kernels over rows of values, compiled when a program needs them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from npuc.emulator.functional.compiled.native import machine_code

Kernel = Callable[..., None]


class Leaf(NamedTuple):
    """A kernel and its parameters, a letter each."""

    kernel: Kernel
    parameters: str


def leaf(parameters: str) -> Callable[[Kernel], Leaf]:
    """A kernel as a ``Leaf``: ``parameters`` are those of ``native.machine_code``."""
    return lambda kernel: Leaf(kernel, parameters)


@dataclass
class Leaves:
    """Addresses of machine code; one for the process suffices, as code keeps no state."""

    _codes: dict[Leaf, Any] = field(default_factory=dict)

    @property
    def are_in_use(self) -> bool:
        """Whether compiling, or loading, has been paid for."""
        return bool(self._codes)

    def address(self, leaf: Leaf) -> int:
        """Where the code of ``leaf`` is."""
        if leaf not in self._codes:
            self._codes[leaf] = machine_code(leaf.kernel, leaf.parameters)
        return int(self._codes[leaf].address)


@cache
def leaves() -> Leaves:
    """All machine code of the process."""
    return Leaves()
