"""CommandStream: what the control pass hands to the passes behind it, one per core.

Control resolves loops, branches and registers; values, time and checks each read the stream and
never the scalar code again. All arrays have one row per dispatched command, in dispatch order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt

from npuc.isa.descriptors import TensorMap

Int64s = npt.NDArray[np.int64]
NO_COUNTER = -1
NO_MAP = -1


@dataclass(frozen=True)
class CommandStream:
    """The commands that one core dispatched; n is their number.

    ``instruction`` n: row in the core's code. ``engine`` n: Engine.value of the executing engine.
    ``ctl_cycles`` n: ctl instructions executed since the previous dispatch, this one included.
    ``registers`` n x 32: the scalar registers at dispatch. ``wait_counter`` n x 2: core * 256 +
    engine * 32 + index, -1 for no wait. ``wait_threshold`` n x 2: the wait holds when the counter
    is at least this. ``increment`` n: index of the engine's counter that grows when the command
    completes, -1 for none. ``map_number`` n: which of ``maps`` a transfer captured from a map
    register, -1 for none; empty where no command did. Rows whose engine is ctl (a nop on ctl, a
    fence, a word) hold ctl back itself.
    """

    instruction: Int64s
    engine: Int64s
    ctl_cycles: Int64s
    registers: Int64s
    wait_counter: Int64s
    wait_threshold: Int64s
    increment: Int64s
    map_number: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    maps: tuple[TensorMap, ...] = ()

    def __len__(self) -> int:
        """Number of commands."""
        return len(self.instruction)

    @staticmethod
    def joined(parts: Sequence["CommandStream"]) -> "CommandStream":
        """The commands of several streams of one core, one after the other."""
        names = [f.name for f in fields(CommandStream) if f.name != "maps"]
        columns = {n: np.concatenate([getattr(p, n) for p in parts]) for n in names}
        return CommandStream(**columns, maps=parts[-1].maps)  # later parts know all the maps

    def numbers_of_maps(self) -> Int64s:
        """``map_number`` with a row for each command."""
        return self.map_number if self.map_number.size else np.full(len(self), NO_MAP, np.int64)
