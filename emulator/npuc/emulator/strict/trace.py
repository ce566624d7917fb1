"""One pass over the commands in an order of execution: what must be complete before each.

It gives, for each command and each other agent, the last conflicting access that must be complete
before it starts: the needed clock. The accesses of some thousand commands are noted first; compiled
code then goes over their bytes, memory by memory.
"""

from dataclasses import dataclass, field

import numpy as np

import npuc.emulator.strict.pages as pg
from npuc.emulator.limits import Limits
from npuc.emulator.region import IndexedWork
from npuc.emulator.resolve import ResolvedStream
from npuc.emulator.strict.accesses import Access, MemoryKey, accesses, is_constant
from npuc.emulator.strict.bytesets import ByteSet
from npuc.emulator.strict.clocks import Clocks, Graph
from npuc.emulator.strict.notes import Notes, may_share
from npuc.emulator.strict.overlap import overlapping_write
from npuc.emulator.strict.shadow import Budget, Shadow
from npuc.isa.descriptors import Segment
from npuc.isa.program import Program
from npuc.isa.target import Target

CHUNK = 4096  # commands whose accesses are noted together
_INITIALISED = tuple(
    s.name for s in (Segment.input, Segment.state, Segment.constant, Segment.arguments)
)


@dataclass(frozen=True)
class Uninitialised:
    """Row ``row`` reads bytes that nobody wrote."""

    row: int
    access: Access
    bytes: ByteSet


@dataclass(frozen=True)
class Unpredictable:
    """Row ``row`` writes ``bytes`` of ``memory`` twice, by ``operands``."""

    row: int
    operands: str
    memory: MemoryKey
    bytes: ByteSet


@dataclass
class Trace:
    """What one pass finds: needed clocks (n x agents), reads of what nobody wrote, unpredictable
    writes: the first of each instruction and memory.
    """

    needed: Clocks
    uninitialised: dict[tuple[int, int, MemoryKey], Uninitialised]
    unpredictable: dict[tuple[int, int], Unpredictable]
    shadows: dict[MemoryKey, Shadow]


@dataclass(frozen=True)
class Traced:
    """What is traced: the program on ``target``, and how much memory the shadows may take."""

    program: Program
    target: Target
    limits: Limits


def trace(traced: Traced, resolved: tuple[ResolvedStream, ...], graph: Graph) -> Trace:
    """Walk the commands in order; commands with a problem are left out.

    Raises: CapacityError where the shadows would exceed the limit, or bytes lie in too many pieces.
    """
    tracing = _Tracing(traced, resolved, graph, Budget(traced.limits.memory_bytes))
    for first in range(0, len(graph), CHUNK):
        tracing.chunk(first, min(first + CHUNK, len(graph)))
    return tracing.found


@dataclass
class _Tracing:
    """The pass: what it goes over, what it found, and rows that may write a byte twice."""

    traced: Traced
    resolved: tuple[ResolvedStream, ...]
    graph: Graph
    budget: Budget
    found: Trace = field(init=False)
    suspects: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        needed = np.zeros((len(self.graph), self.graph.agents), np.int32)
        self.found = Trace(needed, {}, {}, {})

    def chunk(self, first: int, stop: int) -> None:
        """Go over the commands of rows ``first`` to ``stop``."""
        self.suspects.clear()
        holes: list[tuple[int, Uninitialised]] = []
        for memory, notes in self._noted(first, stop).items():
            holes += self._walk(memory, notes)
        for _, hole in sorted(holes, key=lambda hole: hole[0]):
            self.found.uninitialised[self._key(hole.row, hole.access.memory)] = hole
        for row in sorted(self.suspects):
            self._check_overlap(row)

    def _noted(self, first: int, stop: int) -> dict[MemoryKey, Notes]:
        """The accesses of some rows by memory."""
        noted: dict[MemoryKey, Notes] = {}
        graph, rows, order = self.graph, slice(first, stop), 0
        columns = (graph.core[rows], graph.command[rows], graph.agent[rows])
        for row, core, command, agent in zip(
            range(first, stop), *(column.tolist() for column in columns), strict=True
        ):
            if self.resolved[core].broken[command]:
                continue
            work, n_writes = self.resolved[core].work(command), 0
            made = [access for access in accesses(core, work) if not is_constant(access.memory)]
            for access in made:
                if access.memory not in noted:
                    noted[access.memory] = Notes(self._shadow(access.memory).slots)
                noted[access.memory].add(row, agent, order, access)
                order += 1
                n_writes += access.is_write
            if n_writes > 1 or isinstance(work, IndexedWork):
                self.suspects.add(row)
        return noted

    def _walk(self, memory: MemoryKey, notes: Notes) -> list[tuple[int, Uninitialised]]:
        """The holes in what the accesses to a memory read, each with its access's order."""
        shadow, table, holes = self.found.shadows[memory], notes.table(), {}
        self.suspects.update(table[may_share(table), pg.ROW].tolist())
        for number in shadow.walk(table, notes, self.graph.sequence, self.found.needed):
            row, access = int(table[number, pg.ROW]), notes.accesses[number]
            key = self._key(row, memory)
            if key not in self.found.uninitialised and key not in holes:
                hole = Uninitialised(row, access, shadow.unwritten(access.bytes))
                holes[key] = (notes.order[number], hole)
        return list(holes.values())

    def _key(self, row: int, memory: MemoryKey) -> tuple[int, int, MemoryKey]:
        return int(self.graph.core[row]), int(self.graph.instruction[row]), memory

    def _check_overlap(self, row: int) -> None:
        core, command = int(self.graph.core[row]), int(self.graph.command[row])
        key = (core, int(self.graph.instruction[row]))
        if key in self.found.unpredictable:
            return
        work = self.resolved[core].work(command)
        twice = overlapping_write(work)
        if twice is not None:
            memory = next(access.memory for access in accesses(core, work) if access.is_write)
            self.found.unpredictable[key] = Unpredictable(row, twice[0], memory, twice[1])

    def _shadow(self, memory: MemoryKey) -> Shadow:
        shadow = self.found.shadows.get(memory)
        if shadow is None:
            shadow = self.found.shadows[memory] = self._new_shadow(memory)
        return shadow

    def _new_shadow(self, memory: MemoryKey) -> Shadow:
        target, program = self.traced.target, self.traced.program
        sizes = {"spm": target.spm.capacity_bytes, "acc": target.acc.capacity_bytes}
        if memory.core >= 0:
            return Shadow(sizes[memory.name], self.budget, is_written=False)
        n_bytes = program.segment_bytes(Segment[memory.name])
        return Shadow(n_bytes, self.budget, is_written=memory.name in _INITIALISED)
