"""check: a program and its streams to findings."""

from collections.abc import Iterator

import numpy as np

from npuc.emulator.control import control
from npuc.emulator.decode import DecodedProgram
from npuc.emulator.resolve import ResolvedStream
from npuc.emulator.stream import CommandStream
from npuc.emulator.strict.bytesets import Access, accesses
from npuc.emulator.strict.clocks import ENGINES, Clocks, Graph, build_graph, clocks
from npuc.emulator.strict.finding import Finding
from npuc.emulator.strict.shadow import Trace, trace
from npuc.emulator.validate import decode
from npuc.isa.descriptors import Segment
from npuc.isa.errors import ExecutionError
from npuc.isa.instructions import Engine
from npuc.isa.program import Program
from npuc.isa.target import Target


def check(
    program: Program,
    streams: tuple[CommandStream, ...] | None = None,
    target: Target | None = None,
) -> tuple[Finding, ...]:
    """Everything that strict mode holds against a run; empty for a well-synchronised program.

    One finding per kind and pair of instructions, at its first occurrence. ``streams`` are those
    of the control pass, which runs here where None.
    Raises: BinaryError for what the bits prove wrong; ExecutionError from the control pass.
    """
    return Strict(program, streams, target).findings()


class Strict:
    """A program with its graph and trace, for findings and for questions about waits."""

    def __init__(
        self,
        program: Program,
        streams: tuple[CommandStream, ...] | None = None,
        target: Target | None = None,
    ) -> None:
        self.program = program
        self.decoded: DecodedProgram = decode(program, target)
        self.streams = control(self.decoded) if streams is None else streams
        self.resolved = tuple(
            ResolvedStream(self.decoded, core, stream) for core, stream in enumerate(self.streams)
        )
        self.deadlock: ExecutionError | None = None
        self.graph: Graph | None = None
        self.trace: Trace | None = None
        try:
            self.graph = build_graph(self.decoded, self.streams)
        except ExecutionError as error:
            self.deadlock = error
            return
        self.trace = trace(program, self.decoded.target, self.resolved, self.graph)

    def findings(self) -> tuple[Finding, ...]:
        """All findings: bounds, deadlock, uninitialised reads, races, unwritten outputs."""
        found = list(self._bounds())
        if self.deadlock is not None or self.graph is None or self.trace is None:
            error = self.deadlock
            assert error is not None, "a graph is missing only after a deadlock"
            found.append(Finding("deadlock", error.what, site=error.where, missing=error.given))
            return tuple(found)
        found += self._uninitialised(self.graph, self.trace)
        found += self._races(self.graph, self.trace, clocks(self.graph))
        found += self._unwritten(self.trace)
        return _first_of_each(found)

    def _bounds(self) -> Iterator[Finding]:
        for resolved in self.resolved:
            for problem in resolved.problems:
                at = int(self.streams[resolved.core].instruction[problem.command])
                yield Finding(
                    "bounds",
                    f"{problem.what}: {problem.given}",
                    resolved.core,
                    at,
                    str(self.decoded.site(resolved.core, at)),
                    missing=f"allowed: {problem.allowed}",
                )

    def _uninitialised(self, graph: Graph, found: Trace) -> Iterator[Finding]:
        for hole in found.uninitialised:
            core, at, site = self._site(graph, hole.row)
            yield Finding(
                "uninitialised",
                f"operand {hole.access.operand} reads bytes that nobody wrote",
                core,
                at,
                site,
                memory=str(hole.access.memory),
                first_byte=hole.bytes.low,
                n_bytes=len(hole.bytes.all),
                missing="a write of these bytes before",
            )

    def _races(self, graph: Graph, found: Trace, complete: Clocks) -> Iterator[Finding]:
        rows, agents = np.nonzero(found.needed > complete)
        for row, agent in zip(rows.tolist(), agents.tolist(), strict=True):
            number = int(found.needed[row, agent])
            earlier = int(np.flatnonzero((graph.agent == agent) & (graph.sequence == number))[0])
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
            "race",
            what,
            core,
            at,
            f"{site}; command {number}",
            f"{other}; command {other_number}",
            str(mine.memory),
            int(shared[0]),
            len(shared),
            f"command {number} of core {core} must wait until {engine} of core {other_core} has "
            f"completed its {int(graph.sequence[earlier])}. command",
        )

    def _common_bytes(
        self, graph: Graph, row: int, earlier: int
    ) -> tuple[Access, Access, np.ndarray[tuple[int], np.dtype[np.int64]]]:
        for mine in self._accesses(graph, row):
            for theirs in self._accesses(graph, earlier):
                if mine.memory != theirs.memory or not (mine.is_write or theirs.is_write):
                    continue
                shared = np.intersect1d(mine.bytes.all, theirs.bytes.all)
                if shared.size:
                    return mine, theirs, shared
        raise AssertionError("a needed edge comes from a common byte")

    def _accesses(self, graph: Graph, row: int) -> list[Access]:
        core = int(graph.core[row])
        return list(accesses(core, self.resolved[core].work(int(graph.command[row]))))

    def _unwritten(self, found: Trace) -> Iterator[Finding]:
        shadows = {key.name: shadow for key, shadow in found.shadows.items() if key.core < 0}
        for argument in self.program.outputs:
            if argument.segment is not Segment.output or argument.n_bytes == 0:
                continue
            written = np.zeros(argument.n_bytes, bool)
            if argument.segment.name in shadows:
                stop = argument.offset + argument.n_bytes
                written = shadows[argument.segment.name].written[argument.offset : stop]
            missing = np.flatnonzero(~written)
            if missing.size:
                yield Finding(
                    "unwritten",
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
