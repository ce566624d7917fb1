"""``CycleOracle``: who knows the cycles of a whole program.

The compiler's closed forms see a group alone; what neighbours overlap only a timing engine sees.
``runtime`` lends the emulator's to the compiler, which never imports it.
"""

from collections.abc import Mapping
from typing import Protocol

from npuc.isa.program import Program


class CycleOracle(Protocol):
    """Times programs that no value is computed of."""

    def group_cycles(self, program: Program) -> Mapping[str, int]:
        """Wall cycles of each group of the debug table, in the order in which they begin.

        Each cycle belongs to the oldest group that has not ended, so that they sum to the run's.
        Raises: NpucError for a program that cannot be timed.
        """
        ...
