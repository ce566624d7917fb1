"""CommandStream: what the control pass hands to the passes behind it, one per core.

Control resolves loops, branches and registers; values, time and checks each read the stream and
never the scalar code again. All arrays have one row per dispatched command, in dispatch order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
NO_COUNTER = -1


@dataclass(frozen=True)
class CommandStream:
    """The commands that one core dispatched; n is their number.

    ``instruction`` n: row in the core's code. ``engine`` n: Engine.value of the executing engine.
    ``ctl_cycles`` n: ctl instructions executed since the previous dispatch, this one included.
    ``registers`` n x 32: the scalar registers at dispatch. ``wait_counter`` n x 2: core * 256 +
    engine * 32 + index, -1 for no wait. ``wait_threshold`` n x 2: the wait holds when the counter
    is at least this. ``increment`` n: index of the engine's counter that grows when the command
    completes, -1 for none. Rows whose engine is ctl (a nop on ctl, a fence) hold ctl back itself.
    """

    instruction: Int64s
    engine: Int64s
    ctl_cycles: Int64s
    registers: Int64s
    wait_counter: Int64s
    wait_threshold: Int64s
    increment: Int64s

    def __len__(self) -> int:
        """Number of commands."""
        return len(self.instruction)

    @staticmethod
    def joined(parts: Sequence["CommandStream"]) -> "CommandStream":
        """The commands of several streams of one core, one after the other."""
        names = [f.name for f in fields(CommandStream)]
        return CommandStream(*(np.concatenate([getattr(p, n) for p in parts]) for n in names))
