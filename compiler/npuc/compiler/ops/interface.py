"""What every nn operation knows of itself: its result types and its value in machine numerics.

A family file lists its operations in ``OPS``; ``ops/__init__.py`` finds the one of an IR operation.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from npuc.compiler.consts import ConstStore
from npuc.compiler.locations import describe
from npuc.compiler.xdsl_api import Attribute, Operation
from npuc.isa.errors import CompileError

Array = npt.NDArray[np.generic]


class OpInterface(Protocol):
    """The interface of one nn operation."""

    op_class: type[Operation]

    def infer(self, op: Operation) -> tuple[Attribute, ...]:
        """The result types that operands and properties imply.

        Raises: CompileError when they contradict each other.
        """
        ...

    def reference(
        self, op: Operation, operands: Sequence[Array], consts: ConstStore
    ) -> tuple[Array, ...]:
        """The results for these operands, bit for bit as the machine gives them."""
        ...


def contradiction(op: Operation, what: str, given: object) -> CompileError:
    """The error for an operation whose operands and properties do not fit together."""
    return CompileError(
        f"{op.name}: {what}",
        where=describe(op),
        given=str(given),
        next_step="check the shapes and attributes of this node in the model",
    )
