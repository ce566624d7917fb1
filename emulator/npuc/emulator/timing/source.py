"""Facts of commands (``Work``) and what they are computed from (``Source``)."""

from dataclasses import dataclass, fields

import numpy as np

from npuc.emulator.decode import CoreCode
from npuc.emulator.timing.tables import ViewTable
from npuc.isa.cost import Int64s
from npuc.isa.descriptors import TensorMap
from npuc.isa.program import Program
from npuc.isa.target import Target


@dataclass(frozen=True)
class Work:
    """Work of n commands, one int64 array (n) per fact.

    ``fixed`` cycles pass at their own pace, ``moving`` cycles stretch where memories are shared.
    DRAM bytes are whole bursts; ``dram_useful`` counts elements. ``spm_words`` and ``acc_words``
    are accesses at the ports, ``*_bytes`` what energy counts. ``macs`` are of ``mac_dtype``
    (DType code). ``lane_ops`` are vpu operations weighted by cost.
    """

    fixed: Int64s
    moving: Int64s
    dram_read: Int64s
    dram_written: Int64s
    dram_useful: Int64s
    spm_words: Int64s
    acc_words: Int64s
    spm_bytes: Int64s
    acc_bytes: Int64s
    macs: Int64s
    mac_dtype: Int64s
    lane_ops: Int64s

    @staticmethod
    def zeros(n: int) -> "Work":
        """No work at all, to be filled with ``put``."""
        return Work(*(np.zeros(n, np.int64) for _ in fields(Work)))

    def put(self, rows: Int64s, **facts: Int64s) -> None:
        """Set some facts of ``rows``."""
        for name, values in facts.items():
            getattr(self, name)[rows] = values

    def take(self, rows: Int64s) -> "Work":
        """The work of ``rows``, in that order; rows may repeat."""
        return Work(*(getattr(self, f.name)[rows] for f in fields(Work)))

    @property
    def isolated(self) -> Int64s:
        """Cycles of each command alone on the machine."""
        return self.fixed + self.moving


@dataclass(frozen=True)
class Source:
    """Everything that work is read from: tables, code columns and the chosen commands.

    ``instruction`` (n), ``registers`` (n, 32) and ``map_number`` (n) belong to the chosen
    commands; the maps that they captured from map registers follow those of the program.
    """

    target: Target
    program: Program
    views: ViewTable
    code: CoreCode
    instruction: Int64s
    registers: Int64s
    map_number: Int64s
    maps: tuple[TensorMap, ...]

    def of_opcode(self, *opcodes: int) -> Int64s:
        """Positions of the commands with one of these opcodes."""
        return np.flatnonzero(np.isin(self.code.opcode[self.instruction], opcodes))

    def map_index(self, rows: Int64s) -> Int64s:
        """Index in ``maps`` of the tensor map that the transfers at ``rows`` use."""
        captured = self.map_number[rows]
        return np.where(captured >= 0, len(self.program.maps) + captured, self.column("map", rows))

    def column(self, name: str, rows: Int64s) -> Int64s:
        """Operand field ``name`` of the commands at ``rows``."""
        return self.code.columns[name][self.instruction[rows]]
