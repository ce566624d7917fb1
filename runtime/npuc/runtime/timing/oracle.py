"""The emulator's timing engine as the compiler's ``CycleOracle``."""

from collections.abc import Mapping

from npuc.emulator.control import control
from npuc.emulator.timing import time_streams
from npuc.emulator.timing.groups import group_cycles, groups_of
from npuc.emulator.validate import decode
from npuc.isa.program import Program


class TimingEngine:
    """Runs control and time of a program; see ``npuc.isa.oracle``."""

    def group_cycles(self, program: Program) -> Mapping[str, int]:
        """Wall cycles of each group, in order; they sum to the run's.

        Raises: BinaryError, ExecutionError where the program cannot run; UsageError where its
        commands depend on values.
        """
        streams = control(decode(program))
        timing = time_streams(program, streams)
        groups = groups_of(program, streams)
        cycles = group_cycles(groups, [core.end for core in timing.cores])
        return dict(zip(groups.names, map(int, cycles), strict=True))
