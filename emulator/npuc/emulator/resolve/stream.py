"""The work of every command of a core, and what is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npuc.emulator.decode import DecodedProgram
from npuc.emulator.limits import Limits
from npuc.emulator.region import Work
from npuc.emulator.resolve.compute import (
    MmaGroup,
    ScanGroup,
    SelectGroup,
    VexecGroup,
    VexecPartGroup,
)
from npuc.emulator.resolve.moves import IndexedGroup, MoveGroup, TransferGroup, WordGroup
from npuc.emulator.resolve.operands import Dispatches, Group, Rule
from npuc.emulator.stream import CommandStream, Int64s
from npuc.isa.errors import CapacityError, ExecutionError
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
    rule: Rule
    given: str
    allowed: str


class ResolvedStream:
    """The work of every command of one core, built when it is asked for."""

    def __init__(self, decoded: DecodedProgram, core: int, stream: CommandStream) -> None:
        self._decoded, self._code, self._stream = decoded, decoded.cores[core], stream
        self.core = core
        self.problems: list[Problem] = []  # the first of each rule and instruction
        self.broken = np.zeros(len(stream), bool)
        self.points = 0.0  # of all commands
        self._most = (0.0, 0)  # points and instruction of those with the most
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
        group = self._groups[self._key.item(command)]
        return group.work(self._row.item(command))

    def raise_first(self) -> None:
        """Raises: ExecutionError for the first command with a problem, naming its site."""
        if self.problems:
            raise self.error(self.problems[0])

    def too_many_points(self, limits: Limits) -> CapacityError:
        """The error for more work than a run may do; it names the largest part."""
        points, at = self._most
        return CapacityError(
            "the program has more work than a run may do",
            f"{points:.3g} of the points are those of {self._decoded.site(self.core, at)}",
            f"{self.points:.3g} points in core {self.core}",
            f"{limits.points:.3g} points of all cores",
            "raise the limit: npuc run --points, Limits.points",
        )

    def error(self, problem: Problem) -> ExecutionError:
        """The problem as an error with instruction and node."""
        at = int(self._stream.instruction[problem.command])
        return problem.rule.error(
            problem.rule.what,
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
        for fault in group.faults:
            command = int(commands[fault.row])
            self.problems.append(Problem(command, fault.rule, fault.given, fault.allowed))
        self.broken[commands] = group.broken
        points = float(group.points.sum())
        self.points += points
        self._most = max(self._most, (points, at))
        return group


def check_points(resolved: Sequence[ResolvedStream], limits: Limits) -> None:
    """Raises: CapacityError where all cores together have more work than a run may do."""
    if sum(stream.points for stream in resolved) > limits.points:
        raise max(resolved, key=lambda stream: stream.points).too_many_points(limits)
