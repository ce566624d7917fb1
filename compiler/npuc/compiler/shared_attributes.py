"""Attributes that operations are made with by the thousand: equal ones are one object.

Attributes never change, and xDSL looks at each new one as it is made, which takes longer than to
find it here.
"""

from functools import lru_cache

from npuc.compiler.xdsl_api import DenseArrayBase, IndexType, IntAttr, IntegerType, StringAttr, i32

KEPT = 4096
INDEX = IndexType()


@lru_cache(maxsize=KEPT)
def int_attr(value: int) -> IntAttr:
    """``value`` as an attribute."""
    return IntAttr(value)


@lru_cache(maxsize=KEPT)
def text_attr(text: str) -> StringAttr:
    """``text`` as an attribute."""
    return StringAttr(text)


@lru_cache(maxsize=KEPT)
def segment_sizes(*counts: int) -> DenseArrayBase[IntegerType]:
    """How many operands belong to each part of an operation's definition."""
    return DenseArrayBase.from_list(i32, counts)
