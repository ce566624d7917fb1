"""Locations: from which ONNX nodes an operation comes.

An imported operation has a ``NameLoc`` with its node's name; what stands for several nodes has a
``FusedLoc`` of theirs. xDSL does not carry locations through rewrites, so every rewrite sets them.
"""

from collections.abc import Iterable
from functools import lru_cache

from npuc.compiler.shared_attributes import KEPT
from npuc.compiler.xdsl_api import (
    ArrayAttr,
    Attribute,
    FusedLoc,
    LocationAttr,
    NameLoc,
    NoneAttr,
    Operation,
    StringAttr,
    UnknownLoc,
)


@lru_cache(maxsize=KEPT)
def named(node_name: str) -> LocationAttr:
    """The location of one ONNX node."""
    return NameLoc(StringAttr(node_name), NoneAttr())


def node_names(op: Operation) -> tuple[str, ...]:
    """The ONNX nodes that ``op`` comes from, each once, in order of appearance."""
    return tuple(dict.fromkeys(_names_in(op.location)))


def fused(*ops: Operation) -> LocationAttr:
    """The location of what stands for all of ``ops``: their nodes, each once, in order."""
    names = dict.fromkeys(name for op in ops for name in _names_in(op.location))
    return of_names(names)


def of_names(names: Iterable[str]) -> LocationAttr:
    """The location that names these nodes."""
    locations = [named(name) for name in names]
    if not locations:
        return UnknownLoc()
    return locations[0] if len(locations) == 1 else FusedLoc(ArrayAttr(locations), NoneAttr())


def describe(op: Operation) -> str:
    """The nodes of ``op`` for a message, or its name where it has none."""
    return ", ".join(node_names(op)) or f"operation {op.name}"


def _names_in(location: Attribute) -> list[str]:
    names: list[str] = []
    pending = [location]
    while pending:
        current = pending.pop()
        if isinstance(current, NameLoc):
            names.append(current.desc.data)
        elif isinstance(current, FusedLoc):
            assert isinstance(current.locations, ArrayAttr)
            pending.extend(reversed(current.locations.data))
    return names
