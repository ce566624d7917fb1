"""Shadow memories: for each byte who wrote and read it last, and whether anyone ever wrote it.

One pass over the commands in an order of execution gives, for each command and each other agent,
the last conflicting access that must be complete before it starts: the needed clock.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from npuc.emulator.limits import Limits
from npuc.emulator.region import Work
from npuc.emulator.resolve import ResolvedStream
from npuc.emulator.stream import Int64s
from npuc.emulator.strict.bytesets import Access, ByteSet, MemoryKey, accesses, is_constant
from npuc.emulator.strict.clocks import Clocks, Graph
from npuc.emulator.strict.overlap import overlapping_write
from npuc.isa.descriptors import Segment
from npuc.isa.errors import CapacityError
from npuc.isa.jit import njit
from npuc.isa.program import Program
from npuc.isa.target import Target

Numbers = npt.NDArray[np.int32]
CHECK_EVERY = 64  # commands between looks at the memory in use
_INITIALISED = tuple(
    s.name for s in (Segment.input, Segment.state, Segment.constant, Segment.arguments)
)


@dataclass
class Marks:
    """Per byte from ``start`` on the number of an agent's last command that wrote, or read, it.

    0 stands for none. The array grows over what is touched.
    """

    start: int
    numbers: Numbers

    def touch(self, sequence: int, touched: ByteSet) -> None:
        """Note an access."""
        self._reach(touched.low, touched.high)
        _mark(self.numbers, touched.runs, touched.offset - self.start, sequence)

    def latest(self, touched: ByteSet) -> int:
        """The largest number on some bytes."""
        stop = self.start + len(self.numbers)
        if touched.high <= self.start or stop <= touched.low:
            return 0
        return int(_latest(self.numbers, touched.runs, touched.offset - self.start))

    def _reach(self, low: int, high: int) -> None:
        """Grow, by half at least, until [low, high) is inside."""
        stop, slack = self.start + len(self.numbers), len(self.numbers) // 2
        first = self.start if self.start <= low else max(0, min(low, self.start - slack))
        last = stop if high <= stop else max(high, stop + slack)
        if (first, last) != (self.start, stop):
            grown = np.zeros(last - first, np.int32)
            grown[self.start - first : stop - first] = self.numbers
            self.start, self.numbers = first, grown


@dataclass
class Shadow:
    """One memory: what each agent did to each byte, and whether anyone ever wrote it."""

    written: npt.NDArray[np.bool_]
    writes: dict[int, Marks] = field(default_factory=dict)
    reads: dict[int, Marks] = field(default_factory=dict)

    def touch(self, agent: int, sequence: int, access: Access) -> None:
        """Note an access."""
        marks = self.writes if access.is_write else self.reads
        if agent not in marks:
            marks[agent] = Marks(access.bytes.low, np.zeros(0, np.int32))
        marks[agent].touch(sequence, access.bytes)
        if access.is_write:
            _mark(self.written, access.bytes.runs, access.bytes.offset, True)

    def conflicts(self, agent: int, access: Access) -> list[tuple[int, int]]:
        """(other agent, number of its last conflicting command) on the access's bytes."""
        found = [(o, m.latest(access.bytes)) for o, m in self.writes.items() if o != agent]
        if access.is_write:
            found += [(o, m.latest(access.bytes)) for o, m in self.reads.items() if o != agent]
        return found

    def unwritten(self, touched: ByteSet) -> ByteSet | None:
        """The bytes that nobody wrote; None where there are none."""
        if _all_set(self.written, touched.runs, touched.offset):
            return None
        missing = touched.all[~self.written[touched.all]]
        return ByteSet(np.stack([missing, missing + 1], axis=1))

    @property
    def used_bytes(self) -> int:
        """Host memory in use, at most."""
        kept = [*self.writes.values(), *self.reads.values()]
        return len(self.written) + sum(marks.numbers.nbytes for marks in kept)


@njit
def _mark(marks: Any, runs: Int64s, offset: int, value: Any) -> None:
    for run in range(len(runs)):
        marks[runs[run, 0] + offset : runs[run, 1] + offset] = value


@njit
def _latest(marks: Numbers, runs: Int64s, offset: int) -> int:
    latest = 0
    for run in range(len(runs)):
        first, stop = max(runs[run, 0] + offset, 0), min(runs[run, 1] + offset, len(marks))
        if first < stop:
            latest = max(latest, marks[first:stop].max())
    return latest


@njit
def _all_set(marks: npt.NDArray[np.bool_], runs: Int64s, offset: int) -> bool:
    is_set: Any = True
    for run in range(len(runs)):
        is_set = is_set and marks[runs[run, 0] + offset : runs[run, 1] + offset].all()
    return bool(is_set)


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

    Raises: CapacityError where the shadows would exceed the limit.
    """
    found = Trace(np.zeros((len(graph), graph.agents), np.int32), {}, {}, {})
    for row in range(len(graph)):
        core, command = int(graph.core[row]), int(graph.command[row])
        if resolved[core].broken[command]:
            continue
        work = resolved[core].work(command)
        touched = [a for a in accesses(core, work) if not is_constant(a.memory)]
        for access in touched:
            if access.memory not in found.shadows:
                found.shadows[access.memory] = _shadow(traced, access.memory)
            _inspect(found, graph, row, access)
        for access in touched:
            shadow = found.shadows[access.memory]
            shadow.touch(int(graph.agent[row]), int(graph.sequence[row]), access)
        _check_overlap(found, graph, row, (work, touched))
        if row % CHECK_EVERY == 0:
            _check_memory(found, traced.limits)
    _check_memory(found, traced.limits)
    return found


def _inspect(found: Trace, graph: Graph, row: int, access: Access) -> None:
    shadow, needed = found.shadows[access.memory], found.needed[row]
    for other, number in shadow.conflicts(int(graph.agent[row]), access):
        needed[other] = max(needed[other], number)
    if access.is_write or not access.is_exact:
        return
    missing = shadow.unwritten(access.bytes)
    if missing is not None:
        key = (int(graph.core[row]), int(graph.instruction[row]), access.memory)
        found.uninitialised.setdefault(key, Uninitialised(row, access, missing))


def _check_overlap(found: Trace, graph: Graph, row: int, done: tuple[Work, list[Access]]) -> None:
    work, touched = done
    key = (int(graph.core[row]), int(graph.instruction[row]))
    written = [access.memory for access in touched if access.is_write]
    if not written or key in found.unpredictable:
        return
    twice = overlapping_write(work)
    if twice is not None:
        found.unpredictable[key] = Unpredictable(row, twice[0], written[0], twice[1])


def _check_memory(found: Trace, limits: Limits) -> None:
    used = sum(shadow.used_bytes for shadow in found.shadows.values())
    if used > limits.memory_bytes:
        raise CapacityError(
            "strict mode needs more memory than a run may use",
            given=f"{used:,} bytes to note who touched which byte",
            allowed=f"{limits.memory_bytes:,} bytes",
            next_step="raise the limit: npuc run --memory-mib, Limits.memory_bytes",
        )


def _shadow(traced: Traced, key: MemoryKey) -> Shadow:
    target, program = traced.target, traced.program
    sizes = {"spm": target.spm.capacity_bytes, "acc": target.acc.capacity_bytes}
    n_bytes = sizes[key.name] if key.core >= 0 else program.segment_bytes(Segment[key.name])
    start = np.ones if key.core < 0 and key.name in _INITIALISED else np.zeros
    return Shadow(start(n_bytes, bool))
