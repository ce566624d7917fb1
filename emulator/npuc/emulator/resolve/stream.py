"""The work of every command of a core, and what is wrong with it."""

from dataclasses import dataclass

import numpy as np

from npuc.emulator.decode import DecodedProgram
from npuc.emulator.region import (
    Work,
)
from npuc.emulator.resolve.compute import (
    MmaGroup,
    ScanGroup,
    SelectGroup,
    VexecGroup,
    VexecPartGroup,
)
from npuc.emulator.resolve.moves import IndexedGroup, MoveGroup, TransferGroup, WordGroup
from npuc.emulator.resolve.operands import Dispatches, Group
from npuc.emulator.stream import CommandStream, Int64s
from npuc.isa.errors import ExecutionError
from npuc.isa.instructions.dma import Copy, Fill, Gather, Load, Scatter, Store
from npuc.isa.instructions.maps import LoadMapped, StoreMapped
from npuc.isa.instructions.matrix import Mma
from npuc.isa.instructions.ordered import Scan, Sort, TopK
from npuc.isa.instructions.vector import Vexec, VexecPart
from npuc.isa.instructions.word import LoadWord, StoreWord


@dataclass(frozen=True)
class Problem:
    """Why command ``command`` of a stream must not execute."""

    command: int
    what: str
    given: str
    allowed: str


class ResolvedStream:
    """The work of every command of one core, built when it is asked for."""

    def __init__(self, decoded: DecodedProgram, core: int, stream: CommandStream) -> None:
        self._decoded, self._code, self._stream = decoded, decoded.cores[core], stream
        self.core = core
        self.problems: list[Problem] = []
        self._row = np.zeros(len(stream), np.int64)
        self._groups: dict[int, Group] = {}
        # Commands of one instruction that captured one map resolve together.
        self._key = stream.instruction + (stream.numbers_of_maps() + 1) * len(self._code)
        order = np.argsort(self._key, kind="stable")
        keys, starts = np.unique(self._key[order], return_index=True)
        parts = np.split(order, starts[1:])[: len(keys)]  # without a command: one empty part
        for key, commands in zip(keys.tolist(), parts, strict=True):
            self._row[commands] = np.arange(len(commands))
            self._groups[key] = self._resolve(key, commands)
        self.problems.sort(key=lambda p: p.command)

    def work(self, command: int) -> Work:
        """What a command does, with all operands resolved."""
        group = self._groups[int(self._key[command])]
        return group.work(int(self._row[command]))

    def raise_first(self) -> None:
        """Raises: ExecutionError for the first command with a problem, naming its site."""
        if self.problems:
            raise self.error(self.problems[0])

    def error(self, problem: Problem) -> ExecutionError:
        """The problem as an error with instruction and node."""
        at = int(self._stream.instruction[problem.command])
        return ExecutionError(
            problem.what,
            f"{self._decoded.site(self.core, at)}; command {problem.command}",
            problem.given,
            problem.allowed,
            "check the registers and views of the command",
        )

    def _resolve(self, key: int, commands: Int64s) -> Group:
        captured, at = divmod(key, len(self._code))
        opcode = int(self._code.opcode[at])
        builders = {
            Load.opcode: TransferGroup,
            Store.opcode: TransferGroup,
            LoadMapped.opcode: TransferGroup,
            StoreMapped.opcode: TransferGroup,
            Gather.opcode: IndexedGroup,
            Scatter.opcode: IndexedGroup,
            Copy.opcode: MoveGroup,
            Fill.opcode: MoveGroup,
            Mma.opcode: MmaGroup,
            Vexec.opcode: VexecGroup,
            VexecPart.opcode: VexecPartGroup,
            Scan.opcode: ScanGroup,
            TopK.opcode: SelectGroup,
            Sort.opcode: SelectGroup,
            LoadWord.opcode: WordGroup,
            StoreWord.opcode: WordGroup,
        }
        builder = builders.get(opcode, Group)
        tensor_map = self._stream.maps[captured - 1] if captured else None
        dispatched = Dispatches(at, self._stream.registers[commands], tensor_map)
        group = builder(self._decoded, self._code, dispatched)
        for row, what, given, allowed in group.faults:
            self.problems.append(Problem(int(commands[row]), what, given, allowed))
        return group
