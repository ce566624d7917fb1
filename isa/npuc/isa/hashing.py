"""Hashes of large values that many caches are asked for again and again."""

from collections.abc import Callable
from typing import TypeVar

_Class = TypeVar("_Class", bound=type)
_KEPT = "_kept_hash"


def keeps_hash(cls: _Class) -> _Class:
    """A frozen dataclass that computes its hash once; the decorator goes above ``@dataclass``."""
    computed: Callable[[object], int] = getattr(cls, "__hash__")  # noqa: B009  # not type's own

    def __hash__(self: object) -> int:  # noqa: N807  # becomes a method of cls
        known = vars(self)
        if _KEPT not in known:
            known[_KEPT] = computed(self)
        return int(known[_KEPT])

    def __getstate__(self: object) -> dict[str, object]:  # noqa: N807  # becomes a method of cls
        """Without the hash: another process has other hashes of text."""
        return {name: value for name, value in vars(self).items() if name != _KEPT}

    for method in (__hash__, __getstate__):
        setattr(cls, method.__name__, method)
    return cls
