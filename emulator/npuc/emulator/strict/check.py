"""check: a program and its streams to findings."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from npuc.emulator.control import control
from npuc.emulator.decode import DecodedProgram
from npuc.emulator.limits import DEFAULT_LIMITS, Limits, check_memory
from npuc.emulator.resolve import ResolvedStream, check_points
from npuc.emulator.stream import CommandStream
from npuc.emulator.strict.accesses import Access, accesses
from npuc.emulator.strict.bytesets import ByteSet
from npuc.emulator.strict.clocks import ENGINES, Clocks, Graph, build_graph, clocks
from npuc.emulator.strict.finding import Finding
from npuc.emulator.strict.taxonomy import (
    RACE,
    UNINITIALISED,
    UNPREDICTABLE,
    finding_of,
    is_fault,
)
from npuc.emulator.strict.trace import Trace, Traced, trace
from npuc.emulator.validate import decode
from npuc.isa.descriptors import Segment
from npuc.isa.errors import BinaryError, DeadlockError, ExecutionError
from npuc.isa.instructions import Engine
from npuc.isa.program import Program
from npuc.isa.target import Target


def check(
    program: Program,
    streams: tuple[CommandStream, ...] | None = None,
    target: Target | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[Finding, ...]:
    """Everything that strict mode holds against a run; empty for a well-synchronised program.

    One finding per kind and pair of instructions, at its first occurrence. ``streams`` are those
    of the control pass, which runs here where None.
    Raises: TrapError where control traps; UsageError without streams of a program that loads words.
    """
    try:
        return Strict.of(program, streams, target, limits).findings()
    except (BinaryError, ExecutionError) as error:
        if not is_fault(error):
            raise
        return (finding_of(error),)


class Strict:
    """A resolved program with its graph and trace, for findings and for questions about waits."""

    def __init__(
        self,
        decoded: DecodedProgram,
        streams: tuple[CommandStream, ...],
        resolved: tuple[ResolvedStream, ...],
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.decoded, self.program = decoded, decoded.program
        self.streams, self.resolved = streams, resolved
        self.deadlock: DeadlockError | None = None
        self.graph: Graph | None = None
        self.trace: Trace | None = None
        try:
            self.graph = build_graph(self.decoded, self.streams)
        except DeadlockError as error:
            self.deadlock = error
            return
        traced = Traced(decoded.program, decoded.target, limits)
        self.trace = trace(traced, self.resolved, self.graph)

    @staticmethod
    def of(
        program: Program,
        streams: tuple[CommandStream, ...] | None = None,
        target: Target | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> "Strict":
        """Decode, run control where ``streams`` is None, and resolve. Raises: as these do."""
        check_memory(program, target or program.target, limits)
        decoded = decode(program, target)
        streams = control(decoded, limits) if streams is None else streams
        resolved = tuple(ResolvedStream(decoded, core, s) for core, s in enumerate(streams))
        check_points(resolved, limits)
        return Strict(decoded, streams, resolved, limits)

    def findings(self) -> tuple[Finding, ...]:
        """All findings, one per kind and pair of instructions."""
        found = list(self._problems())
        if self.deadlock is not None or self.graph is None or self.trace is None:
            assert self.deadlock is not None, "a graph is missing only after a deadlock"
            return (*found, finding_of(self.deadlock))
        found += self._uninitialised(self.graph, self.trace)
        found += self._unpredictable(self.graph, self.trace)
        found += self._races(self.graph, self.trace, clocks(self.graph))
        found += self._unwritten(self.trace)
        return _first_of_each(found)

    def _problems(self) -> Iterator[Finding]:
        """What registers decide: bounds, extents without meaning, too many points."""
        for resolved in self.resolved:
            for problem in resolved.problems:
                at = int(self.streams[resolved.core].instruction[problem.command])
                made = finding_of(resolved.error(problem))
                yield replace(made, core=resolved.core, instruction=at)

    def _uninitialised(self, graph: Graph, found: Trace) -> Iterator[Finding]:
        for hole in found.uninitialised.values():
            core, at, site = self._site(graph, hole.row)
            yield Finding(
                UNINITIALISED,
                f"operand {hole.access.operand} reads bytes that nobody wrote",
                core,
                at,
                site,
                memory=str(hole.access.memory),
                first_byte=hole.bytes.low,
                n_bytes=hole.bytes.n_bytes,
                missing="a write of these bytes before",
            )

    def _unpredictable(self, graph: Graph, found: Trace) -> Iterator[Finding]:
        for twice in found.unpredictable.values():
            core, at, site = self._site(graph, twice.row)
            yield Finding(
                UNPREDICTABLE,
                f"different {twice.operands} share bytes that the command writes",
                core,
                at,
                site,
                memory=str(twice.memory),
                first_byte=twice.bytes.low,
                n_bytes=twice.bytes.n_bytes,
                missing="elements, and outputs, that lie apart",
            )

    def _races(self, graph: Graph, found: Trace, complete: Clocks) -> Iterator[Finding]:
        rows, agents = np.nonzero(found.needed > complete)
        rows_of = [np.flatnonzero(graph.agent == agent) for agent in range(graph.agents)]
        seen = set()
        for row, agent in zip(rows.tolist(), agents.tolist(), strict=True):
            earlier = int(rows_of[agent][found.needed[row, agent] - 1])
            pair = tuple((int(graph.core[r]), int(graph.instruction[r])) for r in (row, earlier))
            if pair not in seen:
                seen.add(pair)
                yield self._race(graph, row, earlier)

    def _race(self, graph: Graph, row: int, earlier: int) -> Finding:
        core, at, site = self._site(graph, row)
        other_core, _, other = self._site(graph, earlier)
        engine = Engine(int(graph.agent[earlier]) % ENGINES).name
        mine, theirs, shared = self._common_bytes(graph, row, earlier)
        verb = "writes" if mine.is_write else "reads"
        what = f"{verb} what another engine {'wrote' if theirs.is_write else 'read'} without order"
        number, other_number = int(graph.command[row]), int(graph.command[earlier])
        return Finding(
            RACE,
            what,
            core,
            at,
            f"{site}; command {number}",
            f"{other}; command {other_number}",
            str(mine.memory),
            shared.low,
            shared.n_bytes,
            f"command {number} of core {core} must wait until {engine} of core {other_core} has "
            f"completed its {int(graph.sequence[earlier])}. command",
        )

    def _common_bytes(self, graph: Graph, row: int, earlier: int) -> tuple[Access, Access, ByteSet]:
        for mine in self._accesses(graph, row):
            for theirs in self._accesses(graph, earlier):
                if mine.memory != theirs.memory or not (mine.is_write or theirs.is_write):
                    continue
                shared = mine.bytes.common(theirs.bytes)
                if shared:
                    return mine, theirs, shared
        raise AssertionError("a needed edge comes from a common byte")

    def _accesses(self, graph: Graph, row: int) -> list[Access]:
        core = int(graph.core[row])
        return accesses(core, self.resolved[core].work(int(graph.command[row])))

    def _unwritten(self, found: Trace) -> Iterator[Finding]:
        shadows = {key.name: shadow for key, shadow in found.shadows.items() if key.core < 0}
        for argument in self.program.outputs:
            if argument.segment is not Segment.output or argument.n_bytes == 0:
                continue
            written = np.zeros(argument.n_bytes, bool)
            if argument.segment.name in shadows:
                stop = argument.offset + argument.n_bytes
                written = shadows[argument.segment.name].written(argument.offset, stop)
            missing = np.flatnonzero(~written)
            if missing.size:
                yield Finding(
                    UNINITIALISED,
                    f"output {argument.name} is not written completely",
                    memory=f"output {argument.name}",
                    first_byte=int(missing[0]),
                    n_bytes=len(missing),
                    missing="a store of these bytes",
                )

    def _site(self, graph: Graph, row: int) -> tuple[int, int, str]:
        core, at = int(graph.core[row]), int(graph.instruction[row])
        return core, at, str(self.decoded.site(core, at))


def _first_of_each(found: list[Finding]) -> tuple[Finding, ...]:
    """One finding per kind and pair of instructions."""
    seen: dict[tuple[object, ...], Finding] = {}
    for finding in found:
        other = finding.other.split("; command ")[0]
        key = (finding.kind, finding.core, finding.instruction, other, finding.memory)
        seen.setdefault(key, finding)
    return tuple(seen.values())
