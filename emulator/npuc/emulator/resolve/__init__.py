"""Registers to operands: what each dispatched command really works on, and whether it may.

All dispatches of one instruction are resolved together, as arrays. What is wrong (extents out of
range, bytes outside a memory, unequal extents) becomes a ``Problem`` of one command.
"""

from npuc.emulator.resolve.operands import Operand, byte_range, resolve_view
from npuc.emulator.resolve.stream import Problem, ResolvedStream, check_points

__all__ = [
    "Operand",
    "Problem",
    "ResolvedStream",
    "byte_range",
    "check_points",
    "resolve_view",
]
