"""The operations of the nn dialect, by family. ``interface_of`` finds the one of an IR operation.

Adding one: a class with the methods of ``interface.OpInterface`` in a family file, listed in its
``OPS``, and an entry in ``tests/compiler/ops/cases.py``.
"""

from collections.abc import Sequence

from npuc.compiler.consts import ConstStore
from npuc.compiler.ops import (
    contraction,
    elementwise,
    generic,
    movement,
    pieces,
    pooling,
    quantization,
)
from npuc.compiler.ops.interface import Array, OpInterface
from npuc.compiler.xdsl_api import Attribute, Operation

FAMILIES = (contraction, elementwise, generic, movement, pieces, pooling, quantization)
_BY_CLASS: dict[type[Operation], OpInterface] = {
    interface.op_class: interface for family in FAMILIES for interface in family.OPS
}


def has_interface(op: Operation) -> bool:
    """Whether ``op`` computes tensors (and is not structure, such as a group)."""
    return type(op) in _BY_CLASS


def interface_of(op: Operation) -> OpInterface:
    """What the family of ``op`` knows about it."""
    return _BY_CLASS[type(op)]


def infer(op: Operation) -> tuple[Attribute, ...]:
    """The result types that operands and properties of ``op`` imply."""
    return interface_of(op).infer(op)


def reference(op: Operation, operands: Sequence[Array], consts: ConstStore) -> tuple[Array, ...]:
    """The results of ``op`` for ``operands``, bit for bit as the machine gives them."""
    return interface_of(op).reference(op, operands, consts)
