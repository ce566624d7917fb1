"""Shadow memories: for each byte who wrote and read it last, and whether anyone ever wrote it.

One pass over the commands in an order of execution gives, for each command and each other agent,
the last conflicting access that must be complete before it starts: the needed clock.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from npuc.emulator.resolve import ResolvedStream
from npuc.emulator.strict.bytesets import Access, ByteSet, MemoryKey, accesses, is_constant
from npuc.emulator.strict.clocks import Clocks, Graph
from npuc.isa.descriptors import Segment
from npuc.isa.program import Program
from npuc.isa.target import Target

Marks = npt.NDArray[np.int32]
_INITIALISED = tuple(
    s.name for s in (Segment.input, Segment.state, Segment.constant, Segment.arguments)
)


@dataclass
class Shadow:
    """One memory: per agent the number of its last command that wrote, or read, each byte."""

    n_bytes: int
    written: npt.NDArray[np.bool_]
    writes: dict[int, Marks] = field(default_factory=dict)
    reads: dict[int, Marks] = field(default_factory=dict)

    def touch(self, agent: int, sequence: int, access: Access) -> None:
        """Note an access. The arrays start as untouched zero pages, so they cost what is used."""
        marks = self.writes if access.is_write else self.reads
        if agent not in marks:
            marks[agent] = np.zeros(self.n_bytes, np.int32)
        marks[agent][access.bytes.where] = sequence
        if access.is_write:
            self.written[access.bytes.where] = True

    def conflicts(self, agent: int, access: Access) -> list[tuple[int, int]]:
        """(other agent, number of its last conflicting command) on the access's bytes."""
        found = []
        for marks in (self.writes, self.reads) if access.is_write else (self.writes,):
            for other, numbers in marks.items():
                if other != agent:
                    found.append((other, int(numbers[access.bytes.where].max())))
        return found


@dataclass(frozen=True)
class Uninitialised:
    """Row ``row`` reads bytes that nobody wrote."""

    row: int
    access: Access
    bytes: ByteSet


@dataclass
class Trace:
    """What one pass finds: needed clocks (n x agents) and uninitialised reads."""

    needed: Clocks
    uninitialised: list[Uninitialised]
    shadows: dict[MemoryKey, Shadow]


def trace(
    program: Program, target: Target, resolved: tuple[ResolvedStream, ...], graph: Graph
) -> Trace:
    """Walk the commands in order; commands with a bounds problem are left out."""
    shadows: dict[MemoryKey, Shadow] = {}
    found = Trace(np.zeros((len(graph), graph.agents), np.int32), [], shadows)
    broken = [{p.command for p in stream.problems} for stream in resolved]
    for row in range(len(graph)):
        core, command = int(graph.core[row]), int(graph.command[row])
        if command in broken[core]:
            continue
        agent = int(graph.agent[row])
        touched = [
            a for a in accesses(core, resolved[core].work(command)) if not is_constant(a.memory)
        ]
        for access in touched:
            if access.memory not in shadows:
                shadows[access.memory] = _shadow(program, target, access.memory)
            _inspect(found, row, agent, access)
        for access in touched:
            shadows[access.memory].touch(agent, int(graph.sequence[row]), access)
    return found


def _inspect(found: Trace, row: int, agent: int, access: Access) -> None:
    shadow = found.shadows[access.memory]
    for other, number in shadow.conflicts(agent, access):
        found.needed[row, other] = max(found.needed[row, other], number)
    if access.is_write or not access.is_exact:
        return
    written = shadow.written[access.bytes.where]
    if not written.all():
        missing = access.bytes.all[~written]
        found.uninitialised.append(
            Uninitialised(row, access, ByteSet(int(missing[0]), int(missing[-1]) + 1, missing))
        )


def _shadow(program: Program, target: Target, key: MemoryKey) -> Shadow:
    sizes = {"spm": target.spm.capacity_bytes, "acc": target.acc.capacity_bytes}
    n_bytes = sizes[key.name] if key.core >= 0 else program.segment_bytes(Segment[key.name])
    start = np.ones if key.core < 0 and key.name in _INITIALISED else np.zeros
    return Shadow(n_bytes, start(n_bytes, bool))
